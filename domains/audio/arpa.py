r"""ARPA files of back-off n-gram models, gzipped or not.

    \data\                       log10 probability, the words, log10 back-off weight (0 where it is left out)
    ngram 1=3                              |            |          |
    ngram 2=2                              v            v          v
                                 \1-grams:
    (one section an order)       -0.4771   please      -0.3010
    \end\
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TextIO, cast

from ...core.errors import UserError

Gram = tuple[str, ...]
Table = dict[Gram, tuple[float, float]]
_LEVEL = "# level: "


def write(path: Path, table: Mapping[Gram, tuple[float, float]], level: str) -> None:
    """Write `table[n-gram] = (log10 probability, log10 back-off weight)`; numbers keep seven digits.

    level: kept as a comment before the data, which readers pass over.
    """
    order = max(map(len, table))
    by_length = [sorted(gram for gram in table if len(gram) == n) for n in range(1, order + 1)]
    with _opened(path, "wt", zipped=path.suffix == ".gz") as file:
        file.write(f"{_LEVEL}{level}\n\\data\\\n")
        file.writelines(f"ngram {n}={len(grams)}\n" for n, grams in enumerate(by_length, 1))
        for n, grams in enumerate(by_length, 1):
            file.write(f"\n\\{n}-grams:\n")
            for gram in grams:
                probability, backoff = table[gram]
                tail = f"\t{backoff:.7g}" if n < order else ""
                file.write(f"{probability:.7g}\t{' '.join(gram)}{tail}\n")
        file.write("\n\\end\\\n")


def read(path: Path) -> tuple[Table, int, str | None]:
    """The table, its order and the level that `write` noted. `UserError` names the file, the line and what is wrong."""
    reader = _Reader(path)
    try:
        return reader.read()
    except FileNotFoundError as error:
        raise UserError(f"There is no language model at {path}.", "Is the path right?") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no ARPA file: it is not UTF-8 text after line {reader.number}.") from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is gzipped but broken off or damaged after line {reader.number}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


def _opened(path: Path, mode: str, *, zipped: bool) -> TextIO:
    """The file as UTF-8 text, through gzip where it is zipped."""
    return cast(TextIO, gzip.open(path, mode, encoding="utf-8") if zipped else path.open(mode, encoding="utf-8"))


class _Reader:
    """Walks through the lines once and knows where it is."""

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, 0

    def read(self) -> tuple[Table, int, str | None]:
        with self.path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
        with _opened(self.path, "rt", zipped=zipped) as file:
            lines = self._lines(file)
            level = self._head(lines)
            announced = self._counts(lines)
            table: Table = {}
            for n in range(1, len(announced) + 1):
                self._section(lines, n, announced, table)
        return table, len(announced), level

    def _lines(self, file: Iterable[str]) -> Iterator[str]:
        for self.number, line in enumerate(file, 1):
            yield line.strip()
        raise self._wrong("it ends too early, without \\end\\", "Was the file copied whole?")

    def _wrong(self, what: str, hint: str = "") -> UserError:
        return UserError(f"{self.path}, line {self.number}: {what}.", hint)

    def _head(self, lines: Iterator[str]) -> str | None:
        """Passes over everything before the data; gives the level that our own files name there."""
        level = None
        for line in lines:
            if line == "\\data\\":
                return level
            if line.startswith(_LEVEL):
                level = line[len(_LEVEL) :]
            elif line and self.number > 1000:
                break
        raise self._wrong(
            "there is no \\data\\ up to here", "Is this an ARPA language model (text, not KenLM's binary form)?"
        )

    def _counts(self, lines: Iterator[str]) -> list[int]:
        """How many n-grams of each order are announced; ends with the header of the first section."""
        announced: list[int] = []
        for line in lines:
            if line == "\\1-grams:":
                break
            found = re.fullmatch(r"ngram\s+(\d+)\s*=\s*(\d+)", line)
            if found and int(found[1]) == len(announced) + 1:
                announced.append(int(found[2]))
            elif line:
                raise self._wrong(f"expected 'ngram {len(announced) + 1}=<count>' or '\\1-grams:', found {line[:60]!r}")
        if not announced:
            raise self._wrong("no 'ngram 1=<count>' stands before the unigrams")
        return announced

    def _section(self, lines: Iterator[str], n: int, announced: list[int], table: Table) -> None:
        """The n-grams of one order, up to the header of what follows."""
        following = "\\end\\" if n == len(announced) else f"\\{n + 1}-grams:"
        before, line = len(table), ""
        for line in lines:
            if line.startswith("\\") and len(line.split()) == 1:
                break
            if line:
                self._gram(line, n, table)
        if line != following:
            raise self._wrong(f"expected {following!r}, found {line[:60]!r}")
        if len(table) - before != announced[n - 1]:
            raise self._wrong(f"{announced[n - 1]} {n}-grams were announced, {len(table) - before} are there")

    def _gram(self, line: str, n: int, table: Table) -> None:
        parts = line.split()
        if len(parts) not in (n + 1, n + 2):
            raise self._wrong(
                f"a {n}-gram is a log probability, {n} word(s) and perhaps a back-off weight, not {line[:60]!r}"
            )
        probability = self._number(parts[0], "log10 probability")
        backoff = self._number(parts[n + 1], "log10 back-off weight") if len(parts) == n + 2 else 0.0
        if probability > 1e-6:
            raise self._wrong(f"the log10 probability {parts[0]} is above 0")
        gram = tuple(parts[1 : n + 1])
        if gram in table:
            raise self._wrong(f"the {n}-gram {' '.join(gram)!r} stands here a second time")
        table[gram] = (min(probability, 0.0), backoff)

    def _number(self, text: str, what: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isnan(value) or value == math.inf:
            raise self._wrong(f"the {what} {text!r} is no number")
        return max(value, -99.0)
