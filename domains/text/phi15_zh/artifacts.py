"""Files for people and other programs: replies as JSONL, and the model in other projects' formats."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from ....core.adapters import merged
from ....core.checkpoint import write_text
from ....core.errors import UserError
from .. import export as formats
from .. import finetuned

KINDS: dict[str, Literal["f16", "q8_0", "q4_0"]] = {"auto": "f16", "float16": "f16", "q8_0": "q8_0", "q4_0": "q4_0"}
DTYPES = {"auto": torch.float16, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def write_replies(results: Sequence[Any], path: Path) -> Path:
    """One JSON object a line, in the order of the prompts; .json: one list. Replaces the file whole or not at all."""
    plain = [result.to_json() for result in results]
    if path.suffix == ".json":
        text = json.dumps(plain, ensure_ascii=False, indent=1) + "\n"
    else:
        text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in plain)
    write_text(path, text)
    return path


def export(task: Any, folder: Path, options: Any) -> list[str]:
    """Write the task's model into the empty `folder`; gives what to be aware of."""
    chatter = task.chatter
    if options.format == "peft":
        return _export_peft(task, folder)
    network = merged(chatter.network)  # UserError for a prompt or prefix, which no weights can express
    tensors = network.state_dict()
    if options.format == "gguf":
        kind = KINDS.get(options.precision)
        if kind is None:
            raise UserError(f"A GGUF is written as float16, q8_0 or q4_0, not {options.precision}.")
        formats.write_gguf(folder / f"model-{kind}.gguf", chatter.config, tensors, chatter.tokenizer, kind=kind)
        return []
    if options.precision not in DTYPES:
        raise UserError(f"A Hugging Face folder holds floats, not {options.precision}.", "That is for --format gguf.")
    write_hf(task, folder, options.precision)
    return []


def write_hf(task: Any, folder: Path, precision: str) -> None:
    """The whole model, adapters merged, as a Hugging Face folder."""
    chatter = task.chatter
    tensors = merged(chatter.network).state_dict()
    formats.write_hf(folder, chatter.config, tensors, chatter.tokenizer, DTYPES[precision])


def _export_peft(task: Any, folder: Path) -> list[str]:
    """The adapter alone. Needs it unmerged, so the checkpoint is read once more."""
    from .. import peft_folder

    chatter = finetuned.load(task.card, task.chatter.source, merge=False)
    if chatter.method is None or chatter.method.kind in ("full", "freeze") or chatter.base is None:
        raise UserError("This checkpoint has no adapter: its weights are all its own.", "Try --format hf.")
    if chatter.config.vocabulary != chatter.base.vocabulary:
        raise UserError(
            f"The base has {chatter.base.vocabulary} rows in its vocabulary and the adapter "
            f"{chatter.config.vocabulary}, and peft has no place for new ones.",
            "Try --format hf, which is the merged model.",
        )
    base = chatter.base
    peft_folder.write_peft(
        folder, chatter.network, chatter.config, chatter.method, base.source, base_sha256=base.sha256
    )
    if chatter.extended:
        chatter.tokenizer.save(folder)
    return []
