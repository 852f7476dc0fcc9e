"""Labelled pictures from whatever a person has: class folders, CSV, parquet, a Hugging Face dataset, a manifest.

Every reader ends in a `Collection`: examples with the index of their class and, where the data fixes one, their part.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import hashlib
import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...core.errors import UserError, missing_extra, near
from ...core.sources import sha256_file
from ...core.task import Example, Split, Splits

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
PATH_COLUMNS = ("path", "file", "file_name", "filename", "image")
LABEL_COLUMNS = ("label", "class", "target", "category")
PARTS = {"train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
         "dev": "validation", "test": "test", "testing": "test"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ImageExample(Example):
    """A picture (path, encoded bytes, array of bytes [height, width(, 3)] or Pillow image), its class if known."""

    image: Any
    label: int | None = None
    part: str = ""


@dataclass(frozen=True, kw_only=True)
class FeatureExample(Example):
    """A picture as a frozen backbone sees it: features [F], computed once."""

    features: Tensor
    label: int | None = None


@dataclass(frozen=True, kw_only=True)
class Collection:
    """All examples of a data set, the names of its classes in order, and a hash of what was read."""

    name: str
    classes: tuple[str, ...]
    examples: tuple[ImageExample, ...]
    sha256: str

    def part(self, part: str) -> Split:
        """The examples of one part."""
        chosen = [example for example in self.examples if example.part == part]
        return Split(name=self.name, part=part, examples=chosen, sha256=self.sha256)


def collect(data: str) -> Collection:
    """Read the labelled pictures that `data` names: a manifest's name, a folder, .csv or .parquet, `hf://org/name`.

    Raises UserError for what cannot be found, holds no picture, or has fewer than two classes.
    """
    from ...core import manifest

    path = Path(data).expanduser()
    if data.startswith("hf://") or (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        collection = _from_hugging_face(data)
    elif path.is_dir():
        parquet = sorted(path.glob("*.parquet"))
        collection = _from_parquet(parquet, data) if parquet else _from_folder(path)
    elif path.suffix.lower() == ".parquet" and path.is_file():
        collection = _from_parquet([path], data)
    elif path.suffix.lower() in (".csv", ".tsv") and path.is_file():
        collection = _from_csv(path)
    elif path.exists():
        raise UserError(
            f"{data} is no labelled data.", "Give a folder of class folders, a .csv, a .parquet, hf://org/name."
        )
    else:
        known = manifest.manifests()
        if data not in known:
            hint = near(data, known)
            raise UserError(f"There is no data called {data!r} and no such path.", f"{hint} See: tsuite data list")
        collection = _from_manifest(data)
    if not collection.examples:
        raise UserError(f"{data} holds no pictures.", f"Known endings: {', '.join(sorted(SUFFIXES))}.")
    if len(collection.classes) < 2:
        raise UserError(
            f"{data} has one class only ({', '.join(collection.classes)}).", "A classifier needs at least two."
        )
    return collection


def splits(collection: Collection, *, validation: float) -> Splits:
    """Train, validation and (where the data has one) test.

    Where the data names no validation part, `validation` of each class is taken: those whose ids hash lowest, so that
    the choice is the same everywhere and adding pictures moves few.
    """
    examples = collection.examples
    if not any(example.part == "validation" for example in examples) and validation:
        chosen = set()
        for label in range(len(collection.classes)):
            ids = [example.id for example in examples if example.label == label and example.part != "test"]
            ids.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
            chosen.update(ids[: min(math.ceil(len(ids) * validation), len(ids) - 1)])
        examples = tuple(
            dataclasses.replace(item, part="validation") if item.id in chosen and item.part != "test" else item
            for item in examples
        )
    named = dataclasses.replace(
        collection, examples=tuple(item if item.part else dataclasses.replace(item, part="train") for item in examples)
    )
    train, test = named.part("train"), named.part("test")
    if not train.examples:
        raise UserError(f"{collection.name} has no pictures to train on.")
    return Splits(train=train, validation=named.part("validation"), test=test if test.examples else None)


def pictures(inputs: Sequence[Any]) -> list[ImageExample]:
    """What a person named to look at: paths of pictures and folders (searched through), arrays, Pillow images.

    Raises UserError for a path that is not there and a folder without pictures.
    """
    found = []
    for number, item in enumerate(inputs):
        if not isinstance(item, (str, Path)):
            found.append(ImageExample(id=f"picture {number + 1}", image=item))
            continue
        path = Path(item).expanduser()
        if not path.exists():
            raise UserError(f"There is no file or folder {str(item)!r}.")
        files = _files(path) if path.is_dir() else [path]
        if not files:
            raise UserError(
                f"The folder {str(item)!r} holds no pictures.", f"Known endings: {', '.join(sorted(SUFFIXES))}."
            )
        found += [ImageExample(id=str(file), image=file) for file in files]
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _build(name: str, rows: Iterable[tuple[str, Any, str, str]], classes: Sequence[str] | None = None) -> Collection:
    """A Collection from rows of (id, image, class name, part)."""
    rows = list(rows)
    names = tuple(classes) if classes else tuple(sorted({row[2] for row in rows}, key=_natural))
    index = {label: number for number, label in enumerate(names)}
    examples = tuple(ImageExample(id=row[0], image=row[1], label=index[row[2]], part=row[3]) for row in rows)
    digest = hashlib.sha256()
    for row in rows:
        content = sha256_file(row[1]) if isinstance(row[1], Path) else hashlib.sha256(row[1]).hexdigest()
        digest.update(f"{row[0]}\t{row[2]}\t{row[3]}\t{content}\n".encode())
    return Collection(name=name, classes=names, examples=examples, sha256=digest.hexdigest())


def _natural(text: str) -> tuple[int, float, str]:
    """Order numbers as numbers: 2 before 10."""
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def _from_folder(folder: Path) -> Collection:
    """Class folders, perhaps inside train/, val/, test/."""
    tops = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    parted = [top for top in tops if top.name.lower() in PARTS]
    groups = [(PARTS[top.name.lower()], top) for top in parted] if parted else [("", folder)]
    rows = []
    for part, top in groups:
        for kind in sorted(path for path in top.iterdir() if path.is_dir() and not path.name.startswith(".")):
            rows += [(str(file.relative_to(folder)), file, kind.name, part) for file in _files(kind)]
    if not rows:
        raise UserError(
            f"The folder {folder} has no class folders with pictures in them.",
            "Put the pictures of each class in a folder of its name: data/cat/1.jpg, data/dog/1.jpg.",
        )
    for example in rows:
        if example[1].stat().st_size == 0:
            raise UserError(f"{example[0]} is empty.")
    return _build(str(folder), rows)


def _column(names: Sequence[str], wanted: Sequence[str], what: str, source: str) -> str:
    for name in wanted:
        for given in names:
            if given.strip().lower() == name:
                return given
    raise UserError(f"{source} has no column for the {what}; it has: {', '.join(names)}.", f"Name one {wanted[0]!r}.")


def _from_csv(path: Path) -> Collection:
    """Paths (relative to the CSV) and labels, with a `split` column where there is one."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not written in UTF-8 ({error}).", "Save it again as UTF-8.") from None
    with io.StringIO(text, newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        names = [name for name in reader.fieldnames or [] if name]
        if not names:
            raise UserError(f"{path} is empty.")
        place, label = (
            _column(names, PATH_COLUMNS, "path", str(path)),
            _column(names, LABEL_COLUMNS, "label", str(path)),
        )
        split = next((name for name in names if name.strip().lower() in ("split", "part")), None)
        rows = []
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            name, kind = (row[place] or "").strip(), (row[label] or "").strip()
            if not name:
                raise UserError(f"{where}: the path is missing.")
            if not kind:
                raise UserError(f"{where}: the label of {name} is missing.")
            file_path = path.parent / name
            if not file_path.is_file():
                raise UserError(f"{where}: there is no file {file_path}.")
            part = (row[split] or "").strip().lower() if split else ""
            if part and part not in PARTS:
                raise UserError(f"{where}: there is no part {part!r}.", near(part, PARTS))
            rows.append((name, file_path, kind, PARTS[part] if part else ""))
    return _build(str(path), rows)


def _from_parquet(paths: Sequence[Path], name: str) -> Collection:
    """Encoded pictures (bytes, or Hugging Face's {bytes, path}) and labels; `train-0.parquet` names its part."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise missing_extra("pyarrow", "vision") from None
    rows = []
    for path in paths:
        try:
            table = parquet.read_table(path)
        except (arrow.ArrowInvalid, OSError) as error:
            raise UserError(f"{path} cannot be read as parquet ({error}).") from None
        image = _column(table.column_names, ("image", "img", "bytes", "picture"), "picture", str(path))
        label = _column(table.column_names, LABEL_COLUMNS, "label", str(path))
        part = PARTS.get(path.stem.split("-")[0].lower(), "")
        pairs = zip(table[image].to_pylist(), table[label].to_pylist(), strict=True)
        for number, (picture, kind) in enumerate(pairs):
            content = picture.get("bytes") if isinstance(picture, dict) else picture
            if not isinstance(content, bytes):
                raise UserError(f"{path}, row {number}: the column {image!r} holds no encoded picture.")
            if kind is None:
                raise UserError(f"{path}, row {number}: the label is missing.")
            rows.append((f"{path.name}:{number}", content, str(kind), part))
    return _build(name, rows)


def _from_hugging_face(data: str) -> Collection:
    """A dataset of the hub (`hf://org/name`) or one saved with `save_to_disk`."""
    try:
        import datasets
    except ImportError:
        raise missing_extra("datasets", "vision") from None
    try:
        if data.startswith("hf://"):
            loaded = datasets.load_dataset(data.removeprefix("hf://").removeprefix("datasets/"))
        else:
            loaded = datasets.load_from_disk(data)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"The dataset {data} cannot be had: {reason}", "Check its name and the network, or give a folder."
        ) from None
    tables: Any = loaded if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
    rows, classes = [], None
    for part, table in tables.items():
        image = _column(table.column_names, ("image", "img", "picture"), "picture", data)
        label = _column(table.column_names, ("label", "labels", *LABEL_COLUMNS[1:], "fine_label"), "label", data)
        feature = table.features[label]
        classes = list(feature.names) if isinstance(feature, datasets.ClassLabel) else None
        if isinstance(table.features[image], datasets.Image):
            encoded = table.cast_column(image, datasets.Image(decode=False))
        else:
            encoded = table
        for number, row in enumerate(encoded):
            content = row[image]["bytes"] if isinstance(row[image], dict) else row[image]
            content = row[image]["path"] if content is None else content
            content = Path(content) if isinstance(content, str) else content
            if not isinstance(content, (bytes, Path)):
                raise UserError(f"{data}, {part or 'row'} {number}: the column {image!r} holds no picture.")
            kind = classes[row[label]] if classes else str(row[label])
            rows.append((f"{part}:{number}", content, kind, PARTS.get(part, "")))
    return _build(data, rows, classes)


def _from_manifest(name: str) -> Collection:
    """A data set of `datasets/`, read as its manifest says: a table whose rows hold pixels, or paths of pictures."""
    from ...core import manifest

    found = manifest.manifest(name)
    column = next((item for item in found.with_role("input") if item.kind == "image path" or item.count > 1), None)
    if found.format.kind != "csv" or column is None or found.labels is None:
        raise UserError(f"The data {name!r} holds no labelled pictures.", "See: tsuite data list")
    (path,) = found.fetch().values()
    table = path / found.format.table if path.is_dir() else path
    content = gzip.decompress(table.read_bytes()) if found.format.compression == "gzip" else table.read_bytes()
    lines = content.decode(found.format.encoding).splitlines()[int(found.format.header) :]
    read = _paths_of if column.kind == "image path" else _pixels_of
    rows = list(read(found, column, lines, table.parent))
    return dataclasses.replace(_build(name, rows, found.labels.names), sha256=found.sha256)


Row = tuple[str, Any, str, str]


def _pixels_of(found: Any, column: Any, lines: Sequence[str], folder: Path) -> Iterator[Row]:
    """Rows that hold their picture's grey values."""
    values = np.fromstring(",".join(lines), sep=",", dtype=np.float32).reshape(len(lines), -1)
    target = found.column(found.labels.column).position
    for number, row in enumerate(values):
        label = found.labels.label(float(row[target]))
        if label is not None:
            image = row[column.slice].astype(np.uint8).reshape(found.format.shape)
            yield f"{found.name}[{number}]", image, label, found.part(number)


def _paths_of(found: Any, column: Any, lines: Sequence[str], folder: Path) -> Iterator[Row]:
    """Rows that name a picture's file beside the table."""
    target = found.column(found.labels.column).position
    for number, line in enumerate(lines):
        cells = line.split(found.format.delimiter or None)
        label = found.labels.label(float(cells[target]))
        if label is not None:
            place = cells[column.position]
            yield place, folder / place, label, found.part(number, place)


def count_by_class(examples: Iterable[ImageExample], classes: int) -> list[int]:
    """How many examples each class has."""
    counts = Counter(example.label for example in examples)
    return [counts[label] for label in range(classes)]
