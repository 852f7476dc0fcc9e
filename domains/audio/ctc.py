"""CTC's labels to text and times: greedy decoding, forced alignment, words. Beam search is in `beam`.

Axes: T frames, V labels. Connectionist temporal classification: Graves et al. 2006.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ...core.errors import UserError
from .beam import Hypothesis, Pruning, beam_search
from .fusion import Fusion
from .subtitles import Word
from .tokenizer import Labels

__all__ = ["Fusion", "Hypothesis", "Pruning", "align", "beam_search", "greedy", "least_frames", "words"]

Span = tuple[int, int, float]
"""First frame of a label, last frame + 1, the mean probability it had there."""


def greedy(log_probs: Tensor, *, blank: int = 0) -> list[int]:
    """The likeliest label of each frame of log_probs [T, V], repeats made one, blanks left out."""
    path = torch.unique_consecutive(log_probs.argmax(dim=-1))
    return path[path != blank].tolist()


def least_frames(ids: Sequence[int]) -> int:
    """The frames that CTC needs for these labels: one each, and a blank between equal neighbours."""
    return len(ids) + sum(left == right for left, right in pairwise(ids))


def align(log_probs: Tensor, ids: Sequence[int], *, blank: int = 0) -> list[Span]:
    """Where each label lies on the likeliest path of log_probs [T, V] that spells `ids` (Viterbi's).

    Raises `UserError` where there are too few frames for the labels.
    """
    if not ids:
        return []
    if len(log_probs) < (least := least_frames(ids)):
        raise UserError(
            f"{len(ids)} labels cannot be aligned to {len(log_probs)} frames: they take at least {least}.",
            "Is the transcript that of this recording?",
        )
    rows = log_probs.detach().cpu().double().numpy()
    path = _best_path(rows, np.asarray(ids), blank)  # [T]: label n is state 2 n + 1
    starts = np.searchsorted(path, np.arange(1, 2 * len(ids), 2))
    ends = np.searchsorted(path, np.arange(2, 2 * len(ids) + 1, 2))
    return [
        (int(start), int(end), float(np.exp(rows[start:end, label]).mean()))
        for label, start, end in zip(ids, starts, ends, strict=True)
    ]


def _best_path(rows: np.ndarray, ids: np.ndarray, blank: int) -> np.ndarray:
    """The states [T] of the likeliest path through blank, first label, blank, second label, … blank.

    rows: log-probabilities [T, V]. A blank may be passed over, unless it stands between two equal labels.
    """
    states = np.full(2 * len(ids) + 1, blank)
    states[1::2] = ids
    passable = np.zeros(len(states), bool)
    passable[3::2] = ids[1:] != ids[:-1]
    emitted = np.maximum(rows[:, states], -1e9)  # [T, S]; finite, unlike the states that cannot be reached yet
    best = np.full((3, len(states)), -np.inf)  # by staying, from the state before, from the one before that
    best[0, :2] = emitted[0, :2]
    moves = np.zeros(emitted.shape, np.int8)
    for frame in range(1, len(rows)):
        best[1, 1:] = best[0, :-1]
        best[2, 2:] = np.where(passable[2:], best[0, :-2], -np.inf)
        moves[frame] = best.argmax(axis=0)
        best[0] = best.max(axis=0) + emitted[frame]
    path = np.empty(len(rows), np.int64)
    path[-1] = len(states) - 1 if best[0, -1] > best[0, -2] else len(states) - 2
    for frame in range(len(rows) - 1, 0, -1):
        path[frame - 1] = path[frame] - moves[frame, path[frame]]
    return path


def words(
    labels: Labels, ids: Sequence[int], spans: Sequence[Span], seconds_per_frame: float, offset: float = 0.0
) -> tuple[Word, ...]:
    """The words of aligned labels with their times; `offset` is the second at which the frames begin.

    A word lasts from its first label's first frame to its last label's last; its confidence is the geometric mean of
    its labels' probabilities.
    """
    rows: list[tuple[str, list[Span]]] = [("", [])]
    for label, span in zip(ids, spans, strict=True):
        for place, piece in enumerate(labels.texts[label].split(" ")):
            if place:  # after a space
                rows.append(("", []))
            if piece:
                rows[-1] = rows[-1][0] + piece, [*rows[-1][1], span]
    return tuple(_word(text, held, seconds_per_frame, offset) for text, held in rows if text)


def _word(text: str, spans: Sequence[Span], seconds_per_frame: float, offset: float) -> Word:
    mean = sum(math.log(max(probability, 1e-9)) for _, _, probability in spans) / len(spans)
    return Word(
        text=text,
        start=offset + spans[0][0] * seconds_per_frame,
        end=offset + spans[-1][1] * seconds_per_frame,
        confidence=math.exp(mean),
    )
