"""Molecules around a scaffold: the model goes on at its attachment points (*), one after the other, and nowhere else.

    c1ccc(*)cc1*   ->  c1ccccc1       the spelling that ends at the first point, and what the model writes behind it
                   ->  CC(=O)Nc1ccccc1  spelt anew so that it ends at the second point, and so on

PromptSMILES (Thomas et al. 2024, doi 10.1186/s13321-024-00866-5), which needs no training. Of the spellings those that
the model finds likely are taken. What comes out is checked against the scaffold as a pattern in which every atom but
the points has the neighbours it has; the rest is left out and counted. Where properties are asked for, each point is
told all of them: the first ones tend to take more than their share.

B molecules drawn together, P conditions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .....core.errors import UserError
from .....core.sampling import Sampling
from ...chem import Chem, rdBase
from ...smiles import parse, why_not
from ...tokenizer import SmilesTokenizer
from ..model import SmilesGPT
from ..sampling import Drawn, go_on
from .spelling import Prompt, likelihoods, prompts

WAYS, FEWER = 60, 3
"""Spellings that are looked at of a scaffold, and of a molecule that has grown at some of its points already."""
WORSE = 6.0
"""Drawn from are those that are no more than so many nats less likely than the best; behind others the model loses
track of the rings more often."""
REASONS = {
    "has no end": "it did not end within the length of the model",
    "parenthesis": "a parenthesis without its other half",
    "ring": "a ring that is never closed",
    "more than it can have": "an atom with more bonds than it can have",
    "aromatic": "aromatic atoms without single and double bonds",
}
"""Of what is no molecule, the kind of the reason."""


@dataclass(frozen=True, kw_only=True)
class Scaffold:
    """A scaffold as a person wrote it (`text`) and canonical, its points a plain * (`smiles`). `closed` has hydrogen at
    every point, `points` are its (atom, bond) that grow, `pattern` is what a grown molecule has to hold."""

    text: str
    smiles: str
    closed: Any
    points: tuple[tuple[int, Any], ...]
    pattern: Any

    @classmethod
    def read(cls, text: str) -> Scaffold:
        """A SMILES with attachment points, such as c1ccc(*)cc1 or [*:1]N1CCN([*:2])CC1.

        Raises UserError for what is none, has no point, or points that nothing can grow at."""
        mol = parse(text)
        if mol is None:
            raise UserError(f"--scaffold {text} is no molecule: {why_not(text)}.", "Such as 'c1ccc(*)cc1'.")
        dummies = [atom for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0]
        if len(Chem.GetMolFrags(mol)) > 1:
            raise UserError(f"--scaffold {text} is in several pieces; it has to be one.", "Leave out the dot.")
        if not dummies:
            raise UserError(f"--scaffold {text} has no attachment point.", _suggestion(mol))
        if len(dummies) == mol.GetNumAtoms():
            raise UserError(f"--scaffold {text} holds nothing but attachment points.", "Such as 'c1ccc(*)cc1'.")
        for atom in dummies:
            atom.SetIsotope(0)
            atom.SetAtomMapNum(0)
            if atom.GetDegree() != 1 or atom.GetNeighbors()[0].GetAtomicNum() == 0:
                raise UserError(
                    f"--scaffold {text}: an attachment point (*) is bonded to one atom of the scaffold, not as here.",
                    "Put it at the end of a bond, as in 'c1ccc(*)cc1'.",
                )
        closed, points = _closed(mol, [atom.GetIdx() for atom in dummies])
        return cls(text=text, smiles=Chem.MolToSmiles(mol), closed=closed, points=points, pattern=_pattern(mol))

    def fits(self, tokenizer: SmilesTokenizer, length: int) -> None:
        """UserError where the model has no words or no room (`length` tokens, begin and end among them) for it."""
        if tokenizer.notation != "smiles":
            raise UserError("--scaffold needs a model that writes SMILES; this one writes SELFIES.")
        if strange := [token for token in tokenizer.strange(self.smiles) if token != "*"]:
            raise UserError(
                f"--scaffold {self.text} holds {', '.join(strange)}, which this model does not know.",
                "Finetune one on molecules that have it.",
            )
        first = prompts(opened(self.closed, *self.points[0]), tokenizer, most=WAYS, seed=0)
        if not first:
            raise UserError(
                f"--scaffold {self.text} cannot be written with the model's tokens so that it ends at a point."
            )
        shortest = min(len(one.ids) for one in first)
        if shortest + 1 + len(self.points) > length:
            raise UserError(
                f"--scaffold {self.text} takes {shortest - 1} tokens, and this model's molecules have {length - 2} at "
                "most: nothing can grow.",
                "Take a smaller part of it.",
            )

    @property
    def smarts(self) -> str:
        """The pattern in words."""
        return Chem.MolToSmarts(self.pattern)

    def holds(self, mol: Any) -> bool:
        """Whether the molecule is this scaffold with something at each of its points and nowhere else."""
        return mol.HasSubstructMatch(self.pattern, useChirality=True)


def _suggestion(mol: Any) -> str:
    """What to do about a scaffold without a point: the same one with a point at a free atom."""
    free = [atom for atom in mol.GetAtoms() if atom.GetTotalNumHs()]
    if not free:
        return "None of its atoms has room for one."
    best = max(free, key=lambda atom: (atom.GetIsAromatic() and atom.GetAtomicNum() == 6, atom.GetAtomicNum() == 6))
    return (
        f"Put a * where it is to grow, such as '{Chem.MolToSmiles(opened(mol, best.GetIdx(), Chem.BondType.SINGLE))}'."
    )


def _closed(mol: Any, dummies: Sequence[int]) -> tuple[Any, tuple[tuple[int, Any], ...]]:
    """The molecule with hydrogen in place of its dummies, and where they were."""
    editable, points = Chem.RWMol(mol), []
    for dummy in dummies:
        bond = mol.GetAtomWithIdx(dummy).GetBonds()[0]
        place = bond.GetOtherAtomIdx(dummy)
        atom = editable.GetAtomWithIdx(place)
        if atom.GetNoImplicit() or (atom.GetIsAromatic() and atom.GetAtomicNum() != 6):
            atom.SetNumExplicitHs(atom.GetNumExplicitHs() + int(bond.GetBondTypeAsDouble()))
        points.append((place - sum(other < place for other in dummies), bond.GetBondType()))
    for dummy in sorted(dummies, reverse=True):
        editable.RemoveAtom(dummy)
    closed = editable.GetMol()
    with rdBase.BlockLogs():
        Chem.SanitizeMol(closed)
    return closed, tuple(points)


def opened(mol: Any, place: int, bond: Any) -> Any:
    """The molecule with a dummy in place of hydrogen at one atom, as its last atom."""
    editable = Chem.RWMol(mol)
    dummy = editable.AddAtom(Chem.Atom(0))
    editable.AddBond(place, dummy, bond)
    atom = editable.GetAtomWithIdx(place)
    if atom.GetNumExplicitHs():
        order = int(editable.GetBondBetweenAtoms(place, dummy).GetBondTypeAsDouble())
        atom.SetNumExplicitHs(max(atom.GetNumExplicitHs() - order, 0))
    grown = editable.GetMol()
    with rdBase.BlockLogs():
        Chem.SanitizeMol(grown)
    return grown


def _pattern(mol: Any) -> Any:
    """The scaffold as a query: dummies stand for any atom, all others have exactly the neighbours they have here."""
    how = Chem.AdjustQueryParameters.NoAdjustments()
    how.makeDummiesQueries = how.adjustDegree = True
    how.adjustDegreeFlags = Chem.ADJUST_IGNOREDUMMIES
    return Chem.AdjustQueryProperties(mol, how)


# -- growing ----------------------------------------------------------------------------------------------------------


@dataclass
class Growing:
    """A molecule that grows: `mol` so far, the `points` that are left, what was `drawn`, and why it is given up."""

    mol: Any
    points: list[tuple[int, Any]]
    drawn: Drawn | None = None
    nats: float = field(default=0.0)
    reason: str = ""


def grow(
    network: SmilesGPT, tokenizer: SmilesTokenizer, scaffold: Scaffold, told: Tensor, sampling: Sampling, *,
    guidance: float = 1.0,
) -> list[Growing]:  # fmt: skip
    """One molecule around the scaffold for each row of conditions told [B, P], with a `reason` where it is none.

    The order of the points, and the spelling, are drawn by the sampling's seed."""
    seed = sampling.seed or 0
    random = np.random.default_rng(seed)
    orders = [random.permutation(len(scaffold.points)) for _ in told]
    rows = [Growing(scaffold.closed, [scaffold.points[one] for one in order]) for order in orders]
    starts = can_start(tokenizer)
    for step in range(len(scaffold.points)):
        alive = [number for number, row in enumerate(rows) if not row.reason]
        spelt = _spelt(network, tokenizer, [rows[number] for number in alive], starts, random)
        begun = [(number, prompt) for number, prompt in zip(alive, spelt, strict=True) if not rows[number].reason]
        if not begun:
            break
        numbers, chosen = zip(*begun, strict=True)
        once = Sampling(**{**vars(sampling), "seed": seed + 7919 * step})
        written = go_on(
            network, told[list(numbers)], [one.ids for one in chosen], once, guidance=guidance, first=starts
        )
        for number, prompt, drawn in zip(numbers, chosen, written, strict=True):
            _take(rows[number], prompt, drawn, tokenizer)
    for row in rows:
        if not row.reason:
            row.reason = _objection(row, scaffold)
    return rows


def can_start(tokenizer: SmilesTokenizer) -> Tensor:
    """Which tokens [V] bool may stand behind an attachment point: atoms, and the bonds that are single."""
    special = {"<pad>", "<begin>", "<end>", "<unknown>", "[H]"}
    return torch.tensor([one not in special and (one in "-/\\" or one[0].isalpha() or one[0] == "[")
                         for one in tokenizer.tokens])  # fmt: skip


def _spelt(
    network: SmilesGPT, tokenizer: SmilesTokenizer, rows: Sequence[Growing], starts: Tensor, random: np.random.Generator
) -> list[Prompt | None]:
    """A likely spelling of each molecule that ends at its next point; molecules alike share them."""
    ways: dict[tuple[int, int], list[Prompt]] = {}
    for row in rows:
        key = (id(row.mol), row.points[0][0])
        if key not in ways:
            most = WAYS if row.drawn is None else FEWER
            seed = int(random.integers(2**20))
            ways[key] = prompts(opened(row.mol, *row.points[0]), tokenizer, most=most, seed=seed)
    every = [(key, one) for key, found in ways.items() for one in found if len(one.ids) + 2 <= network.config.length]
    scores = likelihoods(network, [one.ids for _, one in every], starts).tolist() if every else []
    ranked: dict[tuple[int, int], list[tuple[float, Prompt]]] = {}
    for (key, one), score in zip(every, scores, strict=True):
        ranked.setdefault(key, []).append((score, one))
    chosen: list[Prompt | None] = []
    for row in rows:
        found = ranked.get((id(row.mol), row.points[0][0]), [])
        if not found:
            row.reason = "no room was left for its next attachment point"
        best = [one for score, one in found if score >= max(found, key=lambda pair: pair[0])[0] - WORSE]
        chosen.append(best[random.integers(len(best))] if best else None)
    return chosen


def _take(row: Growing, prompt: Prompt, drawn: Drawn, tokenizer: SmilesTokenizer) -> None:
    """What was written at a point becomes part of the molecule."""
    text = tokenizer.decode(drawn.ids)
    mol = parse(text) if drawn.ended else None
    if mol is None:
        row.reason = _kind(why_not(text) if drawn.ended else "has no end")
        return
    row.mol, row.drawn, row.nats = mol, drawn, row.nats + drawn.nats
    row.points = [(prompt.places[place], bond) for place, bond in row.points[1:]]
    if any(not mol.GetAtomWithIdx(place).GetTotalNumHs() for place, _ in row.points):
        row.reason = "it grew over the next attachment point"


def _kind(reason: str) -> str:
    return next((kind for word, kind in REASONS.items() if word in reason), "no molecule")


def _objection(row: Growing, scaffold: Scaffold) -> str:
    if len(Chem.GetMolFrags(row.mol)) > 1:
        return "it is in several pieces"
    return "" if scaffold.holds(row.mol) else "it grew elsewhere than at the attachment points"
