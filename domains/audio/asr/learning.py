"""What a training step computes: recordings with transcripts in; out the CTC loss, or Whisper's cross-entropy.

Axes: B batch, N samples, F mel frames, M mel bands, T frames, V labels, L labels of a transcript.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....core.losses import IGNORED
from ....core.task import Batch
from ..augment import Augmentation, augment, join, spec_augment
from ..files import SAMPLE_RATE, Recording
from ..output import CTCOutput
from ..whisper import WhisperOptions
from ..whisper.config import HOP
from ..whisper.decoding import window_seconds
from .model import ConformerCTC
from .options import RunOptions
from .recognisers import CTCRecogniser, WhisperRecogniser

TOGETHER = 32 * SAMPLE_RATE
"""Samples, padding included, that a step computes at once: short recordings go together, of long ones it takes fewer at
a time, and their gradients add up to the same. Eight recordings of 40 s at once took 9 GB."""
SHORT = 250
"""Mel frames (of 10 ms) under which SpecAugment hides nothing."""


@dataclass(frozen=True, kw_only=True)
class SpeechBatch(Batch):
    """Waveforms [B, N] with their lengths [B] in samples; targets [sum of L], all transcripts' labels in a row, with
    their lengths [B]."""

    waveforms: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor


@dataclass(frozen=True, kw_only=True)
class WrittenBatch(Batch):
    """Waveforms [B, N] with their lengths [B] in samples; tokens [B, T] that are read and targets [B, T] that follow
    them, `IGNORED` where nothing is learnt."""

    waveforms: Tensor
    lengths: Tensor
    tokens: Tensor
    targets: Tensor


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What training does to recordings: to their sound, and how many have another one put behind them."""

    sound: Augmentation
    joined: float


def changed(examples: Sequence[Recording], changes: Changes | None) -> tuple[Tensor, Tensor, list[str]]:
    """Waveforms [B, N], their lengths [B] and transcripts, changed where `changes` says so; draws from torch's own
    generator."""
    pairs = [(torch.from_numpy(item.samples), item.transcript or "") for item in examples]
    generator = _drawn()
    if changes is not None:
        pairs = _joined(pairs, changes.joined, generator)
    lengths = torch.tensor([len(wave) for wave, _ in pairs])
    waveforms = nn.utils.rnn.pad_sequence([wave for wave, _ in pairs], batch_first=True)
    if changes is not None:
        waveforms, lengths = augment(waveforms, lengths, changes.sound, generator)
    return waveforms, lengths, [text for _, text in pairs]


def _joined(pairs: list[tuple[Tensor, str]], share: float, generator: torch.Generator) -> list[tuple[Tensor, str]]:
    """Some of the recordings with another of the batch behind them, after a short pause."""
    others = torch.randint(len(pairs), (len(pairs),), generator=generator).tolist()
    chosen = (torch.rand(len(pairs), generator=generator) < share).tolist()
    pauses = (0.1 + 0.5 * torch.rand(len(pairs), generator=generator)).tolist()
    found = []
    for pair, other, joins, pause in zip(pairs, others, chosen, pauses, strict=True):
        (wave, text), (next_wave, next_text) = pair, pairs[other]
        found.append((join([wave, next_wave], [pause], generator), f"{text} {next_text}") if joins else pair)
    return found


def pieces(network: nn.Module, batch: SpeechBatch | WrittenBatch) -> list[Any]:
    """What a step computes one after the other. With batch norm all at once: its statistics are those of all
    recordings together."""
    return [batch] if any(isinstance(module, nn.BatchNorm1d) for module in network.modules()) else cut(batch)


def cut(batch: SpeechBatch | WrittenBatch) -> list[Any]:
    """The batch in batches of at most `TOGETHER` samples, of whole recordings; padding stays, so each computes what it
    did among all."""
    rows = max(1, TOGETHER // batch.waveforms.shape[1])
    found = []
    for start in range(0, len(batch.waveforms), rows):
        some = slice(start, start + rows)
        fields = {key: value[some] for key, value in vars(batch).items() if key != "targets"}
        if isinstance(batch, WrittenBatch):
            targets = batch.targets[some]
        else:
            before = int(batch.target_lengths[:start].sum())
            targets = batch.targets[before : before + int(batch.target_lengths[some].sum())]
        found.append(replace(batch, **fields, targets=targets))
    return found


class CTCLearner(nn.Module):
    """The network of a CTC recogniser, and the loss it learns by.

    masks: strength of SpecAugment (1: two bands and two stretches), for networks that have features to hide.
    intermediate: share of the loss that the inner layers' answers have.
    """

    def __init__(self, recogniser: CTCRecogniser, *, masks: float = 0.0, intermediate: float = 0.0) -> None:
        super().__init__()
        self.recogniser, self.network = recogniser, recogniser.network
        self.masks, self.intermediate = masks, intermediate

    def batch(self, examples: Sequence[Recording], changes: Changes | None) -> SpeechBatch:
        """Recordings with transcripts as a batch."""
        waveforms, lengths, texts = changed(examples, changes)
        labels = [self.recogniser.labels.encode(text) for text in texts]
        return SpeechBatch(
            waveforms=waveforms,
            lengths=lengths,
            targets=torch.tensor([label for row in labels for label in row], dtype=torch.long),
            target_lengths=torch.tensor([len(row) for row in labels]),
        )

    def count(self, batch: SpeechBatch) -> float:
        """What the loss is a mean over: labels."""
        return float(batch.target_lengths.sum())

    def texts(self, batch: SpeechBatch) -> list[str]:
        """What the recogniser hears in a batch, by the likeliest labels."""
        return self.recogniser.plainly(batch.waveforms, batch.lengths)

    def forward(self, batch: SpeechBatch) -> Tensor:
        """The loss summed over recordings; one whose transcript cannot be said in its time counts for nothing."""
        output = self._output(batch)
        loss = self._ctc(output.log_probs, output.lengths, batch)
        if not output.intermediate or not self.intermediate:
            return loss
        inner = torch.stack([self._ctc(log_probs, output.lengths, batch) for log_probs in output.intermediate]).mean()
        return (1 - self.intermediate) * loss + self.intermediate * inner

    def _output(self, batch: SpeechBatch) -> CTCOutput:
        network: Any = self.network
        conformer = isinstance(network, ConformerCTC)
        with network.seeing(self._chunk(network.config.chunk)) if conformer else nullcontext():
            if not (self.masks and self.training and hasattr(network, "encode_features")):
                return network(batch.waveforms, batch.lengths)
            mel, lengths = network.features(batch.waveforms, batch.lengths)
            return network.encode_features(_hidden(mel, lengths, self.masks), lengths)

    def _chunk(self, size: int | None) -> int | None:
        """How far the frames of this step see: a network that streams learns with chunks of its size, with twice as
        long ones, and without (Zhang et al. 2020, arXiv 2012.05481)."""
        if size is None or not self.training:
            return None
        return (size, 2 * size, None)[int(torch.randint(3, ()))]

    def _ctc(self, log_probs: Tensor, lengths: Tensor, batch: SpeechBatch) -> Tensor:
        losses = F.ctc_loss(
            log_probs.transpose(0, 1).float(), batch.targets, lengths, batch.target_lengths,
            blank=self.recogniser.labels.blank, reduction="none", zero_infinity=True,
        )  # fmt: skip
        return losses.sum()


class WhisperLearner(nn.Module):
    """A Whisper model that learns to write transcripts as they are spelled, without times."""

    def __init__(self, recogniser: WhisperRecogniser, *, language: str = "auto", masks: float = 0.0) -> None:
        super().__init__()
        self.recogniser, self.network, self.masks = recogniser, recogniser.network, masks
        tokenizer = recogniser.tokenizer
        self.asked = [tokenizer.start, *tokenizer.request(language, "transcribe", timestamps=False)]

    def batch(self, examples: Sequence[Recording], changes: Changes | None) -> WrittenBatch:
        """Recordings with transcripts as a batch."""
        waveforms, lengths, texts = changed(examples, changes)
        tokenizer, most = self.recogniser.tokenizer, self.network.config.text_length
        rows = [[*self.asked, *tokenizer.encode(f" {text.strip()}"), tokenizer.end][: most + 1] for text in texts]
        width = max(map(len, rows)) - 1
        tokens, targets = torch.full((len(rows), width), tokenizer.end), torch.full((len(rows), width), IGNORED)
        for row, ids in enumerate(rows):
            tokens[row, : len(ids) - 1] = torch.tensor(ids[:-1])
            targets[row, len(self.asked) - 1 : len(ids) - 1] = torch.tensor(ids[len(self.asked) :])
        return WrittenBatch(waveforms=waveforms, lengths=lengths, tokens=tokens, targets=targets)

    def count(self, batch: WrittenBatch) -> float:
        """What the loss is a mean over: written tokens."""
        return float((batch.targets != IGNORED).sum())

    def texts(self, batch: WrittenBatch) -> list[str]:
        """What the recogniser hears in a batch."""
        rows = zip(batch.waveforms.cpu().numpy(), batch.lengths.tolist(), strict=True)
        plain = RunOptions(picture=False)
        heard = [self.recogniser.segments([(0.0, wave[:count])], plain) for wave, count in rows]
        return [" ".join(segment.text for segment in segments) for segments in heard]

    def forward(self, batch: WrittenBatch) -> Tensor:
        """The cross-entropy summed over written tokens."""
        network: Any = self.network
        seconds = batch.waveforms.shape[1] / SAMPLE_RATE
        window = window_seconds(seconds, WhisperOptions(), network.config.seconds)
        mel = network.features(batch.waveforms, round(window * SAMPLE_RATE))
        if self.masks and self.training:
            mel = _hidden(mel, batch.lengths // HOP, self.masks)
        logits = network(mel, batch.tokens)
        return F.cross_entropy(logits.flatten(0, 1).float(), batch.targets.flatten(), reduction="sum")


Learner = CTCLearner | WhisperLearner


def _hidden(mel: Tensor, lengths: Tensor, masks: float) -> Tensor:
    """mel [B, F, M] with bands and stretches hidden (SpecAugment); draws from torch's own generator.

    Short recordings stay whole: they have too little around what is hidden to guess it by, and a network that has yet
    to find where the labels are finds it there.
    """
    stripes = max(1, round(2 * masks))
    hidden = spec_augment(mel, lengths.clamp(max=mel.shape[1]), _drawn(), channels=stripes, times=stripes)
    return torch.where((lengths < SHORT)[:, None, None], mel, hidden)


def _drawn() -> torch.Generator:
    """A generator seeded by torch's own."""
    return torch.Generator().manual_seed(int(torch.randint(2**62, ())))
