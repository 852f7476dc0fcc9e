"""Manifests: each one shipped is read and checked, and each split rule gives the parts it promises."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from tsuite.core.errors import UserError
from tsuite.core.manifest import (
    LabelClass,
    Labels,
    SplitRule,
    manifest,
    manifests,
    read_manifest,
)
from tsuite.core.sources import pin

SMALLEST = """
name = "small"
summary = "A small one."
licence = "CC0-1.0"
licence_note = ""
redistributable = true
homepage = ""
citation = ""
columns = [{ name = "text", about = "the text", kind = "text" }]
format = { kind = "jsonl" }
split = { words = "All is train.", rule = "none" }
"""


def test_those_shipped() -> None:
    known = manifests()
    assert {"elpv", "mnist_5k"} <= set(known)
    for name, item in known.items():
        assert item.folder.name == name
        assert item.licence
        assert item.split.words
        assert json.loads(json.dumps(item.info()))["name"] == name
        beside = [path for path in item.folder.iterdir() if path.name != "dataset.toml"]
        assert sum(path.stat().st_size for path in beside) <= 100_000
        assert not any(path.suffix == ".py" for path in beside)


def test_an_unknown_name() -> None:
    with pytest.raises(UserError, match="Did you mean mnist_5k"):
        manifest("mnist5k")


def test_mnist_split() -> None:
    item = manifest("mnist_5k")
    parts = [item.part(index) for index in range(item.rows)]
    assert Counter(parts) == {"train": 3700, "test": 1000, "validation": 300}
    for index, part in enumerate(parts):
        assert (part == "test") == (index % 5 == 4)
        assert (part == "validation") == (index % 50 in (0, 20, 40))
    by_digit = Counter((index // 500, part) for index, part in enumerate(parts))
    assert set(by_digit.values()) == {370, 100, 30}
    assert item.column("pixels").slice == slice(0, 784)
    assert item.labels is not None
    assert item.labels.index("7") == item.labels.index(7.0) == 7


def test_elpv_labels_and_split() -> None:
    item = manifest("elpv")
    assert item.labels is not None
    grades = ("0.0", "0.3333333333333333", "0.6666666666666666", "1.0")
    assert [item.labels.label(grade) for grade in grades] == ["functional", None, "defective", "defective"]
    keys = [f"images/cell{number:04d}.png" for number in range(1, 2625)]
    assert Counter(item.part(key=key) for key in keys) == {"train": 1832, "test": 539, "validation": 253}
    assert not item.redistributable


def test_rules() -> None:
    by_column = SplitRule(words="", rule="column", column="split", test=("test",), validation=("dev",))
    assert [by_column.part(key=key) for key in ("train", "dev", "test")] == ["train", "validation", "test"]
    last = SplitRule(words="", rule="last", test=(2,), validation=(1,))
    assert [last.part(index, rows=5) for index in range(5)] == ["train", "train", "validation", "test", "test"]
    hashed = SplitRule(words="", rule="hash", column="id", modulus=4, test=(0,))
    assert hashed.part(3, "same") == hashed.part(9, "same")
    assert SplitRule(words="", rule="none").part() == "train"
    for rule in (by_column, last, hashed):
        with pytest.raises(UserError):
            rule.part()


def test_labels() -> None:
    labels = Labels(
        column="x",
        classes=(LabelClass(name="yes", values=("y", "1")), LabelClass(name="high", low=2, high=3)),
    )
    assert [labels.index(value) for value in ("y", 1.0, "2.5", "n", 4)] == [0, 0, 1, None, None]
    assert labels.names == ("yes", "high")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("name =", "nmae ="), "nmae"),
        (('rule = "none"', 'rule = "hsah"'), "Did you mean hash"),
        (('rule = "none"', 'rule = "hash", modulus = 3, column = "id"'), "'id' is used but not declared"),
        (('rule = "none"', 'rule = "index modulo", modulus = 3, test = [3]'), "residues"),
        (('rule = "none"', 'rule = "index modulo", modulus = 3, test = [1], validation = [1]'), "in test and in"),
        (('kind = "text" }]', 'role = "inpt" }]'), "Did you mean input"),
        (('[sources.table]\nsource = "x.jsonl"\nbytes = 1', ""), "no sources"),
        (('source = "x.jsonl"', 'source = "pypi://x==1/y"'), "sha256 is missing"),
        (('summary = "', "summary = "), "dataset.toml"),
    ],
)
def test_mistakes(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    text = SMALLEST + '\n[sources.table]\nsource = "x.jsonl"\nbytes = 1\n'
    path = tmp_path / "dataset.toml"
    path.write_text(text)
    assert read_manifest(path).rows == 0
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(UserError) as caught:
        read_manifest(path)
    assert words in str(caught.value)


def test_fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSUITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with zipfile.ZipFile(tmp_path / "small-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("small/a.jsonl", "{}")
        archive.writestr("small/b.jsonl", "[]")
    sources = [pin(f"pypi://small==1.0/small/{name}.jsonl") for name in "ab"]
    tables = [f'[sources.{name}]\nsource = "{source}"\nbytes = 2\n' for name, source in zip("ab", sources, strict=True)]
    (tmp_path / "dataset.toml").write_text(SMALLEST + "\n".join(tables))
    item = manifest(str(tmp_path / "dataset.toml"))
    assert (item.cached(), item.bytes_on_disk()) == (False, 0)
    assert {name: path.read_text() for name, path in item.fetch().items()} == {"a": "{}", "b": "[]"}
    assert (item.cached(), item.bytes_on_disk()) == (True, 4)
    (tmp_path / "dataset.toml").write_text((SMALLEST + tables[0]).replace("bytes = 2", "bytes = 1"))
    item.fetch()["a"].unlink()
    with pytest.raises(UserError, match="declared"):
        read_manifest(tmp_path / "dataset.toml").fetch()


RECIPE = '[recipe]\ndomain = "control"\nsettings = { env = "CartPole-v1", episodes = 2 }\n'


def test_a_recipe(tmp_path: Path, tmp_cache: Path) -> None:
    path = tmp_path / "dataset.toml"
    path.write_text(SMALLEST + RECIPE)
    item = read_manifest(path)
    assert item.recipe is not None
    assert (item.cached(), item.bytes_on_disk(), item.sources) == (False, 0, {})
    assert json.loads(json.dumps(item.info()))["recipe"]["settings"] == {"env": "CartPole-v1", "episodes": 2}
    made = tmp_cache / "recordings" / item.sha256
    made.mkdir(parents=True)
    (made / "part").write_text("1234")
    assert (item.cached(), item.bytes_on_disk(), item.fetch()) == (True, 4, {"made": made})
    path.write_text(SMALLEST + RECIPE.replace("2 }", "3 }"))
    assert read_manifest(path).sha256 != item.sha256
    path.write_text(SMALLEST + RECIPE + 'sha256 = "abc"\n')
    assert read_manifest(path).sha256 == "abc"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("control", "kontrol"), "there is no domain 'kontrol' that makes data"),
        (("settings", "setings"), "Did you mean settings"),
        (("[recipe]", '[sources.table]\nsource = "x.jsonl"\nbytes = 1\n[recipe]'), "made by a recipe has no sources"),
    ],
)
def test_mistakes_in_a_recipe(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    path = tmp_path / "dataset.toml"
    path.write_text(SMALLEST + RECIPE.replace(*change))
    with pytest.raises(UserError, match=words.replace("[", r"\[")):
        read_manifest(path)


def test_a_domain_that_makes_no_data(tmp_path: Path, tmp_cache: Path) -> None:
    path = tmp_path / "dataset.toml"
    path.write_text(SMALLEST + RECIPE.replace("control", "timeseries"))
    with pytest.raises(UserError, match="timeseries makes no data"):
        read_manifest(path).fetch()


COMBINED = SMALLEST.replace('columns = [{ name = "text", about = "the text", kind = "text" }]', "columns = []")
COMBINED = COMBINED.replace('kind = "jsonl"', 'kind = "combined"').replace('rule = "none"', 'rule = "members"')
COMBINED += 'combine = ["one", "two"]\n'


def _write_members(folder: Path) -> Path:
    """Two members, one of them with two sources, and the set that combines them."""
    for name, tables in (("one", ["table"]), ("two", ["a", "b"])):
        (folder / name).mkdir()
        sources = "".join(f'[sources.{table}]\nsource = "{name}-{table}.jsonl"\nbytes = 1\n' for table in tables)
        text = SMALLEST.replace('"small"', f'"{name}"') + "rows = 5\n" + sources
        (folder / name / "dataset.toml").write_text(text)
    (folder / "both").mkdir()
    (folder / "both" / "dataset.toml").write_text(COMBINED)
    return folder / "both" / "dataset.toml"


def test_a_combined_set(tmp_path: Path) -> None:
    path = _write_members(tmp_path)
    both = read_manifest(path)
    assert [item.name for item in both.members()] == ["one", "two"]
    assert list(both.sources) == ["one", "two.a", "two.b"]
    assert both.rows == 10
    assert both.members()[0].members() == (both.members()[0],)
    with pytest.raises(UserError, match="no split rule of its own"):
        both.part(0, "x")
    before = both.sha256
    other = path.parent.parent / "two" / "dataset.toml"
    other.write_text(other.read_text().replace("two-b", "two-c"))
    assert read_manifest(path).sha256 != before
    shipped = manifest("zh_chat")
    assert shipped.rows == sum(item.rows for item in shipped.members()) == 1552
    assert set(shipped.info()["sources"]) == {"alpaca_zh_demo", "chatterbot_zh"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('"two"]', '"three"]'), "three"),
        (('"two"]', '"both"]'), "cannot be a member of another"),
        (('kind = "combined"', 'kind = "jsonl"'), "belong together"),
        (('rule = "members"', 'rule = "none"'), "belong together"),
        (('combine = ["one", "two"]', ""), "belong together"),
        (("columns = []", 'columns = [{ name = "a", about = "a" }]'), "no sources or columns of its own"),
    ],
)
def test_mistakes_in_combining(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    path = _write_members(tmp_path)
    assert change[0] in COMBINED
    path.write_text(COMBINED.replace(*change))
    with pytest.raises(UserError) as caught:
        read_manifest(path)
    assert words in str(caught.value)


@pytest.mark.slow
def test_the_real_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSUITE_CACHE", str(tmp_path / "cache"))
    item = manifest("mnist_5k")
    with gzip.open(item.fetch()["table"], "rt") as file:
        rows = list(csv.reader(file))
    assert len(rows) == item.rows
    assert item.labels is not None
    labels = [item.labels.label(row[item.column("digit").slice][0]) for row in rows]
    assert Counter(labels) == dict.fromkeys("0123456789", 500)
    assert {len(row[item.column("pixels").slice]) for row in rows} == {784}
