"""Prefix beam search over CTC log-probabilities (Graves & Jaitly 2014; Hannun et al. 2014), in log space.

Each prefix keeps two scores: of all paths that end in a blank and of all that end in its last label. Axes: W prefixes
in the beam, K labels that a frame may add, V labels in all, T frames. What a frame does to all prefixes and labels is
done at once in numpy; Python only touches the prefixes that survive.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .fusion import Fusion, Memory, State
from .ngram import NGram
from .tokenizer import Labels


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What is left out: labels of a frame beyond the `labels` likeliest or below `floor` nats, prefixes more than
    `spread` nats below the best."""

    labels: int = 20
    floor: float = -9.0
    spread: float = 20.0


NO_PRUNING = Pruning(labels=1 << 30, floor=-np.inf, spread=np.inf)


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One reading: label ids without blanks, their text, and the summed score in nats of labels and fusion."""

    ids: list[int]
    text: str
    score: float


_NO_STATE = State(Memory((), None, False, ()), most=0.0)


class _Prefix:
    """A row of labels as a node that knows its parent; `slot` is its place in the beam, -1 outside."""

    __slots__ = ("children", "label", "parent", "slot", "state")

    def __init__(self, parent: _Prefix | None, label: int, state: State) -> None:
        self.parent, self.label, self.state = parent, label, state
        self.children: dict[int, _Prefix] = {}
        self.slot = -1

    def ids(self) -> list[int]:
        found, node = [], self
        while node.parent is not None:
            found.append(node.label)
            node = node.parent
        return found[::-1]


class PrefixBeam:
    """A beam that is fed frames as they come.

    width: prefixes kept after a frame. fusion: a language model, hot words, …; None: the labels alone.
    """

    def __init__(
        self, labels: Labels, *, width: int = 16, fusion: Fusion | None = None, pruning: Pruning | None = None
    ) -> None:
        if width < 1:
            raise ValueError(f"a beam of width {width} holds nothing")
        self.labels, self.width, self.fusion, self.pruning = labels, width, fusion, pruning or Pruning()
        self._writes = np.array([bool(text) for text in labels.texts])
        root = _Prefix(None, labels.blank, fusion.start if fusion else _NO_STATE)
        root.slot = 0
        self._beam = [root]
        self._ends_blank, self._ends_label = np.zeros(1), np.full(1, -np.inf)  # [W]

    def push(self, log_probs: Tensor | np.ndarray) -> None:
        """Hear the frames log_probs [T, V]."""
        rows = log_probs if isinstance(log_probs, np.ndarray) else log_probs.detach().cpu().double().numpy()
        if rows.ndim != 2 or rows.shape[1] != len(self.labels):
            raise ValueError(f"log_probs {tuple(rows.shape)} are not [frames, {len(self.labels)} labels]")
        for row in rows:
            self._frame(row)

    def hypotheses(self) -> list[Hypothesis]:
        """The readings in the beam, best first, as if the text ended here."""
        totals = np.logaddexp(self._ends_blank, self._ends_label)
        found = []
        for prefix, total in zip(self._beam, totals.tolist(), strict=True):
            ids = prefix.ids()
            end = self.fusion.finish(prefix.state) if self.fusion else 0.0
            found.append(Hypothesis(ids=ids, text=self.labels.decode(ids), score=total + end))
        return sorted(found, key=lambda one: -one.score)

    def settled(self) -> list[int]:
        """The labels that all prefixes share: every later reading begins with them."""
        rows = [prefix.ids() for prefix in self._beam]
        shortest, longest = min(rows), max(rows)  # in the order of words the outermost share least
        for place, (left, right) in enumerate(zip(shortest, longest, strict=False)):
            if left != right:
                return shortest[:place]
        return shortest

    def _frame(self, row: np.ndarray) -> None:
        """One frame row [V]: every prefix stays (blank, or its last label again) or grows by a label."""
        beam, blank = self._beam, self.labels.blank
        last = np.array([prefix.label for prefix in beam])
        total = np.logaddexp(self._ends_blank, self._ends_label)
        stay_blank, stay_label = total + row[blank], self._ends_label + row[last]
        labels = self._candidates(row)
        # A label that repeats the last one is a new label only after a blank.
        before = np.where(last[:, None] == labels, self._ends_blank[:, None], total[:, None])  # [W, K]
        grow = before + row[labels]
        self._merge(grow, stay_label, labels)
        stay = np.logaddexp(stay_blank, stay_label)
        if self.fusion:
            self._fuse(self.fusion, grow, labels.tolist(), stay)
        chosen = self._best(np.concatenate([stay, grow.ravel()]))  # of [W + W K]

        stays = chosen[chosen < len(beam)]
        grown, columns = np.divmod(chosen[chosen >= len(beam)] - len(beam), max(1, len(labels)))
        children = [self._child(beam[place], int(labels[column])) for place, column in zip(grown, columns, strict=True)]
        for prefix in beam:
            prefix.slot = -1
        self._beam = [beam[place] for place in stays] + children
        for slot, prefix in enumerate(self._beam):
            prefix.slot = slot
        self._ends_blank = np.concatenate([stay_blank[stays], np.full(len(children), -np.inf)])
        self._ends_label = np.concatenate([stay_label[stays], grow[grown, columns]])

    def _candidates(self, row: np.ndarray) -> np.ndarray:
        """The labels [K] that a frame may add, never the blank."""
        kept = np.flatnonzero((row > self.pruning.floor) & self._writes)
        if len(kept) > self.pruning.labels:
            kept = kept[np.argpartition(-row[kept], self.pruning.labels)[: self.pruning.labels]]
        return kept

    def _merge(self, grow: np.ndarray, stay_label: np.ndarray, labels: np.ndarray) -> None:
        """A prefix grown into one that is in the beam already is the same prefix: their paths are added."""
        columns = {label: column for column, label in enumerate(labels.tolist())}
        for slot, prefix in enumerate(self._beam):
            column = columns.get(prefix.label)
            if prefix.parent is not None and prefix.parent.slot >= 0 and column is not None:
                place = prefix.parent.slot, column
                added = self.fusion.move(prefix.parent.state, prefix.label)[0] if self.fusion else 0.0
                stay_label[slot] = np.logaddexp(stay_label[slot], grow[place] + added)
                grow[place] = -np.inf

    def _fuse(self, fusion: Fusion, grow: np.ndarray, labels: list[int], stay: np.ndarray) -> None:
        """Add to grow [W, K] what the fusion says, the most promising cells first, until no other can be among the
        best: as no label gains more than its state's `most`, the rest need not be asked and become impossible."""
        cells = grow.ravel()  # a view
        hopes = (grow + np.array([prefix.state.most for prefix in self._beam])[:, None]).ravel()
        best = heapq.nlargest(self.width, stay.tolist())
        heapq.heapify(best)
        order = np.argsort(-hopes)
        asked = 0
        for cell, hope in zip(order.tolist(), hopes[order].tolist(), strict=True):
            if hope == -np.inf or (len(best) == self.width and hope <= best[0]):
                break
            place, column = divmod(cell, len(labels))
            cells[cell] += fusion.move(self._beam[place].state, labels[column])[0]
            exact = float(cells[cell])
            asked += 1
            if len(best) < self.width:
                heapq.heappush(best, exact)
            elif exact > best[0]:
                heapq.heapreplace(best, exact)
        cells[order[asked:]] = -np.inf

    def _best(self, scores: np.ndarray) -> np.ndarray:
        """Which of the scores go on: the `width` best within the spread, at least one."""
        best = scores.max()
        if best == -np.inf:  # forbidden by whatever is fused: keep what there is
            return np.arange(len(self._beam))
        kept = np.flatnonzero((scores >= best - self.pruning.spread) & (scores > -np.inf))
        if len(kept) > self.width:
            kept = kept[np.argpartition(-scores[kept], self.width)[: self.width]]
        return np.sort(kept)

    def _child(self, prefix: _Prefix, label: int) -> _Prefix:
        child = prefix.children.get(label)
        if child is None:
            state = self.fusion.move(prefix.state, label)[1] if self.fusion else _NO_STATE
            child = prefix.children[label] = _Prefix(prefix, label, state)
        return child


def beam_search(
    log_probs: Tensor | np.ndarray,
    labels: Labels,
    *,
    width: int = 16,
    lm: NGram | None = None,
    lm_weight: float = 0.5,
    word_bonus: float = 0.0,
    hotwords: Mapping[str, float] | None = None,
    fusion: Fusion | None = None,
    pruning: Pruning | None = None,
) -> list[Hypothesis]:
    """The likeliest readings of log_probs [T, V], at most `width`, best first.

    `fusion` is worth making once where there are many recordings; else it is made of `lm`, its weight, the bonus and
    the hot words (see `Fusion`).
    """
    if fusion is None and (lm or hotwords or word_bonus):
        fusion = Fusion(labels, lm=lm, lm_weight=lm_weight, word_bonus=word_bonus, hotwords=hotwords)
    beam = PrefixBeam(labels, width=width, fusion=fusion, pruning=pruning)
    beam.push(log_probs)
    return beam.hypotheses()
