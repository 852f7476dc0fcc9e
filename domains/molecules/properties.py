"""Computed properties of molecules: of a drawn structure, not measured, and neither activity nor safety.

N molecules, P properties.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import UserError, near
from ...core.sources import Progress
from ...core.sources.derived import derived
from ...core.sources.digest import listener
from .parallel import spread

if TYPE_CHECKING:
    from ...core.task import Split

VERSION = 1
CAVEAT = "Computed properties only: not activity, not safety."


@dataclass(frozen=True, kw_only=True)
class Property:
    """One computed property: its `label` and `unit` for people, the range of drug-like molecules `low` to `high`, the
    least and most it can be, and the `digits` worth showing."""

    name: str
    label: str
    words: str
    unit: str = ""
    low: float
    high: float
    least: float = float("-inf")
    most: float = float("inf")
    digits: int = 2

    def text(self, value: float) -> str:
        """The value for people: "logP 2.31", "weight 305.4 g/mol"."""
        shown = "?" if value != value else f"{value:.{self.digits}f}"  # noqa: PLR0124
        return f"{self.label} {shown}{' ' * bool(self.unit)}{self.unit}"


PROPERTIES = {
    item.name: item
    for item in (
        Property(
            name="logp", label="logP", low=-1, high=5,
            words="how much better it dissolves in octanol than in water, log 10, by Crippen's atom contributions "
            "(Wildman and Crippen 1999); drugs mostly -1 to 5",
        ),
        Property(
            name="qed", label="QED", low=0.3, high=0.95, least=0, most=1,
            words="how much its properties are like those of oral drugs, 0 to 1 (Bickerton et al. 2012)",
        ),
        Property(
            name="sa", label="SA", low=1.5, high=5, least=1, most=10,
            words="how hard it looks to make, 1 easy to 10 hard (Ertl and Schuffenhauer 2009)",
        ),
        Property(
            name="tpsa", label="TPSA", unit="Å²", low=20, high=140, least=0, digits=1,
            words="the polar part of its surface, in square ångström (Ertl et al. 2000); above 140 it hardly passes "
            "membranes",
        ),
        Property(
            name="weight", label="weight", unit="g/mol", low=150, high=500, least=1, digits=1,
            words="its molar mass with natural isotopes, in grams per mole; drugs mostly below 500",
        ),
    )
}  # fmt: skip


def known(names: Sequence[str]) -> tuple[str, ...]:
    """The names, lower case and once each; UserError for one that is not computed."""
    asked = tuple(dict.fromkeys(name.strip().lower() for name in names))
    for name in asked:
        if name not in PROPERTIES:
            raise UserError(f"There is no computed property {name!r}.", near(name, PROPERTIES))
    return asked


def properties(
    smiles: Sequence[str], names: Sequence[str] = tuple(PROPERTIES), *, workers: int = 1,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:  # fmt: skip
    """Properties [N, P] float64, nan where a string is no molecule. workers: processes, 0: one for each core (no
    process is started for less than some thousand molecules); `tick` hears how many of them are done.

    About 1.4 ms a molecule for all five, of which QED takes 0.9. UserError for a name that is not known."""
    asked = known(names)
    rows: list[np.ndarray] = [np.empty((0, len(asked)))]
    done = 0
    for part in spread(partial(_measure, names=asked), smiles, workers=workers):
        rows.append(part)
        done += len(part)
        tick(done, len(smiles))
    return np.concatenate(rows)


def measured(
    part: Split, names: Sequence[str] = tuple(PROPERTIES), *, most: int | None = None, workers: int = 0,
    progress: Progress | None = None,
) -> np.ndarray:  # fmt: skip
    """Properties [N, P] of the first `most` molecules of a part (they are shuffled; None: all): out of the cache, else
    computed now and kept."""
    asked = known(names)
    examples: Any = part.examples
    smiles = examples.smiles.all() if hasattr(examples, "smiles") else [one.smiles for one in examples]
    smiles = smiles[:most]
    content = hashlib.sha256("\n".join(smiles).encode()).hexdigest()
    key = hashlib.sha256(json.dumps([VERSION, content, asked]).encode()).hexdigest()
    report = listener(progress)

    def produce(folder: Path) -> None:
        found = properties(
            smiles, asked, workers=workers, tick=lambda done, total: report(done, total, f"properties of {part.name}")
        )
        np.save(folder / "values.npy", found)

    return np.load(derived("molecule-properties", key, produce, progress) / "values.npy")


def _measure(smiles: Sequence[str], *, names: Sequence[str]) -> np.ndarray:
    """Properties of a chunk; runs in a worker."""
    from .smiles import parse

    measures = [_measures()[name] for name in names]
    values = np.full((len(smiles), len(names)), np.nan)
    for row, one in enumerate(smiles):
        mol = parse(one)
        if mol is not None:
            values[row] = [_value(measure, mol) for measure in measures]
    return values


def _value(measure: Callable[[Any], float], mol: Any) -> float:
    try:
        return float(measure(mol))
    except (RuntimeError, ValueError, ArithmeticError):  # rdkit cannot: an element without parameters
        return float("nan")


def _measures() -> dict[str, Callable[[Any], float]]:
    from rdkit.Chem import QED, Crippen, Descriptors, rdMolDescriptors

    from .sascore import sa_score

    return {
        "logp": Crippen.MolLogP,  # type: ignore[attr-defined]
        "qed": QED.qed,
        "sa": sa_score,
        "tpsa": rdMolDescriptors.CalcTPSA,
        "weight": Descriptors.MolWt,  # type: ignore[attr-defined]
    }
