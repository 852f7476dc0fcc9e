"""Tables in files: csv, csv.gz and parquet to data frames and back, with errors that name the line."""

from __future__ import annotations

import csv
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

from ...core.errors import UserError, missing_extra, near
from ...core.files import replacing
from .frames import pd

ENDINGS = (".csv", ".csv.gz", ".parquet")
PARQUET = (".parquet", ".pq")
NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*$|\s*$|\s*(?i:nan|na|null|inf)\s*$")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+$")


def tables_in(folder: Path) -> list[str]:
    """The names of the tables in a folder, for hints."""
    endings = (".csv", ".tsv", ".txt", ".gz", *PARQUET)
    found = folder.glob("*") if folder.is_dir() else ()
    return sorted(one.name for one in found if one.is_file() and one.name.lower().endswith(endings))


def read_table(path: Path) -> tuple[pd.DataFrame, int]:
    """The table in a csv (comma, semicolon, tab or space between cells; gzipped or not) or parquet file, and the line
    of its first row (0 where there are no lines).

    A csv whose first line is all numbers has no header: its columns are "0", "1", ... UserError for an empty file, one
    that holds no table or is cut short, and for a column named twice."""
    if path.is_dir():
        held = tables_in(path)
        raise UserError(
            f"{path} is a folder.",
            "Name the table in it" + (f": {', '.join(held[:5])}." if held else "; it holds none."),
        )
    if not path.is_file():
        siblings = tables_in(path.parent)
        raise UserError(f"There is no file {path}.", near(path.name, siblings, most=5) if siblings else "")
    if path.suffix.lower() in PARQUET:
        return _parquet(path), 0
    text = _text(path)
    if not text.strip():
        raise UserError(
            f"{path} is empty.", "A table needs a line of column names, a column of dates and one of values."
        )
    first, second = ([*text.split("\n", 2), ""])[:2]
    separator = _separator(first)
    names = first.split() if separator == " " else next(csv.reader([first], delimiter=separator))
    header = not all(NUMBER.match(cell) for cell in names)
    if header:
        unique([name.strip() for name in names], path.name)
    comma = separator != "," and any(DECIMAL_COMMA.match(cell.strip()) for cell in second.split(separator))
    try:
        frame = _csv(text, r"\s+" if separator == " " else separator, decimal="," if comma else ".", header=header)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning) as error:
        raise UserError(
            f"{path} is no table: {str(error).strip()}.", "Every line needs the same number of cells."
        ) from error
    frame.columns = [str(name).strip() for name in frame.columns]
    if frame.columns[0] == "Unnamed: 0" and _counts(frame.iloc[:, 0]):
        frame = frame.iloc[:, 1:]
    empty = frame.isna().all(axis=1)
    while len(frame) and bool(empty.iloc[-1]):  # blank lines at the end
        frame, empty = frame.iloc[:-1], empty.iloc[:-1]
    return frame, 2 if header else 1


def _counts(cells: pd.Series) -> bool:
    """Whether a column without a name only counts the rows, as R and pandas write it."""
    if not pd.api.types.is_integer_dtype(cells.dtype):
        return False
    return len(cells) > 0 and cells.iloc[0] in (0, 1) and bool((cells.diff().iloc[1:] == 1).all())


def _csv(text: str, separator: str, *, decimal: str, header: bool) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # said where cells would be lost
        return pd.read_csv(
            io.StringIO(text),
            sep=separator,
            decimal=decimal,
            header=0 if header else None,
            skipinitialspace=True,
            skip_blank_lines=False,
            low_memory=False,
            index_col=False,
        )


def _text(path: Path) -> str:
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise UserError(f"{path} is cut short or damaged: it cannot be unpacked.", "Copy it again.") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):  # what Excel calls Unicode text
        return content.decode("utf-16").replace("\r\n", "\n")
    if b"\0" in content[:4096]:
        raise UserError(f"{path} is no table of text.", f"Known are {', '.join(ENDINGS)}.")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace").replace("\r\n", "\n")


def _separator(line: str) -> str:
    """What stands between the cells of the first line."""
    found = max(",;\t|", key=line.count)
    return found if found in line else " " if " " in line.strip() else ","


def _parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise missing_extra("pyarrow", "timeseries") from None
    try:
        unique(pyarrow.parquet.read_schema(path).names, path.name)
        frame = pd.read_parquet(path, engine="pyarrow")
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as parquet: {error}") from error
    return frame


def unique(names: Sequence[str], where: str) -> None:
    """UserError if a column is named twice."""
    places: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if name and name in places:
            raise UserError(
                f"{where}: the columns {places[name]} and {number} are both named {name!r}.",
                "Rename or remove one of them.",
            )
        places[name] = number


def write_table(frame: pd.DataFrame, path: str | Path) -> Path:
    """Write a frame as .csv, .csv.gz or .parquet, by the ending, so that the file is there whole or not at all.

    UserError for another ending, for parquet without pyarrow, and where the place cannot be written to."""
    path = Path(path)
    ending = next((one for one in ENDINGS if path.name.lower().endswith(one)), None)
    if ending is None:
        raise UserError(f"{path.name} is no name of a table.", f"Let it end in {' or '.join(ENDINGS)}.")
    if ending == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ModuleNotFoundError:
            raise missing_extra("pyarrow", "timeseries") from None
    with replacing(path) as fresh:
        if ending == ".parquet":
            frame.to_parquet(fresh, index=False)
        else:
            frame.to_csv(fresh, index=False, compression="gzip" if ending == ".csv.gz" else None)
    return path
