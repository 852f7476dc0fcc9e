"""Why something is no molecule, in words and with the place where it is wrong. Only asked once rdkit has refused it."""

from __future__ import annotations

import re
from typing import Any

from .chem import Chem, rdBase
from .notation import split

BONDS = frozenset("-=#:/\\~$")
RING = re.compile(r"[0-9]|%[0-9]{2}")
BRACKET = re.compile(r"\[[0-9]*([A-Z][a-z]?|[a-z][a-z]?|\*)@{0,2}(?:TH[12]|AL[12]|SP[1-3]|TB\d+|OH\d+)?(H[0-9]*)?"
                     r"(?:[+-]+|[+-][0-9]+)?(:[0-9]+)?\]")  # fmt: skip
LETTERS = frozenset("BCNOPSFIbcnops*") | {"Cl", "Br"}


def why_not_smiles(smiles: str) -> str:
    """What is wrong with a SMILES that rdkit refused; places count from 1."""
    if not smiles.strip():
        return "it is empty"
    if ">" in smiles:
        return "it is a reaction, not a molecule"
    if " " in smiles.strip():
        return f"a space parts it at character {smiles.index(' ') + 1}"
    if found := _syntax(smiles):
        return found
    capture = getattr(rdBase, "CaptureErrorLog", rdBase.BlockLogs)  # older ones can only be silenced
    with capture() as log:
        mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is not None:
        return _chemistry(mol)
    messages = getattr(log, "messages", "")
    told = re.search(r"SMILES Parse Error: (.+?)(?: while parsing| for input|$)", messages, re.MULTILINE)
    place = re.search(r"around position (\d+)", messages)
    words = f"rdkit finds: {told[1]}" if told else "rdkit cannot read it"
    return f"{words}, around character {place[1]}" if place else words


def _syntax(smiles: str) -> str:
    """The first slip of spelling, or ""."""
    opened: list[int] = []
    rings: dict[str, int] = {}
    place, before = 1, ""
    for token in split(smiles):
        if token.startswith("["):
            found = _bracket(token, place)
            if found:
                return found
        elif token == "(":
            opened.append(place)
        elif token == ")":
            if not opened:
                return f"the parenthesis at character {place} closes none"
            opened.pop()
        elif RING.fullmatch(token):
            number = token.lstrip("%")
            rings.pop(number) if number in rings else rings.setdefault(number, place)
        elif token in BONDS:
            if before in BONDS:
                return f"two bonds follow each other at character {place}"
        elif token not in LETTERS | {"."}:
            return f"{token!r} at character {place} is no atom, bond or ring"
        place, before = place + len(token), token
    if opened:
        return f"the parenthesis opened at character {opened[-1]} is never closed"
    if rings:
        number, start = next(iter(rings.items()))
        return f"the ring {number} opened at character {start} is never closed"
    return "it ends with a bond" if before in BONDS else ""


def _bracket(token: str, place: int) -> str:
    if not token.endswith("]"):
        return f"the bracket opened at character {place} is never closed"
    match = BRACKET.fullmatch(token)
    if not match:
        return f"{token} at character {place} is no atom"
    return "" if _is_element(match[1]) else f"{token} at character {place}: there is no element {match[1]}"


def _is_element(symbol: str) -> bool:
    if symbol == "*":
        return True
    try:
        with rdBase.BlockLogs():
            return Chem.GetPeriodicTable().GetAtomicNumber(symbol.capitalize()) > 0
    except RuntimeError:
        return False


def _chemistry(mol: Any) -> str:
    """The first problem of a molecule that is spelt well."""
    with rdBase.BlockLogs():
        problems = Chem.DetectChemistryProblems(mol)
    if not problems:
        return "rdkit cannot make sense of it" if mol.GetNumAtoms() else "it has no atoms"
    first = problems[0]
    if first.GetType() == "AtomValenceException":
        atom = mol.GetAtomWithIdx(first.GetAtomIdx())
        bonds = re.search(r", (\d+), is greater", first.Message())
        count = bonds[1] if bonds else "too many"
        return f"atom {atom.GetIdx() + 1}, {atom.GetSymbol()}, has {count} bonds, which is more than it can have"
    if first.GetType() in ("KekulizeException", "AtomKekulizeException"):
        numbers = [str(int(number) + 1) for number in re.findall(r"\d+", first.Message())]
        told = " ".join(numbers[:8]) + (" …" if len(numbers) > 8 else "")
        return f"no single and double bonds can be found for its aromatic atoms ({told or 'all'})"
    return first.Message()


# -- SDF --------------------------------------------------------------------------------------------------------------


def why_not_block(block: str) -> str:
    """What is wrong with the block of an SDF that rdkit refused; lines count from its first, the title."""
    lines = block.splitlines()
    if len(lines) < 4:
        return "the block ends before its fourth line, which counts atoms and bonds"
    if "V3000" in lines[3]:
        return _sanitised(block) or "rdkit cannot read this V3000 block"
    try:
        atoms, bonds = int(lines[3][:3]), int(lines[3][3:6])
    except ValueError:
        return f"line 4 of the block should count atoms and bonds, but reads {lines[3].strip()[:40]!r}"
    if not atoms:
        return "it has no atoms"
    for number in range(4, 4 + atoms):
        line = lines[number] if number < len(lines) else ""
        if "." not in line or line.startswith(("M  ", ">")):  # no coordinates: the atoms are over
            return f"{atoms} atoms are announced, but the block holds {number - 4}"
        if found := _atom_line(line):
            return f"line {number + 1} of the block: {found}"
    for number in range(4 + atoms, 4 + atoms + bonds):
        line = lines[number] if number < len(lines) else ""
        if not line.strip() or line.startswith(("M  ", ">")):
            return f"{bonds} bonds are announced, but the block holds {number - 4 - atoms}"
        ends = [line[:3].strip(), line[3:6].strip()]
        if not all(end.isdigit() and 0 < int(end) <= atoms for end in ends):
            joined = " and ".join(map(repr, ends))
            return f"line {number + 1} of the block: the bond joins {joined}, but there are atoms 1 to {atoms}"
    if not any(line.startswith("M  END") for line in lines):
        return 'its line "M  END" is missing: the block is cut short'
    return _sanitised(block) or "rdkit cannot read this block"


def _atom_line(line: str) -> str:
    try:
        _ = [float(line[start : start + 10]) for start in (0, 10, 20)]
    except ValueError:
        return f"three coordinates are expected, but it reads {line.strip()[:40]!r}"
    symbol = line[31:34].strip()
    lists = ("A", "Q", "*", "L", "LP", "R", "R#", "X", "M", "D", "T")
    return "" if symbol in lists or _is_element(symbol) else f"there is no element {symbol!r}"


def _sanitised(block: str) -> str:
    with rdBase.BlockLogs():
        mol = Chem.MolFromMolBlock(block, sanitize=False)
    return "" if mol is None else _chemistry(mol)
