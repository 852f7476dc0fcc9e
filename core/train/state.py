"""What a run must remember to continue after a kill as if nothing had happened.

    checkpoints/
      step-120/   weights.safetensors  optimiser.safetensors  state.json  manifest.json
      step-160/   the last two are kept; a torn one is passed over for the one before
      best/       weights.safetensors of the best validation so far

No state of a random generator is kept: every step seeds its own (see `data`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import checkpoint
from ..errors import UserError
from .processes import Processes

KEPT = 2
WEIGHTS, OPTIMISER, STATE = "weights.safetensors", "optimiser.safetensors", "state.json"


@dataclass
class Progress:
    """How far a run has come. Everything here is plain JSON.

    `step` optimiser steps are done in `seconds` of training. `group` sums up the steps since the last logged line.
    `stale` validations have passed since the best one. `frozen` names the weights that do not learn by their sha256.
    `accumulate` is the number of parts that memory has forced on the run (0: as many as it was told).
    """

    step: int = 0
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    stale: int = 0
    group: dict[str, float] = field(default_factory=dict)
    scaler: dict[str, Any] | None = None
    frozen: str = ""
    accumulate: int = 0


def frozen_digest(network: nn.Module) -> str:
    """One sha256 over the weights that do not learn, which saved states leave out; "" where there is none."""
    total, found = hashlib.sha256(), False
    for name, value in sorted(network.named_parameters(), key=lambda item: item[0]):
        if not value.requires_grad:
            found = True
            total.update(name.encode())
            total.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest() if found else ""


def save_state(folder: Path, processes: Processes, progress: Progress) -> None:
    """Write `folder/step-N` and delete all but the last `KEPT`; every process takes part, the main one writes."""
    weights, optimiser = processes.weights(), processes.optimiser_state()
    scaler = processes.accelerator.scaler
    progress.scaler = scaler.state_dict() if scaler else None

    def fill(place: Path) -> None:
        checkpoint.save_tensors(place / WEIGHTS, weights)
        checkpoint.save_tensors(place / OPTIMISER, _flat(optimiser["state"]))
        known = {"progress": dataclasses.asdict(progress), "param_groups": optimiser["param_groups"]}
        (place / STATE).write_text(json.dumps(known), encoding="utf-8")

    def work() -> None:
        checkpoint.write(folder / f"step-{progress.step}", fill)
        for old in saved_states(folder)[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)

    processes.on_main(work)


def load_state(folder: Path, processes: Processes, *, frozen: str, notice: Any) -> Progress:
    """The newest sound state put into the network and optimiser; a fresh `Progress` where there is none."""
    place = processes.on_main(lambda: newest(folder, notice))
    if place is None:
        return Progress(frozen=frozen)
    known = json.loads((place / STATE).read_text(encoding="utf-8"))
    progress = Progress(**known["progress"])
    if progress.frozen != frozen:
        raise UserError(
            "The weights that stay fixed differ from those this run began with.",
            "Give the same --checkpoint as before.",
        )
    moments = _nested(checkpoint.load_tensors(place / OPTIMISER))
    optimiser = {"state": moments, "param_groups": known["param_groups"]}
    processes.restore(checkpoint.load_tensors(place / WEIGHTS), optimiser)
    if processes.accelerator.scaler and progress.scaler:
        processes.accelerator.scaler.load_state_dict(progress.scaler)
    return progress


def saved_states(folder: Path) -> list[Path]:
    """The `step-N` folders, newest first."""
    found = [path for path in folder.glob("step-*") if path.is_dir() and path.name[5:].isdigit()]
    return sorted(found, key=lambda path: int(path.name[5:]), reverse=True)


def newest(folder: Path, notice: Any) -> Path | None:
    """The newest state that is whole; `notice(text)` is told of each one passed over. Leftovers of a kill go."""
    for aside in folder.glob(".*.old"):
        checkpoint.recover(folder / aside.name[1:].removesuffix(".old"))
    for unfinished in folder.glob(".*.new"):
        shutil.rmtree(unfinished, ignore_errors=True)
    return next((place for place in saved_states(folder) if _is_sound(place, notice)), None)


def _is_sound(place: Path, notice: Any) -> bool:
    try:
        checkpoint.verify(place)
    except UserError as error:
        notice(f"passing over a damaged state: {error.what}")
        return False
    return True


def _flat(state: dict[str, dict[str, Any]]) -> dict[str, Tensor]:
    """{parameter: {name: value}} as {"name/parameter": tensor}."""
    return {
        f"{name}/{parameter}": value if isinstance(value, Tensor) else torch.tensor(float(value))
        for parameter, values in state.items()
        for name, value in values.items()
    }


def _nested(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The inverse of `_flat`."""
    state: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, _, parameter = key.partition("/")
        state.setdefault(parameter, {})[name] = value
    return state
