"""Finance: returns back to prices, volatility without looking ahead, folds that purge, verdicts that are true."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("scipy")

from tsuite.core.errors import UserError  # noqa: E402
from tsuite.domains.timeseries.finance import (  # noqa: E402
    as_target,
    log_returns,
    price_table,
    prices_from_returns,
    purge_gap,
    random_walk_verdict,
    realised_volatility,
    score_table,
    volatility_naives,
    walk_forward,
    with_repeat_last,
)
from tsuite.domains.timeseries.frequency import Frequency  # noqa: E402
from tsuite.domains.timeseries.panel import Group, Panel  # noqa: E402
from tsuite.domains.timeseries.picture import Forecast  # noqa: E402


def walk(steps: int = 400, seed: int = 0) -> np.ndarray:
    """A random walk of prices [N]."""
    return 100 * np.exp(np.random.default_rng(seed).normal(0, 0.01, steps).cumsum())


def windows(values: np.ndarray, horizon: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """The truth [T, H] after every origin from `first` on, and the last value before each [T, 1]."""
    future = np.lib.stride_tricks.sliding_window_view(values, horizon)
    return future[first:], values[first - 1 : len(values) - horizon, None]


def test_returns_and_back() -> None:
    prices = np.array([[100, 110, np.nan, 99, 99], [np.nan, 5, 10, np.nan, 20]])
    returns = log_returns(prices)
    assert returns[0] == pytest.approx([np.nan, math.log(1.1), np.nan, math.log(0.9), 0], nan_ok=True)
    assert returns[1] == pytest.approx([np.nan, np.nan, math.log(2), np.nan, math.log(2)], nan_ok=True)
    assert prices_from_returns(prices[0, 0], returns[0, 1:]) == pytest.approx(prices[0, 1:], nan_ok=True)
    series = walk()
    assert prices_from_returns(series[0], log_returns(series)[1:]) == pytest.approx(series[1:])
    with pytest.raises(ValueError, match="above 0"):
        log_returns(np.array([1.0, 0.0]))


def test_volatility_is_the_root_of_the_mean_square_and_never_looks_ahead() -> None:
    returns = np.array([np.nan, 0.03, -0.04, np.nan, 0.0, 0.05])
    assert realised_volatility(returns, 1) == pytest.approx(np.abs(returns), nan_ok=True)
    three = realised_volatility(returns, 3)
    assert three == pytest.approx(
        [np.nan, np.nan, math.sqrt(0.0025 / 2), np.nan, math.sqrt(0.0016 / 2), math.sqrt(0.0025 / 2)], nan_ok=True
    )
    long = log_returns(walk())
    changed = long.copy()
    changed[200:] *= 5
    assert np.array_equal(realised_volatility(long, 20)[:200], realised_volatility(changed, 20)[:200], equal_nan=True)
    assert realised_volatility(long, 20)[300] == pytest.approx(math.sqrt(np.square(long[281:301]).mean()))
    with pytest.raises(UserError, match="over 0 days"):
        realised_volatility(long, 0)


def test_a_panel_of_prices_as_target() -> None:
    values = np.stack([walk(30), walk(30, 1)])
    index = pd.date_range("2024-01-01", periods=30, freq="B")
    group = Group.of(values, index, ids=("AAPL", "FB"), past=np.ones((1, 30)))
    panel = Panel(groups=(group,), frequency=Frequency(alias="B"), name="stocks.csv", past=("volume",), unit="USD")
    assert as_target(panel, "price") is panel
    returns = as_target(panel, "return")
    assert returns.unit == "log return"
    assert returns.groups[0].values.dtype == np.float32
    assert returns.groups[0].values == pytest.approx(log_returns(values.astype(np.float32)), nan_ok=True)
    assert returns.groups[0].past is group.past
    volatility = as_target(panel, "volatility", days=5)
    assert volatility.unit == "volatility over 5 steps"
    assert np.isnan(volatility.groups[0].values[:, :3]).all()
    with pytest.raises(UserError, match=r"'vol'.*Known are"):
        as_target(panel, "vol")
    group.values[1, 4] = 0
    with pytest.raises(UserError, match=r"stocks.csv: the price of FB at 2024-01-05.* is 0"):
        as_target(panel, "return")


def test_naive_volatility() -> None:
    found = volatility_naives(np.array([[4.0, np.nan, 1.0], [np.nan, np.nan, np.nan]]), 2, decay=0.5)
    assert found["repeat-last"][0].tolist() == [1, 1]
    assert found["exponential mean"][0] == pytest.approx([(0.25 * 4 + 1) / 1.25] * 2)
    assert all(np.isnan(values[1]).all() for values in found.values())


def test_folds_walk_forward_and_purge() -> None:
    folds = list(walk_forward(100, first=40, test=25, gap=purge_gap(5)))
    assert [(fold.train, fold.test) for fold in folds] == [
        (range(40), range(44, 69)),
        (range(65), range(69, 94)),
        (range(90), range(94, 100)),
    ]
    assert {fold.gap for fold in folds} == {4}
    tested = [step for fold in folds for step in fold.test]
    assert tested == list(range(44, 100))
    rolling = list(walk_forward(100, first=40, test=25, gap=4, most=30))
    assert [fold.train for fold in rolling] == [range(10, 40), range(35, 65), range(60, 90)]
    # with that gap no return stands in a target on both sides
    used = {step - back for step in folds[0].train for back in range(5)}
    assert not used & {step - back for step in folds[0].test for back in range(5)}
    with pytest.raises(UserError, match="44 steps cannot"):
        walk_forward(44, first=40, test=5, gap=4)
    with pytest.raises(UserError, match="1 or more"):
        walk_forward(44, first=40, test=0)


def test_nothing_beats_a_random_walk_on_its_prices() -> None:
    prices = walk(600)
    y, last = windows(prices, 5, 60)
    naive = np.repeat(last, 5, axis=1)
    average = np.stack([prices[place - 20 : place].mean() for place in range(60, 596)])[:, None].repeat(5, axis=1)
    verdict = random_walk_verdict(y, average, naive)
    assert verdict.beats is False
    assert verdict.sentence.startswith(
        "The forecast of the price level is worse than the random walk (repeat-last): MAE"
    )
    assert "p < 0.001" in verdict.sentence
    same = random_walk_verdict(y, naive, naive, name="PatchTST's forecast")
    assert same.beats is False
    assert same.sentence.startswith("PatchTST's forecast of the price level does not beat the random walk")
    assert (same.error, same.p_value) == (same.naive_error, 1.0)
    tiny = random_walk_verdict(y, naive + np.random.default_rng(1).normal(0.001, 0.05, y.shape), naive)
    assert tiny.beats is False


def test_foresight_beats_it_and_chance_does_not() -> None:
    y, last = windows(walk(300), 3, 30)
    naive = np.repeat(last, 3, axis=1)
    told = random_walk_verdict(y, 0.5 * (y + naive), naive)
    assert told.beats is True
    assert "beats the random walk" in told.sentence
    assert told.sentence.endswith("costs of trading are not counted.")
    lucky = naive.copy()
    lucky[0] = y[0]
    chance = random_walk_verdict(y, lucky, naive)
    assert chance.beats is False
    assert chance.sentence.endswith("can be chance.")
    edge = naive + 0.06 * (y - naive) + np.random.default_rng(5).normal(0, 0.42, y.shape)
    alone, among = (random_walk_verdict(y, edge, naive, tests=tests) for tests in (1, 500))
    assert 0.05 / 500 < alone.p_value < 0.05
    assert (alone.beats, among.beats) == (True, False)
    assert among.sentence.endswith("can be chance where 500 are tested.")
    few = random_walk_verdict(y[:3], naive[:3], naive[:3])
    assert few.beats is None
    assert "too few" in few.sentence
    assert json.loads(json.dumps(few.to_json()))["p_value"] is None


def test_volatility_has_to_beat_the_better_naive() -> None:
    random = np.random.default_rng(3)
    size = np.exp(0.6 * np.sin(np.arange(900) / 60))  # calm and wild months
    volatility = realised_volatility(0.01 * size * random.standard_normal(900), 1)
    y, last = windows(volatility, 1, 100)
    mean = np.stack([volatility_naives(volatility[:place], 1)["exponential mean"] for place in range(100, 900)])
    truth = (0.01 * size * math.sqrt(2 / math.pi))[100:, None]
    alone = random_walk_verdict(y, mean, last, target="volatility")
    assert alone.beats is True
    strict = random_walk_verdict(y, mean, last, target="volatility", others={"exponential mean": mean})
    assert strict.beats is False
    assert "the naive forecast (exponential mean)" in strict.sentence
    known = random_walk_verdict(y, truth, last, target="volatility", others={"exponential mean": mean})
    assert known.beats is True
    assert "of volatility beats" in known.sentence


def test_overlap_makes_the_test_careful() -> None:
    volatility = realised_volatility(log_returns(walk(300))[1:], 20)[20:]
    y, last = windows(volatility, 1, 30)
    close = 0.97 * last + 0.03 * volatility.mean()
    plain = random_walk_verdict(y, close, last, target="volatility")
    careful = random_walk_verdict(y, close, last, target="volatility", days=20)
    assert careful.p_value != plain.p_value
    assert random_walk_verdict(y, close, last, target="volatility", days=20, stride=20).p_value == plain.p_value


def test_missing_days_are_left_out() -> None:
    y, last = windows(walk(200), 2, 20)
    y, naive = y.copy(), np.repeat(last, 2, axis=1)
    y[5], y[7, 1] = np.nan, np.nan
    verdict = random_walk_verdict(y, 0.5 * (y + naive), naive)
    assert verdict.origins == len(y) - 1
    assert math.isfinite(verdict.error)


def test_tables_always_carry_repeat_last() -> None:
    y, last = windows(walk(200), 2, 20)
    naive = np.repeat(last, 2, axis=1)
    rows = score_table(y, {"half": 0.5 * (y + naive), "off": naive + 9}, repeat_last=naive)
    assert [row.name for row in rows] == ["half", "repeat-last", "off"]
    assert rows[0].mae == pytest.approx(rows[1].mae / 2)
    assert rows[0].p_value < 0.001
    assert math.isnan(rows[1].p_value)
    with pytest.raises(TypeError, match="repeat_last"):
        score_table(y, {})  # pyright: ignore[reportCallIssue]
    stamps = pd.date_range("2024-01-01", periods=2, freq="B")
    tidy = pd.DataFrame({"unique_id": ["A", "A"], "ds": stamps, "horizon": [1, 2], "y_hat": [3.0, 4.0], "q10": [1, 2]})
    table = price_table(tidy, {"A": 2.5})
    assert list(table.columns) == ["unique_id", "ds", "horizon", "y_hat", "repeat_last", "q10"]
    assert table["repeat_last"].tolist() == [2.5, 2.5]
    assert "repeat_last" not in tidy.columns
    with pytest.raises(UserError, match="A was never observed"):
        price_table(tidy, {"A": math.nan})
    past = np.array([1, 2, np.nan])
    drawn = Forecast(
        past=np.arange(3), history=past, stamps=np.arange(3, 5), y_hat=np.ones(2), others={"x": np.ones(2)}
    )
    assert list(with_repeat_last(drawn).others) == ["repeat-last", "x"]
    assert with_repeat_last(drawn).others["repeat-last"].tolist() == [2, 2]
