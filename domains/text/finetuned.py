"""A language model that was fine-tuned here, and whatever else a person may name as a checkpoint.

    best/  config.json          what it was made from (base, its hash), how (method), whether its vocabulary is new
           adapter.safetensors  what was learnt beside the base; or model.safetensors: all weights
           rows.safetensors     rows of the vocabulary that were learnt or are new, if there are any
           tokenizer.json …     the tokenizer, where it is not simply the base's

Beside these a checkpoint may be a Hugging Face folder, a GGUF file, or an adapter that peft wrote.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core import checkpoint as checkpoints
from ...core import pretrained as core_pretrained
from ...core.adapters import Method, adapter_tensors, learn_rows, load_adapter, load_rows, merged, row_tensors
from ...core.adapters import merge as folded
from ...core.errors import UserError
from ...core.language import LanguageModel
from ...core.precision import recast, settle
from ...core.pretrained import Located, read_config
from ...core.registry import Card
from ...core.sources import Unreachable, first_available
from ...core.weights import load_into, without_weights
from . import families, pretrained
from .families import FamilyConfig
from .tokenizer import Tokenizer

ADAPTER, ROWS, PEFT = "adapter.safetensors", "rows.safetensors", "adapter_config.json"
DEFAULT_BASES = ("phi-1.5", "smollm2-135m")
"""What is fine-tuned where nobody says: the first that can be had, by its name in the card."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """What a model was made from: a source that can be fetched again, the sha256 of its weights, and the rows of its
    vocabulary."""

    source: str
    sha256: str
    vocabulary: int


@dataclass(kw_only=True)
class Chatter:
    """A network with its tokenizer and its history.

    method: the adapter that `network` holds, None where it holds none (merged, or all weights its own). base: what an
    adapter was learnt on. extended: whether the tokenizer has more tokens than the base's. source, sha256: of this
    checkpoint.
    """

    network: LanguageModel
    config: FamilyConfig
    tokenizer: Tokenizer
    source: str
    sha256: str
    base: Base | None = None
    method: Method | None = None
    extended: bool = False
    notices: tuple[str, ...] = ()
    started: str = ""
    """What a training began with, as a person would name it."""


# -- finding ----------------------------------------------------------------------------------------------------------


def locate_base(card: Card, name: str) -> Located:
    """The base that `name` names: a name of the card, a path, a source, or `org/name` of the hub; "" takes the first
    of `DEFAULT_BASES` that can be had, and says so in a notice."""
    if not name:
        known = {source: base for base in DEFAULT_BASES for source in card.checkpoints[base]["sources"]}
        path, source, notices = first_available(list(known))
        used = known[str(source)]
        if used != DEFAULT_BASES[0]:
            notices = (f"{DEFAULT_BASES[0]} cannot be had, for the hub cannot be reached: {used} is used instead.",)
        return Located(path=path, source=str(source), notices=tuple(notices))
    is_id = name.count("/") == 1 and "://" not in name and not name.startswith((".", "/", "~"))
    if is_id and name not in card.checkpoints and not Path(name).exists():
        name = f"hf://{name}"
    try:
        return core_pretrained.locate(card, name)
    except Unreachable as error:
        raise UserError(f"{name} cannot be had. {error.what}", error.hint) from None


def load(card: Card, name: str | None, *, merge: bool = True) -> Chatter:
    """The model that `name` names (None: the card's default); adapters folded in, or with `merge` False left to learn
    on. Raises UserError for what cannot be found, read or used."""
    located = locate_base(card, name) if name else core_pretrained.locate(card, None)
    if located.path.is_dir() and (located.path / "config.json").is_file() and located.is_ours:
        return _load_ours(card, located, merge=merge)
    if located.path.is_dir() and (located.path / PEFT).is_file():
        return _load_peft(card, located, merge=merge)
    return load_base(located)


def load_base(located: Located) -> Chatter:
    """A pretrained model as others published it."""
    found = pretrained.load(located.path, source=located.source)
    return Chatter(
        network=_network(found.config, found.tensors, located.source),
        config=found.config,
        tokenizer=found.tokenizer,
        source=located.source,
        sha256=found.sha256,
        notices=(*located.notices, *found.notices),
    )


def base_of(chatter: Chatter) -> Base:
    """A pretrained model as what another is made from."""
    source = chatter.source
    if "://" not in source and Path(source).expanduser().exists():  # to be found again from any folder
        source = str(Path(source).expanduser().resolve())
    return Base(source=source, sha256=chatter.sha256, vocabulary=chatter.config.vocabulary)


def _network(config: FamilyConfig, tensors: dict[str, Tensor], source: str) -> LanguageModel:
    """The network with these weights, which it takes over: the mapping is emptied, for whoever kept them in the file's
    precision would hold them twice."""
    with without_weights():
        network = config.network()
    load_into(network, tensors, source=source)
    tensors.clear()
    return settle(network).eval().requires_grad_(False)


def _load_ours(card: Card, located: Located, *, merge: bool) -> Chatter:
    checkpoints.verify(located.path)
    saved = read_config(located.path)
    if saved.get("name") != card.name:
        raise UserError(f"{located.source} is a checkpoint of {saved.get('name')}, not of {card.name}.")
    try:
        config = families.build(saved["family"], saved["config"])
        base = Base(**saved["base"]) if saved["base"] else None
        method = Method.from_dict(saved["method"])
        extended = bool(saved["extended"])
    except (KeyError, TypeError) as error:
        raise UserError(f"The config of {located.source} is incomplete: {error}.") from None
    digest = core_pretrained.weights_sha256(located.path)
    common = {"config": config, "source": located.source, "sha256": digest, "base": base}
    if (located.path / core_pretrained.WEIGHTS).is_file():
        tensors = checkpoints.load_tensors(located.path / core_pretrained.WEIGHTS)
        network = _network(config, tensors, located.source)
        tokenizer = Tokenizer.from_folder(located.path)
        kept = None if merge else method
        return Chatter(network=network, tokenizer=tokenizer, **common, method=kept, notices=located.notices)
    assert base is not None
    network, tokenizer, notices = _on_base(card, base, config, located)
    rows = checkpoints.load_tensors(located.path / ROWS) if (located.path / ROWS).is_file() else {}
    adapter = checkpoints.load_tensors(located.path / ADAPTER)
    return Chatter(
        network=_adapted(network, method, adapter, rows, source=located.source, merge=merge),
        tokenizer=Tokenizer.from_folder(located.path) if extended else tokenizer,
        **common,
        method=None if merge and method.kind not in UNMERGEABLE else method,
        extended=extended,
        notices=(*located.notices, *notices),
    )


UNMERGEABLE = ("prompt", "prefix", "bottleneck")


def _adapted(
    network: LanguageModel,
    method: Method,
    adapter: dict[str, Tensor],
    rows: dict[str, Tensor],
    *,
    source: str,
    merge: bool,
) -> LanguageModel:
    """A plain network with an adapter, and rows of the vocabulary, on it: folded in, or left to learn on."""
    if rows:
        load_rows(network, rows)
    if method.kind != "qlora":  # what is folded into half precision would be rounded
        recast(network, torch.float32)
    load_adapter(network, method, adapter, source=source)
    recast(network, torch.float32)
    if merge:
        if method.kind not in UNMERGEABLE:
            folded(network)
        return network
    if rows:
        learn_rows(network, rows["ids"])
    return network


def _on_base(
    card: Card, base: Base, config: FamilyConfig, located: Located
) -> tuple[LanguageModel, Tokenizer, tuple[str, ...]]:
    """The base of an adapter, with room for the adapter's vocabulary, its tokenizer, and notices.

    UserError where it is not the one it was."""
    found = pretrained.load(locate_base(card, base.source).path, source=base.source)
    if found.sha256 != base.sha256:
        raise UserError(
            f"{located.source} was learnt on {base.source} with the sha256 {base.sha256[:12]}…, and what is there now "
            f"has {found.sha256[:12]}….",
            "Get that revision of the base, or train the adapter again.",
        )
    if replace(found.config, vocabulary=config.vocabulary) != config:
        raise UserError(f"{located.source} does not fit {base.source}: they differ in shape.")
    tensors = {
        name: with_rows(value, found.config.vocabulary, config.vocabulary) for name, value in found.tensors.items()
    }
    if found.config.tied:
        tensors["head.projection.weight"] = tensors["tokens.weight"]
    found.tensors.clear()
    return _network(config, tensors, base.source), found.tokenizer, found.notices


def with_rows(value: Tensor, before: int, after: int) -> Tensor:
    """A table over the vocabulary with zeros for rows that come later; any other tensor as it is."""
    if after <= before or value.shape[0] != before:
        return value
    return nn.functional.pad(value, (0, 0) * (value.ndim - 1) + (0, after - before))


def _load_peft(card: Card, located: Located, *, merge: bool) -> Chatter:
    """An adapter that peft wrote, on the base that it names."""
    from . import peft_folder, peft_rows

    name = str(core_pretrained.read_json(located.path / PEFT).get("base_model_name_or_path") or "")
    if not name:
        raise UserError(f"{located.path / PEFT} does not name the base of the adapter.")
    chatter = load_base(locate_base(card, name))
    method, tensors, tables = peft_folder.read_peft(
        located.path, chatter.config, base_name=chatter.source, base_sha256=chatter.sha256
    )
    rows = peft_rows.as_rows(tables, chatter.network)
    return replace(
        chatter,
        network=_adapted(chatter.network, method, tensors, rows, source=located.source, merge=merge),
        base=base_of(chatter),
        method=None if merge and method.kind not in UNMERGEABLE else method,
        source=located.source,
        sha256=core_pretrained.weights_sha256(located.path),
    )


# -- saving -----------------------------------------------------------------------------------------------------------


def save(folder: Path, card: Card, chatter: Chatter) -> None:
    """Write the files of a checkpoint into the empty `folder`: the adapter and new rows, or all weights."""
    method = chatter.method or Method(kind="full")
    config: dict[str, Any] = {
        "base": asdict(chatter.base) if chatter.base else None,
        "method": method.to_dict(),
        "extended": chatter.extended,
        "family": chatter.config.family,
        "config": chatter.config.fields(),
    }
    if method.kind in ("full", "freeze") or chatter.base is None:
        checkpoints.save_tensors(folder / core_pretrained.WEIGHTS, merged(chatter.network).state_dict())
        chatter.tokenizer.save(folder)
    else:
        checkpoints.save_tensors(folder / ADAPTER, checkpoints.halved(adapter_tensors(chatter.network)))
        if rows := row_tensors(chatter.network):
            checkpoints.save_tensors(folder / ROWS, checkpoints.halved(rows))
        if chatter.extended:
            chatter.tokenizer.save(folder)
    core_pretrained.save_config(folder, card, config)
