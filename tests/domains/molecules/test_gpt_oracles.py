"""What may be optimised: parts, ranges and weights out of a line, and what is wrong with one in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("rdkit")

from tsuite.core.errors import UserError
from tsuite.domains.molecules.guacamol import OSIMERTINIB, goals
from tsuite.domains.molecules.properties import properties
from tsuite.domains.molecules.smiles_gpt.optimising.counted import FIRST, Counted, auc, progress_of, top
from tsuite.domains.molecules.smiles_gpt.optimising.oracles import parse_goals
from tsuite.domains.molecules.smiles_gpt.options import EvaluateOptions, RunOptions

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
LOGP, QED, SA, TPSA, WEIGHT = properties([ASPIRIN], ["logp", "qed", "sa", "tpsa", "weight"])[0]


def test_qed_and_ease_are_scores_by_themselves() -> None:
    assert parse_goals("qed")(ASPIRIN) == pytest.approx(QED)
    assert parse_goals(" SA ")(ASPIRIN) == pytest.approx((10 - SA) / 9)


@pytest.mark.parametrize(
    ("given", "distance"),
    [("logp:1..2", 0), ("logp:2..3", (2 - LOGP)), ("logp:..1", LOGP - 1), ("logp:-1..0", LOGP), ("logp:2", 2 - LOGP),
     ("logp:1.25..", 0), ("logp: 1 .. 1.25 ", LOGP - 1.25)],
)  # fmt: skip
def test_a_range_is_worth_1_inside_and_less_the_farther_outside(given: str, distance: float) -> None:
    assert parse_goals(given)(ASPIRIN) == pytest.approx(1 / (1 + distance**2))  # a sixth of -1 to 5 is 1


def test_every_property_has_a_width_of_its_own() -> None:
    assert parse_goals("tpsa:..43.6")(ASPIRIN) == pytest.approx(0.5)  # 20 off
    assert parse_goals(f"weight:{WEIGHT + 350 / 6}..")(ASPIRIN) == pytest.approx(0.5)


def test_the_whole_is_the_weighted_geometric_mean() -> None:
    score, parts = parse_goals("qed*2, logp:2..3, sa*0.5").judge(ASPIRIN)
    own = [QED, 1 / (1 + (2 - LOGP) ** 2), (10 - SA) / 9]
    assert list(parts) == ["score_qed", "score_logp", "score_sa"]
    assert list(parts.values()) == pytest.approx(own)
    assert score == pytest.approx((own[0] ** 2 * own[1] * own[2] ** 0.5) ** (1 / 3.5))


def test_all_of_guacamol_by_whatever_names_them() -> None:
    for name, goal in goals().items():
        assert parse_goals(f"guacamol:{name}")(ASPIRIN) == goal.score(ASPIRIN)
    assert parse_goals("guacamol:Osimertinib-MPO")(OSIMERTINIB) == goals()["osimertinib_mpo"].score(OSIMERTINIB)
    assert parse_goals("guacamol:osimertinib").parts[0].text == "guacamol:osimertinib_mpo"


def test_similarity_and_substructures() -> None:
    assert parse_goals(f"similar:{ASPIRIN}")("O=C(C)Oc1ccccc1C(O)=O") == 1
    assert 0 < parse_goals(f"similar:{ASPIRIN}")("O=C(O)c1ccccc1O") < 1
    assert [parse_goals("substructure:C(=O)[O,N;H1,H2]")(one) for one in (ASPIRIN, "CCO")] == [1, 0]
    both = parse_goals("qed,substructure:[#6,#7]1aaaaa1")
    assert both("CCO") == 0
    assert len(both.parts) == 2
    twice = parse_goals("similar:CCO,similar:CCN")
    assert [part.column for part in twice.parts] == ["score_similar", "score_similar_2"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("logp:3..2", "3 is above 2"),
        ("qde", "Did you mean qed"),
        ("gucamol:osimertinib", "Did you mean guacamol"),
        ("guacamol:osimertinub", "Did you mean osimertinib_mpo"),
        ("guacamol:median", "Did you mean median_"),
        ("guacamol:", "does not say what"),
        ("logp", "needs a range"),
        ("logp:", "neither a number nor a range"),
        ("logp:..", "neither a number nor a range"),
        ("logp:nan..3", "neither a number nor a range"),
        ("logp:2..x", "neither a number nor a range"),
        ("qed:2..3", "never reached: QED goes from 0 to 1"),
        ("weight:..0.5", "never reached: weight goes from 1"),
        ("logp:2..3,logp:4..5", "names logp twice"),
        ("qed,qed*2", "names qed twice"),
        ("qed*nan", "finite number, not nan"),
        ("qed*inf", "finite number"),
        ("qed*0", "above 0"),
        ("qed*-1", "above 0"),
        ("", "nothing to optimise"),
        ("qed,,sa", "empty part"),
        ("qed,", "empty part"),
        ("similar:c1ccccc", "names no molecule"),
        ("substructure:[#6", "no SMARTS pattern"),
        ("substructure:C1CC*1", "read as a weight"),
    ],
)
def test_what_cannot_be_understood_is_said(given: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        parse_goals(given)
    assert said in str(error.value)


def test_options_are_checked_before_a_model_is_loaded() -> None:
    wrongs: tuple[dict[str, Any], ...] = (
        {"optimise": "logp:3..2"},
        {"optimise": "qed", "oracle_calls": 0},
        {"optimise": "qed", "temperature": 0.5},
        {"optimise": "sa", "logp": "2..3"},
        {"optimise": "qed", "sigma": -1.0},
        {"save_agent": "here"},
        {"above": 2.0},
    )
    for wrong in wrongs:
        with pytest.raises(UserError):
            RunOptions(**wrong)
    with pytest.raises(UserError, match="tsuite run"):
        EvaluateOptions(optimise="qed", oracle_calls=10)
    with pytest.raises(UserError, match="--suite guacamol"):
        EvaluateOptions(oracle_calls=10)


# -- counting ---------------------------------------------------------------------------------------------------------


def scores(counted: Counted, *smiles: str) -> list[float | None]:
    return [one and one.score for one in counted(smiles)]


def test_a_molecule_is_asked_about_once_and_the_calls_end() -> None:
    asked = []
    counted = Counted(lambda smiles: asked.append(smiles) or 0.5, 2)
    assert scores(counted, "C", "C") == [0.5, 0.5]
    assert scores(counted, "CC", "CCC", "C") == [0.5, None, 0.5]
    assert asked == ["C", "CC"]
    assert (counted.used, counted.left) == (2, 0)


def test_what_an_oracle_fails_at_is_named_and_scores_0() -> None:
    def oracle(smiles: str) -> float:
        return {"C": 0.7, "CC": math.nan, "CCC": math.inf}[smiles]

    for batched in (False, True):
        many = Counted((lambda smiles: [oracle(one) for one in smiles]) if batched else oracle, 10, batched=batched)
        assert scores(many, "C", "CC", "CCC", "N") == [0.7, 0, 0, 0]
        assert [one.failed for one in many.failures] == ["it gave nan", "it gave inf", "KeyError: 'N'"]
        assert many.used == 4


def test_an_oracle_may_take_many_at_once() -> None:
    asked: list[list[str]] = []

    def oracle(smiles: Sequence[str]) -> list[float]:
        asked.append(list(smiles))
        return [len(one) / 10 for one in smiles]

    counted = Counted(oracle, 3, batched=True)
    assert scores(counted, "C", "CC", "C") == [0.1, 0.2, 0.1]
    assert scores(counted, "CC", "CCC", "CCCC") == [0.2, 0.3, None]
    assert asked == [["C", "CC"], ["CCC"]]
    short = Counted(lambda smiles: [0.5], 3, batched=True)  # one number for two molecules is an answer to none
    assert scores(short, "C", "CC") == [0.5, 0.5]


def test_an_oracle_that_fails_at_nearly_all_is_given_up() -> None:
    counted = Counted(lambda smiles: 0.5 if smiles == "C" else 1 / 0, 4000)
    counted(["C" * number for number in range(1, FIRST)])
    with pytest.raises(UserError, match=r"failed at 127 of the first 128 molecules, first at CC: ZeroDivisionError"):
        counted(["C" * FIRST])


def test_scores_on_another_scale() -> None:
    with pytest.raises(UserError, match=r"gave -7.5 for CCO"):
        Counted(lambda smiles: -7.5, 5)(["CCO"])
    docked = Counted(lambda smiles: {"C": -12.0, "CC": -4.0, "CCC": -8.0, "N": -20.0}[smiles], 5, scale=(-4, -12))
    assert scores(docked, "C", "CC", "CCC", "N") == [1, 0, 0.5, 1]
    for scale in ((1.0, 1.0), (0.0, math.nan)):
        with pytest.raises(UserError, match="two different finite"):
            Counted(len, 5, scale=scale)


def test_the_area_under_the_best_so_far() -> None:
    told = [0.2, 0.8, 0.4, 0.9]
    assert progress_of(told, 2) == pytest.approx([0.2, 0.5, 0.6, 0.85])
    assert auc(told, 4, 2) == pytest.approx((0.2 + 0.5 + 0.6 + 0.85) / 4)
    assert auc(told, 8, 2) == pytest.approx((0.2 + 0.5 + 0.6 + 5 * 0.85) / 8)  # what was not used does not improve
    assert top(told, 2) == pytest.approx(0.85)
    assert (top([], 2), auc([], 5)) == (0, 0)
