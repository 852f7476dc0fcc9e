"""The 20 goal-directed tasks of GuacaMol, version 2 (Brown et al. 2019): what optimising molecules is asked for.

    goals()["osimertinib_mpo"].score("CCO")                # how good one molecule is, 0 to 1
    goals()["osimertinib_mpo"].result(scores)              # how good all that was found is: the benchmark's number

A score compares drawn structures with a known drug's; it says nothing about activity or safety.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from .guacamol_scores import Formula, Gaussian, Number, Part, Pattern, Similar, UpTo, geometric_mean, quantity
from .smiles import parse

TOP = (1, 10, 100)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One task: the mean of its parts' scores. `top` are the numbers of best molecules that its result looks at."""

    name: str
    about: str
    parts: tuple[Part, ...]
    mean: Literal["geometric", "arithmetic"] = "geometric"
    top: tuple[int, ...] = TOP

    def score(self, smiles: str) -> float:
        """How well one molecule does, 0 to 1; 0 for what is no molecule (the reference gives it -1)."""
        mol = parse(smiles)
        if mol is None:
            return 0.0
        scores = [part.score(mol) for part in self.parts]
        return geometric_mean(scores) if self.mean == "geometric" else sum(scores) / len(scores)

    def result(self, scores: Sequence[float]) -> float:
        """The benchmark's number: the means of the best 1, 10 and 100 (`top`), averaged; of distinct molecules.

        Where there are fewer molecules, those that are missing count 0."""
        best = sorted(scores, reverse=True)
        return sum(sum(best[:count]) / count for count in self.top) / len(self.top)


@lru_cache(maxsize=1)
def goals() -> Mapping[str, Goal]:
    """The 20 tasks by name, in the order of the paper's table."""
    return {goal.name: goal for goal in (*_rediscoveries(), *_isomers_and_medians(), *_many_properties(), *_hops())}


# -- the molecules ----------------------------------------------------------------------------------------------------

CELECOXIB = "CC1=CC=C(C=C1)C1=CC(=NN1C1=CC=C(C=C1)S(N)(=O)=O)C(F)(F)F"
TROGLITAZONE = "Cc1c(C)c2OC(C)(COc3ccc(CC4SC(=O)NC4=O)cc3)CCc2c(C)c1O"
THIOTHIXENE = "CN(C)S(=O)(=O)c1ccc2Sc3ccccc3C(=CCCN4CCN(C)CC4)c2c1"
ARIPIPRAZOLE = "Clc4cccc(N3CCN(CCCCOc2ccc1c(NC(=O)CC1)c2)CC3)c4Cl"
ALBUTEROL = "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1"
MESTRANOL = "COc1ccc2[C@H]3CC[C@@]4(C)[C@@H](CC[C@@]4(O)C#C)[C@@H]3CCc2c1"
CAMPHOR = "CC1(C)C2CCC1(C)C(=O)C2"
MENTHOL = "CC(C)C1CCC(C)CC1O"
TADALAFIL = "O=C1N(CC(N2C1CC3=C(C2C4=CC5=C(OCO5)C=C4)NC6=C3C=CC=C6)=O)C"
SILDENAFIL = "CCCC1=NN(C2=C1N=C(NC2=O)C3=C(C=CC(=C3)S(=O)(=O)N4CCN(CC4)C)OCC)C"
OSIMERTINIB = "COc1cc(N(C)CCN(C)C)c(NC(=O)C=C)cc1Nc2nccc(n2)c3cn(C)c4ccccc34"
FEXOFENADINE = "CC(C)(C(=O)O)c1ccc(cc1)C(O)CCCN2CCC(CC2)C(O)(c3ccccc3)c4ccccc4"
RANOLAZINE = "COc1ccccc1OCC(O)CN2CCN(CC(=O)Nc3c(C)cccc3C)CC2"
PERINDOPRIL = "O=C(OCC)C(NC(C(=O)N1C(C(=O)O)CC2CCCCC12)C)CCC"
AMLODIPINE = r"Clc1ccccc1C2C(=C(/N/C(=C2/C(=O)OCC)COCCN)C)\C(=O)OC"
SITAGLIPTIN = "Fc1cc(c(F)cc1F)CC(N)CC(=O)N3Cc2nnc(n2CC3)C(F)(F)F"
SITAGLIPTIN_ISOMER = "NC(CC(=O)N1CCn2c(nnc2C(F)(F)F)C1)Cc1cc(F)c(F)cc1F"
"""What the benchmark calls sitagliptin in the goal of valsartan."""
ZALEPLON = "O=C(C)N(CC)C1=CC=CC(C2=CC=NC3=C(C=NN23)C#N)=C1"
HOPPED = "CCCOc1cc2ncnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C"
"""Whose decoration or scaffold is to be changed: a quinazoline with a benzothiazole."""

# -- the goals --------------------------------------------------------------------------------------------------------


def _rediscoveries() -> list[Goal]:
    found = [
        Goal(name=f"{name}_rediscovery", about=f"find {name} itself", parts=(Similar(smiles, "ECFP4"),), top=(1,))
        for name, smiles in (("celecoxib", CELECOXIB), ("troglitazone", TROGLITAZONE), ("thiothixene", THIOTHIXENE))
    ]
    similar = (
        ("aripiprazole", Similar(ARIPIPRAZOLE, "ECFP4", UpTo(0.75))),
        ("albuterol", Similar(ALBUTEROL, "FCFP4", UpTo(0.75))),
        ("mestranol", Similar(MESTRANOL, "AP", UpTo(0.75))),
    )
    return found + [
        Goal(name=f"{name}_similarity", about=f"many that are similar to {name}", parts=(part,))
        for name, part in similar
    ]


def _isomers_and_medians() -> list[Goal]:
    return [
        Goal(name="c11h24", about="all 159 isomers of C11H24", parts=(Formula("C11H24"),), top=(159,)),
        Goal(
            name="c9h10n2o2pf2cl", about="250 isomers of C9H10N2O2PF2Cl", parts=(Formula("C9H10N2O2PF2Cl"),), top=(250,)
        ),
        Goal(
            name="median_1", about="similar to camphor and to menthol",
            parts=(Similar(MENTHOL, "ECFP4"), Similar(CAMPHOR, "ECFP4")),
        ),
        Goal(
            name="median_2", about="similar to tadalafil and to sildenafil",
            parts=(Similar(TADALAFIL, "ECFP6"), Similar(SILDENAFIL, "ECFP6")),
        ),
    ]  # fmt: skip


def _many_properties() -> list[Goal]:
    def like_sitagliptin(smiles: str) -> tuple[Part, Part]:
        return (
            Number("logp", Gaussian(quantity(smiles, "logp"), 0.2)),
            Number("tpsa", Gaussian(quantity(smiles, "tpsa"), 5)),
        )

    return [
        Goal(
            name="osimertinib_mpo", about="like osimertinib, not too much, and more polar",
            parts=(
                Similar(OSIMERTINIB, "FCFP4", UpTo(0.8)), Similar(OSIMERTINIB, "ECFP6", Gaussian(0.85, 0.1, "below")),
                Number("tpsa", Gaussian(100, 10, "above")), Number("logp", Gaussian(1, 1, "below")),
            ),
        ),
        Goal(
            name="fexofenadine_mpo", about="like fexofenadine, less greasy",
            parts=(
                Similar(FEXOFENADINE, "AP", UpTo(0.8)), Number("tpsa", Gaussian(90, 10, "above")),
                Number("logp", Gaussian(4, 1, "below")),
            ),
        ),
        Goal(
            name="ranolazine_mpo", about="like ranolazine, more polar and greasier, with one fluorine",
            parts=(
                Similar(RANOLAZINE, "AP", UpTo(0.7)), Number("logp", Gaussian(7, 1, "above")),
                Number("fluorine", Gaussian(1, 1)), Number("tpsa", Gaussian(95, 20, "above")),
            ),
        ),
        Goal(
            name="perindopril_mpo", about="like perindopril, with two aromatic rings",
            parts=(Similar(PERINDOPRIL, "ECFP4"), Number("aromatic rings", Gaussian(2, 0.5))),
        ),
        Goal(
            name="amlodipine_mpo", about="like amlodipine, with three rings",
            parts=(Similar(AMLODIPINE, "ECFP4"), Number("rings", Gaussian(3, 0.5))),
        ),
        Goal(
            name="sitagliptin_mpo", about="sitagliptin's formula, logP and polar surface, but another structure",
            parts=(
                Similar(SITAGLIPTIN, "ECFP4", Gaussian(0, 0.1)), *like_sitagliptin(SITAGLIPTIN), Formula("C16H15F6N5O"),
            ),
        ),
        Goal(
            name="zaleplon_mpo", about="like zaleplon, of the formula C19H17N3O2",
            parts=(Similar(ZALEPLON, "ECFP4"), Formula("C19H17N3O2")),
        ),
        Goal(
            name="valsartan_smarts", about="a piece of valsartan, with sitagliptin's properties",
            parts=(
                Pattern("CN(C=O)Cc1ccc(c2ccccc2)cc1"), *like_sitagliptin(SITAGLIPTIN_ISOMER),
                Number("bertz", Gaussian(quantity(SITAGLIPTIN_ISOMER, "bertz"), 30)),
            ),
        ),
    ]  # fmt: skip


def _hops() -> list[Goal]:
    scaffold = "[#7]-c1n[c;h1]nc2[c;h1]c(-[#8])[c;h0][c;h1]c12"
    return [
        Goal(
            name="deco_hop", about="the quinazoline stays, its decoration changes", mean="arithmetic",
            parts=(
                Similar(HOPPED, "PHCO", UpTo(0.85)), Pattern("CS([#6])(=O)=O", wanted=False),
                Pattern("[#7]-c1ccc2ncsc2c1", wanted=False), Pattern(scaffold),
            ),
        ),
        Goal(
            name="scaffold_hop", about="the decoration stays, the quinazoline changes", mean="arithmetic",
            parts=(
                Similar(HOPPED, "PHCO", UpTo(0.75)),
                Pattern("[#6]-[#6]-[#6]-[#8]-[#6]~[#6]~[#6]~[#6]~[#6]-[#7]-c1ccc2ncsc2c1"),
                Pattern(scaffold, wanted=False),
            ),
        ),
    ]  # fmt: skip


# -- what the paper's methods reached ---------------------------------------------------------------------------------

METHODS = ("SMILES LSTM", "SMILES GA", "Graph GA", "Graph MCTS")

PUBLISHED: Mapping[str, tuple[float, float, float, float]] = {
    "celecoxib_rediscovery": (1.0, 0.732, 1.0, 0.355),
    "troglitazone_rediscovery": (1.0, 0.515, 1.0, 0.311),
    "thiothixene_rediscovery": (1.0, 0.598, 1.0, 0.311),
    "aripiprazole_similarity": (1.0, 0.834, 1.0, 0.380),
    "albuterol_similarity": (1.0, 0.907, 1.0, 0.749),
    "mestranol_similarity": (1.0, 0.790, 1.0, 0.402),
    "c11h24": (0.993, 0.829, 0.971, 0.410),
    "c9h10n2o2pf2cl": (0.879, 0.889, 0.982, 0.631),
    "median_1": (0.438, 0.334, 0.406, 0.225),
    "median_2": (0.422, 0.380, 0.432, 0.170),
    "osimertinib_mpo": (0.907, 0.886, 0.953, 0.784),
    "fexofenadine_mpo": (0.959, 0.931, 0.998, 0.695),
    "ranolazine_mpo": (0.855, 0.881, 0.920, 0.616),
    "perindopril_mpo": (0.808, 0.661, 0.792, 0.385),
    "amlodipine_mpo": (0.894, 0.722, 0.894, 0.533),
    "sitagliptin_mpo": (0.545, 0.689, 0.891, 0.458),
    "zaleplon_mpo": (0.669, 0.413, 0.754, 0.488),
    "valsartan_smarts": (0.978, 0.552, 0.990, 0.040),
    "deco_hop": (0.996, 0.970, 1.0, 0.590),
    "scaffold_hop": (0.998, 0.885, 1.0, 0.478),
}
"""The results of the paper's four methods (`METHODS`), by goal; they add up to 17.341, 14.398, 17.983 and 9.011."""
