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

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
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
from .cleaned import notice, unknown, without_labels, without_stereo
from .closing import closing
from .spelling import Prompt, likelihoods, plain, prompts

WAYS, FEWER = 60, 3
"""Spellings that are looked at of a scaffold, and of a molecule that has grown at some of its points already."""
WORSE = 6.0
"""Drawn from are those that are no more than so many nats less likely than the best; behind others the model loses
track of the rings more often."""
AGAIN = 4
"""Times that something is drawn at a point, while it does not become part of a molecule; without it, a few bad draws in
a hundred at each of many points leave next to no molecule."""
SHARE = 4
"""Nothing may take more at a point than so many times an equal share of the tokens that are left."""
UNREADABLE = "SMILES that rdkit cannot read as a molecule"
REASONS = {
    "has no end": "it did not end within the room there was",
    "parenthesis": "a parenthesis without its other half",
    "ring": "a ring that is never closed",
    "more than it can have": "an atom with more bonds than it can have",
    "aromatic": "aromatic atoms without single and double bonds",
}
"""Of what is no molecule, the kind of the reason."""


@dataclass(frozen=True, kw_only=True)
class Scaffold:
    """A scaffold as a person wrote it (`text`) and canonical, its points a plain * (`smiles`). `closed` has hydrogen at
    every point, `points` are its (atom, bond) that grow, `pattern` is what a grown molecule has to hold. `notices` tell
    what was taken off what the person wrote."""

    text: str
    smiles: str
    closed: Any
    points: tuple[tuple[int, Any], ...]
    pattern: Any
    notices: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str, tokenizer: SmilesTokenizer | None = None) -> Scaffold:
        """A SMILES with attachment points, such as c1ccc(*)cc1 or [*:1]N1CCN([*:2])CC1; without isotopes and atom
        numbers, and without the stereo that the tokenizer does not know.

        Raises UserError for what is none, has no point, or points that nothing can grow at."""
        mol = parse(text)
        if mol is None:
            raise UserError(f"--scaffold {text} is no molecule: {why_not(text)}.", "Such as 'c1ccc(*)cc1'.")
        mol, taken = without_labels(mol)
        if tokenizer is not None and tokenizer.notation == "smiles":
            mol, stereo = without_stereo(mol, tokenizer)
            taken += stereo
        dummies = [atom for atom in mol.GetAtoms() if atom.GetAtomicNum() == 0]
        if len(Chem.GetMolFrags(mol)) > 1:
            raise UserError(f"--scaffold {text} is in several pieces; it has to be one.", "Leave out the dot.")
        if not dummies:
            raise UserError(f"--scaffold {text} has no attachment point.", _suggestion(mol))
        if len(dummies) == mol.GetNumAtoms():
            raise UserError(f"--scaffold {text} holds nothing but attachment points.", "Such as 'c1ccc(*)cc1'.")
        for atom in dummies:
            if atom.GetDegree() != 1 or atom.GetNeighbors()[0].GetAtomicNum() == 0:
                raise UserError(
                    f"--scaffold {text}: an attachment point (*) is bonded to one atom of the scaffold, not as here.",
                    "Put it at the end of a bond, as in 'c1ccc(*)cc1'.",
                )
        closed, points = _closed(mol, [atom.GetIdx() for atom in dummies])
        smiles = Chem.MolToSmiles(mol)
        notices = tuple(notice("--scaffold", smiles, taken))
        return cls(text=text, smiles=smiles, closed=closed, points=points, pattern=_pattern(mol), notices=notices)

    def fits(self, tokenizer: SmilesTokenizer, length: int) -> None:
        """UserError where the model has no words or no room (`length` tokens, begin and end among them) for it."""
        if tokenizer.notation != "smiles":
            raise UserError("--scaffold needs a model that writes SMILES; this one writes SELFIES.")
        if strange := unknown(self.text, plain(self.smiles, tokenizer), tokenizer):
            raise UserError(
                f"--scaffold {self.text} holds {strange}, which this model does not know.",
                "Finetune one on molecules that have it.",
            )
        first = prompts(opened(self.closed, *self.points[0]), tokenizer, most=WAYS, seed=0)
        if not first:
            raise UserError(
                f"--scaffold {self.text} cannot be written with the model's tokens so that it ends at a point.",
                "Put the points at other atoms, take a smaller scaffold with fewer of them, or finetune a model on "
                "molecules that hold it.",
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
    editable, points, hydrogens = Chem.RWMol(mol), [], {}
    for dummy in dummies:
        bond = mol.GetAtomWithIdx(dummy).GetBonds()[0]
        order, old = int(bond.GetBondTypeAsDouble()), bond.GetOtherAtomIdx(dummy)
        place = old - sum(other < old for other in dummies)
        atom = editable.GetAtomWithIdx(old)
        if atom.GetNoImplicit() or (atom.GetIsAromatic() and atom.GetAtomicNum() != 6):
            atom.SetNumExplicitHs(atom.GetNumExplicitHs() + order)
        points.append((place, bond.GetBondType()))
        hydrogens[place] = hydrogens.get(place, mol.GetAtomWithIdx(old).GetTotalNumHs()) + order
    for dummy in sorted(dummies, reverse=True):
        editable.RemoveAtom(dummy)
    closed = _sanitised(editable)
    for place, count in hydrogens.items():  # S(=O)(=O) alone would be read as one with no hydrogen at all
        if closed.GetAtomWithIdx(place).GetTotalNumHs() < count:
            closed.GetAtomWithIdx(place).SetNumExplicitHs(count)
    return _sanitised(closed), tuple(points)


def opened(mol: Any, place: int, bond: Any) -> Any:
    """The molecule with a dummy in place of hydrogen at one atom, as its last atom."""
    return _opened(mol, [(place, bond)])


def _opened(mol: Any, points: Sequence[tuple[int, Any]]) -> Any:
    """As `opened`, at several atoms."""
    editable = Chem.RWMol(mol)
    for place, bond in points:
        dummy = editable.AddAtom(Chem.Atom(0))
        editable.AddBond(place, dummy, bond)
        atom = editable.GetAtomWithIdx(place)
        if atom.GetNumExplicitHs():
            order = int(editable.GetBondBetweenAtoms(place, dummy).GetBondTypeAsDouble())
            atom.SetNumExplicitHs(max(atom.GetNumExplicitHs() - order, 0))
    return _sanitised(editable)


def _sanitised(editable: Any) -> Any:
    mol = Chem.Mol(editable)
    with rdBase.BlockLogs():
        Chem.SanitizeMol(mol)
    return mol


def _pattern(mol: Any) -> Any:
    """The scaffold as a query: dummies stand for any atom, all others have exactly the neighbours they have here."""
    how = Chem.AdjustQueryParameters.NoAdjustments()
    how.makeDummiesQueries = how.adjustDegree = True
    how.adjustDegreeFlags = Chem.ADJUST_IGNOREDUMMIES
    return Chem.AdjustQueryProperties(mol, how)


# -- growing ----------------------------------------------------------------------------------------------------------


@dataclass
class Growing:
    """A molecule that grows: `mol` so far, the `points` that are left, what was `drawn` last, how often something was
    drawn anew (`redrawn`), and why it is given up."""

    mol: Any
    points: list[tuple[int, Any]]
    drawn: Drawn | None = None
    nats: float = field(default=0.0)
    redrawn: int = 0
    reason: str = ""


def grow(
    network: SmilesGPT, tokenizer: SmilesTokenizer, scaffold: Scaffold, told: Tensor, sampling: Sampling, *,
    guidance: float = 1.0,
) -> list[Growing]:  # fmt: skip
    """One molecule around the scaffold for each row of conditions told [B, P], with a `reason` where it is none even
    after AGAIN draws at one of its points.

    The order of the points, and the spelling, are drawn by the sampling's seed."""
    seed = sampling.seed or 0
    random = np.random.default_rng(seed)
    orders = [random.permutation(len(scaffold.points)) for _ in told]
    rows = [Growing(scaffold.closed, [scaffold.points[one] for one in order]) for order in orders]
    starts = can_start(tokenizer)
    for step in range(len(scaffold.points)):
        waiting, spellings = [row for row in rows if not row.reason], Spellings(network, tokenizer, starts)
        for again in range(AGAIN):
            for row in waiting:
                row.reason = ""
            begun = spellings.choose(waiting, random)
            if not begun:
                break
            numbers = [number for number, row in enumerate(rows) if id(row) in begun]
            chosen = [begun[id(rows[number])] for number in numbers]
            ids = [one.ids for one in chosen]
            left = network.config.length - min(map(len, ids))
            once = replace(
                sampling, seed=seed + 7919 * (step + again * len(scaffold.points)),
                max_new=min(sampling.max_new, max(1, SHARE * left // (len(scaffold.points) - step))),
            )  # fmt: skip
            written = go_on(
                network, told[numbers], ids, once, guidance=guidance, first=starts, made=partial(closing, tokenizer)
            )
            for number, prompt, drawn in zip(numbers, chosen, written, strict=True):
                _take(rows[number], prompt, drawn, tokenizer, scaffold)
            waiting = [rows[number] for number in numbers if rows[number].reason]
            if not waiting:
                break
            if again < AGAIN - 1:
                for row in waiting:
                    row.redrawn += 1
    return rows


def can_start(tokenizer: SmilesTokenizer) -> Tensor:
    """Which tokens [V] bool may stand behind an attachment point: atoms, and the bonds that are single."""
    special = {"<pad>", "<begin>", "<end>", "<unknown>", "[H]"}
    return torch.tensor([one not in special and (one in "-/\\" or one[0].isalpha() or one[0] == "[")
                         for one in tokenizer.tokens])  # fmt: skip


class Spellings:
    """Likely spellings of molecules that end at their next point; molecules alike share them, and so do further tries
    of one."""

    def __init__(self, network: SmilesGPT, tokenizer: SmilesTokenizer, starts: Tensor) -> None:
        self._network, self._tokenizer, self._starts = network, tokenizer, starts
        self._likely: dict[tuple[int, int], list[Prompt]] = {}

    def choose(self, rows: Sequence[Growing], random: np.random.Generator) -> dict[int, Prompt]:
        """One for each row, by the row's id; a row for which there is none has a reason."""
        new: dict[tuple[int, int], list[Prompt]] = {}
        for row in rows:
            if (key := _key(row)) not in self._likely and key not in new:
                most = WAYS if row.drawn is None else FEWER
                seed = int(random.integers(2**20))
                new[key] = prompts(opened(row.mol, *row.points[0]), self._tokenizer, most=most, seed=seed)
        self._rank(new)
        chosen: dict[int, Prompt] = {}
        for row in rows:
            best = self._likely[_key(row)]
            if best:
                chosen[id(row)] = best[random.integers(len(best))]
            else:
                row.reason = "no room was left for its next attachment point"
        return chosen

    def _rank(self, ways: Mapping[tuple[int, int], Sequence[Prompt]]) -> None:
        """Keep of each molecule the likely ones."""
        room = self._network.config.length - 2
        every = [(key, one) for key, found in ways.items() for one in found if len(one.ids) <= room]
        scores = likelihoods(self._network, [one.ids for _, one in every], self._starts).tolist() if every else []
        ranked: dict[tuple[int, int], list[tuple[float, Prompt]]] = {key: [] for key in ways}
        for (key, one), score in zip(every, scores, strict=True):
            ranked[key].append((score, one))
        for key, found in ranked.items():
            best = max((score for score, _ in found), default=0.0)
            self._likely[key] = [one for score, one in found if score >= best - WORSE]


def _key(row: Growing) -> tuple[int, int]:
    """The same for rows whose molecule is the same object and grows at the same atom. The rows keep it alive."""
    return id(row.mol), row.points[0][0]


def _take(row: Growing, prompt: Prompt, drawn: Drawn, tokenizer: SmilesTokenizer, scaffold: Scaffold) -> None:
    """What was written at a point becomes part of the molecule, or the row has a reason why it does not."""
    text = tokenizer.decode(drawn.ids)
    mol = parse(text) if drawn.ended else None
    if mol is None:
        row.reason = _kind(why_not(text) if drawn.ended else "has no end")
        return
    points = [(prompt.places[place], bond) for place, bond in row.points[1:]]
    row.reason = _objection(mol, points, scaffold)
    if not row.reason:
        row.mol, row.points, row.drawn, row.nats = mol, points, drawn, row.nats + drawn.nats


def _kind(reason: str) -> str:
    return next((kind for word, kind in REASONS.items() if word in reason), UNREADABLE)


def _objection(mol: Any, points: Sequence[tuple[int, Any]], scaffold: Scaffold) -> str:
    """Why a molecule with these points left is not on its way to one around the scaffold, "" where it is."""
    if len(Chem.GetMolFrags(mol)) > 1:
        return "it is in several pieces"
    needed = Counter(place for place, _ in points)
    if any(mol.GetAtomWithIdx(place).GetTotalNumHs() < count for place, count in needed.items()):
        return "it grew over the next attachment point"
    return "" if scaffold.holds(_opened(mol, points)) else "it grew elsewhere than at the attachment points"
