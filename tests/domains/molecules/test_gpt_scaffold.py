"""Molecules around a scaffold: every one holds it, grows at its points and nowhere else, and refusals say why."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("rdkit")

from rdkit import Chem
from tsuite.core.errors import UserError
from tsuite.domains.molecules.smiles_gpt.asked import asking
from tsuite.domains.molecules.smiles_gpt.asked.closing import closing
from tsuite.domains.molecules.smiles_gpt.asked.scaffold import AGAIN, Growing, Scaffold, _take, can_start, grow, opened
from tsuite.domains.molecules.smiles_gpt.asked.spelling import likelihoods, plain, prompts
from tsuite.domains.molecules.smiles_gpt.asked.tables import tables
from tsuite.domains.molecules.smiles_gpt.options import RunOptions
from tsuite.domains.molecules.smiles_gpt.rows import Row, batch_of
from tsuite.domains.molecules.smiles_gpt.sampling import Drawn, go_on
from tsuite.domains.molecules.tokenizer import SmilesTokenizer

from .gpt import MOLECULES, tiny_task

SCAFFOLDS = ["c1ccc(*)cc1", "[*:1]c1ccc([*:2])nc1", "*N1CCN(*)CC1", "*n1cc(*)cn1", "*=C1CCNCC1", "*CC(*)(*)N",
             "O=C(N*)c1ccc(*)c(*)c1", "c1ccc2[nH]c(*)cc2c1"]  # fmt: skip
LEARNT = ["c1ccc(C)cc1", "CN1CCN(C)CC1", "CCO", "c1ccccc1C", "C1CN(C)CCN1C", "c1ccccc1N", "CN1CCN(CC1)O"]


@pytest.fixture(scope="module")
def task() -> Any:
    """A model that has learnt a few molecules, so that it does not write nonsense alone."""
    made: Any = tiny_task()
    made.seen = set()
    batch = batch_of([Row(id="", ids=np.asarray(made.around.tokenizer.encode(one))) for one in LEARNT])
    weights = [one for name, one in made.network.named_parameters() if "conditions" not in name]
    for _ in range(30):
        slopes = torch.autograd.grad(made.network.loss(batch), weights, materialize_grads=True)
        with torch.no_grad():
            for one, slope in zip(weights, slopes, strict=True):
                one.sub_(0.01 * slope.sign())
    return made


@pytest.mark.parametrize("text", SCAFFOLDS)
def test_a_spelling_ends_at_the_point_with_all_rings_and_branches_closed(text: str) -> None:
    scaffold, tokenizer = Scaffold.read(text), SmilesTokenizer.from_smiles([*MOLECULES, "c1cc[nH]c1"])
    place, bond = scaffold.points[-1]
    mol = opened(scaffold.closed, place, bond)
    found = prompts(mol, tokenizer, most=5, seed=1)
    assert found
    assert len({one.text for one in found}) == len(found)
    for one in found:
        assert Chem.CanonSmiles(f"{one.text}*") == Chem.MolToSmiles(mol)
        grown = Chem.MolFromSmiles(f"{one.text}{'C' if not one.text.endswith('=') else 'N'}")
        new = grown.GetAtomWithIdx(grown.GetNumAtoms() - 1)
        assert [atom.GetIdx() for atom in new.GetNeighbors()] == [one.places[place]]  # and the map says where it grew


def test_points_are_closed_with_hydrogen_and_opened_again() -> None:
    scaffold = Scaffold.read("[*:1]n1cc([*:2])cn1")
    assert Chem.MolToSmiles(scaffold.closed) == "c1cn[nH]c1"
    assert scaffold.smiles == "*c1cnn(*)c1"
    again = [Chem.MolToSmiles(opened(scaffold.closed, *point)) for point in scaffold.points]
    assert sorted(again) == ["*c1cn[nH]c1", "*n1cccn1"]
    assert Chem.MolToSmiles(Scaffold.read("*=C1CCNCC1").closed) == "C1CCNCC1"


@pytest.mark.parametrize(
    ("scaffold", "good", "bad"),
    [("c1ccc(*)cc1", "Clc1ccccc1", "Cc1ccc(Cl)cc1"), ("c1ccc(*)cc1", "c1ccc(-c2ccccc2)cc1", "c1ccc2ccccc2c1"),
     ("c1ccc(*)cc1", "OCc1ccccc1", "c1ccccc1"), ("*N1CCN(*)CC1", "CN1CCN(CC)CC1", "CN1CCNCC1"),
     ("[*:1]c1ccc([*:2])nc1", "Cc1ccc(Cl)nc1", "Cc1cccnc1"), ("*C1CC1", "OC1CC1", "OC1(C)CC1")],
)  # fmt: skip
def test_growth_anywhere_else_does_not_hold(scaffold: str, good: str, bad: str) -> None:
    read = Scaffold.read(scaffold)
    assert read.holds(Chem.MolFromSmiles(good))
    assert not read.holds(Chem.MolFromSmiles(bad))


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [("c1ccccc1", "has no attachment point", "'*c1ccccc1'"), ("CN", "has no attachment point", "'*CN'"),
     ("FC(F)(F)F", "has no attachment point", "None of its atoms"), ("c1ccc(*)c1", "is no molecule", "Such as"),
     ("x*", "'x' at character 1", ""), ("*1CCCC1", "bonded to one atom", "end of a bond"), ("**", "nothing but", ""),
     ("*", "nothing but", ""), ("c1ccccc1*.CC", "several pieces", "dot")],
)  # fmt: skip
def test_what_is_no_scaffold_is_said_with_what_to_do(text: str, said: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        Scaffold.read(text)
    assert said in caught.value.what
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [("[Si](C)(C)(C)*", r"holds \[Si\], which this model does not know"), ("*N(=O)=O", r"\[N\+\]"),
     (f"*c1ccc({'C' * 36})cc1", "takes 4. tokens, and this model's molecules have 38")],
)  # fmt: skip
def test_a_scaffold_has_to_fit_the_model(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        tiny_task()(n=2, scaffold=text)


def test_only_atoms_and_single_bonds_may_stand_behind_a_point() -> None:
    tokenizer = tiny_task().around.tokenizer
    allowed = {token for token, may in zip(tokenizer.tokens, can_start(tokenizer).tolist(), strict=True) if may}
    assert {"C", "c", "N", "Cl", "Br"} <= allowed
    assert not allowed & {"<pad>", "<begin>", "<end>", "<unknown>", "(", ")", "1", "2", "=", "#", "[H]"}


@torch.inference_mode()
def test_likelihoods_are_those_of_the_prompt_and_what_may_follow() -> None:
    task = tiny_task()
    allowed = can_start(task.around.tokenizer)
    rows = [[1, 9, 8, 7], [1, 5]]
    for row, found in zip(rows, likelihoods(task.network, rows, allowed).tolist(), strict=True):
        logs = task.network.logits(torch.tensor([row])).log_softmax(-1)[0]
        said = sum(logs[place, token].item() for place, token in enumerate(row[1:]))
        assert found == pytest.approx(said + logs[-1].exp()[allowed].sum().log().item(), abs=1e-4)


def grown(scaffold: str, *texts: str) -> Growing:
    """A molecule that was written like this at one point after the other."""
    read, task = Scaffold.read(scaffold), tiny_task()
    row = Growing(read.closed, list(read.points))
    for text in texts:
        prompt = prompts(opened(row.mol, *row.points[0]), task.around.tokenizer, most=1, seed=0)[0]
        ids = task.around.tokenizer.encode(prompt.text + text)[1:-1]
        _take(row, prompt, Drawn(ids=tuple(ids), nats=1.0, ended=True), task.around.tokenizer, read)
        if row.reason:
            return row
    return row


def test_points_are_found_again_in_what_has_grown() -> None:
    row = grown("O=C(N*)c1ccc(*)c(*)c1", "CC", "Cl", "Br")
    assert not row.reason
    assert row.nats == 3.0
    assert Chem.MolToSmiles(row.mol) == Chem.CanonSmiles("CCNC(=O)c1ccc(Cl)c(Br)c1")


@pytest.mark.parametrize(
    ("scaffold", "text", "reason"),
    [("*C1CCNCC1", "C(", "a parenthesis without its other half"), ("*C1CCNCC1", "C1CC", "a ring that is never closed"),
     ("*C1CCNCC1", "C(C)(C)(C)C", "an atom with more bonds than it can have"),
     ("*C1CCNCC1", "c1cccc1", "aromatic atoms without single and double bonds"),
     ("*C1CCNCC1", "2CC2", "it grew elsewhere than at the attachment points"), ("*C1CCNCC1", "", "it grew elsewhere")],
)  # fmt: skip
def test_what_is_rejected_has_a_reason(scaffold: str, text: str, reason: str) -> None:
    assert reason in grown(scaffold, text).reason


@pytest.mark.parametrize("text", ["c1ccc(*)cc1", "*N1CCN(*)CC1"])
def test_all_that_is_returned_holds_the_scaffold_and_the_rest_is_counted(task: Any, text: str) -> None:
    options = RunOptions(n=4, scaffold=text, batch=128, compared=0)
    results = list(task.infer(task.inputs([], options), options))
    facts, read = task.conduct["scaffold"], Scaffold.read(text)
    assert results
    assert all(read.holds(Chem.MolFromSmiles(one.smiles)) for one in results)
    assert facts["returned"] == len(results)
    assert facts["drawn"] == facts["accepted"] + sum(facts["rejected"].values())
    metrics = task.summarise(results).metrics
    assert metrics["accepted"] == facts["accepted"] / facts["drawn"]
    assert "validity" not in metrics
    again = list(task.infer(task.inputs([], options), options))
    assert [one.smiles for one in again] == [one.smiles for one in results]


def test_it_goes_with_conditions_and_marks_the_picture(task: Any, tmp_path: Any) -> None:
    options = RunOptions(n=4, scaffold="c1ccc(*)cc1", logp="1..2", guidance=1.5, batch=64, picture="svg")
    results = list(task.infer(task.inputs([], options), options))
    assert {"scaffold", "conditions"} <= task.conduct.keys()
    assert task.conduct["conditions"]["validity"] is None
    assert all(1 <= one.told["logp"] <= 2 and one.away is not None for one in results)
    files = task.render(results, tmp_path, options)
    assert "#8CD8B7" in next(path for path in files if path.suffix == ".svg").read_text()  # the colour of a mark
    shown = np.asarray(task.table(results, task.summarise(results)).renderables, dtype=object)
    assert any("could be taken" in str(one) for one in shown)


def test_what_seems_hopeless_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "HOPELESS", 64)
    with pytest.raises(UserError, match=r"Not one of \d+ molecules was .*: \d+ ") as caught:
        tiny_task()(n=2, scaffold="O=C(N*)c1c(*)c(*)c(*)c(*)c1*", batch=64)
    assert "smaller scaffold" in caught.value.hint


def test_scaffold_and_similar_to_do_not_go_together() -> None:
    with pytest.raises(UserError, match="do not go together"):
        RunOptions(scaffold="*C", similar_to="CC")


SULFONAMIDES = ["*c1ccc(S(=O)(=O)*)cc1", "*NS(=O)(=O)*", "*S(=O)(=O)*", "O=S(=O)(*)*", "*S(=O)*", "*S(=O)(=O)c1ccccc1"]


@pytest.mark.parametrize("text", SULFONAMIDES)
def test_sulfur_grows_at_its_points_as_other_atoms_do(text: str) -> None:
    tokenizer = tiny_task().around.tokenizer
    assert "[SH]" in tokenizer.strange("O=[SH](=O)N")
    scaffold = Scaffold.read(text, tokenizer)
    scaffold.fits(tokenizer, 40)
    row = grown(text, *["CC"] * len(scaffold.points))
    assert not row.reason
    dummy, ethyl = Chem.MolFromSmarts("[#0]"), Chem.MolFromSmiles("CC")
    (wanted,) = Chem.ReplaceSubstructs(Chem.MolFromSmiles(text), dummy, ethyl, replaceAll=True)
    assert Chem.MolToSmiles(row.mol) == Chem.CanonSmiles(Chem.MolToSmiles(wanted))


def test_a_bracket_goes_only_where_the_molecule_stays_the_same() -> None:
    tokenizer = tiny_task().around.tokenizer
    assert plain("O=[SH](=O)N", tokenizer) == "O=S(=O)N"
    assert plain("C[SH](C)C", tokenizer) == "CS(C)C"
    assert plain("O=[SH2]=O", tokenizer) == "O=[SH2]=O"  # O=S=O is another one
    assert plain("c1cc[nH]c1", tokenizer) == "c1cc[nH]c1"


def test_stereo_and_labels_are_taken_off_a_scaffold_and_told() -> None:
    tokenizer = tiny_task().around.tokenizer
    read = Scaffold.read("C[C@H]([*:1])[15NH2]", tokenizer)
    assert read.smiles == "*C(C)N"
    (said,) = read.notices
    assert "without its isotope labels and the stereo of its centres (@)" in said
    assert not Scaffold.read("[*:1]C(C)N", tokenizer).notices
    assert "@" in Scaffold.read("C[C@](*)(O)N").smiles  # nobody said that the model does not know it
    with pytest.raises(UserError, match=r"\(C\)\(C\)C holds \[Si\], which"):
        Scaffold.read("C[C@H](*)[Si](C)(C)C", tokenizer).fits(tokenizer, 40)


def test_what_fails_at_a_point_is_drawn_again_there(task: Any) -> None:
    scaffold, tokenizer = Scaffold.read("*N1CCN(*)CC1"), task.around.tokenizer
    rows = grow(task.network, tokenizer, scaffold, torch.full((60, 2), torch.nan), task.sampling(RunOptions(), 1))
    assert any(row.redrawn and not row.reason for row in rows)
    assert max(row.redrawn for row in rows) <= 2 * (AGAIN - 1)
    assert all(scaffold.holds(row.mol) for row in rows if not row.reason)


def test_what_grew_over_another_point_is_known_at_once() -> None:
    row = grown("*C1CCN(*)C1", "C1CC1C", "")
    assert row.reason == "it grew elsewhere than at the attachment points"
    assert len(row.points) == 1


def test_drawing_ends_where_too_little_can_be_taken(task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is is given back, and said; and the first word comes before the first batch."""
    monkeypatch.setattr(asking, "HOPELESS", 1)
    monkeypatch.setattr(asking, "TRIES", 0)
    heard: list[tuple[int, int]] = []
    options = RunOptions(n=300, scaffold="*N1CCN(*)CC1", batch=64, compared=0)
    results = list(task.infer(task.inputs([], options), options, tick=lambda done, of: heard.append((done, of))))
    facts = task.conduct["scaffold"]
    assert heard == [(0, 300), (len(results), 300)]
    assert 0 < len(results) < 300
    assert facts["drawn"] == 64
    assert facts["returned"] == len(results)
    words = " ".join(str(one) for one in tables({"scaffold": facts}))
    assert "300 were asked for: drawing was given up" in words
    assert "fewer points" in words


@pytest.mark.parametrize(
    ("text", "never", "may"),
    [("CC", [")", "2", "3"], ["<end>", "1", "(", "C"]), ("C1CC", ["<end>", ")", "3"], ["1", "2", "("]),
     ("C1CC1", [")", "2"], ["<end>", "1"]), ("CC(C", ["<end>", "2"], [")", "("]),
     ("C12CC1", ["<end>", "3"], ["1", "2"])],
)  # fmt: skip
def test_nothing_is_left_open(text: str, never: list[str], may: list[str]) -> None:
    tokenizer = SmilesTokenizer.from_smiles([*MOLECULES, "C12CC3C1CC23"])
    ids = tokenizer.encode(text)[:-1]
    process, logits = closing(tokenizer), torch.zeros(1, len(tokenizer))
    for length in (1, len(ids) - 1):  # it reads on from where it was
        _ = process([4], [ids[:length]], logits)
    free = process([4], [ids], logits)[0].isfinite().tolist()
    found = {token for token, one in zip(tokenizer.tokens, free, strict=True) if one}
    assert not found & set(never)
    assert set(may) <= found


def test_what_ends_has_its_rings_and_branches_closed(task: Any) -> None:
    tokenizer = task.around.tokenizer
    prompts = [tokenizer.encode(one)[:-1] for one in ["c1ccccc1", "C1CN(C)CCN1", "C", "CCCCCCCCCCCC"] * 20]
    sampling = task.sampling(RunOptions(temperature=1.5), 1)
    starts, conditions = can_start(tokenizer), torch.full((80, 2), torch.nan)
    drawn = go_on(task.network, conditions, prompts, sampling, first=starts, made=partial(closing, tokenizer))
    texts = [tokenizer.decode(one.ids) for one in drawn if one.ended]
    assert len(texts) > 10
    for prompt, one in zip(prompts, drawn, strict=True):
        assert list(one.ids[: len(prompt) - 1]) == prompt[1:]
        assert starts[one.ids[len(prompt) - 1]]
    assert all(text.count("(") == text.count(")") and text.count("1") % 2 == 0 for text in texts)
