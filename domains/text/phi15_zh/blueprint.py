"""What `plan` rehearses: a language model from its configuration alone, chatting or learning.

Axes: B rows, T tokens of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, cast

import torch
from torch import Tensor

from ....core import runtime
from ....core.adapters import Method, apply, learn_rows
from ....core.errors import UserError
from ....core.generate import stream
from ....core.language import LanguageModel
from ....core.plan.blueprint import Blueprint, Wanted, length_of, method_of
from ....core.precision import after_method, as_stored, before_method, settle
from ....core.pretrained import read_config, read_json
from ....core.registry import Card
from ....core.rehearsal import note, rehearsed_device
from ....core.weights import without_weights
from .. import families, finetuned, pretrained
from ..families import FamilyConfig
from ..finetuned import DEFAULT_BASES, PEFT, Chatter
from ..packing import IGNORE, TokenBatch
from .answering import sampling
from .learning import Learner
from .options import METHODS, FinetuneOptions, RunOptions

LIGHTER = ("full", "lora", "qlora")
"""Ways to learn that take less and less memory."""
ROWS = 2_048
"""Rows of the vocabulary that learn beside an adapter, where the data decide how many."""
STEPS = 3
"""Tokens that are decoded: the cache is taken whole at the first."""


def blueprint(cls: Any, wanted: Wanted) -> Blueprint:
    """The work of `run` or `finetune` on a network without weights."""
    config, method, stored, told = _architecture(cls.card, wanted)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(stored)  # as they lie in the file: in float32 they are nowhere
    try:
        with without_weights():
            network = config.network()
    finally:
        torch.set_default_dtype(usual)
    note("file", *network.parameters())
    with as_stored():
        settle(network).eval().requires_grad_(False)
    chatter = Chatter(network=network, config=config, tokenizer=cast(Any, None), source="", sha256="", method=method)
    drawn = _chatting(chatter, wanted) if wanted.command == "run" else _learning(chatter, wanted)
    task = cls(drawn.pop("chatter"))
    task.learner = drawn.pop("learner", None)
    notices = (*told, *drawn.pop("notices"))
    return Blueprint(
        command=wanted.command, task=task, longest=config.length, unit="tokens", logits=config.vocabulary,
        notices=notices, **drawn,
    )  # fmt: skip


# -- the architecture -------------------------------------------------------------------------------------------------


def _architecture(card: Card, wanted: Wanted) -> tuple[FamilyConfig, Method | None, torch.dtype, tuple[str, ...]]:
    """The shape of what `run` or `finetune` would load, the adapter that it has, the precision that it is stored in,
    and sentences; no weights are read."""
    running = isinstance(wanted.options, RunOptions)
    name = wanted.checkpoint or (card.checkpoint if running else wanted.options.base)
    notices: tuple[str, ...] = ()
    if not name:
        name, other = DEFAULT_BASES
        notices = (f"{name} is planned; where the hub cannot be reached finetune takes {other} (--base {other})",)
    facts = card.checkpoints.get(name, {})
    if "config" in facts:
        return families.from_hf(facts["config"]), None, _stored(facts["config"]), notices
    located = finetuned.locate_base(card, name)
    notices = (*notices, *located.notices)
    folder = located.path if located.path.is_dir() else located.path.parent
    if (folder / PEFT).is_file():
        base = str(read_json(folder / PEFT).get("base_model_name_or_path") or "")
        return (*_architecture(card, replace(wanted, checkpoint=base))[:3], notices)
    if not (folder / "config.json").is_file():  # a GGUF file says what it is inside
        return pretrained.load(located.path, source=located.source).config, None, torch.float32, notices
    saved = read_config(folder)
    if not located.is_ours:
        return families.from_hf(saved), None, _stored(saved), notices
    try:
        config, method = families.build(saved["family"], saved["config"]), Method.from_dict(saved["method"])
    except (KeyError, TypeError) as error:
        raise UserError(f"The config of {located.source} is incomplete: {error}.") from None
    return config, method, torch.float32, notices


def _stored(config: Mapping[str, Any]) -> torch.dtype:
    """The precision that a Hugging Face config.json says its weights have."""
    said = str(config.get("torch_dtype") or config.get("dtype") or "float32")
    return {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(said, torch.float32)


# -- run --------------------------------------------------------------------------------------------------------------


def _chatting(chatter: Chatter, wanted: Wanted) -> dict[str, Any]:
    """Answering: prompts read, and replies begun, with a cache for as long as they may become."""
    options: RunOptions = wanted.options
    network, longest = settle(chatter.network), chatter.network.length
    length, notices = length_of(wanted, usual=min(longest, 256 + options.max_new), longest=longest, unit="tokens")
    reply = max(1, min(options.max_new, length // 4 if wanted.length else options.max_new, length - 1))
    if options.weights == "bfloat16":
        network.to(torch.bfloat16)

    def batch(size: int) -> TokenBatch:
        return tokens_of(size, max(1, length - reply))

    def answer(asked: TokenBatch) -> None:
        prompts = [[1 + row % 2, *([1] * (asked.tokens.shape[1] - 1))] for row in range(len(asked.tokens))]
        told = replace(sampling(options), max_new=reply, lookup=0)
        for _ in islice(steps(network, prompts, told), STEPS):
            pass

    return {
        "chatter": chatter, "options": options, "batch": batch, "batch_size": wanted.batch or 1, "predict": answer,
        "length": length, "precision": options.weights, "precisions": ("float32", "bfloat16"),
        "notices": notices,
    }  # fmt: skip


def steps(network: LanguageModel, prompts: list[list[int]], how: Any) -> Iterator[Any]:
    """Tokens of the replies; none of them ends one."""
    return stream(network, prompts, how)


# -- finetune ---------------------------------------------------------------------------------------------------------


def _learning(chatter: Chatter, wanted: Wanted) -> dict[str, Any]:
    """A step of learning, after `training.prepare`; what that learns from the data is assumed."""
    options: FinetuneOptions = replace(wanted.options, method=wanted.method or wanted.options.method)
    _, notices = method_of(wanted, METHODS, options.method)
    longest = chatter.network.length
    usual = options.length or min(1024, longest)
    length, said = length_of(wanted, usual=usual, longest=longest, unit="tokens")
    cuda = rehearsed_device() == "cuda"
    if options.precision == "auto":
        half = cuda or runtime.has_bf16(torch.device("cpu"))
        options = replace(options, precision="bf16" if half else "fp32")
    if options.packing == "auto":
        options = replace(options, packing="on" if cuda else "off")
    rows = _prepare(chatter, options)
    if rows:
        said = (*said, f"{rows:,} rows of the vocabulary learn beside the adapter; how many do follows from the data")
    half = options.precision == "bf16"

    def batch(size: int) -> TokenBatch:
        return tokens_of(size, length, packed=options.packing == "on")

    return {
        "chatter": chatter, "learner": Learner(chatter.network, bf16=half, beta=options.beta), "options": options,
        "batch": batch, "batch_size": options.batch_size, "predict": lambda batch: None, "length": length,
        "precision": options.precision, "precisions": ("fp32", "bf16"), "method": options.method, "methods": LIGHTER,
        "notices": (*notices, *said),
    }  # fmt: skip


def _prepare(chatter: Chatter, options: FinetuneOptions) -> int:
    """Freeze and adapt the network as a training does; gives the rows of the vocabulary that learn."""
    network, method = chatter.network, chatter.method
    if method is None or method.kind in ("full", "freeze"):
        targets = () if options.targets == "all" else tuple(word.strip() for word in options.targets.split(","))
        method = Method(
            kind=options.method, rank=options.rank, alpha=options.alpha or None, targets=targets,
            layers=options.layers or 2, tokens=options.tokens,
        )  # fmt: skip
    half = options.precision == "bf16"
    before_method(network, method.kind, half=half)
    apply(network, method)
    chatter.method = method
    adapts = method.kind in ("lora", "dora", "qlora", "ia3", "bottleneck")
    rows = 0
    if adapts and options.objective != "dpo" and options.vocabulary != "new":
        rows = min(ROWS, network.vocabulary // 2)
        learn_rows(network, torch.arange(rows))
    after_method(network, method.kind, half=half)
    network.decoder.checkpointing = options.checkpointing
    return rows


def tokens_of(size: int, length: int, *, packed: bool = False) -> TokenBatch:
    """Rows of tokens [B, T], all of them learnt but the last; packed: several examples share a row."""

    def ids(fill: int = 0) -> Tensor:
        return torch.full((size, length), fill, dtype=torch.long, device="meta")

    targets = torch.full((size, length), 1, dtype=torch.long)
    targets[:, -1] = IGNORE
    return TokenBatch(
        tokens=ids(1), targets=targets, segments=ids() if packed else None, positions=ids() if packed else None
    )
