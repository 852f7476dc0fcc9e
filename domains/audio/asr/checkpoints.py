"""A recogniser from whatever a person names as a checkpoint, and ours on disk.

    best/  config.json          kind (conformer, wav2vec2, whisper), the network's shape, its labels
           model.safetensors    weights in half precision
           lm.arpa.gz           the language model of the training transcripts, where there is one
           tokenizer.json       of a Whisper

Beside these a checkpoint may be a Whisper (transformers', openai's names in safetensors, CTranslate2's) or a wav2vec
2.0 folder of transformers'.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ....core import checkpoint, pretrained
from ....core.errors import UserError
from ....core.options import build
from ....core.pretrained import Located
from ....core.registry import Card
from ....core.weights import load_into, without_weights
from ..ngram import NGram
from ..tokenizer import Labels
from ..wav2vec2 import Wav2Vec2Config, Wav2Vec2CTC
from ..wav2vec2 import load as load_wav2vec2
from ..whisper import Whisper, WhisperConfig, WhisperTokenizer
from ..whisper import load as load_whisper
from .config import ConformerConfig
from .model import ConformerCTC
from .recognisers import CTCRecogniser, WhisperRecogniser

LM = "lm.arpa.gz"
HEAD, TOKENS = "text.head.projection.weight", "text.tokens.weight"
"""Of a Whisper: one tensor by two names."""
KINDS: Mapping[str, tuple[type[Any], type[nn.Module]]] = {
    "conformer": (ConformerConfig, ConformerCTC),
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2CTC),
}


def load(card: Card, located: Located) -> CTCRecogniser | WhisperRecogniser:
    """The recogniser at a place. Raises UserError for what is no recogniser, damaged or incomplete."""
    if located.is_ours:
        return _load_ours(card, located)
    described = {}
    if located.path.is_dir() and (located.path / pretrained.CONFIG).is_file():
        described = pretrained.read_config(located.path)
    if described.get("model_type") == "wav2vec2":
        network, labels = load_wav2vec2(located.path, source=located.source)
        return CTCRecogniser(network.eval(), labels)
    network, tokenizer = load_whisper(located.path, source=located.source)
    return WhisperRecogniser(network, tokenizer)


def _load_ours(card: Card, located: Located) -> CTCRecogniser | WhisperRecogniser:
    saved, tensors = pretrained.read_ours(located, card)
    try:
        if saved["kind"] == "whisper":
            return _whisper(located, saved, tensors)
        shape, network_class = KINDS[saved["kind"]]
        config, labels = build(shape, saved["config"]), Labels.from_dict(saved["labels"])
    except (KeyError, TypeError) as error:
        raise UserError(f"The config of {located.source} is incomplete: {error}.") from None
    with without_weights():
        network = network_class(config)
    load_into(network, tensors, source=located.source)
    lm = NGram.read(located.path / LM) if (located.path / LM).is_file() else None
    return CTCRecogniser(network.float().eval(), labels, lm)


def _whisper(located: Located, saved: Mapping[str, Any], tensors: dict[str, Tensor]) -> WhisperRecogniser:
    config = WhisperConfig.from_fields(saved["config"])
    with without_weights():
        network = Whisper(config)
    load_into(network, tensors | {HEAD: tensors[TOKENS]}, source=located.source)
    tokenizer = WhisperTokenizer.from_folder(
        located.path, multilingual=config.multilingual, suppress=saved["suppress"], first=saved["suppress_first"]
    )
    return WhisperRecogniser(network.float().eval(), tokenizer)


def save(folder: Path, card: Card, recogniser: CTCRecogniser | WhisperRecogniser, network: nn.Module) -> None:
    """Write the files of a checkpoint into the empty `folder`; `network` is the recogniser's, adapters folded in."""
    if isinstance(recogniser, WhisperRecogniser):
        tokenizer = recogniser.tokenizer
        tokenizer.save(folder)
        config = {
            "kind": "whisper",
            "config": dataclasses.asdict(network.config),  # pyright: ignore[reportArgumentType]
            "suppress": sorted(tokenizer.suppress),
            "suppress_first": sorted(tokenizer.suppress_first),
        }
        tensors = {name: value for name, value in checkpoint.halved(network.state_dict()).items() if name != HEAD}
        return pretrained.save_ours(folder, card, tensors, config)
    kind = next(name for name, (_, cls) in KINDS.items() if isinstance(network, cls))
    config = {
        "kind": kind,
        "config": dataclasses.asdict(network.config),  # pyright: ignore[reportArgumentType]
        "labels": recogniser.labels.to_dict(),
    }
    pretrained.save_ours(folder, card, checkpoint.halved(network.state_dict()), config)
    if recogniser.lm is not None:
        recogniser.lm.write(folder / LM)
    return None
