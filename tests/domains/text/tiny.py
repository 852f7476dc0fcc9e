"""A language model small enough to learn in seconds, saved as a repository has it, and a little data."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tsuite.core import finetune, flow, registry
from tsuite.domains.text.phi15_zh.options import FinetuneOptions
from tsuite.domains.text.phi15_zh.task import ChatTask

from .models import byte_level, save_tokenizer

NAME = "text.phi15_zh"
QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 4, "lr": 1e-3, "rows": 0, "precision": "fp32", "report": False}
COLOURS = {"天空": "蓝色", "草": "绿色", "血": "红色", "雪": "白色", "夜": "黑色"}


def card() -> registry.Card:
    return registry.card(NAME)


def task_class() -> type[ChatTask]:
    return card().load_task()


@cache
def base() -> Path:
    """A llama of two layers with random weights, in a folder as a repository has it; made once."""
    folder = Path(tempfile.mkdtemp(prefix="tsuite-tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return save_base(folder / "base")


def save_base(folder: Path, seed: int = 0, width: int = 48) -> Path:
    config = transformers.LlamaConfig(
        vocab_size=400,
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=96,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return save_tokenizer(folder, byte_level("smollm"))


def exchanges(count: int = 40) -> list[dict[str, str]]:
    """Questions with one right answer each, that repeat."""
    things = list(COLOURS.items())
    return [
        {"instruction": f"{thing}是什么颜色？", "output": f"{thing}是{colour}的。"}
        for thing, colour in (things[number % len(things)] for number in range(count))
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@cache
def data() -> Path:
    """A folder with train, validation and test files."""
    folder = Path(tempfile.mkdtemp(prefix="tsuite-talk-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write(folder / "train.jsonl", exchanges(40))
    write(folder / "validation.jsonl", exchanges(5))
    write(folder / "test.jsonl", exchanges(5))
    return folder


def train(folder: Path, *, resume: bool = False, checkpoint: Path | None = None, **values: Any) -> Any:
    """A training run as `tsuite finetune` does it."""
    request = flow.Request(name=NAME, data=str(data()), checkpoint=str(checkpoint) if checkpoint else None)
    start: dict[str, Any] = {} if checkpoint else {"base": str(base())}
    options = FinetuneOptions(**(QUICK | start | values))
    return finetune.finetune(request, options, folder, resume=resume)


@cache
def trained() -> Path:
    """A run that learnt the colours by heart, all weights; made once."""
    home = Path(tempfile.mkdtemp(prefix="tsuite-colours-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    train(home / "run", method="full", epochs=30, lr=5e-3)
    return home / "run"
