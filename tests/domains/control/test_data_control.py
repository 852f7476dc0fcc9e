"""Episodes by name and path, their parts, sets that are recorded by a recipe, and data of another environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tsuite.core.errors import UserError
from tsuite.core.manifest import manifest, manifests
from tsuite.domains.control.data import FORMATS, check_against, collect, describe, load_episodes, write_episodes
from tsuite.domains.control.store import write_store

from .tiny_episodes import make, same

NAMES = ("cartpole_mixed", "grid_paths", "pendulum_scripted")


def test_ours(tmp_path: Path) -> None:
    episodes = make()
    path = write_episodes(episodes, tmp_path / "new", "tsuite")
    assert same(load_episodes(path), episodes)
    assert load_episodes(str(path)).name == str(path)
    for format in FORMATS:
        with pytest.raises(UserError, match="is there already"):
            write_episodes(episodes, path, format)
    with pytest.raises(UserError, match="Did you mean lerobot"):
        write_episodes(episodes, tmp_path / "other", "lerobott")


def test_parts(tmp_path: Path) -> None:
    episodes = make(lengths=range(1, 41))
    parts = collect(write_store(episodes, tmp_path / "new"))
    ids = {name: [item.id for item in getattr(parts, name)] for name in ("train", "validation", "test")}
    assert [len(ids[name]) for name in ids] == [32, 4, 4]
    assert sorted(int(name) for part in ids.values() for name in part) == list(range(40))
    again = collect(tmp_path / "new")
    assert (again.sha256, [item.id for item in again.test]) == (parts.sha256, ids["test"])
    assert ids["test"] != ids["validation"] != sorted(ids["train"], key=int)[:4]
    assert parts.train.steps == sum(int(name) + 1 for name in ids["train"])
    assert parts.splits().train.examples is parts.train


@pytest.mark.parametrize(("count", "shares"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1))])
def test_parts_of_few(count: int, shares: tuple, tmp_path: Path) -> None:
    parts = collect(write_store(make(lengths=[2] * count), tmp_path / "new"))
    assert (len(parts.train), len(parts.validation), len(parts.test)) == shares


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Did you mean cartpole_mixed.*LeRobot"):
        load_episodes("cartpole_mixd")
    with pytest.raises(UserError, match="vic_elec holds no episodes"):
        load_episodes("vic_elec")
    (tmp_path / "x.txt").write_text("x")
    for path in (tmp_path, tmp_path / "x.txt"):
        with pytest.raises(UserError, match="holds no episodes of a form that is known"):
            load_episodes(path)


def test_data_of_another_environment() -> None:
    cart, arm = make("cart", env="CartPole-v1").setting, make("arm", env="Arm-v0").setting
    check_against(cart, make("cart").setting)
    with pytest.raises(UserError) as caught:
        check_against(cart, arm)
    told = str(caught.value)
    assert "CartPole-v1 has 4 numbers seen (shape [4])" in told
    assert "3 numbers (shape [3]) are expected for Arm-v0" in told
    assert "another environment" in told


@pytest.mark.parametrize(("format", "package"), [("parquet", "pyarrow"), ("lerobot", "pyarrow"), ("minari", "minari")])
def test_a_package_that_is_missing(format: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(package)
    path = write_episodes(make(), tmp_path / "new.parquet", format)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"needs the package {package}.*tsuite\[control\]"):
        load_episodes(path)
    with pytest.raises(UserError, match=rf"needs the package {package}"):
        write_episodes(make(), tmp_path / "other.parquet", format)


def test_describe() -> None:
    facts = describe(make())
    assert (facts["episodes"], facts["steps"], facts["terminated"], facts["truncated"]) == (4, 17, 2, 2)
    assert facts["returns"]["max"] == max(make().returns)


# -- recipes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_those_shipped(name: str) -> None:
    found = manifests()[name]
    assert found.recipe is not None
    assert found.recipe.settings["episodes"] == found.rows
    parts = [found.part(row) for row in range(found.rows)]
    assert 0.05 * found.rows <= parts.count("test") == parts.count("validation") <= 0.1 * found.rows


SMALL = """
name = "small"
summary = "A small one."
licence = "CC0-1.0"
licence_note = ""
redistributable = true
homepage = ""
citation = ""
columns = []
rows = 10
format = { kind = "episodes" }
split = { words = "By number.", rule = "index modulo", modulus = 5, test = [4], validation = [3] }
[recipe]
domain = "control"
settings = { env = "CartPole-v1", policy = "random", episodes = 10, seed = 3, max_steps = 12 }
"""


def test_recorded_when_it_is_first_asked_for(tmp_path: Path, tmp_cache: Path) -> None:
    pytest.importorskip("gymnasium")
    path = tmp_path / "dataset.toml"
    path.write_text(SMALL)
    found = manifest(str(path))
    assert (found.cached(), found.bytes_on_disk()) == (False, 0)
    parts = collect(str(path))
    assert found.cached()
    assert found.bytes_on_disk() > 1000
    assert found.info()["cached"]
    assert [item.seed for item in parts.test] == [7, 12]
    assert [item.seed for item in parts.validation] == [6, 11]
    assert len(parts.train) == 6
    assert parts.train.setting.env == "CartPole-v1"
    assert max(load_episodes(str(path)).lengths) <= 12
    (made,) = tmp_cache.glob("recordings/*")
    before = (made / "meta.json").stat().st_mtime_ns
    whole = load_episodes(str(path))
    assert (made / "meta.json").stat().st_mtime_ns == before
    path.write_text(SMALL + f'sha256 = "{whole.sha256}"\n')
    assert manifest(str(path)).sha256 == whole.sha256
    assert collect(str(path)).notices == ()
    path.write_text(SMALL + f'sha256 = "{"0" * 64}"\n')
    assert "differs in places from the original" in collect(str(path)).notices[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("seed = 3, ", ""), "lacks or does not know: seed"),
        (("max_steps", "most_steps"), "lacks or does not know: most_steps"),
        (("CartPole-v1", "CratPole-v1"), "CratPole-v1"),
        (("CartPole-v1", "mine:CartPole-v1"), "cannot name a module"),
    ],
)
def test_a_recipe_that_cannot_be_followed(change: tuple, words: str, tmp_path: Path, tmp_cache: Path) -> None:
    pytest.importorskip("gymnasium")
    path = tmp_path / "dataset.toml"
    path.write_text(SMALL.replace(*change))
    with pytest.raises(UserError, match=words):
        collect(str(path))
    assert not list(tmp_cache.glob("recordings/*"))
