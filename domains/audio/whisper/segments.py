"""From what a piece of a recording holds to segments with times, and from overlapping pieces to one text.

Inside here a word holds the space before it, so that words in a row are the text in any language.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ..stitch import Piece, stitch
from ..subtitles import Segment
from .listening import Said
from .tokenizer import WhisperTokenizer


def segments_of(tokenizer: WhisperTokenizer, said: Said, start: float, *, timestamps: bool) -> list[Segment]:
    """The segments of a piece that begins at `start` seconds: as the model's own timestamps divide it, or one."""
    words = [replace(word, start=start + word.start, end=start + word.end) for word in said.words]
    found = []
    whole = (0.0, said.seconds, list(said.ids), list(said.probabilities))
    for begin, end, ids, sure in _divided(tokenizer, said) if timestamps else [whole]:
        text, own, length = tokenizer.decode(ids), [], 0
        while words and length < len(text):
            own.append(words.pop(0))
            length += len(own[-1].text)
        if not text.strip():
            continue
        first, last = (own[0].start, own[-1].end) if own else (start + begin, start + end)
        confidence = math.exp(sum(math.log(max(p, 1e-12)) for p in sure) / len(sure))
        found.append(Segment(text=text, start=first, end=last, words=tuple(own), confidence=confidence))
    return found


def _divided(tokenizer: WhisperTokenizer, said: Said) -> list[tuple[float, float, list[int], list[float]]]:
    """(first second, last, ids of the text, their probabilities) between timestamps."""
    found: list[tuple[float, float, list[int], list[float]]] = []
    begin, ids, sure = 0.0, [], []
    for token, probability in zip(said.ids, said.probabilities, strict=False):
        time = tokenizer.seconds(token)
        if time is None:
            ids.append(token)
            sure.append(probability)
            continue
        time = min(time, said.seconds)
        if ids:
            found.append((begin, max(begin, time), ids, sure))
            ids, sure = [], []
        begin = time
    return [*found, (begin, max(begin, said.seconds), ids, sure)] if ids else found


def join(
    left: list[Segment], right: list[Segment], bounds: tuple[float, float], reached: float
) -> tuple[list[Segment], list[Segment]]:
    """Segments of two pieces, each without what the other tells: the later one lies within `bounds`, the earlier one
    ends at `reached`, seconds of the recording. By words, so that segments without any are lost."""
    earlier = Piece(start=float("-inf"), end=reached, words=[word for segment in left for word in segment.words])
    later = Piece(start=bounds[0], end=bounds[1], words=[word for segment in right for word in segment.words])
    stays = {id(word) for word in stitch([earlier, later])}
    return _part(left, stays), _part(right, stays)


def _part(segments: list[Segment], stays: set[int]) -> list[Segment]:
    """The segments with those of their words that stay."""
    found = []
    for segment in segments:
        words = tuple(word for word in segment.words if id(word) in stays)
        if words == segment.words:
            found.append(segment)
        elif words:
            text = "".join(word.text for word in words)
            found.append(replace(segment, text=text, start=words[0].start, end=words[-1].end, words=words))
    return found
