"""CTC's labels to text and times: greedy decoding, forced alignment, words. Beam search is in `beam`.

Axes: T frames, V labels. Connectionist temporal classification: Graves et al. 2006.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ...core.errors import UserError, missing_extra
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
    """Where each label lies on the likeliest path of log_probs [T, V] that spells `ids` (torchaudio's Viterbi).

    Raises `UserError` where there are too few frames for the labels.
    """
    if not ids:
        return []
    if len(log_probs) < (least := least_frames(ids)):
        raise UserError(
            f"{len(ids)} labels cannot be aligned to {len(log_probs)} frames: they take at least {least}.",
            "Is the transcript that of this recording?",
        )
    try:
        from torchaudio.functional import forced_align, merge_tokens
    except ModuleNotFoundError as error:
        raise missing_extra("torchaudio", "audio") from error
    rows = log_probs.detach().cpu().float()[None]
    path, scores = forced_align(rows, torch.tensor([list(ids)], dtype=torch.int32), blank=blank)
    spans = merge_tokens(path[0], scores[0].exp(), blank=blank)
    return [(span.start, span.end, min(1.0, float(span.score))) for span in spans]


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
