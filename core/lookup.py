"""Prompt lookup (Saxena 2023): what followed the last tokens when they stood in the text before is a guess at what
follows now. Summaries, edits and code repeat their prompt, and a pass over some tokens costs little more than over one.
"""

from __future__ import annotations

from collections.abc import Iterable


class NgramIndex:
    """A text of token ids that knows where each of its n-grams (up to `longest` tokens) stood last."""

    def __init__(self, ids: Iterable[int], longest: int = 3) -> None:
        self.longest = longest
        self.ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}  # n-gram -> the place that follows it
        self.extend(ids)

    def extend(self, tokens: Iterable[int]) -> None:
        """Append tokens. The n-grams that end the text are entered when the next token is known."""
        for token in tokens:
            for size in range(1, min(self.longest, len(self.ids)) + 1):
                self._after[tuple(self.ids[-size:])] = len(self.ids)
            self.ids.append(token)

    def draft(self, most: int) -> list[int]:
        """`most` tokens that followed the longest n-gram which ends the text; none where it never stood. Where the
        earlier match reaches up to the end, the text is taken to go round in that circle."""
        for size in range(min(self.longest, len(self.ids)), 0, -1):
            place = self._after.get(tuple(self.ids[-size:]))
            if place is not None:
                circle = self.ids[place:]
                return [circle[step % len(circle)] for step in range(most)]
        return []
