"""Adapters as the folders that `peft` writes and reads: adapter_config.json and adapter_model.safetensors.

Where we have one matrix, [query; key; value] or [gate; up], Hugging Face's model has several, and so do its adapters:

    ours    qkv:  A [r, C]                          B [Q+K+V, r]
    theirs  q_proj, k_proj, v_proj: A [r, C] each,  B [Q, r], [K, r], [V, r]

Writing repeats A and cuts B by rows. Reading puts B below each other where all share one A; otherwise it stacks the As
and makes B block-diagonal, so that the change is exactly theirs and the rank their sum.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...core import checkpoint
from ...core.adapters import Method, adapter_tensors, row_tensors
from ...core.errors import UserError
from ...core.language import LanguageModel
from ...core.pretrained import read_json
from .families import FamilyConfig
from .peft_places import Place, places
from .peft_reader import CONFIG, PREFIX, WEIGHTS, Reader
from .peft_rows import read_rows, write_rows

KINDS = {"lora": "LORA", "dora": "LORA", "qlora": "LORA", "ia3": "IA3", "prompt": "PROMPT_TUNING"} | {
    "prefix": "PREFIX_TUNING"
}

# Settings that change what an adapter computes, or that put more into the folder than its method, and that we do not
# know: anything but these values is refused.
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "bias": ("none",),
    "lora_bias": (False,),
    "modules_to_save": ((), [], ["lm_head"]),
    "layer_replication": ([],),
    "target_parameters": ([],),
    "alora_invocation_tokens": ([],),
    "use_qalora": (False,),
    "prefix_projection": (False,),
    "num_transformer_submodules": (1,),
}
# Ways to start LoRA that subtract from the base what the adapter begins with: the base is then another one.
CHANGING_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


# -- writing ----------------------------------------------------------------------------------------------------------


def write_peft(
    folder: str | Path,
    network: nn.Module,
    config: FamilyConfig,
    method: Method,
    base_name: str,
    *,
    base_sha256: str = "",
) -> None:
    """Write the adapters of `network` into `folder`, for `peft.PeftModel.from_pretrained` over the model `base_name`.

    Rows of the vocabulary that learnt beside LoRA go along; they must be rows that the base has. Raises UserError for
    a method that peft does not know, or that it knows without such rows.
    """
    folder = Path(folder)
    if method.kind not in KINDS:
        raise UserError(
            f"peft has no counterpart of the method {method.kind!r}.",
            "Export the merged model, or keep our checkpoint.",
        )
    rows = row_tensors(network)
    if rows and not method.low_rank:
        raise UserError(
            f"peft keeps rows of the vocabulary beside LoRA alone, not beside {method.kind}, and this adapter has "
            f"{len(rows['ids'])}.",
            "Export the merged model.",
        )
    ours = adapter_tensors(network)
    write = _write_vectors if method.kind in ("prompt", "prefix") else _write_linear
    theirs, settings = write(ours, config, method)
    if rows:
        assert isinstance(network, LanguageModel)
        for_tables, further = write_rows(rows, network, config, PREFIX)
        theirs, settings = theirs | for_tables, settings | further
    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: value.contiguous().clone() for name, value in theirs.items()}
    checkpoint.save_tensors(folder / WEIGHTS, whole, {"format": "pt", "base": base_name, "base_sha256": base_sha256})
    common = {"peft_type": KINDS[method.kind], "task_type": "CAUSAL_LM", "inference_mode": True}
    known = {**common, "base_model_name_or_path": base_name, **settings}
    (folder / CONFIG).write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _write_linear(
    ours: Mapping[str, Tensor], config: FamilyConfig, method: Method
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    theirs, inputs, ranks = {}, set(), {}
    everywhere = places(config)
    for place in everywhere:
        for module, found in _modules(place, ours).items():
            theirs.update({f"{PREFIX}{module}.{name}": value for name, value in found.items()})
            if "lora_A.weight" in found:
                ranks[module] = len(found["lora_A.weight"])
            elif found["ia3_l"].shape[0] == 1:
                inputs.add(module)
    adapted = {key.removeprefix(PREFIX).rsplit(".ia3_l")[0].split(".lora_")[0] for key in theirs}
    targets = _targets(adapted, [module for place in everywhere for module in place.theirs])
    if method.kind == "ia3":
        short = {module.rpartition(".")[2] for module in inputs} if targets != sorted(adapted) else inputs
        return theirs, {"target_modules": targets, "feedforward_modules": sorted(short)}
    other = {module: rank for module, rank in ranks.items() if rank != method.rank}
    alphas = {module: method.scale * (math.sqrt(rank) if method.root else rank) for module, rank in other.items()}
    settings = {
        "r": method.rank,
        "lora_alpha": method.scale * (math.sqrt(method.rank) if method.root else method.rank),
        "lora_dropout": method.dropout,
        "use_rslora": method.root,
        "use_dora": method.kind == "dora",
        "bias": "none",
        "target_modules": targets,
        "rank_pattern": {re.escape(module): rank for module, rank in other.items()},
        "alpha_pattern": {re.escape(module): alpha for module, alpha in alphas.items()},
    }
    return theirs, settings


def _modules(place: Place, ours: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Tensors of each of their modules at `place`; none where nothing is adapted."""
    own = {name: ours[f"{place.ours}.{name}"] for name in NAMES if f"{place.ours}.{name}" in ours}
    found: dict[str, dict[str, Tensor]] = {}
    if "lora_b" in own:
        for module, rows in place.split(own["lora_b"]):
            found[module] = {"lora_A.weight": own["lora_a"], "lora_B.weight": rows}
        for module, rows in place.split(own["magnitude"]) if "magnitude" in own else ():
            found[module]["lora_magnitude_vector"] = rows
    if "input_factors" in own:
        found = {module: {"ia3_l": own["input_factors"][None]} for module in place.theirs}
    if "output_factors" in own:
        missing = sum(place.sizes) - len(own["output_factors"])
        every = torch.cat([torch.ones(missing), own["output_factors"].cpu()])
        pieces, end = place.split(every), 0
        for module, rows in pieces:
            end += len(rows)
            if end > missing:  # queries, which IA3 leaves alone, stay out where they are a module of their own
                found[module] = {"ia3_l": rows[:, None]}
    return found


NAMES = ("lora_a", "lora_b", "magnitude", "input_factors", "output_factors")


def _targets(adapted: set[str], everywhere: Sequence[str]) -> list[str]:
    """What to call the adapted modules: by their last names if these mean no others, else in full."""
    short = {module.rpartition(".")[2] for module in adapted}
    return sorted(
        short if all((module.rpartition(".")[2] in short) == (module in adapted) for module in everywhere) else adapted
    )


def _write_vectors(
    ours: Mapping[str, Tensor], config: FamilyConfig, method: Method
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    settings = {"num_virtual_tokens": method.tokens, "num_layers": config.depth, "num_transformer_submodules": 1}
    if method.kind == "prompt":
        shape = {"token_dim": config.dim, "num_attention_heads": config.heads}
        return {"prompt_embeddings": ours["prompt"]}, {**settings, **shape, "prompt_tuning_init": "RANDOM"}
    layers = [ours[f"decoder.blocks.{layer}.attention.prefix"] for layer in range(config.depth)]  # [2, K, P, D] each
    heads, width = layers[0].shape[1], layers[0].shape[3]
    flat = torch.stack(layers).permute(3, 0, 1, 2, 4).flatten(1)  # [L, 2, K, P, D] -> [P, L 2 K D]
    shape = {"token_dim": heads * width, "num_attention_heads": heads, "encoder_hidden_size": heads * width}
    return {"prompt_embeddings": flat}, {**settings, **shape, "prefix_projection": False}


# -- reading ----------------------------------------------------------------------------------------------------------


def read_peft(
    folder: str | Path, config: FamilyConfig, *, base_name: str = "", base_sha256: str = ""
) -> tuple[Method, dict[str, Tensor], dict[str, Tensor]]:
    """The method and tensors of a PEFT folder, for `load_adapter` on a network of `config`, and the tables of the
    vocabulary that it changes, for `peft_rows.as_rows`.

    Only safetensors are read. base_name, base_sha256: of the model it is to be put on, compared with what the folder
    says. Raises UserError for a file that is missing, a method or setting that we do not know (it is named), and an
    adapter for another base.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no {name}.", "An adapter is read from safetensors alone, never from .bin.")
    told = read_json(folder / CONFIG)
    _require_known(told, folder)
    theirs = checkpoint.load_tensors(folder / WEIGHTS)
    _require_base(folder, told, base_name, base_sha256)
    tables = read_rows(folder, told, theirs, config, PREFIX)
    reader = Reader(folder, config, told, theirs)
    kind = told.get("peft_type")
    if kind == "LORA":
        found = reader.low_rank()
    elif kind == "IA3":
        found = reader.factors()
    else:
        found = reader.vectors(prefix=kind == "PREFIX_TUNING")
    return *found, tables


def _require_known(told: Mapping[str, Any], folder: Path) -> None:
    if told.get("peft_type") not in KINDS.values():
        known = ", ".join(sorted(set(KINDS.values())))
        raise UserError(f"{folder} holds an adapter of the type {told.get('peft_type')!r}.", f"Supported are: {known}.")
    for name, allowed in UNSUPPORTED.items():
        value = told.get(name)
        if value is not None and value not in allowed:
            raise UserError(f"{folder / CONFIG} sets {name} to {value!r}, which is not supported.")
    start = told.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(CHANGING_THE_BASE):
        raise UserError(
            f"The adapter in {folder} was begun by {start!r}, which changes the base as well.",
            "Convert it to plain LoRA with peft first (save_pretrained with path_initial_model_for_weight_conversion).",
        )


def _require_base(folder: Path, told: Mapping[str, Any], name: str, sha256: str) -> None:
    theirs = str(told.get("base_model_name_or_path") or "")
    saved = _metadata(folder / WEIGHTS).get("base_sha256", "")
    if saved and sha256 and saved != sha256:
        raise UserError(
            f"The adapter in {folder} was learnt on {theirs} (sha256 {saved[:12]}…), and the base here is "
            f"{name or 'another'} (sha256 {sha256[:12]}…).",
            "Give the base that it was learnt on.",
        )


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}
