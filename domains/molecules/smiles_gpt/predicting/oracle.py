"""A predictor as a score: what an optimisation can be pointed at.

N molecules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from .....core import registry
from .....core.errors import UserError, near
from ..given import from_smiles
from ..options import RunOptions
from .task import predictors


def oracle(checkpoint: str, target: str = "", *, spellings: int = 4) -> Callable[[Sequence[str]], np.ndarray]:
    """What a predictor's checkpoint says of molecules, as a function of a list of SMILES that gives [N] float64 in the
    target's unit, nan for what is no molecule or too long for it. target: which one, of several; "": the first.

    UserError for a checkpoint that is none or does not predict `target`.

    >>> oracle("runs/molecules.smiles_gpt-1/best")(["CCO"]).shape  # doctest: +SKIP
    (1,)
    """
    task = predictors(registry.card("molecules.smiles_gpt")).load(checkpoint)
    names = [one.name for one in task.targets]
    if target and target not in names:
        raise UserError(f"{checkpoint} does not predict {target!r}.", near(target, names))
    options = RunOptions(spellings=spellings, batch=64)

    def score(smiles: Sequence[str]) -> np.ndarray:
        rows = [replace(from_smiles(one), id=f"{row}") for row, one in enumerate(smiles)]
        values = np.full(len(rows), np.nan)
        for one in task.infer(rows, options, failures=[]):
            values[int(one.id)] = one.values[target or names[0]]
        return values

    return score
