"""wav2vec 2.0 checkpoints as transformers writes them: a folder with config.json, vocab.json and safetensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....core.errors import UserError
from ....core.pretrained import read_config, read_foreign_tensors, read_json
from ....core.weights import KeyTable, Row, load_into, without_weights
from ..tokenizer import Labels
from .config import Wav2Vec2Config
from .model import Wav2Vec2CTC

BLANK = "<pad>"

_POSITIONS = "wav2vec2.encoder.pos_conv_embed.conv"
_WEIGHT_NORM = (  # magnitude and direction, as torch named them before and since 2.0
    (f"{_POSITIONS}.weight_g", f"{_POSITIONS}.weight_v"),
    (f"{_POSITIONS}.parametrizations.weight.original0", f"{_POSITIONS}.parametrizations.weight.original1"),
)
_BLOCK = {
    "attention.out": "attention.out_proj",
    "attention_norm": "layer_norm",
    "mlp.up": "feed_forward.intermediate_dense",
    "mlp.down": "feed_forward.output_dense",
    "mlp_norm": "final_layer_norm",
}
_PRETRAINING = (
    "quantizer.codevectors",
    *(
        f"{part}.{leaf}"
        for part in ("quantizer.weight_proj", "project_q", "project_hid")
        for leaf in ("weight", "bias")
    ),
)


def _table(*, stable: bool) -> KeyTable:
    """Transformers' names, once the weight norm is folded."""
    places = {
        "projection_norm": "wav2vec2.feature_projection.layer_norm",
        "projection": "wav2vec2.feature_projection.projection",
        "positions.conv": _POSITIONS,
        "encoder.norm" if stable else "norm": "wav2vec2.encoder.layer_norm",
        "head": "lm_head",
        **{f"encoder.blocks.{{}}.{ours}": f"wav2vec2.encoder.layers.{{}}.{theirs}" for ours, theirs in _BLOCK.items()},
    }
    rows = [Row(f"{ours}.{leaf}", f"{theirs}.{leaf}") for ours, theirs in places.items() for leaf in ("weight", "bias")]
    attention = "wav2vec2.encoder.layers.{}.attention"
    rows += [
        Row(f"encoder.blocks.{{}}.attention.qkv.{leaf}", tuple(f"{attention}.{part}_proj.{leaf}" for part in "qkv"))
        for leaf in ("weight", "bias")
    ]
    layer = "wav2vec2.feature_extractor.conv_layers.{}"
    rows += [
        Row(f"layers.{{}}.{ours}.{leaf}", f"{layer}.{theirs}.{leaf}", optional=True)
        for ours, theirs in (("conv", "conv"), ("norm", "layer_norm"))
        for leaf in ("weight", "bias")
    ]
    return KeyTable(*rows, drops=("wav2vec2.masked_spec_embed", *_PRETRAINING))


BASE, STABLE = _table(stable=False), _table(stable=True)


def load(path: Path, *, source: str | None = None, labels: Labels | None = None) -> tuple[Wav2Vec2CTC, Labels]:
    """The model in the folder `path`, and its labels with the blank moved to 0.

    labels: of a new alphabet; the head is then made for them and untrained, whatever the checkpoint had (one that was
    only pretrained has none).

    Raises UserError for another format or model, a part that is missing, or a vocabulary that does not fit.
    """
    source = str(path) if source is None else source
    raw = read_config(path)
    if raw.get("model_type") != "wav2vec2":
        raise UserError(f"{source} is a checkpoint of another model ({raw.get('model_type') or 'unknown'}).")
    normalise = bool(_optional(path / "preprocessor_config.json").get("do_normalize", True))
    try:
        config = Wav2Vec2Config.from_hf(raw, normalise=normalise)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"The configuration of {source} is incomplete or damaged ({error!r}).") from None
    theirs = {name: value.float() for name, value in read_foreign_tensors(path).items()}
    if labels is None:
        if "lm_head.weight" not in theirs:
            raise UserError(f"{source} was pretrained only: it has no head that names letters.", "Fine-tune it first.")
        labels, order = _labels(path, raw, config.labels, source)
        for leaf in ("weight", "bias"):
            theirs[f"lm_head.{leaf}"] = theirs[f"lm_head.{leaf}"][order]
    else:
        config = dataclasses.replace(config, labels=len(labels))
        head = torch.nn.Linear(config.dim, len(labels))
        theirs |= {"lm_head.weight": head.weight.detach(), "lm_head.bias": head.bias.detach()}
    return _network(config, fold_weight_norm(theirs), source), labels


def _network(config: Wav2Vec2Config, theirs: Mapping[str, Tensor], source: str) -> Wav2Vec2CTC:
    with without_weights():
        network = Wav2Vec2CTC(config)
    table = STABLE if config.stable else BASE
    load_into(network, table.to_ours(theirs, source=source), source=source)
    return network.eval()


def fold_weight_norm(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The position convolution's weight [C, C / groups, kernel] from its magnitude and direction, which are one number
    and one slice for each place in the kernel."""
    folded = dict(theirs)
    for magnitude, direction in _WEIGHT_NORM:
        if magnitude in folded and direction in folded:
            size, slices = folded.pop(magnitude), folded.pop(direction)
            folded[f"{_POSITIONS}.weight"] = slices * (size / slices.norm(dim=(0, 1), keepdim=True))
    return folded


def _labels(path: Path, config: Mapping[str, Any], count: int, source: str) -> tuple[Labels, list[int]]:
    """The labels, blank first, and for each the row that it has in the checkpoint."""
    if not (path / "vocab.json").is_file():
        raise UserError(f"{source} has no vocab.json, so nothing says what its labels mean.")
    ids = _optional(path / "vocab.json") | _optional(path / "added_tokens.json")
    if not all(isinstance(label, int) for label in ids.values()):
        raise UserError(f"The vocab.json of {source} is no table of labels.", "Several languages in one are not read.")
    blank = int(config.get("pad_token_id") or 0)
    if not 0 <= blank < count:
        raise UserError(f"The blank of {source}, label {blank}, is outside its {count} labels.")
    names = {label: name for name, label in ids.items() if name != BLANK}
    order = [blank, *(label for label in range(count) if label != blank)]
    texts = {names.get(label, f"<{label}>"): new for new, label in enumerate(order)}
    texts = {BLANK: 0} | {name: new for name, new in texts.items() if new}
    space = _optional(path / "tokenizer_config.json").get("word_delimiter_token", "|")
    return Labels.from_vocabulary(
        texts, blank=BLANK, space=space["content"] if isinstance(space, dict) else space
    ), order


def _optional(path: Path) -> dict[str, Any]:
    """What a JSON file says, nothing where it is missing."""
    return read_json(path) if path.is_file() else {}
