"""Byte pair encoding, continued: which neighbours to join next, once the merges that exist have been applied.

Sennrich et al. 2016 (arXiv 1508.07909): join the most frequent pair of neighbours, count again. Counts are kept up to
date where a merge changes them, and the next pair comes from a heap whose entries may be stale.

    的 中        e7 9a | 84 | e4 b8 ad      a GPT-2 that knows 中, but 的 in two pieces only
                 e7 9a   84 | e4 b8 ad      joined; a piece is a part of one character, or whole characters
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise

Pair = tuple[int, int]
Word = tuple[int, ...]


def learn(
    words: Mapping[Word, int],
    pieces: Mapping[int, bytes],
    *,
    first: int,
    most: int,
    longest: int = 24,
    seldom: int = 2,
) -> dict[Pair, int]:
    """At most `most` merges (left, right) -> new id (first, first + 1 …), in order of rank.

    words: ids after the merges that exist -> how often they occur. pieces: the bytes of each id. longest: bytes of a
    piece at most (24 are eight Han characters). seldom: a pair has to occur this often. Ties go to the smaller ids.
    """
    corpus = _Corpus(words)
    known = dict(pieces)
    taken = set(pieces.values())  # a second way to an existing piece would let merges of lower rank apply again
    merges: dict[Pair, int] = {}
    while len(merges) < most and (pair := corpus.most_frequent(seldom)):
        piece = known[pair[0]] + known[pair[1]]
        if len(piece) > longest or piece in taken or not joinable(piece):
            continue
        merges[pair] = first + len(merges)
        known[merges[pair]] = piece
        taken.add(piece)
        corpus.join(pair, merges[pair])
    return merges


def joinable(piece: bytes) -> bool:
    """Whether bytes may be one piece: whole characters outside ASCII, or a part of just one.

    So no piece holds the end of one character and the beginning of the next, which have nothing to do with each other;
    and text in ASCII keeps its ids.
    """
    if min(piece) < 0x80:
        return False
    leads = sum(byte >= 0xC0 for byte in piece)
    if leads == 0:  # continuation bytes, of which a character has three at most
        return len(piece) <= 3
    if leads == 1 and piece[0] >= 0xC0 and len(piece) < _bytes_of(piece[0]):
        return True
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def _bytes_of(lead: int) -> int:
    """The length of a character that begins with the byte `lead`."""
    return 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


class _Corpus:
    """Words, how often each pair of neighbours occurs, and in which words (or once did)."""

    def __init__(self, words: Mapping[Word, int]) -> None:
        self.words = [list(word) for word in words]
        self.times = list(words.values())
        self.counts: defaultdict[Pair, int] = defaultdict(int)
        self.where: defaultdict[Pair, set[int]] = defaultdict(set)
        for number, (word, times) in enumerate(words.items()):
            for pair in pairwise(word):
                self.counts[pair] += times
                self.where[pair].add(number)
        self.heap = [(-count, pair) for pair, count in self.counts.items()]
        heapq.heapify(self.heap)

    def most_frequent(self, seldom: int) -> Pair | None:
        """Take the pair that occurs most off the heap; None when all that remain occur less than `seldom` times."""
        while self.heap:
            count, pair = heapq.heappop(self.heap)
            now = self.counts[pair]
            if now == -count:
                return pair if now >= seldom else None
            heapq.heappush(self.heap, (-now, pair))  # it has lost some to other merges since
        return None

    def join(self, pair: Pair, result: int) -> None:
        """Replace `pair` by `result` in every word."""
        risen: set[Pair] = set()
        for number in self.where.pop(pair):
            risen |= self._join(number, pair, result)
        del self.counts[pair]
        for other in risen:
            heapq.heappush(self.heap, (-self.counts[other], other))

    def _join(self, number: int, pair: Pair, result: int) -> set[Pair]:
        """Replace it in one word, from the left; gives the pairs that are new there."""
        word, times = self.words[number], self.times[number]
        left, right = pair
        risen: set[Pair] = set()
        place = -1
        while left in word[place + 1 : -1]:
            place = word.index(left, place + 1)
            if word[place + 1] != right:
                continue
            word[place : place + 2] = [result]
            if place > 0:
                self.counts[word[place - 1], left] -= times
                risen.add((word[place - 1], result))
                self.counts[word[place - 1], result] += times
            if place + 1 < len(word):
                self.counts[right, word[place + 1]] -= times
                risen.add((result, word[place + 1]))
                self.counts[result, word[place + 1]] += times
        for other in risen:
            self.where[other].add(number)
        return risen
