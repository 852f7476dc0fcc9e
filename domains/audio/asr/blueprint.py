"""What `plan` rehearses: a recogniser from its configuration alone, listening or learning.

Axes: B recordings, N samples, T tokens.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from ....core import adapters, pretrained
from ....core.errors import UserError
from ....core.generate import Sampling, stream
from ....core.options import build, override, split_settings
from ....core.plan.blueprint import Blueprint, Wanted, length_of, method_of, plain
from ....core.task import Batch
from ....core.weights import without_weights
from ..files import SAMPLE_RATE
from ..wav2vec2 import Wav2Vec2Config, Wav2Vec2CTC
from ..whisper import Whisper, WhisperConfig
from . import checkpoints
from .config import ConformerConfig
from .learning import CTCLearner, SpeechBatch, WhisperLearner, WrittenBatch, pieces
from .model import ConformerCTC
from .recognisers import CTCRecogniser
from .training import SIZES

LABELS = 32
"""Labels of a network from scratch, about: letters, apostrophe, space, blank."""
LETTERS = 15
"""Labels in a second of speech."""
RANK = 16
STEPS = 3
"""Tokens that are decoded: the cache is taken whole at the first."""


@dataclass(frozen=True, kw_only=True)
class Waves(Batch):
    """Waveforms [B, N] with their lengths [B] in samples."""

    waveforms: Tensor
    lengths: Tensor


class Recogniser:
    """As much of `ASRTask` as learning is: a network and what it learns by."""

    def __init__(self, network: nn.Module, learner: nn.Module | None) -> None:
        self.network, self.learner = network, learner

    @property
    def trainable(self) -> nn.Module:
        return self.learner or self.network

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        return network(batch)

    def pieces(self, batch: Any) -> list[Any]:
        return pieces(self.network, batch)

    def parameter_groups(self, options: Any) -> list[dict[str, Any]]:
        return [{"params": [value for value in self.network.parameters() if value.requires_grad]}]


def blueprint(cls: Any, wanted: Wanted) -> Blueprint:
    """The work of `run` or `finetune` on a network without weights."""
    network, told = _network(cls, wanted)
    whisper = isinstance(network, Whisper)
    window = network.config.seconds if whisper else 28.0
    if wanted.command == "run":
        seconds, said = length_of(wanted, usual=round(min(28.0, window)), longest=round(window), unit="seconds")
        learner, work = None, _listening(network, wanted.options)
        method, unknown, options = "full", (), wanted.options
    else:
        longest = round(min(wanted.options.longest, window))
        seconds, said = length_of(wanted, usual=longest, longest=longest, unit="seconds (--longest)")
        options, method, unknown = _adapt(network, wanted)
        learner, work = _learner(network, options), None
    task = Recogniser(network.to("meta"), learner)
    known = {} if work is None else {"predict": work}
    return plain(
        task, replace(wanted, options=options), batch=lambda size: _batch(network, learner, size, seconds),
        length=seconds, longest=round(window if work else wanted.options.longest), unit="seconds",
        logits=network.config.vocabulary if whisper else 0, method=method, methods=("full", "lora"),
        notices=(*told, *said, *unknown), **known,
    )  # fmt: skip


# -- the architecture -------------------------------------------------------------------------------------------------


def _network(cls: Any, wanted: Wanted) -> tuple[Any, tuple[str, ...]]:
    """The network of what `run` or `finetune` would load or make, and sentences."""
    options, fresh = wanted.options, wanted.checkpoint in (None, "none", "scratch")
    if wanted.command == "finetune" and fresh:
        depth = SIZES[options.size]["depth"]
        facts = {"labels": LABELS, "kind": options.encoder, "chunk": options.chunk or None}
        inner = (depth // 2,) if options.intermediate else ()
        config = build(ConformerConfig, {**SIZES[options.size], **facts, "intermediate": inner})
        config = override(config, split_settings(wanted.settings, config, options)[0])
        with without_weights():
            return ConformerCTC(config), (f"{config.labels} labels are assumed (--set labels)",)
    if wanted.settings:
        raise UserError(f"There is no setting {next(iter(wanted.settings))!r}.", "Options have flags: see --help.")
    located = pretrained.locate(cls.card, wanted.checkpoint)
    folder = located.path if located.path.is_dir() else located.path.parent
    described = pretrained.read_config(folder) if (folder / pretrained.CONFIG).is_file() else {}
    kind = {"whisper": Whisper, "wav2vec2": Wav2Vec2CTC}.get(str(described.get("model_type")))
    if kind is None or located.is_ours or ("d_model" not in described and kind is Whisper):
        return checkpoints.load(cls.card, located).network, located.notices
    config = WhisperConfig.from_hf(described, {}) if kind is Whisper else Wav2Vec2Config.from_hf(described)
    with without_weights():
        return kind(config), located.notices  # pyright: ignore[reportArgumentType]


# -- run --------------------------------------------------------------------------------------------------------------


def _listening(network: Any, options: Any) -> Any:
    """What is done with pieces of sound that go through the network together."""

    def hear(batch: Waves) -> None:
        if not isinstance(network, Whisper):
            whole = network.seeing(None) if isinstance(network, ConformerCTC) else nullcontext()
            with whole:
                network(batch.waveforms, batch.lengths)
            return
        past = network.hear(network.features(batch.waveforms))
        prompts = [[1 + row % 2, 1, 1] for row in range(len(batch.waveforms))]
        how = Sampling(max_new=network.config.text_length // 2)
        for _ in islice(stream(network.text, prompts, how, past=past), STEPS):
            pass

    return hear


# -- finetune ---------------------------------------------------------------------------------------------------------


def _adapt(network: nn.Module, wanted: Wanted) -> tuple[Any, str, tuple[str, ...]]:
    """The options, the method and sentences, once the network learns as they say."""
    fresh = wanted.checkpoint in (None, "none", "scratch")
    method, said = method_of(wanted, ("full", "lora"), "lora" if wanted.options.lora and not fresh else "full")
    network.requires_grad_(True)
    if method == "lora":
        adapters.apply(network, adapters.Method(kind="lora", rank=wanted.options.lora or RANK))
    return wanted.options, method, said


def _learner(network: Any, options: Any) -> nn.Module:
    if isinstance(network, Whisper):
        learner = WhisperLearner.__new__(WhisperLearner)  # without a tokenizer: batches are made here
        nn.Module.__init__(learner)
        learner.network, learner.masks = network, options.mask
        return learner
    recogniser = CTCRecogniser(network, _Labels())  # pyright: ignore[reportArgumentType]
    return CTCLearner(recogniser, masks=options.mask, intermediate=options.intermediate)


class _Labels:
    """As much of the labels as the loss asks for."""

    blank = 0


def _batch(network: Any, learner: Any, size: int, seconds: float) -> Any:
    samples = round(seconds * SAMPLE_RATE)
    waves = {
        "waveforms": torch.empty(size, samples, device="meta"),
        "lengths": torch.full((size,), samples),
    }
    written = round(seconds * LETTERS)
    if learner is None:
        return Waves(**waves)
    if isinstance(network, Whisper):
        tokens = torch.ones(size, min(network.config.text_length, written // 3), dtype=torch.long, device="meta")
        return WrittenBatch(**waves, tokens=tokens, targets=tokens)
    targets = torch.ones(size * written, dtype=torch.long)
    return SpeechBatch(**waves, targets=targets, target_lengths=torch.full((size,), written))
