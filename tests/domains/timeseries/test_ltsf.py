"""The protocol of the literature: its borders row by row, scaling without looking ahead, scores of any batch size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.timeseries import ltsf
from tsuite.domains.timeseries.ltsf import ANY, BEST, HORIZONS, Errors, protocol, published, what_is_published

ETT = (17_420, 7)


def like_etth1(seed: int = 0) -> np.ndarray:
    """Seven columns [7, 17,420] with a day, a week, a slow drift and noise, in the shape of ETTh1."""
    random, hours = np.random.default_rng(seed), np.arange(ETT[0])
    day, week = np.sin(2 * np.pi * hours / 24), np.sin(2 * np.pi * hours / 168)
    size = random.uniform(1, 9, (7, 1))
    drift = random.standard_normal((7, ETT[0])).cumsum(axis=1) * 0.02
    return (size * (day + 0.4 * week + drift) + 10 + random.standard_normal((7, ETT[0]))).astype(np.float32)


def test_windows_of_the_reference() -> None:
    etth = protocol("data/ETTh1.csv", *ETT, seconds=3600)
    assert (etth.train, etth.validation, etth.test) == (8640, 11_520, 14_400)
    assert [etth.windows("test", 336, horizon) for horizon in HORIZONS] == [2785, 2689, 2545, 2161]
    assert etth.windows("train", 336, 96) == 8640 - 336 - 96 + 1
    assert etth.windows("validation", 512, 720) == 2880 - 720 + 1
    assert etth.span("test", 336, 96) == (11_520, 14_305)  # the first horizon begins at the border, the last ends at it
    ettm = protocol("ETTm2.csv.gz", 69_680, 7)
    assert (ettm.train, ettm.validation, ettm.test) == (34_560, 46_080, 57_600)


def test_other_files_as_the_reference_counts_them() -> None:
    exchange = protocol("exchange_rate.txt", 7588, 8)
    assert (exchange.data, exchange.train, exchange.validation, exchange.test) == ("Exchange", 5311, 6071, 7588)
    assert exchange.windows("test", 96, 96) == int(7588 * 0.2) - 96 + 1 == 1422
    assert exchange.span("validation", 96, 96) == (5311, 6071 - 95)
    own = protocol("load.csv", 52_608, 1)
    assert own.test - own.validation == int(52_608 * 0.2)
    assert own.train == int(52_608 * 0.7)
    assert (own.data, "no data set of the literature" in own.said, "70/10/20" in own.said) == ("", True, True)


def test_what_is_recognised_is_said() -> None:
    same = protocol("ETTh2.csv", *ETT)
    assert same.said == (
        "This is ETTh2, by its name and its 17,420 rows x 7 columns; split into 12, 4 and 4 months of 30 days; "
        "the last 3,020 rows are not used."
    )
    assert same.data == "ETTh2"
    other = protocol("synthetic.csv", *ETT)
    assert (other.data, other.train, "shape of ETTh1" in other.said) == ("", 8640, True)
    narrow = protocol("ETTh1.csv", 17_420, 1)
    assert (narrow.data, narrow.train, "called like ETTh1" in narrow.said) == ("", 8640, True)
    short = protocol("ETTh1.csv", 10_000, 7)
    assert (short.data, short.train, "does not hold the rows" in short.said) == ("", 7000, True)
    assert protocol("x.csv", *ETT, seconds=1800).train == int(17_420 * 0.7)  # half-hours are not ETTh


def test_scaling_sees_training_rows_only() -> None:
    values = like_etth1()
    etth = protocol("ETTh1.csv", *ETT)
    location, scale = etth.scaling(values)
    scaled = (values[:, :8640] - location) / scale
    assert scaled.mean(axis=1) == pytest.approx(np.zeros(7), abs=1e-9)
    assert scaled.std(axis=1) == pytest.approx(np.ones(7))
    changed = values.copy()
    changed[:, 8640:] += 100
    assert np.array_equal(etth.scaling(changed)[0], location)
    assert np.array_equal(etth.scaling(changed)[1], scale)
    values[2] = 4.25
    assert etth.scaling(values)[1][2, 0] == 1
    values[3, 9000] = np.nan
    with pytest.raises(UserError, match="Row 9001 of column 4"):
        etth.scaling(values)


def test_batch_size_does_not_move_the_scores() -> None:
    values = like_etth1()
    etth, horizon = protocol("ETTh1.csv", *ETT), 96
    location, scale = etth.scaling(values)
    scaled = ((values - location) / scale).astype(np.float32)
    future = np.lib.stride_tricks.sliding_window_view(scaled, horizon, axis=1)  # [C, N - H + 1, H]
    first, last = etth.span("test", 336, horizon)
    truth = future[:, first:last].transpose(1, 0, 2)  # [W, C, H]
    naive = np.repeat(scaled[:, first - 1 : last - 1].T[..., None], horizon, axis=2)
    assert truth.shape == (2785, 7, 96)
    found = []
    for batch in (1, 7, 128):
        errors = Errors()
        for start in range(0, len(truth), batch):
            errors.update(truth[start : start + batch], naive[start : start + batch])
        found.append((errors.mse, errors.mae, errors.rows))
    assert found[0] == found[1] == found[2]
    assert found[0][2] == 2785 * 7
    assert found[0][0] == pytest.approx(np.square(truth - naive, dtype=np.float64).mean())
    assert found[0][1] == pytest.approx(np.abs(truth - naive, dtype=np.float64).mean())
    assert math.isnan(Errors().mse)
    with pytest.raises(ValueError, match="expected two arrays"):
        errors.update(truth[:1], naive[:1, :, :5])


def test_published_rows_of_one_look_back_only() -> None:
    rows = published("ETTh1", 336, 96)
    assert [(row.model, row.mse, row.mae) for row in rows] == [("PatchTST/42", 0.375, 0.399), ("DLinear", 0.375, 0.399)]
    assert {row.model for row in published("ETTh2", 96, 720)} == {"iTransformer", "PatchTST", "TimesNet", "DLinear"}
    assert [(row.mse, row.mae) for row in published("Electricity", 512, 336)] == [(0.163, 0.259)]
    assert published("Exchange", 96, 720)[0].model == "repeat-last"  # which needs no look-back
    assert [row.model for row in published("Exchange", 336, 96)] == ["repeat-last"]
    assert published("ETTh1", 96, 100) == published("", 96, 96) == []
    for data, lookback, _ in ltsf.TABLES:
        for horizon in HORIZONS:
            assert all(row.lookback in {lookback, ANY} - {BEST} for row in published(data, lookback, horizon))


def test_tables_are_whole() -> None:
    tables = ltsf.parsed()
    assert len(tables) == 38
    assert {data for data, _, _ in tables} <= {one.name for one in ltsf.BENCHMARKS}
    assert all(len(row) == 4 and all(0 < mae < mse * 3 for mse, mae in row) for row in tables.values())
    assert {lookback for _, lookback, _ in tables} == {ANY, BEST, 96, 336, 512}
    patchtst = {data: [mse for mse, _ in tables[data, 336, "PatchTST/42"]] for data in ("ETTh1", "ETTh2")}
    assert patchtst == {"ETTh1": [0.375, 0.414, 0.431, 0.449], "ETTh2": [0.274, 0.339, 0.331, 0.379]}
    assert tables["ETTm1", 96, "iTransformer"][3] == (0.491, 0.459)


def test_what_there_would_be() -> None:
    assert what_is_published("ETTh1", 336, 96) == ""
    said = what_is_published("ETTh1", 300, 96)
    assert "look-back 96, 336 or 512 and horizon 96, 192, 336 or 720" in said
    assert what_is_published("", 336, 96) == ""


def test_parts_that_cannot_be() -> None:
    small = protocol("a.csv", 100, 1)
    with pytest.raises(
        UserError, match="validation part, rows 71 to 80, holds no window of look-back 8 and horizon 24"
    ):
        small.span("validation", 8, 24)
    with pytest.raises(UserError, match=r"'tests'.*Did you mean test"):
        small.span("tests", 8, 2)
    with pytest.raises(UserError, match="too few"):
        protocol("a.csv", 4, 1)
