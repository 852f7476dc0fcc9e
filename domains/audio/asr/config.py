"""The shape of a speech recogniser with a CTC head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ....core.errors import UserError, near

KINDS = ("conformer", "transformer")
NORMS = ("layer", "batch")


@dataclass(frozen=True, kw_only=True)
class ConformerConfig:
    """Log-mel frames, convolutional subsampling, a Conformer or Transformer, and a label for each frame.

    labels: how many there are, the blank (0) among them. mels: bands of the front end, every 10 ms.
    subsampling: how many of those frames become one (2, 4 or 8); channels: of its convolutions.
    hidden: width of the feed-forward networks, None for 3.5 dim. kernel: frames that a convolution of the Conformer
    spans. convolution_norm: `layer`, or the paper's `batch`.
    chunk: frames (after subsampling) that are heard before they are answered, None for whole recordings only; left:
    frames before a chunk that it sees.
    intermediate: after how many layers the head is asked too (Lee and Watanabe 2021, arXiv 2102.03216);
    self_conditioned: the layers after it are told the answer (Nozaki and Komatsu 2021, arXiv 2104.02724).

    Raises UserError for values that make no network.
    """

    labels: int
    dim: int = 144
    depth: int = 8
    heads: int = 4
    kernel: int = 15
    subsampling: int = 4
    channels: int = 32
    kind: Literal["conformer", "transformer"] = "conformer"
    mels: int = 80
    hidden: int | None = None
    convolution_norm: Literal["layer", "batch"] = "layer"
    chunk: int | None = None
    left: int = 64
    intermediate: tuple[int, ...] = ()
    self_conditioned: bool = False
    dropout: float = 0.1
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "intermediate", tuple(self.intermediate))  # JSON knows lists only
        self._check_sizes()
        for name, known in (("kind", KINDS), ("convolution_norm", NORMS)):
            if getattr(self, name) not in known:
                raise UserError(f"There is no {name} {getattr(self, name)!r}.", near(str(getattr(self, name)), known))
        if self.subsampling not in (2, 4, 8):
            raise UserError(f"subsampling must be 2, 4 or 8, not {self.subsampling}.")
        if self.dim % self.heads or self.dim // self.heads % 2:
            raise UserError(f"dim {self.dim} does not divide into {self.heads} heads of even width.")
        if self.kind == "conformer" and self.chunk is None and self.kernel % 2 == 0:
            raise UserError(f"kernel {self.kernel} must be odd to look both ways.", f"Try {self.kernel + 1}.")
        wrong = [layer for layer in self.intermediate if not 0 < layer < self.depth]
        if wrong:
            raise UserError(f"intermediate names layer {wrong[0]}, but only 1 to {self.depth - 1} are inside.")
        if self.self_conditioned and not self.intermediate:
            raise UserError("self_conditioned needs an intermediate layer.", f"Try intermediate=({self.depth // 2},).")

    def _check_sizes(self) -> None:
        for name in ("dim", "depth", "heads", "kernel", "channels", "mels", "hidden", "chunk"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, not {value}.")
        if self.labels < 2:
            raise UserError(f"labels must be at least 2 (the blank and one more), not {self.labels}.")
        if self.left < 0:
            raise UserError(f"left cannot be negative, as {self.left} is.")
        for name in ("dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} is a share from 0 to 1, not {getattr(self, name)}.")

    @property
    def width(self) -> int:
        """Width of the feed-forward networks."""
        return self.dim * 7 // 2 if self.hidden is None else self.hidden
