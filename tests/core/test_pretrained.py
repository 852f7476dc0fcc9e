"""From what is written after --checkpoint to verified weights, whatever the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tsuite.core import checkpoint, pretrained, registry
from tsuite.core.errors import UserError
from tsuite.core.registry import Card

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1)}


@pytest.fixture
def card(tmp_path: Path) -> Card:
    values = dict.fromkeys(
        ("summary", "task", "task_class", "run_options", "train_options", "licence", "data", "extra", "package"), "x"
    )
    made = tmp_path / "made"
    return registry.Card(
        name="toy.model", checkpoint="embedded", folder=tmp_path / "model", **values,
        checkpoints={"known": {"summary": "s", "base": "b", "sources": [str(made)]}},
    )  # fmt: skip


@pytest.fixture
def saved(card: Card, tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    checkpoint.write(folder, lambda fresh: pretrained.save_ours(fresh, card, TENSORS, {"config": {"x": 1}}))
    return folder


def test_written_and_read(card: Card, saved: Path) -> None:
    located = pretrained.locate(card, str(saved))
    assert located.is_ours
    config, tensors = pretrained.read_ours(located, card)
    assert config == {"tsuite": 1, "name": "toy.model", "config": {"x": 1}}
    assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())


def test_known_names_carry_their_facts(card: Card, saved: Path) -> None:
    located = pretrained.locate(card, "known")
    assert located.path == saved
    assert located.facts["base"] == "b"


def test_a_name_may_stand_for_a_folder_that_ships_with_the_model(card: Card, saved: Path) -> None:
    card.folder.mkdir()
    saved.rename(card.folder / "checkpoint_small")
    card.checkpoints["small"] = {"summary": "s", "folder": "checkpoint_small"}
    located = pretrained.locate(card, "small")
    assert (located.source, located.is_ours) == ("small", True)


def test_a_run_folder_means_its_best(card: Card, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    saved.rename(tmp_path / "run" / "best")
    assert pretrained.locate(card, str(tmp_path / "run")).path == tmp_path / "run" / "best"


def test_a_run_that_has_saved_nothing_yet(card: Card, tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="is not a checkpoint"):
        pretrained.locate(card, str(tmp_path / "run"))


def test_the_models_own(card: Card, saved: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint at"):
        pretrained.locate(card, None)
    card.folder.mkdir()
    saved.rename(card.folder / "checkpoint")
    assert pretrained.locate(card, None).source == "embedded"


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("knwon", r"no checkpoint 'knwon'.*Did you mean known\?.*hf://org/name"),
        ("embeded", "Did you mean embedded"),
        ("./nothing", "no such path"),
        ("https://example.org/x.safetensors", "sha256"),
        ("pypi://dist/x", "pypi://"),
        ("ftp://example.org/x", "ftp"),
    ],
)
def test_names_that_lead_nowhere(name: str, match: str, card: Card) -> None:
    with pytest.raises(UserError, match=match):
        pretrained.locate(card, name)


def test_a_checkpoint_of_another_model(card: Card, saved: Path, tmp_path: Path) -> None:
    (saved / "config.json").write_text(json.dumps({"tsuite": 1, "name": "toy.other"}))
    files = {path.name: {"sha256": checkpoint.digest(path), "bytes": path.stat().st_size}
             for path in (saved / "config.json", saved / "model.safetensors")}  # fmt: skip
    (saved / "manifest.json").write_text(json.dumps({"files": files}))
    with pytest.raises(UserError, match=r"of toy\.other, not of toy\.model.*tsuite run toy\.other"):
        pretrained.read_ours(pretrained.locate(card, str(saved)), card)


def test_a_folder_without_its_manifest(card: Card, saved: Path) -> None:
    (saved / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"has no manifest\.json"):
        pretrained.read_ours(pretrained.locate(card, str(saved)), card)


def test_several_files(tmp_path: Path) -> None:
    for number, name in enumerate(TENSORS):
        checkpoint.save_tensors(tmp_path / f"part{number}.safetensors", {name: TENSORS[name]})
    index = {"weight_map": {name: f"part{number}.safetensors" for number, name in enumerate(TENSORS)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert set(pretrained.read_foreign_tensors(tmp_path)) == set(TENSORS)
    before = pretrained.weights_sha256(tmp_path)
    checkpoint.save_tensors(tmp_path / "part1.safetensors", {"b": torch.zeros(1)})
    assert pretrained.weights_sha256(tmp_path) != before
    (tmp_path / "part0.safetensors").unlink()
    with pytest.raises(UserError, match=r"holds no part0\.safetensors"):
        pretrained.read_foreign_tensors(tmp_path)
    assert set(pretrained.read_foreign_tensors(tmp_path / "part1.safetensors")) == {"b"}
