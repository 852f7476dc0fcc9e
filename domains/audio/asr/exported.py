"""A recogniser as graphs: with CTC one, from the waveform to the log-probabilities of labels, the mel spectrogram in
it; a Whisper as `whisper.exported` has it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....core.errors import UserError
from ....core.export.graph import Graph
from ..output import CTCOutput
from ..speech import SAMPLE_RATE
from ..wav2vec2 import Wav2Vec2CTC
from ..whisper import Whisper
from ..whisper import exported as whisper
from .model import ConformerCTC
from .recognisers import CTCRecogniser, WhisperRecogniser


class Whole(nn.Module):
    """The network where nothing is yet to come: every frame sees all of them."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """waveforms [B, N], lengths [B] in samples -> log-probs [B, T, V], lengths [B] in frames."""
        with self.network.seeing(None) if isinstance(self.network, ConformerCTC) else nullcontext():
            output = self.network(waveforms, lengths)
        return output.log_probs, output.lengths


def graphs(network: Any) -> list[Graph]:
    """The graphs of a recogniser's network."""
    if isinstance(network, Whisper):
        return whisper.graphs("network", network)
    waveforms = 0.1 * torch.randn(2, 3 * SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
    return [
        Graph(name="model", owner="network", method="forward", module=Whole(network), outputs=("log_probs", "frames"),
              inputs={"waveforms": waveforms, "lengths": torch.tensor([3 * SAMPLE_RATE, 2 * SAMPLE_RATE])},
              free={"waveforms": (0, 1), "lengths": (0,)},
              about={"waveforms": f"[B, N]: {SAMPLE_RATE} Hz, from -1 to 1, filled up behind each one's length; N at "
                                  f"least {_fewest(network)}", "lengths": "[B]: in samples",
                     "log_probs": "[B, T, V]: natural logarithms", "frames": "[B]: how many of T are sound"})
    ]  # fmt: skip


def use(recogniser: CTCRecogniser | WhisperRecogniser) -> dict[str, Any]:
    """See `Exportable.use`."""
    if isinstance(recogniser, WhisperRecogniser):
        return whisper.use(recogniser.network, recogniser.tokenizer)
    return {
        "sample_rate": SAMPLE_RATE,
        "labels": recogniser.labels.texts,
        "blank": recogniser.labels.blank,
        "seconds_per_frame": recogniser.network.seconds_per_frame,
        "input": "Mono sound from -1 to 1. Spectra and norms are in the graph.",
        "output": "Take the likeliest label of each frame, leave out repeats, then blanks: the texts in a row.",
    }


def attached(network: Any) -> None:
    """Have graphs in place of methods answer as these do."""
    if isinstance(network, Whisper):
        return whisper.attached(network)
    run = network.forward
    fewest = _fewest(network)

    def forward(waveforms: Tensor, lengths: Tensor) -> CTCOutput:
        return CTCOutput(*run(F.pad(waveforms, (0, max(0, fewest - waveforms.shape[1]))), lengths))

    network.forward = forward
    network.new_stream = _no_stream
    return None


def step_extras(network: Any, cache: Any, batch: int) -> tuple[Tensor, ...]:
    """What a step of `network` takes of a cache besides."""
    return whisper.heard(cache, batch) if isinstance(network, Whisper) else ()


def _fewest(network: Any) -> int:
    """Samples that a graph needs: of fewer nothing can be convolved."""
    return network.config.field if isinstance(network, Wav2Vec2CTC) else 1


def _no_stream() -> None:
    raise UserError("An exported recogniser reads whole recordings, no streams.", "Stream with the checkpoint itself.")
