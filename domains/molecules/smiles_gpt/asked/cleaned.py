"""What a person asks with, made like the training molecules: without what these were freed of, and without stereo where
the model has no tokens for it. What was taken off is told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ...chem import Chem
from ...smiles import FRAGMENTS, ISOTOPES, MAPS, parse, unlabelled
from ...tokenizer import SmilesTokenizer

CENTRES, DOUBLE_BONDS = "the stereo of its centres (@)", "the stereo of its double bonds (/ and \\)"
TAKEN = {FRAGMENTS: "all fragments but the largest", ISOTOPES: "its isotope labels", MAPS: "its atom numbers"}
"""What was taken off, in words that follow "without"."""
SYMBOL = re.compile(r"[A-Z][a-z]?|[a-z]+")


def without_labels(mol: Any) -> tuple[Any, list[str]]:
    """The molecule without isotopes and atom numbers, and in words what there was of them; of attachment points (*),
    where both are mere names, nothing is said."""
    plain, taken = unlabelled(mol)
    return _again(plain) if taken else plain, [TAKEN[kind] for kind in taken]


def without_stereo(mol: Any, tokenizer: SmilesTokenizer) -> tuple[Any, list[str]]:
    """The molecule without the stereo that the tokenizer has no tokens for, and in words what there was of it."""
    strange = tokenizer.strange(Chem.MolToSmiles(mol))
    centres, bonds = any("@" in token for token in strange), any({"/", "\\"} & set(token) for token in strange)
    if not centres and not bonds:
        return mol, []
    flat = Chem.Mol(mol)
    for atom in flat.GetAtoms() if centres else ():
        atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    for bond in flat.GetBonds() if bonds else ():
        bond.SetStereo(Chem.BondStereo.STEREONONE)
        bond.SetBondDir(Chem.BondDir.NONE)
    return _again(flat), [CENTRES] * centres + [DOUBLE_BONDS] * bonds


def _again(mol: Any) -> Any:
    """As rdkit reads what it writes: hydrogens counted anew, centres that are none any more gone."""
    found = parse(Chem.MolToSmiles(mol))
    return mol if found is None else found


def notice(option: str, smiles: str, taken: Iterable[str]) -> list[str]:
    """A sentence on what was taken off, if anything."""
    words = [*taken]
    *most, last = words or [""]
    listed = f"{', '.join(most)} and {last}" if most else last
    return [f"{option} is taken without {listed}, as the model learnt: {smiles}."] if words else []


def unknown(text: str, smiles: str, tokenizer: SmilesTokenizer) -> str:
    """What of the text that a person wrote the tokenizer does not know, in words; "" where it knows all of `smiles`,
    which is what the text was read as."""
    strange = [token for token in tokenizer.strange(smiles) if token != "*"]
    if not strange:
        return ""
    symbols = {_symbol(token) for token in strange}
    typed = [token for token in tokenizer.strange(text) if token != "*" and _symbol(token) in symbols]
    return ", ".join(typed) if typed else f"{', '.join(strange)} (it is read as {smiles})"


def _symbol(token: str) -> str:
    found = SYMBOL.search(token)
    return found[0].lower() if found else token
