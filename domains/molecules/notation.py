"""How a molecule is cut into tokens: SMILES by a regular expression, SELFIES by its brackets."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

from ...core.errors import missing_extra

Notation = Literal["smiles", "selfies"]
NOTATIONS: tuple[Notation, ...] = ("smiles", "selfies")
TOKEN = re.compile(r"\[[^\]]*\]?|Br|Cl|%[0-9]{2}|(?s:.)")
"""A bracket atom, an element of two letters, a ring number of two digits, or whatever other single character (Schwaller
et al. 2018, doi 10.1039/c8sc02339e, with every character covered, so that the tokens joined are the string)."""


def split(smiles: str) -> list[str]:
    """The tokens of a SMILES; joined they are the SMILES.

    >>> split("C[C@H](Cl)c1ccccc1")
    ['C', '[C@H]', '(', 'Cl', ')', 'c', '1', 'c', 'c', 'c', 'c', 'c', '1']
    """
    return TOKEN.findall(smiles)


def split_selfies(text: str) -> list[str]:
    """The tokens of a SELFIES string: its brackets, and dots between fragments."""
    return re.findall(r"\[[^\]]*\]|\.", text)


def to_selfies(smiles: str) -> str | None:
    """The molecule in SELFIES (Krenn et al. 2020, doi 10.1088/2632-2153/aba947); None where it has no words for it."""
    selfies = _selfies()
    try:
        return selfies.encoder(smiles)
    except selfies.EncoderError:
        return None


def from_selfies(text: str) -> str:
    """The SMILES of a SELFIES string, which is always a molecule; "" for symbols that SELFIES does not have."""
    selfies = _selfies()
    try:
        return selfies.decoder(text)
    except selfies.DecoderError:
        return ""


def splitter(notation: Notation) -> Callable[[str], list[str]]:
    return split if notation == "smiles" else split_selfies


def _selfies() -> Any:
    try:
        import selfies
    except ModuleNotFoundError:
        raise missing_extra("selfies", "molecules") from None
    return selfies
