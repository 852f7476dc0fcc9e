"""The shape of a forecaster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ....core.errors import UserError, near

NETWORKS = ("patchtst", "itransformer", "decoder")
DECODES = ("tokens", "flatten", "mean", "first")
HEADS = ("quantiles", "point", "studentt")


@dataclass(frozen=True, kw_only=True)
class ForecasterConfig:
    """What every network here shares: how far it looks back and ahead, and what it is told beside the series.

    lookback, horizon: steps. past, ahead, static: how many covariates are known up to now, known ahead (calendar
    included) and fixed. head: what is said about each step. revin: each window is normalised by its own mean and
    deviation, undone in the forecast (Kim et al. 2022, RevIN). linear: a linear map of the look-back is part of the
    forecast (NLinear), and the Transformer adds to it. masked: the network is told what was missing.
    dim, depth, heads, hidden: of the Transformer, its feed-forward width last. attention_dropout: of the weights.

    Raises UserError for values that make no network.
    """

    lookback: int
    horizon: int
    past: int = 0
    ahead: int = 0
    static: int = 0
    head: Literal["quantiles", "point", "studentt"] = "quantiles"
    revin: bool = True
    linear: bool = True
    masked: bool = True
    dim: int = 128
    depth: int = 3
    heads: int = 8
    hidden: int = 256
    dropout: float = 0.1
    attention_dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("lookback", "horizon", "dim", "depth", "heads", "hidden"):
            self._require(getattr(self, name) >= 1, f"{name} must be at least 1, not {getattr(self, name)}.")
        self._require(min(self.past, self.ahead, self.static) >= 0, "Numbers of covariates cannot be negative.")
        self._require(self.dim % self.heads == 0, f"dim {self.dim} does not divide into {self.heads} heads.")
        for name in ("dropout", "attention_dropout"):
            share = getattr(self, name)
            self._require(0 <= share < 1, f"{name} is a share from 0 to 1, not {share}.")
        self._require(self.head in HEADS, f"There is no head {self.head!r}. {near(self.head, HEADS)}")

    @staticmethod
    def _require(condition: bool, what: str) -> None:
        if not condition:
            raise UserError(what)


@dataclass(frozen=True, kw_only=True)
class PatchTSTConfig(ForecasterConfig):
    """Patches as tokens (Nie et al. 2023, arXiv 2211.14730).

    patch, stride: steps in a patch, and between two. pad: the end is repeated for one patch more, as the reference
    does. decode: `tokens` forecasts each patch of the horizon from a token of its own, which holds what is known of it
    ahead; `flatten` forecasts the whole horizon from all tokens of the look-back, as the paper does; `mean` from their
    mean, `first` from one token more that stands before them.
    norm, post_norm: batch norm after each sum is the paper's. residual_attention: scores are handed from layer to layer
    (in the reference's code).
    """

    patch: int = 16
    stride: int = 8
    pad: bool = True
    decode: Literal["tokens", "flatten", "mean", "first"] = "tokens"
    norm: Literal["batch", "layer"] = "batch"
    norm_epsilon: float = 1e-5
    post_norm: bool = True
    residual_attention: bool = False
    activation: str = "gelu"
    head_dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.patch >= 1 and self.stride >= 1, "patch and stride must be at least 1.")
        self._require(
            self.patch <= self.lookback, f"A patch of {self.patch} is longer than the look-back, {self.lookback}."
        )
        for name, known in (("decode", DECODES), ("norm", ("batch", "layer"))):
            value = getattr(self, name)
            self._require(value in known, f"There is no {name} {value!r}. {near(str(value), known)}")
        self._require(0 <= self.head_dropout < 1, f"head_dropout is a share from 0 to 1, not {self.head_dropout}.")

    @property
    def patches(self) -> int:
        """Patches of the look-back."""
        return (self.lookback - self.patch) // self.stride + 1 + int(self.pad)

    @property
    def patches_ahead(self) -> int:
        """Patches of the horizon, side by side."""
        return -(-self.horizon // self.patch)


@dataclass(frozen=True, kw_only=True)
class ITransformerConfig(ForecasterConfig):
    """Series as tokens (Liu et al. 2024, arXiv 2310.06625)."""


@dataclass(frozen=True, kw_only=True)
class DecoderConfig(ForecasterConfig):
    """Patches read from left to right, each telling the next (Das et al. 2024, arXiv 2310.10688). patch: its steps.

    It takes no linear map: what it says of a patch depends on the one before.
    """

    patch: int = 24
    linear: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(
            1 <= self.patch <= self.lookback, f"A patch of {self.patch} must lie within 1 and {self.lookback}."
        )
        self._require(not self.linear, "The decoder takes no linear map.")
        self._require(self.dim // self.heads % 2 == 0, "Rotary positions need heads of even width.")
