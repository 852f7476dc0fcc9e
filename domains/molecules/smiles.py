"""One molecule: read, made canonical, freed of salts and labels; and why not, where it cannot be read.

SMILES: Weininger 1988 (doi 10.1021/ci00057a005); InChIKey: Heller et al. 2015 (doi 10.1186/s13321-015-0068-4).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .chem import Chem, rdBase
from .reasons import why_not_block, why_not_smiles

FRAGMENTS, ISOTOPES, MAPS = "fragments", "isotopes", "atom numbers"
"""What `clean` may have taken off a molecule."""
HYDROGEN = "it holds nothing but hydrogen"


class Cleaned(NamedTuple):
    """A molecule that can be learnt from, `taken` of which names what was taken off; or none, for `reason`."""

    smiles: str = ""
    key: str = ""
    taken: tuple[str, ...] = ()
    reason: str = ""


def parse(smiles: str) -> Any | None:
    """The rdkit molecule, without a word on stderr; None where rdkit cannot read it, or it has no atoms but hydrogen.

    What rdkit would take for a name and leave unread (after a space, beyond ASCII) is no SMILES either."""
    if not smiles.isascii() or len(smiles.split()) != 1:
        return None
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    return mol if mol is not None and not _only_hydrogen(mol) else None


def _only_hydrogen(mol: Any) -> bool:
    """Whether there is nothing else, or nothing at all; a dummy atom is something."""
    return all(atom.GetAtomicNum() == 1 for atom in mol.GetAtoms())


def canonical(smiles: str, *, keep_stereo: bool = True) -> str | None:
    """rdkit's canonical SMILES, the same for every way to write a molecule; None for what is none."""
    mol = parse(smiles)
    if mol is None:
        return None
    if not keep_stereo:
        Chem.RemoveStereochemistry(mol)
    return Chem.MolToSmiles(mol)


def why_not(smiles: str) -> str:
    """In words why `smiles` is no molecule: where it is wrong, and what; "" where nothing is."""
    if parse(smiles) is not None:
        return ""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles) if smiles.isascii() and len(smiles.split()) == 1 else None
    return HYDROGEN if mol is not None and mol.GetNumAtoms() else why_not_smiles(smiles)


def randomised(smiles: str, seed: int) -> str:
    """The same molecule written from another atom and another way round (Arus-Pous et al. 2019, doi
    10.1186/s13321-019-0393-0), the same for the same seed; `smiles` itself where rdkit cannot read it."""
    mol = parse(smiles)
    return smiles if mol is None else Chem.MolToRandomSmilesVect(mol, 1, randomSeed=seed % (2**31 - 1) + 1)[0]


def inchikey(mol: Any) -> str:
    """The 27 letters that name a molecule whatever it was drawn like, most tautomers alike; "" where InChI gives none
    (dummy atoms, polymers)."""
    with rdBase.BlockLogs():
        return Chem.MolToInchiKey(mol) or ""


def strip_salts(mol: Any) -> Any:
    """The largest fragment that holds carbon (the largest of all where none does), without the charges that its
    counter-ions made up for; a molecule of one fragment as it is."""
    fragments = Chem.GetMolFrags(mol, asMols=True)
    if len(fragments) < 2:
        return mol
    largest = max(fragments, key=_rank)
    if Chem.GetFormalCharge(largest):
        from rdkit.Chem.MolStandardize import rdMolStandardize

        with rdBase.BlockLogs():
            largest = rdMolStandardize.Uncharger().uncharge(largest)
    return largest


def _rank(mol: Any) -> tuple[bool, int, float, str]:
    """Ordered by what is kept: carbon, heavy atoms, weight; last its SMILES, not its place in the file."""
    weight = sum(atom.GetMass() for atom in mol.GetAtoms())
    return _has_carbon(mol), mol.GetNumHeavyAtoms(), round(weight, 3), Chem.MolToSmiles(mol)


def _has_carbon(mol: Any) -> bool:
    return any(atom.GetAtomicNum() == 6 for atom in mol.GetAtoms())


def unlabelled(mol: Any) -> tuple[Any, list[str]]:
    """A copy without isotope labels and atom numbers, and which of ISOTOPES and MAPS there were; of dummy atoms (*),
    where both are mere names, nothing is said."""
    mol, taken = Chem.Mol(mol), set()
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum():
            taken |= {ISOTOPES} if atom.GetIsotope() else set()
            taken |= {MAPS} if atom.GetAtomMapNum() else set()
        atom.SetIsotope(0)
        atom.SetAtomMapNum(0)
    return mol, [kind for kind in (ISOTOPES, MAPS) if kind in taken]


def clean(mol: Any, *, keep_stereo: bool = True) -> Cleaned:
    """What is learnt from: one fragment, no isotope labels, no atom numbers, canonical, with its InChIKey.

    Refused are molecules with dummy atoms (*), those without any heavy atom, and whatever rdkit cannot read back.
    """
    taken = []
    if any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms()):
        return Cleaned(reason="it holds a dummy atom (*), which may stand for anything")
    if len(Chem.GetMolFrags(mol)) > 1:
        mol = strip_salts(mol)
        if not _has_carbon(mol):
            return Cleaned(reason="it is of several fragments, none of which holds carbon")
        taken.append(FRAGMENTS)
    mol, labels = unlabelled(mol)
    taken += labels
    if not keep_stereo:
        Chem.RemoveStereochemistry(mol)
    with rdBase.BlockLogs():
        again = parse(Chem.MolToSmiles(Chem.RemoveHs(mol)))  # labels gone, centres may be none any more
    if again is None:
        return Cleaned(reason="rdkit cannot read back what it writes of it")
    if not again.GetNumHeavyAtoms():
        return Cleaned(reason=HYDROGEN)
    written = Chem.MolToSmiles(again)
    return Cleaned(written, inchikey(again) or written, tuple(taken))


def clean_smiles(smiles: str, *, keep_stereo: bool = True) -> Cleaned:
    """`clean` for a string; `reason` says in words why it cannot be read."""
    mol = parse(smiles)
    return clean(mol, keep_stereo=keep_stereo) if mol is not None else Cleaned(reason=why_not(smiles))


def clean_block(block: str, *, keep_stereo: bool = True) -> Cleaned:
    """`clean` for the molecule of an SDF (its lines down to "M  END"), stereo centres by its wedges or coordinates."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromMolBlock(block)
    if mol is None or not mol.GetNumAtoms():
        return Cleaned(reason=why_not_block(block))
    return clean(mol, keep_stereo=keep_stereo)
