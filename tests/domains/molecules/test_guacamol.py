"""GuacaMol's goals: every score beside the reference implementation's, and what a goal does at its ends."""

from __future__ import annotations

import pytest

pytest.importorskip("rdkit")

from tsuite.domains.molecules.guacamol import METHODS, PUBLISHED, goals
from tsuite.domains.molecules.guacamol_scores import Formula, Gaussian, UpTo, counts_of, geometric_mean

SMILES = (
    "CC1=CC=C(C=C1)C1=CC(=NN1C1=CC=C(C=C1)S(N)(=O)=O)C(F)(F)C",
    "CN(C)S(=O)(=O)c1ccc2Sc3ccccc3C(=CCCN4CCC(C)CC4)c2c1",
    "CC(C)(C)NCC(O)c1ccc(O)c(CF)c1",
    "CC(C)CC1CCC(C)CC1=O",
    "CC(C)(C)CC(C)(C)CCC",
    "NC(=O)c1ccc(CP(F)F)c(Cl)c1O",
    "COc1cc(N(C)CCN(C)C)c(NC(=O)C=C)cc1Nc2nccc(n2)c3c[nH]c4ccccc34",
    "CC(C)(C(=O)O)c1ccc(cc1)C(O)CCCN2CCC(CC2)C(O)(c3ccccc3)c4ccncc4",
    "COc1ccccc1OCC(O)CN2CCN(CC(=O)Nc3c(F)cccc3C)CC2",
    "O=C(OCC)C(NC(C(=O)N1C(C(=O)O)Cc2ccccc12)C)CCC",
    "CCOC(=O)C1=C(COCCN)NC(C)=C(C(=O)OC)C1c1ccccc1Cl",
    "Fc1cc(c(F)cc1F)CC(N)CC(=O)N3Cc2nnc(n2CC3)C(F)(F)C",
    "O=C(CC)N(C)C1=CC=CC(C2=CC=NC3=C(C=NN23)C#N)=C1",
    "CCCCC(=O)N(Cc1ccc(cc1)-c1ccccc1-c1nn[nH]n1)C(C(C)C)C(O)=O",
    "NC(CC(=O)N(C)Cc1ccc(-c2cc(F)c(F)cc2F)cc1)c1nnc(C(F)(F)F)[nH]1",
    "CCCOc1cc2ncnc(NC3CCCC3)c2cc1C(=O)C(C)(C)C",
    "CCCOc1cc2ccnc(Nc3ccc4ncsc4c3)c2cc1S(=O)(=O)C(C)(C)C",
    "OCCN(C(=O)Cc1nnc[nH]1)Cc1ccc(-c2ccc(F)cc2)cc1",
)
"""Near relatives of the drugs that the goals are about, and an isomer each."""

TABLE = """
celecoxib_rediscovery 8684 2093 1154 300 208 1224 1457 1733 1522 923 1298 1575 1930 1926 2540 992 1970 2373
troglitazone_rediscovery 1377 1712 1293 926 561 1161 1534 1235 1600 1377 1727 946 1185 1656 1611 1439 1769 1500
thiothixene_rediscovery 2188 7895 1207 833 467 877 2065 2179 2815 1556 1655 1418 1905 2153 1622 1367 1944 1429
aripiprazole_similarity 1823 2931 1212 833 360 1534 1847 2567 3453 1823 2512 1759 2020 1991 1930 1797 2031 1986
albuterol_similarity 2290 2866 10000 1990 2151 3383 1744 2927 2360 3478 3098 2330 2963 2456 2381 2721 2523 2508
mestranol_similarity 798 1638 2413 1352 644 756 1138 2337 2390 2222 1763 1650 1196 1944 1240 2282 1299 1537
c11h24 0 0 302 478 10000 0 0 0 0 0 0 0 0 0 0 0 0 0
c9h10n2o2pf2cl 0 0 1 5 0 3402 0 0 0 0 0 0 2 0 0 0 0 0
median_1 292 1013 643 2951 566 213 305 762 636 870 485 550 311 524 216 1026 346 138
median_2 1328 1678 768 714 219 639 1444 1140 1442 1174 1194 1031 1117 1218 1180 1152 1395 943
osimertinib_mpo 1728 13 307 1 0 721 2157 1093 3007 6459 5719 3040 2405 2164 1996 198 249 4074
fexofenadine_mpo 4142 107 477 1 0 1248 5297 8723 4705 5792 5487 4063 3667 6472 5577 1661 2606 5716
ranolazine_mpo 1067 1653 207 105 82 436 2777 4094 456 209 398 43 469 2462 91 2990 4790 385
perindopril_mpo 703 3262 1001 73 55 803 45 1317 3460 2588 1369 2844 920 1346 792 4360 50 826
amlodipine_mpo 3721 1534 63 48 0 71 1550 1399 4423 1855 3679 3297 3930 4680 3727 3922 1448 3780
sitagliptin_mpo 2 0 58 0 0 1 0 0 2 15 8 0 969 0 0 0 0 2205
zaleplon_mpo 4082 0 247 13 2 0 0 0 0 9 15 1588 4122 0 1441 0 5 2827
valsartan_smarts 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 4655
deco_hop 5362 5213 5205 5008 5000 5212 5824 5214 5262 5113 5144 5517 5511 5464 5553 8126 2262 5347
scaffold_hop 3881 3655 3643 3346 3333 3654 4579 3657 3729 3504 3552 4115 4106 4035 4168 946 10000 3858
"""
"""What guacamol 0.5.5 gives each of them with rdkit 2026.9, in ten-thousandths."""
REFERENCE = {name: [int(cell) / 1e4 for cell in cells] for name, *cells in map(str.split, TABLE.strip().splitlines())}


@pytest.mark.parametrize("name", goals())
def test_scores_are_those_of_the_reference(name: str) -> None:
    goal = goals()[name]
    assert [goal.score(smiles) for smiles in SMILES] == pytest.approx(REFERENCE[name], abs=6e-5)


def test_there_are_twenty_and_each_was_published() -> None:
    assert len(goals()) == 20
    assert set(PUBLISHED) == set(goals()) == set(REFERENCE)
    totals = [round(sum(row[place] for row in PUBLISHED.values()), 3) for place in range(len(METHODS))]
    assert totals == [17.341, 14.398, 17.983, 9.011]


def test_a_goal_that_is_reached() -> None:
    assert goals()["celecoxib_rediscovery"].score("Cc1ccc(-c2cc(C(F)(F)F)nn2-c2ccc(S(N)(=O)=O)cc2)cc1") == 1
    assert goals()["c11h24"].score("CCCCCCCCCCC") == 1


@pytest.mark.parametrize("smiles", ["", "C(", "c1ccccc", "not a molecule"])
def test_what_is_no_molecule_scores_nothing(smiles: str) -> None:
    assert all(goal.score(smiles) == 0 for goal in goals().values())


def test_the_result_is_that_of_the_reference() -> None:
    scores = [number / 100 for number in range(60)]
    assert goals()["deco_hop"].result(scores) == pytest.approx(0.4373333)  # top 1, 10, 100; 40 are missing
    assert goals()["celecoxib_rediscovery"].result(scores) == 0.59
    assert goals()["c11h24"].result([1.0] * 159) == 1
    assert goals()["c11h24"].result([1.0] * 80) == pytest.approx(80 / 159)


def test_modifiers() -> None:
    assert Gaussian(2, 1)(3) == pytest.approx(0.6065307)
    assert Gaussian(2, 1, "above")(9) == Gaussian(2, 1, "below")(-9) == 1
    assert Gaussian(2, 1, "above")(1) == Gaussian(2, 1, "below")(3) == Gaussian(2, 1)(1)
    assert [UpTo(0.8)(value) for value in (-1, 0.4, 0.8, 2)] == [0, 0.5, 1, 1]
    assert geometric_mean([0.25, 1.0]) == 0.5
    assert geometric_mean([0.0, 1.0]) == 0


def test_formulas() -> None:
    from rdkit import Chem

    assert counts_of("C9H10N2O2PF2Cl") == {"C": 9, "H": 10, "N": 2, "O": 2, "P": 1, "F": 2, "Cl": 1}
    assert Formula("C2H4").score(Chem.MolFromSmiles("C=C")) == 1
    # ethane has two hydrogens and so two atoms too many: Gaussians of 2/1 and 2/2, with 1 for carbon
    assert Formula("C2H4").score(Chem.MolFromSmiles("CC")) == pytest.approx(geometric_mean([1, 0.1353353, 0.6065307]))
