"""Rows of the vocabulary in peft's folders: single rows by `trainable_token_indices`, a head with biases whole.

peft keeps the learnt rows of a table one below the other, and their ids in the configuration. Biases of single rows
have no place there, so a head that has any goes out as one of the `modules_to_save`.

Axes: V vocabulary, C width of the model, R rows that were learnt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.errors import UserError
from ...core.language import LanguageModel
from .families import FamilyConfig
from .families.base import EMBEDDING, HEAD

DELTA = "token_adapter.trainable_tokens_delta"


def write_rows(
    rows: Mapping[str, Tensor], network: LanguageModel, config: FamilyConfig, prefix: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and settings that carry what `row_tensors` gave; `network` still has the rows split off."""
    embedding, head = _modules(config)
    tensors = {f"{prefix}{embedding}.{DELTA}": rows["tokens"]}
    indices = {_last(embedding): rows["ids"].tolist()}
    projection = network.head.projection
    if projection.bias is not None:
        whole = {f"{prefix}{head}.weight": projection.weight, f"{prefix}{head}.bias": projection.bias}
        return tensors | whole, {"trainable_token_indices": indices, "modules_to_save": [_last(head)]}
    if "head" in rows:
        tensors[f"{prefix}{head}.{DELTA}"] = rows["head"]
        indices[_last(head)] = indices[_last(embedding)]
    return tensors, {"trainable_token_indices": indices}


def read_rows(
    folder: Path, told: Mapping[str, Any], theirs: dict[str, Tensor], config: FamilyConfig, prefix: str
) -> dict[str, Tensor]:
    """The whole tables that the folder changes, "tokens" and "head" [V, C] and "head.bias" [V]; rows that it leaves
    alone are NaN. Takes what it reads out of `theirs`. Raises UserError where ids and tensors do not fit."""
    embedding, head = _modules(config)
    names = {_last(embedding): (embedding, "tokens"), _last(head): (head, "head")}
    indices = told.get("trainable_token_indices") or {}
    if not isinstance(indices, dict):
        indices = {_last(embedding): indices}
    found: dict[str, Tensor] = {}
    for name, ids in indices.items():
        module, ours = names.get(name.rpartition(".")[2], ("", ""))
        rows = theirs.pop(f"{prefix}{module}.{DELTA}", None)
        if rows is None or tuple(rows.shape) != (len(ids), config.dim) or max(ids) >= config.vocabulary:
            raise UserError(f"The adapter in {folder} learnt rows of {name!r} that do not fit this model's vocabulary.")
        found[ours] = torch.full((config.vocabulary, config.dim), torch.nan)
        found[ours][ids] = rows.float()
    if told.get("modules_to_save"):
        parts = {"weight": "head", "bias": "head.bias"}
        whole = {ours: theirs.pop(f"{prefix}{head}.{part}", None) for part, ours in parts.items()}
        if whole["head"] is None:
            raise UserError(f"The adapter in {folder} is incomplete: it has no {head}.weight, its modules_to_save.")
        found |= {ours: table.float() for ours, table in whole.items() if table is not None}
    return found


def as_rows(tables: Mapping[str, Tensor], network: LanguageModel) -> dict[str, Tensor]:
    """What `read_rows` gave, as `load_rows` takes it: the rows that differ from those of `network` anywhere."""
    plain = {"tokens": network.tokens.weight, "head": network.head.projection.weight}
    if network.tied:
        plain.pop("head")
    if network.head.projection.bias is not None:
        plain["head.bias"] = network.head.projection.bias
    if unknown := set(tables) - set(plain):
        raise UserError(f"The adapter changes {unknown.pop()}, which this model has not.")
    filled = {
        name: torch.where(tables[name].isnan(), own, tables[name]) if name in tables else own.detach()
        for name, own in plain.items()
    }
    differs = torch.zeros(network.vocabulary, dtype=torch.bool)
    for name, own in plain.items():
        differs |= (filled[name] != own).reshape(network.vocabulary, -1).any(dim=1)
    ids = differs.nonzero().squeeze(1)
    return {"ids": ids, **{name: table.detach()[ids] for name, table in filled.items()}} if len(ids) else {}


def _modules(config: FamilyConfig) -> tuple[str, str]:
    """Their names of the embedding and the head."""
    theirs = {row.ours: row.parts[0].removesuffix(".weight") for row in config.table().rows}
    return theirs[EMBEDDING], theirs[HEAD]


def _last(module: str) -> str:
    return module.rpartition(".")[2]
