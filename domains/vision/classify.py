"""Image classification, whatever the network: batches, predictions, scores, tables.

Axes: B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.markup import escape
from rich.table import Table
from torch import Tensor

from ...core.task import Batch, Result, Summary
from .data import ImageExample


@dataclass(frozen=True, kw_only=True)
class ImageBatch(Batch):
    """pixels [B, channels, height, width], normalised; target [B, K] probabilities of each class, where known."""

    pixels: Tensor
    target: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class FeatureBatch(Batch):
    """features [B, F] of a frozen backbone; target [B, K] as above."""

    features: Tensor
    target: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Classification:
    """A network's answer: logits [B, K], features [B, F], and how unlike [B] its training data, if known."""

    logits: Tensor
    features: Tensor
    unlikeness: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """A label and its probability, from 0 to 1."""

    name: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Prediction(Result):
    """The likeliest labels of one picture, best first.

    truth: the right label, where it is known. unlikeness: how far the picture is from the training data, in units of
    the distance that 99 % of its own held-out pictures stay within (None: the checkpoint does not know).
    embedding: the features themselves, for a backbone without classes.
    """

    labels: tuple[LabelScore, ...]
    truth: str | None = None
    unlikeness: float | None = None
    embedding: tuple[float, ...] | None = None
    example: ImageExample | None = field(default=None, repr=False)

    @property
    def correct(self) -> bool | None:
        """Whether the first label is the truth; None where that is not known."""
        return None if self.truth is None or not self.labels else self.labels[0].name == self.truth

    def to_json(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": self.id,
            "labels": [{"name": label.name, "probability": round(label.probability, 6)} for label in self.labels],
        }
        if self.truth is not None:
            shown |= {"truth": self.truth, "correct": self.correct}
        if self.unlikeness is not None:
            shown["unlikeness"] = round(self.unlikeness, 3)
        if self.embedding is not None:
            shown["embedding"] = [round(value, 6) for value in self.embedding]
        return shown | ({"notices": list(self.notices)} if self.notices else {})


def summarise(results: Sequence[Prediction], classes: Sequence[str]) -> Summary:
    """Accuracy, macro-F1 and balanced accuracy, with the confusion matrix (rows truth, columns prediction).

    Empty where no truth is known. Classes that do not occur in the truth do not count into the means.
    """
    known = [result for result in results if result.correct is not None]
    if not known:
        return Summary()
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

    truth, found = [result.truth for result in known], [result.labels[0].name for result in known]
    present = [name for name in classes if name in set(truth)]
    metrics = {
        "accuracy": float(accuracy_score(truth, found)),
        "macro_f1": float(f1_score(truth, found, labels=present, average="macro")),
        "balanced_accuracy": float(recall_score(truth, found, labels=present, average="macro")),
    }
    return Summary(
        metrics=metrics,
        details={"classes": list(classes), "confusion": confusion_matrix(truth, found, labels=list(classes)).tolist()},
    )


def table(results: Sequence[Prediction], summary: Summary, *, rows: int = 12) -> Table:
    """The first `rows` pictures with their likeliest labels; mistakes are marked."""
    knows = any(result.truth is not None for result in results)
    shown = Table(title=_title(results, summary), title_justify="left", header_style="bold")
    shown.add_column("picture", overflow="fold")
    shown_labels = min(3, max((len(result.labels) for result in results), default=0))
    for place in range(shown_labels):
        shown.add_column("label" if place == 0 else f"or ({place + 1})")
    if knows:
        shown.add_column("truth")
    if any(result.unlikeness is not None for result in results):
        shown.add_column("unlike", justify="right")
    for result in choose(results, rows):
        cells = [result.id, *(f"{label.name}  {label.probability:.1%}" for label in result.labels[:3])]
        cells = [escape(cell) for cell in cells] + [""] * (shown_labels - len(result.labels[:3]))
        if knows:
            truth = escape(result.truth or "")
            cells.append(truth if result.correct else f"[bold red]{truth}[/]")
        if result.unlikeness is not None:
            cells.append(f"{result.unlikeness:.2f}")
        shown.add_row(*cells)
    return shown


def _title(results: Sequence[Prediction], summary: Summary) -> str:
    if not summary.metrics:
        return f"{len(results)} picture{'s' * (len(results) != 1)}"
    scores = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in summary.metrics.items())
    return f"{len(results):,} held-out pictures: {scores}"


def choose(results: Sequence[Prediction], most: int) -> list[Prediction]:
    """At most `most` results: all if they fit; else up to a third mistakes, the rest spread evenly."""
    if len(results) <= most:
        return list(results)
    wrong = [number for number, result in enumerate(results) if result.correct is False]
    picked = set(wrong[:: max(1, len(wrong) // max(1, most // 3))][: most // 3])
    spread = [round(step * (len(results) - 1) / max(1, most - 1)) for step in range(most)]
    for number in spread:
        if len(picked) < most:
            picked.add(number)
    return [results[number] for number in sorted(picked)]
