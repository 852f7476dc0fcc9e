"""A conversation as token ids, with the tokens marked whose loss counts.

    <|im_start|>user\\n你好<|im_end|>\\n<|im_start|>assistant\\n你好！<|im_end|>\\n
                                                           ------------       learnt: each reply and the end after it

What the model sees before a reply is, id for id, what it is given when it is asked for one. What people say is never
read as a special token, even where it spells one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ...core.errors import UserError
from .conversation import Preference, Turn
from .template import pieces, render, skeleton
from .tokenizer import Tokenizer


@dataclass(frozen=True)
class Encoded:
    """Token ids, and for each whether its loss counts."""

    ids: list[int]
    learn: list[bool]


@dataclass(frozen=True)
class EncodedPair:
    """The two sides of a preference: the same prompt with the reply that people preferred, and with the other."""

    chosen: Encoded
    rejected: Encoded


# -- for learning -----------------------------------------------------------------------------------------------------


def encode(turns: Sequence[Turn], tokenizer: Tokenizer) -> Encoded:
    """The whole conversation; learnt are the replies and the end token of each.

    A reply whose turn the template writes otherwise than its own generation prompt is not learnt; if that is the last
    one, or nothing can be told apart, `UserError`.
    """
    cut = pieces(turns, tokenizer, prompt=False)
    if cut is None:
        return _last_only(turns, tokenizer)
    writer = _Writer(tokenizer)
    writer.text(cut[0])
    for number, turn in enumerate(turns):
        content, after = cut[2 * number + 1], cut[2 * number + 2]
        if turn.role != "assistant":
            writer.said(content)
            writer.text(after)
            continue
        learnt = _begin(turns, number, cut[2 * number], tokenizer, writer)
        writer.said(content, learn=learnt, apart=True)
        writer.text(writer.ending(after, learn=learnt, last=number == len(turns) - 1))
    return writer.encoded()


def _begin(turns: Sequence[Turn], number: int, before: str, tokenizer: Tokenizer, writer: _Writer) -> bool:
    """Whether reply `number` can be learnt: the text `before` it begins as the generation prompt does, but for white
    space, which is then that of the prompt. What the template writes after that (an empty thought, say) the model has
    to write by itself, so it is learnt too."""
    frame = skeleton(tuple(turn.role for turn in turns[:number]), tokenizer, prompt=True)
    asked = frame[-1] if frame else None
    if asked is not None and before.startswith(asked):
        writer.instead(before, asked, own=before[len(asked) :])
        return True
    if asked is not None and before.rstrip() == asked.rstrip():
        writer.instead(before, asked)
        return True
    if number == len(turns) - 1:
        raise UserError(
            "The chat template writes a reply otherwise than it asks for one, so nothing can be learnt from it.",
            "Give the checkpoint another template.",
        )
    return False


def _last_only(turns: Sequence[Turn], tokenizer: Tokenizer) -> Encoded:
    """For templates that rewrite contents (cut thoughts out of earlier replies): only the last reply is learnt."""
    asked, text = render(turns[:-1], tokenizer, prompt=True), render(turns, tokenizer, prompt=False)
    if not text.startswith(asked) or _spells_special(turns, tokenizer):
        raise UserError(
            "The chat template rewrites what was said so that the reply cannot be told from the rest.",
            "Give the checkpoint another template.",
        )
    writer = _Writer(tokenizer)
    writer.text(asked)
    reply, end, rest = _at_end(text[len(asked) :], tokenizer)
    writer.instead("", "", own=reply)
    writer.said("", learn=True)
    writer.text(writer.ending(end + rest, learn=True, last=True))
    return writer.encoded()


def encode_within(turns: Sequence[Turn], tokenizer: Tokenizer, length: int) -> tuple[Encoded | None, bool]:
    """The conversation in at most `length` tokens, and whether it had to be cut: whole exchanges are left out at its
    end. None where not even the first reply fits with its end token."""
    end = len(turns) if turns and turns[-1].role == "assistant" else len(turns) - 1
    shortened = False
    while any(turn.role == "assistant" for turn in turns[:end]):
        encoded = encode(turns[:end], tokenizer)
        if len(encoded.ids) <= length:
            return encoded, shortened
        end, shortened = end - 2, True
    return None, shortened


def encode_preference(item: Preference, tokenizer: Tokenizer, length: int) -> EncodedPair | None:
    """Both replies after the same prompt, only the last reply learnt; None where either is longer than `length`."""
    sides = []
    for reply in (item.chosen, item.rejected):
        encoded = encode([*item.turns, Turn(role="assistant", content=reply)], tokenizer)
        if len(encoded.ids) > length:
            return None
        sides.append(Encoded(encoded.ids, _last_run(encoded.learn)))
    return EncodedPair(*sides)


def _last_run(learn: list[bool]) -> list[bool]:
    """Only the last unbroken run of True."""
    end = len(learn) - 1 - learn[::-1].index(True)
    start = end
    while start and learn[start - 1]:
        start -= 1
    return [start <= place <= end for place in range(len(learn))]


def encode_document(text: str, tokenizer: Tokenizer, length: int) -> Iterator[Encoded]:
    """Plain text in stretches of at most `length` tokens; all are learnt, and the last one ends with the end token."""
    start = [tokenizer.bos_id] if tokenizer.adds_bos and tokenizer.bos_id is not None else []
    ids = [*start, *tokenizer.encode(text), tokenizer.end_id]
    for place in range(0, len(ids), length):
        stretch = ids[place : place + length]
        yield Encoded(stretch, [True] * len(stretch))


# -- for asking -------------------------------------------------------------------------------------------------------


def prompt_ids(
    turns: Sequence[Turn], tokenizer: Tokenizer, *, length: int, reserve: int, strict: bool
) -> tuple[list[int], int]:
    """The ids that ask for the reply to the last turn, and how many turns were left out for them to fit.

    `length` tokens hold the prompt and `reserve` tokens of reply. Exchanges are left out from the oldest on, the system
    prompt never. Raises `UserError` where the last turn alone is too long; with `strict`, instead of leaving out any.
    """
    if not turns or turns[-1].role != "user":
        raise UserError("There is nothing to reply to: the last turn is not the user's.")
    system, spoken = list(turns[:1]), list(turns[1:])
    if turns[0].role != "system":
        system, spoken = [], list(turns)
    dropped = 0
    while True:
        ids = _prompt([*system, *spoken[dropped:]], tokenizer)
        if len(ids) <= length - reserve:
            return ids, dropped
        if strict or len(spoken) - dropped <= 2:
            raise UserError(
                f"The prompt has {len(ids):,} tokens; {length:,} is all the model takes, and {reserve:,} of them are "
                "kept for the reply.",
                "Shorten it, ask for a shorter reply" + (", or leave out --strict." if strict and spoken[1:] else "."),
            )
        dropped += 2


def _prompt(turns: Sequence[Turn], tokenizer: Tokenizer) -> list[int]:
    cut = pieces(turns, tokenizer, prompt=True)
    if cut is None:
        if _spells_special(turns, tokenizer):
            raise UserError("The chat template rewrites what was said, and what was said spells a special token.")
        return tokenizer.encode_special(render(turns, tokenizer, prompt=True))
    writer = _Writer(tokenizer)
    writer.text(cut[0])
    for number, turn in enumerate(turns):
        content, after = cut[2 * number + 1], cut[2 * number + 2]
        writer.said(content, apart=turn.role == "assistant")
        writer.text(writer.ending(after, learn=False, last=False) if turn.role == "assistant" else after)
    return writer.encoded().ids


# -- text to ids ------------------------------------------------------------------------------------------------------


class _Writer:
    """Collects text and encodes it in as few stretches as the marks allow, for tokens may span what is not cut."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._ids: list[int] = []
        self._learn: list[bool] = []
        self._waiting = ""
        self._own = ""
        self._before = ""  # what the next stretch follows: a letter, or a special token

    def text(self, text: str) -> None:
        """The template's own words."""
        self._waiting += text

    def instead(self, text: str, asked: str, *, own: str = "") -> None:
        """The last words of the template were `text`; they become what it asks with, and `own`: what the model has to
        write in front of its reply."""
        self._waiting = self._waiting.removesuffix(text) + asked
        self._own = own

    def said(self, text: str, *, learn: bool = False, apart: bool = False) -> None:
        """What somebody said. It is encoded apart where it is a reply, as it is when the model writes it, and where it
        spells a special token."""
        special = _patterns(self.tokenizer)[1].search
        if not (learn or apart or special(text)):
            self._waiting += text
            return
        self._flush()
        if special(self._own):
            self._add(self._own, learn)
            self._own = ""
        text, self._own = self._own + text, ""
        self._add(text, learn, special=not special(text))

    def ending(self, text: str, *, learn: bool, last: bool) -> str:
        """Takes the end token at the head of what the template writes after a reply; gives the rest. A template that
        writes none gets one after the last reply, for otherwise the model would never learn to stop."""
        before, end, rest = _at_end(text, self.tokenizer)
        if end:
            self._add(before + end, learn)
            return rest
        if last:
            self._add(self.tokenizer.token(self.tokenizer.end_id), learn)
            return ""
        return text

    def encoded(self) -> Encoded:
        self._flush()
        return Encoded(self._ids, self._learn)

    def _flush(self) -> None:
        self._add(self._waiting, False)
        self._waiting = ""

    def _add(self, text: str, learn: bool, *, special: bool = True) -> None:
        """Encode one stretch as the continuation that it is: SentencePiece would put a space before what begins."""
        if not text:
            return
        encode = self.tokenizer.encode_special if special else self.tokenizer.encode
        ids = encode(text)
        if self._before and not self.tokenizer.byte_level:
            before, both = encode(self._before), encode(self._before + text)
            ids = both[len(before) :] if both[: len(before)] == before else ids
        self._ids += ids
        self._learn += [learn] * len(ids)
        last = max(_patterns(self.tokenizer)[1].finditer(text), key=re.Match.end, default=None)
        self._before = last[0] if last is not None and last.end() == len(text) else text[-1]


def _at_end(text: str, tokenizer: Tokenizer) -> tuple[str, str, str]:
    """The text around the first token that ends a reply; (text, "", "") where there is none."""
    found = _patterns(tokenizer)[0].search(text)
    return (text[: found.start()], found[0], text[found.end() :]) if found else (text, "", "")


def _spells_special(turns: Sequence[Turn], tokenizer: Tokenizer) -> bool:
    return any(_patterns(tokenizer)[1].search(turn.content) for turn in turns)


@lru_cache(maxsize=16)
def _patterns(tokenizer: Tokenizer) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds a token that ends a reply, and what finds any special token."""
    ends = [tokenizer.token(id) for id in tokenizer.stop_ids]
    specials = [token.content for token in tokenizer.added.values() if token.special]
    return _any_of(ends), _any_of(specials)


def _any_of(names: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(filter(None, names), key=len, reverse=True))) or "(?!)")
