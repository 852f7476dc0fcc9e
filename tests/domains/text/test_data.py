"""Named sets keep their split, other data are split the same everywhere, and what cannot be used is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from tsuite.core.errors import UserError
from tsuite.core.manifest import manifest
from tsuite.core.sources import Source, pin
from tsuite.domains.text import data as text_data
from tsuite.domains.text.data import Collection, collect, question
from tsuite.domains.text.formats import AnyExample

from .tinychat import alpaca, turns, write_lines


def parts(collection: Collection) -> list[int]:
    return [len(part) for part in (collection.train, collection.validation, collection.test)]


def asked(examples: list[AnyExample]) -> set[str]:
    return {question(item) for item in examples}


def test_a_file(tmp_cache: Path, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", alpaca(100))
    found = collect(str(path))
    assert parts(found) == [95, 5, 0]
    assert found.train[0].turns == turns("问题 0？", "答案 0。")  # type: ignore[union-attr]
    assert found.train[-1] == found.train[94] == list(found.train)[-1] == found.train[94:][0]
    with pytest.raises(IndexError):
        found.train[95]
    splits = found.splits()
    assert (splits.train.name, splits.train.part, splits.test) == (str(path), "train", None)
    assert splits.train.sha256 == found.sha256


def test_the_split_is_the_same_everywhere_and_moves_little(tmp_cache: Path, tmp_path: Path) -> None:
    rows = alpaca(200)
    (tmp_path / "other").mkdir()
    first = asked(collect(str(write_lines(tmp_path / "a.jsonl", rows))).validation[:])
    again = asked(collect(str(write_lines(tmp_path / "other" / "b.jsonl", rows[::-1]))).validation[:])
    assert first == again
    assert len(first) == 10
    fewer = asked(collect(str(write_lines(tmp_path / "c.jsonl", rows[:190]))).validation[:])
    assert len(first & fewer) >= len(first) - 2


def test_equal_questions_stay_together(tmp_cache: Path, tmp_path: Path) -> None:
    rows = [{"question": f"问题 {number % 7}", "answer": f"答案 {number}"} for number in range(70)]
    found = collect(str(write_lines(tmp_path / "a.jsonl", rows)))
    assert parts(found) == [60, 10, 0]
    assert not asked(found.train[:]) & asked(found.validation[:])


def test_named_parts(tmp_cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, count in (("train-00000-of-00001", 7), ("validation", 3), ("test", 2)):
        write_lines(folder / f"{name}.jsonl", alpaca(count))
    assert parts(collect(str(folder))) == [7, 3, 2]
    (folder / "validation.jsonl").unlink()
    assert parts(collect(str(folder), validation=0.3)) == [5, 2, 2]
    nested = tmp_path / "nested"
    for name in ("train", "test"):
        (nested / name).mkdir(parents=True)
        write_lines(nested / name / "a.jsonl", alpaca(4))
    assert parts(collect(str(nested), validation=0.0)) == [4, 0, 4]


def test_kinds(tmp_cache: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"问 {number}", "chosen": "好", "rejected": "坏"} for number in range(20)]
    preferences = collect(str(write_lines(tmp_path / "p.jsonl", rows)), kind="preference")
    assert parts(preferences) == [19, 1, 0]
    assert preferences.train[0].chosen == "好"  # type: ignore[union-attr]
    for number in range(3):
        (tmp_path / "texts" / f"{number}.txt").parent.mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{number}.txt").write_text(f"文章 {number}", encoding="utf-8")
    documents = collect(str(tmp_path / "texts"), kind="document")
    assert parts(documents) == [2, 1, 0]
    with pytest.raises(UserError, match=r"p\.jsonl, line 1 is preference, but conversations are needed"):
        collect(str(tmp_path / "p.jsonl"))


def test_prompts_are_left_out_and_told(tmp_cache: Path, tmp_path: Path) -> None:
    rows = [*alpaca(5), {"instruction": "问", "output": "答"}]
    path = write_lines(
        tmp_path / "a.jsonl", [{"messages": _messages(row, number < 3)} for number, row in enumerate(rows)]
    )
    for _ in range(2):  # once made, once out of the cache
        found = collect(str(path))
        assert sum(parts(found)) == 3
        assert found.notices == ("3 conversations that end with the user were left out.",)
    none = write_lines(tmp_path / "b.jsonl", [{"prompt": "问"}])
    with pytest.raises(UserError, match="no rows that can be learnt from"):
        collect(str(none))


def _messages(row: dict[str, str], answered: bool) -> list[dict[str, str]]:
    said = [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["output"]}]
    return said if answered else said[:1]


def test_what_cannot_be(tmp_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no data called 'zh_chta' .* Did you mean zh_chat"):
        collect("zh_chta")
    one = collect(str(write_lines(tmp_path / "a.jsonl", alpaca(1))))
    with pytest.raises(UserError, match="has nothing for validation"):
        one.splits()
    with pytest.raises(UserError, match=r"mnist_5k holds no text"):
        collect("mnist_5k")


def test_changed_files_are_read_again(tmp_cache: Path, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", alpaca(10))
    first = collect(str(path))
    write_lines(path, alpaca(11))
    second = collect(str(path))
    assert (sum(parts(first)), sum(parts(second))) == (10, 11)
    assert first.sha256 != second.sha256


def test_it_is_read_once(tmp_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_lines(tmp_path / "a.jsonl", alpaca(10))
    collect(str(path))
    monkeypatch.setattr(text_data, "_store", lambda *_: pytest.fail("stored again"))
    assert sum(parts(collect(str(path)))) == 10


MANIFEST = """
name = "{name}"
summary = "A small one."
licence = "CC0-1.0"
licence_note = ""
redistributable = true
homepage = ""
citation = ""
rows = 20
columns = [{{ name = "instruction", about = "a", kind = "text" }}]
format = {{ kind = "jsonl" }}
split = {{ words = "By hash.", rule = "hash", column = "instruction", modulus = 4, test = [0], validation = [1] }}
sources.table = {{ source = "{source}", bytes = 9999 }}
"""
COMBINED = """
name = "both"
summary = "Both."
licence = "CC0-1.0"
licence_note = ""
redistributable = true
homepage = ""
citation = ""
combine = ["one", "two"]
columns = []
format = { kind = "combined" }
split = { words = "Each as it says.", rule = "members" }
"""


def test_manifests(tmp_cache: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        path = write_lines(tmp_path / name / "rows.jsonl", alpaca(20))
        (tmp_path / name / "dataset.toml").write_text(MANIFEST.format(name=name, source=path), encoding="utf-8")
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "dataset.toml").write_text(COMBINED, encoding="utf-8")
    one, both = (collect(str(tmp_path / name / "dataset.toml")) for name in ("one", "both"))
    assert [2 * count for count in parts(one)] == parts(both)
    rule = manifest(str(tmp_path / "one" / "dataset.toml")).split
    for part in ("train", "validation", "test"):
        assert asked(getattr(one, part)[:]) == asked(getattr(both, part)[:])
        assert all(rule.part(key=question(item)) == part for item in getattr(one, part))


SHIPPED = {"zh_chat": (1323, 67, 162), "alpaca_zh_demo": (853, 39, 108), "alpaca_en_demo": (792, 57, 150),
           "chatterbot_zh": (470, 28, 54), "dpo_zh_demo": (246, 20, 34)}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_the_real_sets(name: str) -> None:
    found = collect(name, kind="preference" if name.startswith("dpo") else "chat")
    assert tuple(parts(found)) == SHIPPED[name]
    assert sum(parts(found)) == manifest(name).rows
    assert found.notices == ()
    assert not asked(found.train[:]) & asked(found.test[:])
    for source in manifest(name).sources.values():
        assert pin(str(source.source).partition("#")[0]).endswith(source.source.sha256)
        assert source.source.cached() == Source.parse(str(source.source)).cached()
