"""Models are found as folders with a card, here and in other distributions."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from tsuite.core import registry
from tsuite.core.errors import UserError
from tsuite.core.task import Task

CARD = """
name = "other.model"
summary = "It does something."
task = "something"
licence = "MIT"
task_class = "task:It"
run_options = "options:Run"
train_options = "options:Train"
checkpoint = "embedded"
data = "it"
extra = "other"
"""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    registry.cards.cache_clear()
    yield
    registry.cards.cache_clear()


def test_every_card_keeps_its_promises() -> None:
    assert registry.cards()
    for name, card in registry.cards().items():
        assert name == card.name
        assert card.summary.endswith(".")
        task = card.load_task()
        assert issubclass(task, Task)
        assert task.card is card
        assert task.run_options is card.attribute(card.run_options)
        assert task.train_options is card.attribute(card.train_options)
        for known, facts in card.checkpoints.items():
            assert facts["summary"], known
            assert facts.get("sources") or (card.folder / facts["folder"]).is_dir(), known


def test_unknown_names() -> None:
    with pytest.raises(UserError, match=r"no model called 'visoin\.vit'.*Did you mean vision\.vit.*tsuite list"):
        registry.card("visoin.vit")


def test_card_files(tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text(CARD)
    card = registry.read_card(tmp_path, "other.model")
    assert (card.name, card.folder, card.sizes, card.paper) == ("other.model", tmp_path, {}, "")
    (tmp_path / "card.toml").write_text(CARD + 'colour = "red"\n')
    with pytest.raises(UserError, match=r"card\.toml cannot be read.*colour"):
        registry.read_card(tmp_path, "x")
    (tmp_path / "card.toml").write_text(CARD.replace('licence = "MIT"', ""))
    with pytest.raises(UserError, match=r"card\.toml cannot be read.*licence"):
        registry.read_card(tmp_path, "x")
    (tmp_path / "card.toml").write_text("name = ")
    with pytest.raises(UserError, match="cannot be read"):
        registry.read_card(tmp_path, "x")


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [EntryPoint(name=name, value=name, group="tsuite.domains") for name in names]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)


def test_other_distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "zzz_toy_domain"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "card.toml").write_text(CARD)
    install(tmp_path, monkeypatch, "zzz_toy_domain", "not_installed_at_all", "gone.below")
    assert registry.card("other.model").package == "zzz_toy_domain"
    assert "vision.vit" in registry.cards()


def test_a_missing_dependency_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "zzz_toy_needy"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "task.py").write_text("import no_such_package.inside\n")
    (folder / "card.toml").write_text(CARD)
    install(tmp_path, monkeypatch, "zzz_toy_needy")
    with pytest.raises(UserError, match=r"needs the package no_such_package.*other"):
        registry.card("other.model").load_task()
