"""From data, a network from scratch or a checkpoint, and options to a task that is ready to learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ....core import adapters, pretrained
from ....core.errors import UserError
from ....core.lazy import LazySequence
from ....core.options import build, override, split_settings
from ....core.task import Prepared, Splits
from ....core.weights import count_parameters
from ..augment import Augmentation
from ..ctc import least_frames
from ..data import Collection, collect
from ..files import Recording
from ..kept import LazyRecordings
from ..ngram import NGram
from ..tokenizer import Labels
from . import checkpoints
from .config import ConformerConfig
from .learning import Changes, CTCLearner, WhisperLearner
from .model import ConformerCTC
from .options import FinetuneOptions
from .recognisers import CTCRecogniser, WhisperRecogniser
from .synthetic import synthetic

SIZES: Mapping[str, Mapping[str, Any]] = {
    "tiny": {"dim": 96, "depth": 6, "heads": 4},
    "small": {"dim": 144, "depth": 8, "heads": 4},
    "base": {"dim": 256, "depth": 12, "heads": 4},
}
SCRATCH_SECONDS = 190_000.0
"""Sound that a network from scratch hears in all where nobody says how many epochs: some fifty hours."""
REAL = 0.4
"""Share of the sound in an epoch that is real, at least: recordings come again where more than they is made."""
STATISTICS = 100
"""Recordings by which the spectrogram's bands are scaled."""


class Recordings(LazySequence[Recording]):
    """Recordings to learn from: real ones, each `times` in an epoch, and made ones.

    `lengths` [R] are in frames of 10 ms, and batches are grouped by them. The first epoch goes from short to long:
    among long recordings CTC stays with a network that answers nothing but blanks.
    """

    shortest_first = True

    def __init__(self, real: LazyRecordings, made: LazyRecordings | None = None) -> None:
        self.real, self.made = real, made
        others = [] if made is None else made.seconds
        self.times = max(1, round(REAL / (1 - REAL) * sum(others) / sum(real.seconds)))
        self.lengths = [round(100 * seconds) for seconds in (*np.tile(real.seconds, self.times), *others)]

    def __len__(self) -> int:
        return len(self.lengths)

    def item(self, number: int) -> Recording:
        count = self.times * len(self.real)
        return self.real[number % len(self.real)] if self.made is None or number < count else self.made[number - count]


def prepare(
    cls: Any, options: FinetuneOptions, *, data: str, checkpoint: str | None, settings: Mapping[str, Any]
) -> Prepared:
    """The task, its recordings, and the options with everything open decided."""
    shape, rest = split_settings(settings, ConformerConfig(labels=2), options) if settings else ({}, {})
    options = override(options, rest)
    scratch = checkpoint in (None, "none", "scratch")
    torch.manual_seed(options.seed)  # a network from scratch and adapters begin at random
    known = None if scratch else checkpoints.load(cls.card, pretrained.locate(cls.card, checkpoint))
    collection = collect(data, validation=options.validation, as_written=isinstance(known, WhisperRecogniser))
    recogniser = known or _from_scratch(options, collection, shape)
    if isinstance(recogniser, CTCRecogniser) and not scratch:
        _require_labels(recogniser, collection, str(checkpoint))
    options = replace(options, language=collection.language) if options.language == "auto" else options
    splits, notices = _splits(collection, recogniser, options, scratch=scratch)
    train: Recordings = splits.train.examples  # pyright: ignore[reportAssignmentType]
    options = _decide(options, recogniser, scratch=scratch, seconds=sum(train.lengths) / 100)
    if options.lm_order and isinstance(recogniser, CTCRecogniser):
        recogniser.lm = NGram.build(collection.train.transcripts, order=options.lm_order)
    task = cls(recogniser, pretrained.Located(path=collection.train.folder, source="scratch"))
    if scratch:
        _scale(recogniser.network, splits.train.examples)
    elif options.lora:
        adapters.apply(recogniser.network, adapters.Method(kind="lora", rank=options.lora))
    task.changes = _changes(options)
    if isinstance(recogniser, WhisperRecogniser):
        task.learner = WhisperLearner(recogniser, language=options.language or "en", masks=options.mask)
    else:
        inner = options.intermediate if scratch else 0.0
        task.learner = CTCLearner(recogniser, masks=options.mask, intermediate=inner)
    chosen = (*collection.notices, *notices, *_in_words(options, splits, recogniser))
    return Prepared(task=task, splits=splits, options=options, chosen=chosen)


# -- what to start from -----------------------------------------------------------------------------------------------


def _from_scratch(options: FinetuneOptions, collection: Collection, shape: Mapping[str, str]) -> CTCRecogniser:
    texts = collection.train.transcripts
    labels = Labels.bpe(texts, options.bpe) if options.labels == "bpe" else Labels.characters(texts)
    depth = SIZES[options.size]["depth"]
    facts = {
        "labels": len(labels),
        "kind": options.encoder,
        "chunk": options.chunk or None,
        "intermediate": (depth // 2,) if options.intermediate else (),
    }
    config = override(build(ConformerConfig, {**SIZES[options.size], **facts}), shape)
    if config.labels != len(labels):
        raise UserError(f"The transcripts make {len(labels)} labels; leave --set labels={config.labels} out.")
    return CTCRecogniser(ConformerCTC(config), labels)


def _require_labels(recogniser: CTCRecogniser, collection: Collection, checkpoint: str) -> None:
    """Raises UserError that names the first recording with characters that the checkpoint cannot write."""
    for part in (collection.train, collection.validation):
        for row, text in zip(part.rows, part.transcripts, strict=True):
            if unknown := recogniser.labels.unknown(text):
                raise UserError(
                    f"{row.id}: {text!r} has characters that {checkpoint} cannot write: {' '.join(sorted(unknown))}.",
                    "Spell it otherwise, or train from scratch (no --checkpoint).",
                )


def _decide(
    options: FinetuneOptions, recogniser: CTCRecogniser | WhisperRecogniser, *, scratch: bool, seconds: float
) -> FinetuneOptions:
    """Fill in what was left at "what suits"."""
    epochs = max(1, round(SCRATCH_SECONDS / max(seconds, 1.0))) if scratch else 10
    rate = 1e-3 if scratch or options.lora else 1e-5 if isinstance(recogniser, WhisperRecogniser) else 5e-5
    return replace(
        options, epochs=options.epochs or (0 if options.max_steps else min(epochs, 200)), lr=options.lr or rate
    )


def _scale(network: Any, recordings: Sequence[Recording]) -> None:
    """Give the front end the mean and deviation of each mel band over (a part of) the training recordings."""
    every = max(1, len(recordings) // STATISTICS)
    frames = []
    for item in recordings[::every]:
        wave = torch.from_numpy(item.samples)[None]
        frames.append(network.front.log_power(wave, torch.tensor([wave.shape[1]])))
    deviation, mean = torch.std_mean(torch.cat(frames), dim=0)
    network.front.set_statistics(mean, deviation.clamp_min(1e-2))


def _changes(options: FinetuneOptions) -> Changes:
    half = options.noise
    sound = Augmentation(
        speed=(1 - options.speed, 1 + options.speed), noisy=half, reverberant=half / 2, telephone=half / 5
    )
    return Changes(sound=sound, joined=options.join)


# -- data -------------------------------------------------------------------------------------------------------------


def _splits(
    collection: Collection, recogniser: CTCRecogniser | WhisperRecogniser, options: FinetuneOptions, *, scratch: bool
) -> tuple[Splits, list[str]]:
    """The parts, without what is too long or too short for its transcript; said in words."""
    parts, notices = collection.splits(), []
    kept = {}
    for name in ("train", "validation"):
        found: LazyRecordings = getattr(collection, name)
        good = [number for number in range(len(found)) if _usable(found, number, recogniser, options)]
        if len(good) < len(found):
            left = len(found) - len(good)
            notices.append(f"{left} of {name} are left out: too long, too short for their words, or of new characters")
        if not good:
            raise UserError(f"None of the {len(found)} recordings of {name} can be used.", "See --longest.")
        kept[name] = found.chosen(good)
    made, told = synthetic(collection, recogniser, options, scratch=scratch)
    if made is not None:
        made = made.chosen(number for number in range(len(made)) if _usable(made, number, recogniser, options))
    return Splits(
        train=replace(parts.train, examples=Recordings(kept["train"], made)),
        validation=replace(parts.validation, examples=kept["validation"]),
        test=parts.test,
    ), [*notices, *told]


def _usable(
    found: LazyRecordings, number: int, recogniser: CTCRecogniser | WhisperRecogniser, options: FinetuneOptions
) -> bool:
    if isinstance(recogniser, WhisperRecogniser):
        return bool(found.seconds[number] <= min(options.longest, recogniser.longest))
    if recogniser.labels.unknown(found.transcripts[number]):  # of validation: its characters are no labels
        return False
    seconds = float(found.seconds[number])
    frames = int(seconds * (1 - options.speed) / recogniser.network.seconds_per_frame)
    return seconds <= options.longest and least_frames(recogniser.labels.encode(found.transcripts[number])) <= frames


# -- words ------------------------------------------------------------------------------------------------------------


def _in_words(options: FinetuneOptions, splits: Splits, recogniser: CTCRecogniser | WhisperRecogniser) -> list[str]:
    train: Recordings = splits.train.examples  # pyright: ignore[reportAssignmentType]
    minutes = sum(train.lengths) / 6000
    learns, whole = (count_parameters(recogniser.network, trainable=flag) for flag in (True, False))
    length = f"{options.epochs} epochs" if options.epochs else f"{options.max_steps} steps"
    made = f" ({len(train.made):,} of them by espeak-ng)" if train.made else ""
    return [
        f"{len(train):,} recordings to learn from{made}, {minutes:.0f} minutes; {len(splits.validation.examples):,} to "
        f"choose by{f'; {len(recogniser.labels)} labels' if isinstance(recogniser, CTCRecogniser) else ''}",
        f"{learns:,} of {whole:,} parameters learn, {length}, learning rate {options.lr:g}",
    ]
