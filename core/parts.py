"""Which part of a data set each row belongs to, by a rule that is fixed for ever."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from .errors import UserError, near

Part = Literal["train", "validation", "test"]

RULES = ("index modulo", "hash", "column", "source", "last", "none", "members")


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """Which part each row belongs to, fixed for ever; what neither `test` nor `validation` names is train.

    | rule         | `test` and `validation` list                                | `part` is given            |
    |--------------|-------------------------------------------------------------|----------------------------|
    | index modulo | residues of the row's number (from 0) modulo `modulus`      | index                      |
    | hash         | residues of sha256(key as UTF-8), a big-endian number       | key: the cell of `column`  |
    | column       | values of `column` in the data                              | key: the cell of `column`  |
    | source       | names under `[sources]`: the data come in parts             | key: the source's name     |
    | last         | one number of rows each, at the end of every series         | index and rows             |
    | none         | nothing: all is train                                       | nothing                    |
    | members      | nothing: a combined set, whose members have their own rules | (ask the members)          |

    `words` says the same to people. Test is looked at before validation.
    """

    words: str
    rule: str
    modulus: int = 0
    column: str = ""
    test: tuple[int | str, ...] = ()
    validation: tuple[int | str, ...] = ()

    def __post_init__(self) -> None:
        check(self.rule in RULES, f"the split rule {self.rule!r} is not known. {near(self.rule, RULES)}")
        if self.rule in ("index modulo", "hash"):
            residues = [*self.test, *self.validation]
            check(self.modulus > 1, f"the split rule {self.rule} needs a modulus above 1, not {self.modulus}")
            check(
                all(isinstance(value, int) and 0 <= value < self.modulus for value in residues),
                f"residues modulo {self.modulus} lie from 0 to {self.modulus - 1}, which {residues} do not",
            )
        if self.rule in ("hash", "column"):
            check(bool(self.column), f"the split rule {self.rule} needs the column it looks at")
        if self.rule == "last":
            check(
                len(self.test) == 1
                and len(self.validation) <= 1
                and all(_count(n) for n in self.test + self.validation),
                "the split rule last takes one number of rows for test and at most one for validation",
            )
        both = set(self.test) & set(self.validation)
        check(self.rule == "last" or not both, f"{sorted(map(str, both))} are in test and in validation")

    def part(self, index: int | None = None, key: str | None = None, *, rows: int | None = None) -> Part:
        """The part of one row: `index` counts from 0, `key` is the cell or name that the rule looks at, `rows` the
        length of the row's series. Raises `UserError` if what the rule looks at is not given."""
        check(self.rule != "members", "a combined data set has no split rule of its own: its members have")
        if self.rule == "none":
            return "train"
        if self.rule == "last":
            check(
                index is not None and rows is not None,
                "the split rule last needs the row's number and how many there are",
            )
            assert index is not None
            assert rows is not None
            return self._from_end(rows - 1 - index)
        if self.rule == "index modulo":
            check(index is not None, "the split rule index modulo needs the row's number")
            assert index is not None
            value: int | str = index % self.modulus
        else:
            check(key is not None, f"the split rule {self.rule} needs a key: the text it looks at")
            value = str(key)
        if self.rule == "hash":
            value = int.from_bytes(hashlib.sha256(str(key).encode()).digest(), "big") % self.modulus
        if value in self.test:
            return "test"
        return "validation" if value in self.validation else "train"

    def _from_end(self, behind: int) -> Part:
        """The part of the row that has `behind` rows after it."""
        test = int(self.test[0])
        if behind < test:
            return "test"
        return "validation" if behind < test + int((self.validation or (0,))[0]) else "train"


def check(condition: bool, what: str) -> None:
    """Raise `UserError` that says `what` unless the condition holds."""
    if not condition:
        raise UserError(f"{what}.")


def _count(value: object) -> bool:
    return isinstance(value, int) and value >= 0
