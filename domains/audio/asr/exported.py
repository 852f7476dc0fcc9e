"""A CTC recogniser as a graph: from the waveform to the log-probabilities of labels, the mel spectrogram in it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ....core.errors import UserError
from ....core.export.graph import Graph
from ..output import CTCOutput
from ..speech import SAMPLE_RATE
from .model import ConformerCTC


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
    """The graph of a CTC network. UserError for one that writes by a decoder."""
    if not hasattr(network, "encode_features"):
        raise UserError(f"{type(network).__name__} cannot be exported as graphs yet.", "Try a CTC checkpoint.")
    waveforms = 0.1 * torch.randn(2, 3 * SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
    return [
        Graph(name="model", owner="network", method="forward", module=Whole(network), outputs=("log_probs", "frames"),
              inputs={"waveforms": waveforms, "lengths": torch.tensor([3 * SAMPLE_RATE, 2 * SAMPLE_RATE])},
              free={"waveforms": (0, 1), "lengths": (0,)})
    ]  # fmt: skip


def attached(network: Any) -> None:
    """Have the graph's answer be a `CTCOutput`."""
    run = network.forward
    network.forward = lambda waveforms, lengths: CTCOutput(*run(waveforms, lengths))
