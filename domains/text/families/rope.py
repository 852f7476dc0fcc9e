"""How fast queries and keys turn, in the spellings of transformers 4 and 5 and of GGUF.

transformers 4                               transformers 5
"rope_theta": 10000.0                        "rope_parameters": {"rope_theta": 10000.0,
"rope_scaling": {"type": "linear", …}           "rope_type": "linear", …,
"partial_rotary_factor": 0.5                    "partial_rotary_factor": 0.5}
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....core.errors import UserError
from ....core.positions import Rotary, RotaryScaling
from .settings import need


@dataclass(frozen=True, kw_only=True)
class Rope:
    """base: wavelengths grow up to it. share: the part of each head that turns. scaling: for longer texts."""

    base: float = 10000.0
    share: float = 1.0
    scaling: RotaryScaling | None = None

    @classmethod
    def restore(cls, fields: Mapping[str, Any]) -> Rope:
        """From plain JSON values, as `dataclasses.asdict` gives them."""
        scaling = fields.get("scaling")
        return cls(**{**fields, "scaling": RotaryScaling(**scaling) if scaling else None})

    def rotary(self, head_dim: int) -> Rotary:
        """The brick that turns heads of that width."""
        return Rotary(head_dim=head_dim, share=self.share, base=self.base, scaling=self.scaling)

    @classmethod
    def from_hf(cls, config: Mapping[str, Any], *, base: float = 10000.0, share: float = 1.0) -> Rope:
        """From a config.json of either spelling; `base` and `share` where it says nothing.

        Raises UserError for a scaling other than linear and llama3, and for settings that differ between layers.
        """
        old = config.get("rope_scaling") or {}
        new = config.get("rope_parameters") or {}
        if any(isinstance(value, Mapping) for value in new.values()):
            raise UserError(f"Rotary settings that differ between layers are not supported ({', '.join(new)}).")
        values = {**{name: config.get(name) for name in ("rope_theta", "partial_rotary_factor")}, **old, **new}
        base = values.get("rope_theta") or base
        share = values.get("partial_rotary_factor") or share
        return cls(base=float(base), share=float(share), scaling=_scaling(values))

    def to_hf(self) -> dict[str, Any]:
        """Both spellings side by side; they agree, so that either reader is served."""
        scaling = {} if self.scaling is None else _stretched(self.scaling)
        share = {} if self.share == 1 else {"partial_rotary_factor": self.share}
        old = {**scaling, "type": scaling["rope_type"]} if scaling else None
        new = {"rope_theta": self.base, "rope_type": "default", **share, **scaling}
        return {"rope_theta": self.base, "rope_scaling": old, **share, "rope_parameters": new}

    @classmethod
    def from_gguf(cls, fields: Mapping[str, Any], architecture: str, head_dim: int, factors: Tensor | None) -> Rope:
        """From GGUF metadata; `factors` [turning / 2] is its tensor `rope_freqs`, by which Llama 3 divides its rates.

        Raises UserError for a scaling other than linear and Llama 3's.
        """
        key = f"{architecture}.rope."
        turning = int(fields.get(f"{key}dimension_count", head_dim))
        kind = fields.get(f"{key}scaling.type", "none")
        scaling = None
        if kind == "linear":
            scaling = RotaryScaling(kind="linear", factor=float(need(fields, f"{key}scaling.factor")))
        elif kind not in ("none", ""):
            raise UserError(f"The rotary scaling {kind!r} is not supported.", "Supported: linear, llama3.")
        plain = cls(base=float(fields.get(f"{key}freq_base", 10000.0)), share=turning / head_dim, scaling=scaling)
        return plain if factors is None else plain._with_factors(factors, head_dim)

    def to_gguf(self, head_dim: int) -> dict[str, int | float | str]:
        """The metadata; Llama 3's scaling is a tensor there, see `factors`."""
        values: dict[str, int | float | str] = {
            "rope.freq_base": self.base,
            "rope.dimension_count": int(head_dim * self.share),
        }
        if self.scaling is not None and self.scaling.kind == "linear":
            values |= {"rope.scaling.type": "linear", "rope.scaling.factor": self.scaling.factor}
        return values

    def factors(self, head_dim: int) -> Tensor | None:
        """What GGUF's `rope_freqs` holds for Llama 3's scaling, [turning / 2]; None for other models."""
        if self.scaling is None or self.scaling.kind != "llama3":
            return None
        plain = dataclasses.replace(self, scaling=None)
        return plain._rates(head_dim) / self._rates(head_dim)

    def _with_factors(self, factors: Tensor, head_dim: int) -> Rope:
        """The Llama 3 scaling that these factors come from: all published models share all constants but `factor`."""
        scaling = RotaryScaling(kind="llama3", factor=round(float(factors.max()), 4), original_length=8192)
        found = dataclasses.replace(self, scaling=scaling)
        expected = found.factors(head_dim)
        assert expected is not None
        if expected.shape == factors.shape and torch.allclose(expected, factors.float(), rtol=1e-3):
            return found
        if torch.allclose(factors.float(), torch.ones_like(factors.float())):
            return self
        raise UserError(
            "The file's rotary factors (rope_freqs) are not those of Llama 3, and others are not supported."
        )

    def _rates(self, head_dim: int) -> Tensor:
        with torch.device("cpu"):
            return self.rotary(head_dim).rates


def _scaling(values: Mapping[str, Any]) -> RotaryScaling | None:
    kind = values.get("rope_type") or values.get("type") or "default"
    if kind == "default":
        return None
    if kind == "linear":
        return RotaryScaling(kind="linear", factor=float(need(values, "factor")))
    if kind == "llama3":
        return RotaryScaling(
            kind="llama3",
            factor=float(need(values, "factor")),
            low_frequency=float(need(values, "low_freq_factor")),
            high_frequency=float(need(values, "high_freq_factor")),
            original_length=int(need(values, "original_max_position_embeddings")),
        )
    raise UserError(f"The rotary scaling {kind!r} is not supported.", "Supported: default, linear, llama3.")


def _stretched(scaling: RotaryScaling) -> dict[str, Any]:
    if scaling.kind != "llama3":
        return {"rope_type": scaling.kind, "factor": scaling.factor}
    return {
        "rope_type": "llama3",
        "factor": scaling.factor,
        "low_freq_factor": scaling.low_frequency,
        "high_freq_factor": scaling.high_frequency,
        "original_max_position_embeddings": scaling.original_length,
    }
