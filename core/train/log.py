"""What people see of a training: lines in metrics.jsonl, TensorBoard curves, a progress bar. Only the main process
has one."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

METRICS, BOARD = "metrics.jsonl", "tensorboard"
CLOCK = ("seconds", "examples_per_second")
"""Fields that differ from run to run; but for what happens to the machine (the lines of the splits memory and board)
everything else of metrics.jsonl repeats exactly."""


def read_metrics(folder: str | Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last line cut short by a kill is left out."""
    path = Path(folder) / METRICS
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


class Log:
    """Writes what happens; `step` is where the run stands: lines beyond it belong to steps that will be done again."""

    def __init__(self, folder: Path, *, step: int, total: int, console: Any = None) -> None:
        from tensorboardX import SummaryWriter

        kept = [line for line in read_metrics(folder) if line["step"] <= step]
        path = folder / METRICS
        fresh = path.with_suffix(".new")
        fresh.write_text("".join(_line(values) for values in kept), encoding="utf-8")
        fresh.replace(path)
        self._file = path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / BOARD), purge_step=step + 1 if step else None)
        self._console = console
        self._score = ""
        self._bar, self._row = _progress_bar(console, step, total)

    def train(self, values: Mapping[str, Any]) -> None:
        """One group of steps: loss, lr, gradient norm, speed."""
        self._write({"split": "train", **values})
        for name in ("loss", "lr", "grad_norm", "examples_per_second"):
            self._board.add_scalar(f"train/{name}", values[name], values["step"])

    def validation(self, values: Mapping[str, Any]) -> None:
        """One evaluation; on a terminal the bar goes on, elsewhere this prints a line."""
        self._write({"split": "validation", **values})
        scores = {"loss": values["loss"], **values["metrics"]}
        for name, value in scores.items():
            if value is not None:
                self._board.add_scalar(f"validation/{name}", value, values["step"])
        self._score = "  ".join(f"{name} {value:.4g}" for name, value in scores.items() if value is not None)
        if self._console is not None and self._bar is None:
            best = "  best so far" if values["best"] else ""
            self._console.print(f"epoch {values['epoch']}  step {values['step']}  {self._score}{best}", highlight=False)

    def memory(self, values: Mapping[str, Any]) -> None:
        """Batches are cut into more parts from this step on."""
        self._write({"split": "memory", **values})

    def board(self, values: Mapping[str, Any]) -> None:
        """What the board holds back from this step on, because of heat or its supply; empty: nothing any more."""
        self._write({"split": "board", **values})

    def advance(self, step: int, loss: float) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._row, completed=step, text=f"loss {loss:.4g}  {self._score}")

    def notice(self, text: str) -> None:
        if self._console is not None:
            self._console.print(text, highlight=False)

    def flush(self) -> None:
        """Push metrics.jsonl to the disk, so that a saved state never knows more than it."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._file.close()
        self._board.close()

    def _write(self, values: Mapping[str, Any]) -> None:
        self._file.write(_line(values))
        self._file.flush()


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(finite(values), ensure_ascii=False) + "\n"


def finite(value: Any) -> Any:
    """`value` with null where a float is infinite or not a number, which JSON cannot say."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _progress_bar(console: Any, step: int, total: int) -> tuple[Any, Any]:
    """A running bar with loss, score and the time left; (None, None) where there is no terminal."""
    if console is None or not console.is_terminal:
        return None, None
    from rich import progress as rich

    times = (rich.TimeElapsedColumn(), rich.TimeRemainingColumn())
    text = rich.TextColumn("{task.fields[text]}")
    bar = rich.Progress(rich.BarColumn(), rich.MofNCompleteColumn(), *times, text, console=console)
    row = bar.add_task("training", total=total, completed=step, text="")
    bar.start()
    return bar, row


class Silent(Log):
    """The log of every process but the main one."""

    def __init__(self) -> None:
        pass

    def train(self, values: Mapping[str, Any]) -> None:
        pass

    def validation(self, values: Mapping[str, Any]) -> None:
        pass

    def memory(self, values: Mapping[str, Any]) -> None:
        pass

    def board(self, values: Mapping[str, Any]) -> None:
        pass

    def advance(self, step: int, loss: float) -> None:
        pass

    def notice(self, text: str) -> None:
        pass

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass
