"""A table as it lies on the disk: csv and parquet by pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.errors import UserError, missing_extra
from .words import counted, reason

MOST_BLOCK = 1 << 30
"""Bytes of a csv that are looked at together, at most."""
UNPACKED = 20
"""How many times as large as its .gz a csv may be."""


def arrow() -> Any:
    """pyarrow. Raises UserError where it is not installed."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise missing_extra("pyarrow", "control") from error
    return pyarrow


def load_table(path: Path) -> tuple[Any, list[str]]:
    """The table, and what to be aware of. A last row that is cut short (a log of a machine that was switched off) is
    left out; any other row of the wrong length is a UserError."""
    pa = arrow()
    odd: list[Any] = []
    try:
        if path.suffix.lower() == ".parquet":
            return pa.parquet.read_table(path), []
        tabs = path.name.lower().endswith(".tsv")
        # The types of columns are guessed from the first block: so that it is the whole file.
        block = min(MOST_BLOCK, max(1, path.stat().st_size) * (UNPACKED if path.suffix.lower() == ".gz" else 1) + 1)
        found = pa.csv.read_csv(
            path,
            read_options=pa.csv.ReadOptions(block_size=block, use_threads=False),  # with threads rows have no number
            parse_options=pa.csv.ParseOptions(
                delimiter="\t" if tabs else ",", invalid_row_handler=lambda row: odd.append(row) or "skip"
            ),
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        hint = "Is it a csv or parquet file?"
        raise UserError(f"{path} cannot be read as a table: {reason(error)}.", hint) from error
    if not odd:
        return found, []
    row = odd[0]
    if len(odd) == 1 and row.number == found.num_rows + 2 and row.actual_columns < row.expected_columns:
        return found, [f"The last row (line {row.number}) is cut short and left out: {row.text[:60]}"]
    raise UserError(
        f"{path}, line {row.number}: {counted(row.actual_columns, 'cell')} where the head has {row.expected_columns}: "
        f"{row.text[:60]}",
        "Are the cells separated by commas?",
    )
