"""English number words as digits, so that "twenty-five dollars" and "$25" count as the same words.

    nineteen eighty four -> 1984    two point five -> 2.5    double oh seven -> 007    twenty first -> 21st
    two hundred and six thousand -> 206000    fifty percent -> 50%    ten dollars and five cents -> $10.05

What Radford et al. 2022 (Whisper, appendix C, rule 9) ask for, by our own grammar. "one" alone stays a word.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_SMALL_WORDS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen"""
_TENS_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
SMALL = {word: value for value, word in enumerate(_SMALL_WORDS.split())}
TENS = {word: 10 * n for n, word in enumerate(_TENS_WORDS.split(), start=2)}
POWERS = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
PLAIN = {**SMALL, **TENS, "hundred": 100, **POWERS}
ODD_ORDINALS = {"first": "one", "second": "two", "third": "three", "fifth": "five", "eighth": "eight", "ninth": "nine",
                "twelfth": "twelve"}  # fmt: skip
REPEATS = {"double": 2, "triple": 3}
MONEY = {"dollar": "$", "euro": "€", "pound": "£", "cent": "¢"}
LONGEST = 40
"""Words that one number may take."""
_DIGITS = re.compile(r"\d{1,15}(\.\d{1,15})?")


def digits(text: str) -> str:
    """`text`, in lower case and without punctuation, with its number words written as digits."""
    words, said = text.split(), []
    place = 0
    while place < len(words):
        number, taken = _number(words[place : place + LONGEST])
        said.append(number if taken else words[place])
        place += taken or 1
    return " ".join(_units(said))


def _number(words: Sequence[str]) -> tuple[str, int]:
    """The number that `words` begin with, and how many of them it takes (0: they begin with none)."""
    done, tally, taken = "", _Tally(), 0
    place = 0
    while place < len(words):
        word, following = words[place], words[place + 1 : place + 2]
        plain, ending = _stem(word)
        if word == "and" and taken and tally.takes_and and following and _stem(following[0])[0] in {**SMALL, **TENS}:
            place += 1
            continue
        if word == "point" and following and _decimal(following[0]) is not None:
            done, place = _point(words, place + 1, done + tally.text())
            return done, place
        if word in REPEATS and following and (figure := _figure(following[0])) is not None:
            done, tally, place = done + tally.text() + str(figure) * REPEATS[word], _Tally(), place + 2
        elif word in ("oh", "o") and (taken or (following and _figure(following[0]) is not None)):
            done, tally, place = done + tally.text() + "0", _Tally(), place + 1
        elif plain in PLAIN or (not taken and _DIGITS.fullmatch(word)):
            if not tally.add(plain):
                done, tally = done + tally.text(), _Tally()
                tally.add(plain)
            place += 1
        else:
            break
        taken = place
        if ending:
            return _ended(done + tally.text(), ending), taken
    return (done + tally.text() if taken else ""), taken


class _Tally:
    """One number as it is said, from left to right; `add` refuses a word that cannot belong to it."""

    def __init__(self) -> None:
        self.above, self.below, self.last = 0, 0.0, ""
        self.figures = ""

    @property
    def takes_and(self) -> bool:
        return self.last == "hundred" or self.last in POWERS

    def add(self, word: str) -> bool:
        if word in POWERS:
            if self.last in POWERS and POWERS[word] > POWERS[self.last]:
                return False
            self.above += round((self.below if self.last else 1) * POWERS[word])
            self.below = 0.0
        elif word == "hundred":
            if self.last == "hundred" or self.last in POWERS:
                return False
            self.below = (self.below if self.last else 1) * 100
        elif self.last and not self._room(PLAIN.get(word, -1)):
            return False
        elif word in PLAIN:
            self.below += PLAIN[word]
        else:
            self.below, self.figures = float(word), word
            self.last = "figures"
            return True
        self.last, self.figures = word, ""
        return True

    def _room(self, value: int) -> bool:
        """Whether a number below a hundred may follow: after a power, a hundred, or units after tens."""
        return value > 0 and (self.takes_and or (self.last in TENS and value < 10))

    def text(self) -> str:
        if not self.last:
            return ""
        return self.figures or str(round(self.above + self.below))


def _stem(word: str) -> tuple[str, str]:
    """A number word without its ending, and the ending: th for ordinals, s for plurals ("nineties")."""
    if word in ODD_ORDINALS:
        return ODD_ORDINALS[word], "th"
    for ending in ("th", "s"):
        for tail, whole in (("ie" + ending if ending == "s" else "ieth", "y"), (ending, "")):
            stem = word[: -len(tail)] + whole if word.endswith(tail) else ""
            if stem in PLAIN and stem not in ("zero", "one"):
                return stem, ending
    return word, ""


def _ended(number: str, ending: str) -> str:
    """An ordinal or a plural: 21st, 90s."""
    if ending == "s":
        return number + "s"
    last = int(re.sub(r"\D", "", number)[-2:])
    return number + ("th" if 10 <= last <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(last % 10, "th"))


def _figure(word: str) -> int | None:
    """A single figure: zero to nine, oh."""
    if word in ("oh", "o"):
        return 0
    if word.isdecimal() and len(word) == 1:
        return int(word)
    return SMALL[word] if SMALL.get(word, 10) < 10 else None


def _decimal(word: str) -> str | None:
    """What a word says after "point"."""
    if (figure := _figure(word)) is not None:
        return str(figure)
    return str(PLAIN[word]) if word in SMALL or word in TENS else word if word.isdecimal() else None


def _point(words: Sequence[str], place: int, before: str) -> tuple[str, int]:
    """The figures after a decimal point, from `place` on."""
    after = ""
    while place < len(words) and (said := _decimal(words[place])) is not None:
        after, place = after + said, place + 1
    return f"{before or '0'}.{after}", place


def _units(words: list[str]) -> list[str]:
    """Signs where people write them ($25, 50%, -5), cents joined to dollars, and "one" for a lonely 1."""
    found: list[str] = []
    for word in words:
        before = found[-1] if found else ""
        number = bool(_DIGITS.fullmatch(before))
        money = MONEY.get(word.removesuffix("s"))
        if number and word in ("percent", "%"):
            found[-1] += "%"
        elif number and money:
            found[-1] = money + before
        elif found[-1:] and before in ("minus", "negative") and _DIGITS.fullmatch(word):
            found[-1] = "-" + word
        else:
            found.append(word)
    joined = re.sub(r"([$€£]\d+) and ¢(\d)\b", r"\1.0\2", " ".join(found))
    joined = re.sub(r"([$€£]\d+) and ¢(\d\d)\b", r"\1.\2", joined)
    return re.sub(r"(?<![\S])1(?![\S])", "one", joined).split()
