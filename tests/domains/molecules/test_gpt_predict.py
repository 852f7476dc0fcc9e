"""The network that predicts properties, and the rows for atoms that its language model was never shown."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("rdkit")

from tsuite.core.errors import UserError
from tsuite.domains.molecules.fingerprints import fingerprints, forest, nearest, packed
from tsuite.domains.molecules.smiles_gpt import SmilesGPT, SmilesGPTConfig
from tsuite.domains.molecules.smiles_gpt.predicting.model import Predictor, PredictorConfig, PropertyBatch
from tsuite.domains.molecules.smiles_gpt.predicting.show import scores
from tsuite.domains.molecules.smiles_gpt.predicting.tokens import new_tokens, widened

from .gpt import MOLECULES, tiny_task

pytestmark = pytest.mark.usefixtures("tmp_cache")


def tiny_predictor(**head: object) -> Predictor:
    torch.manual_seed(0)
    trunk = SmilesGPT(SmilesGPTConfig(vocabulary=12, length=20, dim=32, depth=2, heads=2, conditions=("qed",)))
    network = Predictor(trunk, PredictorConfig(**{"targets": 2, "described": 3, "dropout": 0.0, **head}))  # type: ignore[arg-type]
    for value in network.head.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return network.eval()


def batch_of(tokens: list[list[int]], truths: list[list[float]]) -> PropertyBatch:
    torch.manual_seed(1)
    return PropertyBatch(
        tokens=torch.tensor(tokens), described=torch.randn(len(tokens), 3), truths=torch.tensor(truths)
    )


def test_padding_changes_nothing():
    network = tiny_predictor()
    short = batch_of([[1, 5, 6, 2]], [[0.0, 0.0]])
    long = PropertyBatch(tokens=torch.tensor([[1, 5, 6, 2, 0, 0, 0]]), described=short.described, truths=short.truths)
    for one, other in zip(network(short), network(long), strict=True):
        torch.testing.assert_close(one, other)


def test_what_is_not_known_teaches_nothing():
    network = tiny_predictor(language=0.0)
    nan = float("nan")
    known = batch_of([[1, 5, 6, 2], [1, 7, 8, 2]], [[1.0, nan], [nan, nan]])
    alone = PropertyBatch(tokens=known.tokens[:1], described=known.described[:1], truths=known.truths[:1])
    assert float(known.known.sum()) == 1
    torch.testing.assert_close(network.loss(known), network.loss(alone))
    network.loss(known).backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.parameters())


def test_every_parameter_learns_and_the_deviation_stays_above_zero():
    network = tiny_predictor()
    batch = batch_of([[1, 5, 6, 2], [1, 7, 2, 0]], [[1.0, -1.0], [0.5, 2.0]])
    network.loss(batch).backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    # of the properties that the language model can be told, none is
    assert [name for name in still if not name.startswith("trunk.conditions.up.")] == []
    assert float(network(batch)[1].detach().min()) > 0


def test_a_shape_that_is_none_is_refused():
    with pytest.raises(UserError, match="targets must be at least 1, not 0"):
        PredictorConfig(targets=0)


def test_a_new_atom_begins_as_its_element_and_changes_nothing_else():
    task = tiny_task()
    tokenizer = task.around.tokenizer
    new = new_tokens(["CCO", "C[N+](C)(C)C", "C[C@H](N)O", "C[Si](C)C", "C1CCCCC1"], tokenizer)
    assert {"[N+]", "[C@H]", "[C@@H]", "[Si]"} <= set(new.tokens)  # [C@@H]: written the other way round
    assert new.first["[N+]"] == "C[N+](C)(C)C"
    assert new.held["[N+]"] == 1
    assert new.held.get("[C@@H]", 0) == 0
    told = new.notices()[0]
    assert "[N+] (in 1, first C[N+](C)(C)C)" in told
    assert "[C@@H] (in other spellings of C[C@H](N)O)" in told
    network, wide = widened(task.network, tokenizer, new.tokens, length=90, dropout=0.1)
    assert (len(wide), network.config.length, network.config.dropout) == (len(tokenizer) + len(new.tokens), 90, 0.1)
    rows, place = network.tokens.weight, {token: n for n, token in enumerate(wide.tokens)}
    torch.testing.assert_close(rows[place["[N+]"]], rows[place["N"]])
    torch.testing.assert_close(rows[place["[Si]"]], rows[4 : len(tokenizer)].mean(dim=0))
    ids = torch.tensor([tokenizer.encode("CC(=O)Nc1ccccc1")])
    with torch.no_grad():
        before, after = task.network.logits(ids), network.eval().logits(ids)
    torch.testing.assert_close(after[..., : len(tokenizer)], before)
    assert wide.strange("C[N+](C)(C)C") == []


def test_the_nearest_is_the_highest_tanimoto_similarity():
    from rdkit import DataStructs
    from rdkit.Chem import MolFromSmiles, rdFingerprintGenerator

    maker = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    theirs = [maker.GetFingerprint(MolFromSmiles(one)) for one in MOLECULES]
    table = np.asarray([DataStructs.BulkTanimotoSimilarity(one, theirs) for one in theirs])
    seen = packed(MOLECULES)
    np.testing.assert_allclose(nearest(seen[:3], seen[3:]), table[:3, 3:].max(axis=1), atol=1e-6)
    np.fill_diagonal(table, 0)
    np.testing.assert_allclose(nearest(seen, seen, itself=False), table.max(axis=1), atol=1e-6)
    assert fingerprints(["no molecule"]).sum() == 0


def test_the_forest_learns_what_groups_tell(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tsuite.domains.molecules.fingerprints.TREES", 20)
    smiles = ["C" * n + "O" * m for n in range(1, 13) for m in range(1, 3)]
    values = np.asarray([float(one.count("O")) for one in smiles])
    found = forest(smiles[:-4], values[:-4], smiles[-4:])
    assert np.abs(found - values[-4:]).max() < 0.5


def test_scores_of_a_known_sample():
    found = scores(np.array([1.0, 2.0, 4.0, 9.0]), np.array([1.0, 3.0, 5.0, np.nan]))
    assert found["rmse"] == pytest.approx((2 / 3) ** 0.5)
    assert found["mae"] == pytest.approx(2 / 3)
    assert found["r2"] == pytest.approx(1 - 2 / 8)
    assert found["spearman"] == pytest.approx(1.0)
    assert scores(np.array([1.0]), np.array([np.nan])) == {}
    assert set(scores(np.array([1.0, 2.0]), np.array([3.0, 3.0]))) == {"rmse", "mae"}
