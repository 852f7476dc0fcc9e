"""Reading what `peft` wrote: its tensors as ours, exactly, or a sentence that says why not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.adapters import Method
from ...core.errors import UserError
from ...core.weights import without_weights
from .families import FamilyConfig
from .peft_places import Place, places

CONFIG, WEIGHTS, PREFIX = "adapter_config.json", "adapter_model.safetensors", "base_model.model."


@dataclass(frozen=True)
class Reader:
    """What one folder holds, turned into our tensors."""

    folder: Path
    config: FamilyConfig
    told: Mapping[str, Any]
    theirs: Mapping[str, Tensor]

    def low_rank(self) -> tuple[Method, dict[str, Tensor]]:
        told = self.told
        dora = bool(told.get("use_dora"))
        method = Method(
            kind="dora" if dora else "lora",
            rank=int(told.get("r", 8)),
            alpha=float(told.get("lora_alpha", 8)),
            root=bool(told.get("use_rslora")),
            dropout=float(told.get("lora_dropout", 0.0)),
        )
        ours: dict[str, Tensor] = {}
        for place, parts in self._parts(
            ("lora_A.weight", "lora_B.weight", *(["lora_magnitude_vector"] if dora else []))
        ):
            pairs = {}
            for module, found in parts.items():
                a, b = found["lora_A.weight"], found["lora_B.weight"]
                self._require_shape(module, "lora_A", a, (len(a), place.width))
                self._require_shape(module, "lora_B", b, (self._rows(place, module), len(a)))
                pairs[module] = a, b * (self._scale(module, len(a), method) / method.scale)
            ours[f"{place.ours}.lora_a"], ours[f"{place.ours}.lora_b"] = _join(place, pairs)
            if dora:
                ours[f"{place.ours}.magnitude"] = self._magnitudes(place, parts)
        return method, ours

    def _magnitudes(self, place: Place, parts: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        if missing := [module for module in place.theirs if module not in parts]:
            raise UserError(
                f"The DoRA adapter in {self.folder} adapts {next(iter(parts))} and not {missing[0]}; here they are one "
                "matrix, of which it would have to leave rows alone.",
                "Merge it with peft first.",
            )
        return torch.cat([parts[module]["lora_magnitude_vector"].flatten() for module in place.theirs])

    def _scale(self, module: str, rank: int, method: Method) -> float:
        """The factor of one module's change, as peft computes it."""
        alpha = _by_pattern(self.told.get("alpha_pattern") or {}, module, self.told.get("lora_alpha", 8))
        expected = _by_pattern(self.told.get("rank_pattern") or {}, module, method.rank)
        if rank != expected:
            raise UserError(f"{self.folder / CONFIG} gives {module} the rank {expected}, and its tensors have {rank}.")
        return float(alpha) / (math.sqrt(rank) if method.root else rank)

    def factors(self) -> tuple[Method, dict[str, Tensor]]:
        ours: dict[str, Tensor] = {}
        for place, parts in self._parts(("ia3_l",)):
            values = {module: found["ia3_l"] for module, found in parts.items()}
            if next(iter(values.values())).shape[0] == 1:
                same = [value for value in values.values() if torch.equal(value, next(iter(values.values())))]
                if len(same) < len(place.theirs):
                    raise UserError(
                        f"The IA3 adapter in {self.folder} scales the inputs of {', '.join(place.theirs)} unlike each "
                        "other; here they are one matrix with one input."
                    )
                self._require_shape(place.theirs[0], "ia3_l", same[0], (1, place.width))
                ours[f"{place.ours}.input_factors"] = same[0].flatten()
                continue
            for module, value in values.items():
                self._require_shape(module, "ia3_l", value, (self._rows(place, module), 1))
            rows = [
                values.get(module, torch.ones(size, 1)) for module, size in zip(place.theirs, place.sizes, strict=True)
            ]
            ours[f"{place.ours}.output_factors"] = torch.cat(rows).flatten()
        return Method(kind="ia3"), ours

    def vectors(self, *, prefix: bool) -> tuple[Method, dict[str, Tensor]]:
        flat = self.theirs.get("prompt_embeddings")
        if flat is None or len(self.theirs) != 1:
            raise UserError(f"{self.folder / WEIGHTS} should hold prompt_embeddings and nothing else.")
        tokens = len(flat)
        if not prefix:
            self._require_shape("the prompt", "prompt_embeddings", flat, (tokens, self.config.dim))
            return Method(kind="prompt", tokens=tokens), {"prompt": flat}
        with without_weights():
            attention: Any = self.config.network().decoder.blocks[0].attention
        layers, heads, width = self.config.depth, attention.kv_heads, attention.head_dim
        self._require_shape("the prefix", "prompt_embeddings", flat, (tokens, layers * 2 * heads * width))
        each = flat.view(tokens, layers, 2, heads, width).permute(1, 2, 3, 0, 4)  # [L, 2, K, P, D]
        names = (f"decoder.blocks.{layer}.attention.prefix" for layer in range(layers))
        return Method(kind="prefix", tokens=tokens), dict(zip(names, each.contiguous(), strict=True))

    def _parts(self, names: Sequence[str]) -> Iterator[tuple[Place, dict[str, dict[str, Tensor]]]]:
        """Each adapted place with the tensors of its modules. UserError for a tensor that belongs nowhere."""
        left = set(self.theirs)
        for place in places(self.config):
            found: dict[str, dict[str, Tensor]] = {}
            for module in place.theirs:
                keys = {name: f"{PREFIX}{module}.{name}" for name in names}
                there = [key for key in keys.values() if key in self.theirs]
                if there and len(there) < len(keys):
                    raise UserError(f"{self.folder / WEIGHTS} is incomplete at {module}.")
                if there:
                    found[module] = {name: self.theirs[key].float() for name, key in keys.items()}
                    left -= set(there)
            if found:
                yield place, found
        if left:
            raise self._another(f"it has no place for {sorted(left)[0]!r}")

    def _rows(self, place: Place, module: str) -> int:
        return place.sizes[place.theirs.index(module)]

    def _require_shape(self, module: str, name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
        if tuple(tensor.shape) != shape:
            raise self._another(f"{name} of {module} is {tuple(tensor.shape)}, not {shape}")

    def _another(self, why: str) -> UserError:
        base = self.told.get("base_model_name_or_path") or "an unnamed base"
        here = f"this {self.config.family} with {self.config.depth} layers of width {self.config.dim}"
        return UserError(f"The adapter in {self.folder} is for {base}, not for {here}: {why}.")


def _join(place: Place, pairs: Mapping[str, tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """A [R, in] and B [out, R] of our one matrix."""
    downs = [a for a, _ in pairs.values()]
    if len(pairs) == len(place.theirs) and all(torch.equal(a, downs[0]) for a in downs):
        return downs[0], torch.cat([pairs[module][1] for module in place.theirs])
    up, row, column = torch.zeros(sum(place.sizes), sum(map(len, downs))), 0, 0
    for module, size in zip(place.theirs, place.sizes, strict=True):
        if module in pairs:
            b = pairs[module][1]
            up[row : row + size, column : column + b.shape[1]] = b
            column += b.shape[1]
        row += size
    return torch.cat(downs), up


def _by_pattern(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """The value whose pattern is the module's name or its end; peft's rule."""
    found = (value for pattern, value in patterns.items() if re.match(rf"(.*\.)?({pattern})$", module))
    return next(found, default)
