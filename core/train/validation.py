"""What the network is worth so far, and whether that is better than before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError, near
from ..task import Summary, Task
from .data import EVALUATION, seeded
from .processes import Processes, evaluating


@dataclass(frozen=True)
class Validation:
    """Scores on `examples`, `size` at a time, each process its share; pictures go to `folder`/plots."""

    task: Task
    examples: Sequence[Any]
    processes: Processes
    folder: Path
    size: int = field(kw_only=True)

    def run(self, seed: int, step: int) -> tuple[float | None, dict[str, float]]:
        """Mean loss and metrics, by the way that predictions are made; (None, {}) without examples."""
        if not len(self.examples):
            return None, {}
        task, processes = self.task, self.processes
        first, end = (len(self.examples) * rank // processes.world for rank in (processes.rank, processes.rank + 1))
        asked, results, loss, weight = task.run_options(), [], 0.0, 0.0
        with (
            seeded(EVALUATION, seed, step, processes.rank),
            evaluating(task.network, task.trainable),
        ):
            for start in range(first, end, self.size):
                examples = [self.examples[index] for index in range(start, min(start + self.size, end))]
                batch = task.preprocess(examples).to(processes.device)
                results += task.postprocess(task.predict(batch, asked), examples, asked)
                loss += sum(float(task.loss(task.trainable, piece)) for piece in task.pieces(batch))
                weight += task.weight(batch)
        loss, weight = processes.sums(loss, weight)
        results = processes.gather(results)
        summary: Summary = processes.on_main(lambda: self._summarise(results, seed))
        return loss / max(weight, 1e-12), {name: float(value) for name, value in summary.metrics.items()}

    def _summarise(self, results: list[Any], seed: int) -> Summary:
        plots = self.folder / "plots"
        plots.mkdir(exist_ok=True)
        with seeded(EVALUATION, seed):
            self.task.picture_training(results, plots)
            return self.task.summarise(results)

    def score(self, loss: float | None, metrics: dict[str, float]) -> float | None:
        """The number by which validations are compared; None where there is nothing to compare by."""
        name = self.task.monitor[0]
        if loss is None or name == "loss":
            return loss
        if name not in metrics:
            raise UserError(f"The evaluation gives no {name!r} to choose the best weights by.", near(name, metrics))
        return metrics[name]

    def is_better(self, score: float | None, former: float | None) -> bool:
        if score is None or former is None:
            return True
        return score < former if self.task.monitor[1] == "min" else score > former
