"""What a training step computes: waveforms with their labels in, the CTC loss out.

Axes: B batch, N samples, F mel frames, M mel bands, T frames, V labels, L labels of a transcript.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....core.task import Batch
from ..augment import Augmentation, augment, join, spec_augment
from ..ctc import least_frames
from ..files import Recording
from ..output import CTCOutput
from .model import ConformerCTC


@dataclass(frozen=True, kw_only=True)
class SpeechBatch(Batch):
    """Waveforms [B, N] with their lengths [B] in samples; targets [sum of L], all transcripts' labels in a row, with
    their lengths [B]."""

    waveforms: Tensor
    lengths: Tensor
    targets: Tensor
    target_lengths: Tensor


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What training does to recordings: to their sound, and how many have another one put behind them."""

    sound: Augmentation | None
    joined: float = 0.0
    masks: float = 1.0


def speech_batch(
    examples: Sequence[Recording], encode: Callable[[str], list[int]], changes: Changes | None = None
) -> SpeechBatch:
    """Recordings with transcripts as a batch, changed where `changes` says so. Draws from torch's own generator."""
    pairs = [(torch.from_numpy(item.samples), item.transcript or "") for item in examples]
    generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
    if changes is not None and changes.joined:
        pairs = _joined(pairs, changes.joined, generator)
    lengths = torch.tensor([len(wave) for wave, _ in pairs])
    waveforms = nn.utils.rnn.pad_sequence([wave for wave, _ in pairs], batch_first=True)
    if changes is not None and changes.sound is not None:
        waveforms, lengths = augment(waveforms, lengths, changes.sound, generator)
    labels = [encode(text) for _, text in pairs]
    return SpeechBatch(
        waveforms=waveforms,
        lengths=lengths,
        targets=torch.tensor([label for row in labels for label in row], dtype=torch.long),
        target_lengths=torch.tensor([len(row) for row in labels]),
    )


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


class CTCLearner(nn.Module):
    """A network that gives `CTCOutput`, and the loss it learns by.

    masks: strength of SpecAugment (1: two bands and two stretches), for networks that have features to hide.
    intermediate: share of the loss that the inner layers' answers have.
    """

    def __init__(self, network: nn.Module, *, blank: int = 0, masks: float = 0.0, intermediate: float = 0.0) -> None:
        super().__init__()
        self.network, self.blank, self.masks, self.intermediate = network, blank, masks, intermediate

    def forward(self, batch: SpeechBatch) -> Tensor:
        """The loss summed over recordings; one whose transcript cannot be said in its time counts for nothing."""
        output = self._output(batch)
        loss = self._ctc(output.log_probs, output.lengths, batch)
        if not output.intermediate or not self.intermediate:
            return loss
        inner = torch.stack([self._ctc(log_probs, output.lengths, batch) for log_probs in output.intermediate]).mean()
        return (1 - self.intermediate) * loss + self.intermediate * inner

    def _output(self, batch: SpeechBatch) -> CTCOutput:
        network: nn.Module = self.network
        if isinstance(network, ConformerCTC):
            network.encoder.chunk = self._chunk(network.config.chunk)
        if not (self.masks and self.training and hasattr(network, "encode_features")):
            return network(batch.waveforms, batch.lengths)
        mel, lengths = network.features(batch.waveforms, batch.lengths)  # pyright: ignore[reportCallIssue]
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        stripes = max(1, round(2 * self.masks))
        mel = spec_augment(mel, lengths, generator, channels=stripes, times=stripes)
        return network.encode_features(mel, lengths)  # pyright: ignore[reportCallIssue]

    def _chunk(self, size: int | None) -> int | None:
        """How far the frames of this step see: a network that streams learns with chunks of its size, with twice as
        long ones, and without (Zhang et al. 2020, arXiv 2012.05481)."""
        if size is None or not self.training:
            return None
        return (size, 2 * size, None)[int(torch.randint(3, ()))]

    def _ctc(self, log_probs: Tensor, lengths: Tensor, batch: SpeechBatch) -> Tensor:
        losses = F.ctc_loss(
            log_probs.transpose(0, 1).float(), batch.targets, lengths, batch.target_lengths, blank=self.blank,
            reduction="none", zero_infinity=True,
        )  # fmt: skip
        return losses.sum()


def fits(labels: Sequence[int], frames: int) -> bool:
    """Whether a transcript's labels can be said in so many frames."""
    return least_frames(list(labels)) <= frames
