"""What every recogniser with a CTC head gives, whatever is inside.

Axes: B batch, T frames, V labels (0 is the blank).
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class CTCOutput(NamedTuple):
    """log_probs [B, T, V] of each label at each frame; lengths [B] in frames; intermediate: the same log-probs from
    inner layers, where the model was asked for them (in training)."""

    log_probs: Tensor
    lengths: Tensor
    intermediate: tuple[Tensor, ...] = ()
