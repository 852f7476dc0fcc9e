"""A run's folder: who may write into it, what the run was told, and the card that says how its weights were made.

runs/vit/
  config.yaml      what the run was told
  metrics.jsonl    one line for each logged group of steps and for each evaluation
  tensorboard/     the same, for `tensorboard --logdir`
  checkpoints/     saved states (see `state`)
  best/            the best weights, a checkpoint (see `checkpoint`)
  plots/           pictures of the last evaluation
  card.json        written last: a run that has one is finished
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import yaml

from ..checkpoint import write_text
from ..errors import UserError
from ..options import TrainOptions, flag
from ..runtime import cpu_name
from ..task import Split, Splits, Task

CONFIG, CARD = "config.yaml", "card.json"
HARMLESS = ("workers", "save_every")
"""Options that may change when a run is continued: they change no number."""


def read_config(folder: str | Path) -> dict[str, Any] | None:
    """What the run in `folder` was told: `options`, `threads` and whatever the caller added; None where no run is."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        return None
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.", "Start a new run with another --run.") from error
    if not isinstance(config, dict) or not isinstance(config.get("options"), dict):
        raise UserError(f"{path} does not describe a run.", "Start a new run with another --run.")
    return config


def claim(folder: Path, options: TrainOptions, config: Mapping[str, Any] | None, *, resume: bool) -> dict[str, Any]:
    """The run's config: written for a new run, read and compared for one that is continued.

    Raises `UserError` where a new run would overwrite one, or a continued one is told something else than before.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be made: {error}.", "Choose another place with --run.") from error
    told = plain({**(config or {}), "options": dataclasses.asdict(options), "threads": torch.get_num_threads()})
    before = read_config(folder)
    if before is None:
        write_text(folder / CONFIG, yaml.safe_dump(told, sort_keys=False, allow_unicode=True))
        return told
    if not resume:
        raise UserError(
            f"{folder} already holds a run.", "Continue it with --resume, or choose another folder with --run."
        )
    _same_options(before["options"], told["options"], folder)
    return before


def _same_options(before: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    for name, value in now.items():
        if name in before and before[name] != value and name not in HARMLESS:
            raise UserError(
                f"The run in {folder} began with {flag(name)} {before[name]}, not {value}.",
                f"Leave {flag(name)} as it was, or start a new run with another --run.",
            )


def plain(value: Any) -> Any:
    """`value` as plain JSON: tuples become lists, paths become text."""
    return json.loads(json.dumps(value, default=str))


def command_to_continue(folder: Path, task: Task, config: Mapping[str, Any]) -> str:
    """What to type to go on after an interruption."""
    name = config.get("name") or getattr(getattr(type(task), "card", None), "name", "<name>")
    return f"tsuite finetune {name} --run {folder} --resume"


# -- the card -------------------------------------------------------------------------------------------------------


def describe(task: Task, splits: Splits, config: Mapping[str, Any], processes: int) -> dict[str, Any]:
    """What is known before the first step: where the weights and data come from, with what they are trained."""
    origin = getattr(task, "origin", None)
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    return {
        "base": origin.to_json() if origin else None,
        "data": {part: _about(split) for part, split in parts.items() if split is not None},
        "seed": config["options"]["seed"],
        "options": config["options"],
        "versions": versions(),
        "hardware": {**hardware(), "processes": processes, "threads": config["threads"]},
    }


def _about(split: Split) -> dict[str, Any]:
    return {"name": split.name, "part": split.part, "sha256": split.sha256, "n": len(split.examples)}


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    own = __name__.partition(".")[0]
    found = {"python": platform.python_version(), "torch": torch.__version__}
    return found | {name: _version(name) for name in (own, "accelerate")}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


def hardware() -> dict[str, Any]:
    """The processor's name, its cores, and the name of the GPU if there is one."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "gpu": gpu}


def read_card(folder: Path) -> dict[str, Any] | None:
    """The card of a finished run; None where the run is not finished."""
    path = folder / CARD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write_card(folder: Path, card: dict[str, Any]) -> None:
    write_text(folder / CARD, json.dumps(plain(card), indent=2, ensure_ascii=False) + "\n")
