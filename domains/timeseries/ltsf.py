"""The protocol of the literature on long horizons: its split, its scaling, its two scores, and its published tables.

Reproduced as the reference code counts (`data_loader.py` of LTSF-Linear and PatchTST), with one difference: no window
is dropped at the end of the test set, so that the scores do not depend on the batch size.

    rows  0 ... train | validation | test ... (the rest of ETT is not used)

A window belongs to the part that its horizon lies in; its look-back may reach across the border before it. Values are
standardised by mean and deviation of the training rows, and scored like that: the mean over windows, steps, columns.

Published figures come from two kinds of runs that must not stand in one table: look-back 96, ten epochs (iTransformer's
tables), and look-back 336 or 512, a hundred epochs (PatchTST's). `published` returns those of one look-back.

Axes: C series (columns), N time steps (rows), L look-back steps, H horizon steps, W windows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from ...core.errors import UserError, near

HORIZONS = (96, 192, 336, 720)
ANY, BEST = 0, -1
"""Look-backs of published rows: the figure does not depend on it; the best of several was reported (never shown)."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A data set of the literature: what its file is called, its shape, and the rows of a month of 30 days (0: it is
    split by shares)."""

    name: str
    stems: tuple[str, ...]
    rows: int
    columns: int
    month: int = 0

    @property
    def seconds(self) -> float | None:
        """Between rows, where the split counts in months."""
        return 30 * 86_400 / self.month if self.month else None


BENCHMARKS = (
    Benchmark(name="ETTh1", stems=("etth1",), rows=17_420, columns=7, month=30 * 24),
    Benchmark(name="ETTh2", stems=("etth2",), rows=17_420, columns=7, month=30 * 24),
    Benchmark(name="ETTm1", stems=("ettm1",), rows=69_680, columns=7, month=30 * 24 * 4),
    Benchmark(name="ETTm2", stems=("ettm2",), rows=69_680, columns=7, month=30 * 24 * 4),
    Benchmark(name="Electricity", stems=("electricity", "ecl"), rows=26_304, columns=321),
    Benchmark(name="Exchange", stems=("exchange_rate", "exchange"), rows=7_588, columns=8),
)

TABLES = {  # (data set, look-back, model): MSE/MAE at each of HORIZONS
    ("ETTh1", BEST, "Informer"): "0.941/0.769  1.007/0.786  1.038/0.784  1.144/0.857",
    ("ETTh1", 96, "iTransformer"): "0.386/0.405  0.441/0.436  0.487/0.458  0.503/0.491",
    ("ETTh1", 96, "PatchTST"): "0.414/0.419  0.460/0.445  0.501/0.466  0.500/0.488",
    ("ETTh1", 96, "TimesNet"): "0.384/0.402  0.436/0.429  0.491/0.469  0.521/0.500",
    ("ETTh1", 96, "DLinear"): "0.386/0.400  0.437/0.432  0.481/0.459  0.519/0.516",
    ("ETTh1", 336, "PatchTST/42"): "0.375/0.399  0.414/0.421  0.431/0.436  0.449/0.466",
    ("ETTh1", 336, "DLinear"): "0.375/0.399  0.405/0.416  0.439/0.443  0.472/0.490",
    ("ETTh1", 512, "PatchTST/64"): "0.370/0.400  0.413/0.429  0.422/0.440  0.447/0.468",
    ("ETTh2", BEST, "Informer"): "1.549/0.952  3.792/1.542  4.215/1.642  3.656/1.619",
    ("ETTh2", 96, "iTransformer"): "0.297/0.349  0.380/0.400  0.428/0.432  0.427/0.445",
    ("ETTh2", 96, "PatchTST"): "0.302/0.348  0.388/0.400  0.426/0.433  0.431/0.446",
    ("ETTh2", 96, "TimesNet"): "0.340/0.374  0.402/0.414  0.452/0.452  0.462/0.468",
    ("ETTh2", 96, "DLinear"): "0.333/0.387  0.477/0.476  0.594/0.541  0.831/0.657",
    ("ETTh2", 336, "PatchTST/42"): "0.274/0.336  0.339/0.379  0.331/0.380  0.379/0.422",
    ("ETTh2", 336, "DLinear"): "0.289/0.353  0.383/0.418  0.448/0.465  0.605/0.551",
    ("ETTh2", 512, "PatchTST/64"): "0.274/0.337  0.341/0.382  0.329/0.384  0.379/0.422",
    ("ETTm1", BEST, "Informer"): "0.626/0.560  0.725/0.619  1.005/0.741  1.133/0.845",
    ("ETTm1", 96, "iTransformer"): "0.334/0.368  0.377/0.391  0.426/0.420  0.491/0.459",
    ("ETTm1", 96, "PatchTST"): "0.329/0.367  0.367/0.385  0.399/0.410  0.454/0.439",
    ("ETTm1", 96, "TimesNet"): "0.338/0.375  0.374/0.387  0.410/0.411  0.478/0.450",
    ("ETTm1", 96, "DLinear"): "0.345/0.372  0.380/0.389  0.413/0.413  0.474/0.453",
    ("ETTm1", 336, "PatchTST/42"): "0.290/0.342  0.332/0.369  0.366/0.392  0.420/0.424",
    ("ETTm1", 336, "DLinear"): "0.299/0.343  0.335/0.365  0.369/0.386  0.425/0.421",
    ("ETTm1", 512, "PatchTST/64"): "0.293/0.346  0.333/0.370  0.369/0.392  0.416/0.420",
    ("Electricity", BEST, "Informer"): "0.304/0.393  0.327/0.417  0.333/0.422  0.351/0.427",
    ("Electricity", 96, "iTransformer"): "0.148/0.240  0.162/0.253  0.178/0.269  0.225/0.317",
    ("Electricity", 96, "PatchTST"): "0.181/0.270  0.188/0.274  0.204/0.293  0.246/0.324",
    ("Electricity", 96, "TimesNet"): "0.168/0.272  0.184/0.289  0.198/0.300  0.220/0.320",
    ("Electricity", 96, "DLinear"): "0.197/0.282  0.196/0.285  0.209/0.301  0.245/0.333",
    ("Electricity", 336, "PatchTST/42"): "0.130/0.222  0.148/0.240  0.167/0.261  0.202/0.291",
    ("Electricity", 336, "DLinear"): "0.140/0.237  0.153/0.249  0.169/0.267  0.203/0.301",
    ("Electricity", 512, "PatchTST/64"): "0.129/0.222  0.147/0.240  0.163/0.259  0.197/0.290",
    ("Exchange", ANY, "repeat-last"): "0.081/0.196  0.167/0.289  0.305/0.396  0.823/0.681",
    ("Exchange", BEST, "Informer"): "0.847/0.752  1.204/0.895  1.672/1.036  2.478/1.310",
    ("Exchange", 96, "iTransformer"): "0.086/0.206  0.177/0.299  0.331/0.417  0.847/0.691",
    ("Exchange", 96, "PatchTST"): "0.088/0.205  0.176/0.299  0.301/0.397  0.901/0.714",
    ("Exchange", 96, "TimesNet"): "0.107/0.234  0.226/0.344  0.367/0.448  0.964/0.746",
    ("Exchange", 96, "DLinear"): "0.088/0.218  0.176/0.315  0.313/0.427  0.839/0.695",
}
SOURCES = {
    ANY: "LTSF-Linear's benchmark (Zeng et al. 2023)",
    96: "table of iTransformer (Liu et al. 2024)",
    336: "table 3 of PatchTST (Nie et al. 2023)",
    512: "table 3 of PatchTST (Nie et al. 2023)",
}


@dataclass(frozen=True, kw_only=True)
class Published:
    """One row of a published table; scores on standardised values."""

    model: str
    lookback: int
    mse: float
    mae: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a file is split: the rows at which train, validation and test end.

    data: the data set of the literature that it is, "" if it is none; said: a sentence on what was recognised.
    """

    data: str
    rows: int
    train: int
    validation: int
    test: int
    said: str

    def span(self, part: str, lookback: int, horizon: int) -> tuple[int, int]:
        """The first origin (row of the first forecast) of a part's windows, and the one after the last.

        Raises UserError where the part holds no window."""
        if part not in PARTS:
            raise UserError(f"There is no part called {part!r}.", near(part, PARTS))
        begins = {"train": 0, "validation": self.train, "test": self.validation}[part]
        first, last = max(begins, lookback), getattr(self, part) - horizon + 1
        if last <= first:
            raise UserError(
                f"The {part} part, rows {begins + 1:,} to {getattr(self, part):,}, holds no window of look-back "
                f"{lookback} and horizon {horizon}.",
                "Take a shorter horizon or look-back.",
            )
        return first, last

    def windows(self, part: str, lookback: int, horizon: int) -> int:
        """How many windows a part has: at stride 1, none left out."""
        first, last = self.span(part, lookback, horizon)
        return last - first

    def scaling(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Location and scale [C, 1] in float64, of the training rows of values [C, N] alone (deviation over n).

        A column that is constant there has scale 1. Raises UserError for a missing value: the protocol knows none."""
        missing = np.argwhere(~np.isfinite(values[:, : self.test]))
        if len(missing):
            column, row = missing[0]
            raise UserError(
                f"Row {row + 1} of column {column + 1} is not a number; the protocol of the literature knows no "
                "missing values.",
                "Train without --protocol ltsf, which takes them as they are.",
            )
        known = values[:, : self.train].astype(np.float64)
        location, scale = known.mean(axis=1, keepdims=True), known.std(axis=1, keepdims=True)
        constant = scale <= 1e-12 * np.maximum(np.abs(location), 1e-300)
        return location, np.where(constant, 1.0, scale)


class Errors:
    """Squared and absolute errors, gathered row by row and summed once: the same to the last bit however they came."""

    def __init__(self) -> None:
        self._squared: list[np.ndarray] = []
        self._absolute: list[np.ndarray] = []
        self._horizon = 0

    def update(self, y: np.ndarray, y_hat: np.ndarray) -> None:
        """Take in rows y, y_hat [..., H] of standardised values; together they are every window and column once."""
        if y.shape != y_hat.shape or self._horizon not in (0, y.shape[-1]):
            raise ValueError(f"expected two arrays [..., {self._horizon or 'H'}], not {y.shape} and {y_hat.shape}")
        self._horizon = y.shape[-1]
        error = np.abs(y.astype(np.float64) - y_hat).reshape(-1, self._horizon)
        self._absolute.append(error.sum(axis=1))
        self._squared.append(np.square(error).sum(axis=1))

    @property
    def rows(self) -> int:
        """Windows times columns so far."""
        return sum(map(len, self._squared))

    @property
    def mse(self) -> float:
        """Mean squared error; NaN before anything came."""
        return self._mean(self._squared)

    @property
    def mae(self) -> float:
        """Mean absolute error; NaN before anything came."""
        return self._mean(self._absolute)

    def _mean(self, sums: list[np.ndarray]) -> float:
        return math.fsum(np.concatenate(sums)) / (self.rows * self._horizon) if sums else math.nan


def protocol(file: str, rows: int, columns: int, *, seconds: float | None = None) -> Protocol:
    """The protocol for a file of that name and shape (`seconds` between rows, where known).

    ETT: 12, 4 and 4 months of 30 days. Anything else: 70 % train, 20 % test, and validation is what lies between.
    Raises UserError where a part would be empty."""
    name, shape = PurePath(file).name, f"{rows:,} rows x {columns} column{'s' * (columns != 1)}"
    called = next((one for one in BENCHMARKS if name.split(".")[0].casefold() in one.stems), None)
    shaped = next((one for one in BENCHMARKS if (one.rows, one.columns) == (rows, columns)), None)
    like, data = called or shaped, ""
    if like and like.seconds and (rows < 20 * like.month or (seconds and abs(seconds - like.seconds) > 1)):
        like, what = None, f"{name} ({shape}) does not hold the rows of {like.name}: no published figures"
    elif called and (called.rows, called.columns) == (rows, columns):
        data, what = called.name, f"This is {called.name}, by its name and its {shape}"
    elif called:
        what = f"{name} is called like {called.name} but has {shape}: no published figures"
    elif shaped:
        what = f"{name} has the shape of {shaped.name} ({shape}) but not its name: no published figures"
    else:
        what = f"{name} ({shape}) is no data set of the literature: no published figures"
    ends, how = _ends(rows, like)
    if not 0 < ends[0] < ends[1] < ends[2]:
        raise UserError(f"{name} has {rows} rows, too few to split 70/10/20 %.", "Ten are the least.")
    train, validation, test = ends
    return Protocol(data=data, rows=rows, train=train, validation=validation, test=test, said=f"{what}; {how}.")


def published(data: str, lookback: int, horizon: int) -> list[Published]:
    """The published rows of a data set at this look-back and horizon, best MSE first; none of other look-backs."""
    if horizon not in HORIZONS:
        return []
    place = HORIZONS.index(horizon)
    found = [
        Published(model=model, lookback=back, mse=scores[place][0], mae=scores[place][1], source=SOURCES[back])
        for (name, back, model), scores in parsed().items()
        if name == data and (back == ANY or back == lookback > 0)
    ]
    return sorted(found, key=lambda row: row.mse)


def what_is_published(data: str, lookback: int, horizon: int) -> str:
    """A sentence where nothing is published for this look-back and horizon, which says for which there is; else ""."""
    backs = sorted({back for name, back, _ in TABLES if name == data and back > 0})
    if published(data, lookback, horizon) or not backs:
        return ""
    return (
        f"Nothing is known to be published for {data} at look-back {lookback} and horizon {horizon}; there is for "
        f"look-back {_listed(backs)} and horizon {_listed(HORIZONS)}."
    )


def parsed() -> dict[tuple[str, int, str], tuple[tuple[float, float], ...]]:
    """TABLES with their (MSE, MAE) as numbers, one pair for each of HORIZONS."""
    return {
        key: tuple((float(mse), float(mae)) for mse, mae in (pair.split("/") for pair in row.split()))
        for key, row in TABLES.items()
    }


def _ends(rows: int, like: Benchmark | None) -> tuple[tuple[int, int, int], str]:
    """Where train, validation and test end, and how that was counted."""
    if like and like.month:
        months = 12 * like.month, 16 * like.month, 20 * like.month
        unused = f"; the last {rows - months[2]:,} rows are not used" * (rows > months[2])
        return months, "split into 12, 4 and 4 months of 30 days" + unused
    test = int(rows * 0.2)
    return (int(rows * 0.7), rows - test, rows), "split 70/10/20 %"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + f" or {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
