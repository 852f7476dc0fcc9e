"""Labelled pictures from folders, tables, parquet, saved datasets and manifests; what is wrong with them by name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as arrow
import pytest
from PIL import Image
from pyarrow import parquet
from tsuite.core.errors import UserError
from tsuite.domains.vision.data import Collection, collect, count_by_class, pictures, splits

import datasets

from .pictures import digit_folder, digits, encoded


def small(number: int) -> Image.Image:
    return digits()[0][number]


def labels_of(collection: Collection) -> list[str]:
    return [collection.classes[example.label or 0] for example in collection.examples]


def refused(data: Path | str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        collect(str(data))


# -- folders -----------------------------------------------------------------------------------------------------------


def test_class_folders(tmp_path: Path) -> None:
    for name in ("10", "9", "b"):
        (tmp_path / name / "deep").mkdir(parents=True)
        small(0).save(tmp_path / name / "deep" / "x.png")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "9" / "notes.txt").write_text("no picture")
    found = collect(str(tmp_path))
    assert found.classes == ("9", "10", "b")  # numbers as numbers
    assert [example.id for example in found.examples] == ["10/deep/x.png", "9/deep/x.png", "b/deep/x.png"]
    assert {example.part for example in found.examples} == {""}


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "valid", "testing"), ("train", "dev", "test")]
)
def test_parts(names: tuple[str, str, str], tmp_path: Path) -> None:
    for part in names:
        digit_folder(tmp_path / part, every=400, classes=4, parts=False)
    found = collect(str(tmp_path))
    parts = splits(found, validation=0.5)
    assert parts.test is not None
    assert len(parts.train.examples) == len(parts.validation.examples) == len(parts.test.examples)
    assert {example.id.split("/")[0] for example in parts.validation.examples} == {names[1]}


def test_wrong_folders(tmp_path: Path) -> None:
    refused(tmp_path, "no class folders with pictures.*data/cat/1.jpg")
    small(0).save(tmp_path / "loose.png")
    refused(tmp_path, "no class folders")
    (tmp_path / "cat").mkdir()
    refused(tmp_path, "no class folders")
    small(0).save(tmp_path / "cat" / "1.png")
    refused(tmp_path, r"one class only \(cat\).*at least two")
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "1.png").touch()
    refused(tmp_path, "dog/1.png is empty")


def test_names_that_are_not_there(tmp_path: Path) -> None:
    refused("mnist_5", r"no data called 'mnist_5'.*Did you mean mnist_5k\?.*tsuite data list")
    (tmp_path / "data.xlsx").write_text("x")
    refused(tmp_path / "data.xlsx", "is no labelled data.*Give a folder")


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number in range(4):
        small(number).save(tmp_path / "images" / f"{number}.png")
    return tmp_path / "labels.csv"


ROWS = "images/0.png,cat\nimages/1.png,dog\nimages/2.png,cat\n"


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("header", ["path,label", "Filename, Class", "image,target,more"])
def test_csv(header: str, start: str, table: Path) -> None:
    table.write_text(f"{start}{header}\n{ROWS}", encoding="utf-8")
    found = collect(str(table))
    assert found.classes == ("cat", "dog")
    assert labels_of(found) == ["cat", "dog", "cat"]
    assert found.examples[1].id == "images/1.png"


def test_tsv_with_parts(table: Path) -> None:
    table = table.with_suffix(".tsv")
    table.write_text("path\tlabel\tsplit\nimages/0.png\ta\ttrain\nimages/1.png\tb\tVal\nimages/2.png\tb\ttest\n")
    assert [example.part for example in collect(str(table)).examples] == ["train", "validation", "test"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("path,label\n", "holds no pictures"),
        ("path,label\nimages/0.png,cat\nimages/1.png,\n", r"line 3: the label of images/1\.png is missing"),
        ("path,label\nimages/0.png\n", r"line 2: the label of images/0\.png is missing"),
        ("path,label\n,cat\n", "line 2: the path is missing"),
        ("path,label\nimages/0.png,cat\nimages/9.png,dog\n", r"line 3: there is no file .*9\.png"),
        ("path,labels\nimages/0.png,cat\n", "no column for the label; it has: path, labels"),
        ("name,label\nimages/0.png,cat\n", "no column for the path; it has: name, label"),
        ("path,label,split\nimages/0.png,cat,trian\n", r"line 2: there is no part 'trian'.*Did you mean.*train"),
        ("path,label\nimages/0.png,cat\n", "one class only"),
    ],
)
def test_wrong_csv(text: str, match: str, table: Path) -> None:
    table.write_text(text)
    refused(table, match)


def test_csv_in_another_encoding(table: Path) -> None:
    table.write_bytes("path,label\nimages/0.png,Käse\n".encode("latin-1"))
    refused(table, "not written in UTF-8")


# -- parquet and Hugging Face ------------------------------------------------------------------------------------------


def test_parquet(tmp_path: Path) -> None:
    content = [encoded(small(number)) for number in range(4)]
    for part in ("train", "test"):
        table = arrow.table({"image": content, "label": ["a", "b", "a", "b"]})
        parquet.write_table(table, tmp_path / f"{part}-00000-of-00001.parquet")
    found = collect(str(tmp_path))
    assert [example.part for example in found.examples] == ["test"] * 4 + ["train"] * 4
    assert labels_of(found)[:2] == ["a", "b"]
    assert found.examples[1].image == content[1]
    assert collect(str(tmp_path / "train-00000-of-00001.parquet")).classes == ("a", "b")


def test_parquet_with_the_hubs_struct(tmp_path: Path) -> None:
    images = [{"bytes": encoded(small(number), "JPEG"), "path": f"{number}.jpg"} for number in range(3)]
    parquet.write_table(arrow.table({"image": images, "label": [7, 3, 10]}), tmp_path / "x.parquet")
    found = collect(str(tmp_path / "x.parquet"))
    assert found.classes == ("3", "7", "10")
    assert found.examples[0].image == images[0]["bytes"]


def test_wrong_parquet(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 this is none")
    refused(path, "cannot be read as parquet")
    parquet.write_table(arrow.table({"image": [b"x", b"y"], "label": ["a", None]}), path)
    refused(path, "row 1: the label is missing")
    parquet.write_table(arrow.table({"image": ["a.png"], "label": ["a"]}), path)
    refused(path, "row 0: the column 'image' holds no encoded picture")
    parquet.write_table(arrow.table({"pixels": [1], "label": ["a"]}), path)
    refused(path, "no column for the picture; it has: pixels, label")


def hub_like(count: int) -> datasets.Dataset:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["zwei", "eins"])})
    rows = {"image": [small(number) for number in range(count)], "label": [number % 2 for number in range(count)]}
    return datasets.Dataset.from_dict(rows, features=features)


def test_dataset_saved_to_disk(tmp_path: Path) -> None:
    hub_like(4).save_to_disk(str(tmp_path / "one"))
    found = collect(str(tmp_path / "one"))
    assert found.classes == ("zwei", "eins")  # the order that the data gives them
    assert labels_of(found) == ["zwei", "eins", "zwei", "eins"]
    assert isinstance(found.examples[0].image, bytes)


def test_dataset_with_parts(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": hub_like(4), "test": hub_like(2)}).save_to_disk(str(tmp_path / "two"))
    found = collect(str(tmp_path / "two"))
    assert [example.part for example in found.examples] == ["train"] * 4 + ["test"] * 2
    shutil.rmtree(tmp_path / "two" / "train")
    refused(tmp_path / "two", "cannot be had")


# -- manifests ---------------------------------------------------------------------------------------------------------


def test_manifest_of_pixels() -> None:
    """The default data: 5,000 digits in a table, split by the row's number."""
    try:
        found = collect("mnist_5k")
    except UserError as error:
        pytest.skip(f"no way to the data: {error}")
    parts = splits(found, validation=0.5)
    assert found.classes == tuple("0123456789")
    assert parts.test is not None
    assert [len(split.examples) for split in (parts.train, parts.validation, parts.test)] == [3700, 300, 1000]
    assert count_by_class(parts.test.examples, 10) == [100] * 10
    assert found.examples[0].image.shape == (28, 28)
    assert parts.test.examples[0].id == "mnist_5k[4]"


# -- the validation part, hashes, inputs ------------------------------------------------------------------------------


def test_validation_is_taken_from_each_class_and_stays(tmp_path: Path) -> None:
    digit_folder(tmp_path, every=6, classes=3, parts=False)
    parts = splits(collect(str(tmp_path)), validation=0.2)
    assert parts.test is None
    everything = count_by_class([*parts.train.examples, *parts.validation.examples], 3)
    taken = count_by_class(parts.validation.examples, 3)
    assert all(abs(part - 0.2 * whole) <= 1 for part, whole in zip(taken, everything, strict=True))
    before = {example.id for example in parts.validation.examples}
    for number in range(3):
        small(number).save(tmp_path / "0" / f"new{number}.png")
    after = {example.id for example in splits(collect(str(tmp_path)), validation=0.2).validation.examples}
    assert len(before - after) <= 3


def test_one_picture_of_a_class_is_for_training(tmp_path: Path) -> None:
    digit_folder(tmp_path, every=100, classes=2, parts=False)
    (tmp_path / "rare").mkdir()
    small(0).save(tmp_path / "rare" / "one.png")
    parts = splits(collect(str(tmp_path)), validation=0.5)
    assert count_by_class(parts.train.examples, 3)[2] == 1
    assert not splits(collect(str(tmp_path)), validation=0).validation.examples


def test_nothing_to_train_on(tmp_path: Path) -> None:
    digit_folder(tmp_path / "test", every=200, parts=False)
    with pytest.raises(UserError, match="no pictures to train on"):
        splits(collect(str(tmp_path)), validation=0.1)


def test_the_hash_follows_the_content(tmp_path: Path) -> None:
    digit_folder(tmp_path, every=200, classes=3, parts=False)
    before = collect(str(tmp_path)).sha256
    assert collect(str(tmp_path)).sha256 == before
    first = next(tmp_path.rglob("*.png"))
    content = bytearray(first.read_bytes())
    content[-1] ^= 1  # another picture of the same size
    first.write_bytes(bytes(content))
    changed = collect(str(tmp_path)).sha256
    assert changed != before
    first.rename(first.with_name("moved.png"))
    assert collect(str(tmp_path)).sha256 not in (before, changed)


def test_the_hash_follows_the_bytes_in_parquet(tmp_path: Path) -> None:
    found = []
    for content in (b"aaaa", b"aaab"):
        parquet.write_table(arrow.table({"image": [content, b"b"], "label": ["a", "b"]}), tmp_path / "x.parquet")
        found.append(collect(str(tmp_path / "x.parquet")).sha256)
    assert found[0] != found[1]


def test_inputs_of_run(tmp_path: Path) -> None:
    digit_folder(tmp_path / "in", every=400, classes=4, parts=False)
    image = small(0)
    found = pictures([tmp_path / "in", str(next((tmp_path / "in").rglob("*.png"))), image])
    assert found[-1].image is image
    assert found[-1].id.startswith("picture ")
    assert len(found) == len(list((tmp_path / "in").rglob("*.png"))) + 2
    with pytest.raises(UserError, match="no file or folder 'nowhere'"):
        pictures(["nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no pictures"):
        pictures([tmp_path / "empty"])
