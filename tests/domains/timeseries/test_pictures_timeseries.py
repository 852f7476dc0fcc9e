"""Pictures of series: dates that fit the stamps, legends beside the lines, files that are what they should be."""

from __future__ import annotations

import re
import zoneinfo
from datetime import timezone
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

pd = pytest.importorskip("pandas")
pytest.importorskip("scipy")

from tsuite.core.errors import UserError  # noqa: E402
from tsuite.domains.timeseries.dates import even_ticks, plain  # noqa: E402
from tsuite.domains.timeseries.dispatch import Battery, Tariff, schedule, settle  # noqa: E402
from tsuite.domains.timeseries.picture import (  # noqa: E402
    Forecast,
    band_colour,
    draw_backtest,
    draw_dispatch,
    draw_forecasts,
    forecast_picture,
)
from tsuite.domains.timeseries.sheet import BLUE, INK, OTHERS, Sheet, times, tint  # noqa: E402


def forecast(stamps: Any, horizon: int, **settings: Any) -> Forecast:
    """A wave with two bands and a baseline; the last `horizon` of the stamps are forecast."""
    steps = len(stamps) - horizon
    wave = 4500 + 900 * np.sin(np.arange(len(stamps)) / 4)
    ahead = wave[steps:] + 50
    bands = {(0.1, 0.9): (ahead - 300, ahead + 300), (0.25, 0.75): (ahead - 150, ahead + 150)}
    found = {"truth": wave[steps:], "others": {"seasonal naive": wave[steps:] - 200}, "bands": bands, **settings}
    return Forecast(past=stamps[:steps], history=wave[:steps], stamps=stamps[steps:], y_hat=ahead, **found)


@pytest.fixture
def sheets(monkeypatch: pytest.MonkeyPatch) -> list[Sheet]:
    """Every sheet that was saved, with its figure."""
    found: list[Sheet] = []
    save = Sheet.save

    def kept(self: Sheet) -> Path:
        found.append(self)
        return save(self)

    monkeypatch.setattr(Sheet, "save", kept)
    return found


def boxes(texts: list[Any]) -> list[Any]:
    """Where the visible texts stand, from left to right, in pixels."""
    shown = [text.get_window_extent() for text in texts if text.get_text() and text.get_visible()]
    return sorted(shown, key=lambda box: box.x0)


def check_layout(sheet: Sheet) -> None:
    """The legend is above all axes, inside the picture; no two dates touch."""
    width, height = sheet.figure.get_size_inches() * sheet.figure.dpi
    legend = sheet.figure.legends[0].get_window_extent()
    shown = [axes for axes in sheet.axes if axes.get_visible()]
    assert legend.y0 >= max(axes.get_tightbbox().y1 for axes in shown) - 1
    assert legend.x1 <= width
    for axes in shown:
        whole = axes.get_tightbbox()
        assert whole.x0 >= 0
        assert whole.x1 <= width
        assert whole.y0 >= 0
        low, high = axes.get_xlim()
        labels = [t.label1 for t in axes.xaxis.get_major_ticks() if low <= t.get_loc() <= high]
        for left, right in pairwise(boxes(labels)):
            assert left.x1 < right.x0
    texts = boxes(sheet.figure.texts)
    assert all(box.y1 <= height and box.x1 <= width for box in texts)


FREQUENCIES = {
    "30min": ("2014-10-04", "Australia/Melbourne", 48),
    "h": ("2024-03-29", "Europe/Berlin", 24),
    "min": ("2024-05-05 10:00", None, 30),
    "D": ("2023-12-01", None, 14),
    "B": ("2018-01-01", None, 10),
    "W-SUN": ("2018-01-07", None, 26),
    "MS": ("2015-01-01", None, 12),
    "QS": ("1990-01-01", None, 8),
    "YS": ("1950-01-01", None, 6),
}


@pytest.mark.parametrize("alias", FREQUENCIES)
def test_dates_of_any_frequency(alias: str, tmp_path: Path, sheets: list[Sheet]) -> None:
    start, zone, horizon = FREQUENCIES[alias]
    stamps = pd.date_range(start, periods=4 * horizon, freq=alias, tz=zone)
    draw_forecasts(tmp_path / "a.png", [forecast(stamps, horizon)], title="A wave", unit="MW")
    check_layout(sheets[0])
    axes = sheets[0].axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels() if label.get_text()]
    assert len(labels) >= 3
    known = r"\d{2}:\d{2}|\d{2} [A-Z][a-z]{2}|[A-Z][a-z]{2}|\d{4}"
    assert all(re.fullmatch(known, label) for label in labels)
    said = " ".join([*labels, axes.xaxis.get_offset_text().get_text()])
    assert str(stamps[-1].year) in said or str(stamps[-horizon].year) in said
    assert (axes.get_xlabel() == f"time in {zone}") == bool(zone)


def test_days_begin_at_local_midnight_when_clocks_change(tmp_path: Path, sheets: list[Sheet]) -> None:
    stamps = pd.date_range("2014-10-04", periods=144, freq="30min", tz="Australia/Melbourne")
    days, _ = times(stamps)
    assert np.diff(days) == pytest.approx(np.full(143, 1 / 48))  # time runs evenly
    draw_forecasts(tmp_path / "a.png", [forecast(stamps, 48)])
    axes = sheets[0].axes[0]
    named = {t.label1.get_text(): t.get_loc() for t in axes.xaxis.get_major_ticks()}
    assert named["06 Oct"] - named["05 Oct"] == pytest.approx(23 / 24)  # clocks went forward on the 5th
    assert named["05 Oct"] == pytest.approx(days[48])


def test_whole_numbers_and_the_shortest_horizon(tmp_path: Path, sheets: list[Sheet]) -> None:
    draw_forecasts(tmp_path / "a.png", [forecast(np.arange(40), 1)])
    check_layout(sheets[0])
    axes = sheets[0].axes[0]
    assert axes.get_xlabel() == ""
    assert len(axes.collections) >= 4  # bands of one step stand as bars
    assert np.allclose(axes.get_xticks() % 1, 0)


def test_what_is_drawn(tmp_path: Path, sheets: list[Sheet]) -> None:
    history = pd.Series(np.arange(200.0), index=pd.date_range("2024-01-01", periods=200, freq="h"))
    after = pd.date_range("2024-01-09 08:00", periods=24, freq="h")
    bands = {(0.1, 0.9): (np.full(24, 190.0), np.full(24, 230.0))}
    path = forecast_picture(
        tmp_path / "a.png", history, after, np.full(24, 210.0), bands=bands,
        truth=np.full(24, 205.0), others={"seasonal naive": np.full(24, 180.0)}, title="100 $ and 200 $", unit="MW",
    )  # fmt: skip
    legend = [text.get_text() for text in sheets[0].figure.legends[0].get_texts()]
    assert legend == ["observed", "forecast", "80 % band", "seasonal naive"]
    axes = sheets[0].axes[0]
    assert axes.get_ylabel() == "MW"
    observed = next(one for one in axes.lines if one.get_color() == INK)
    assert np.asarray(observed.get_ydata()).tolist() == [*range(152, 200), *[205] * 24]  # two horizons of history
    with Image.open(path) as picture:
        size, colours = picture.size, {colour for _, colour in picture.convert("RGB").getcolors(1 << 20) or []}
    assert size[0] == 11 * 140
    for colour in (BLUE, INK, OTHERS[0][0], band_colour(0, 1)):
        assert tuple(bytes.fromhex(colour[1:])) in colours


def test_small_multiples_are_six_at_most(tmp_path: Path, sheets: list[Sheet]) -> None:
    stamps = pd.date_range("2024-01-01", periods=96, freq="h", tz="UTC")
    many = [forecast(stamps, 24, name=f"meter {number}") for number in range(8)]
    draw_forecasts(tmp_path / "a.png", many, title="Eight meters", unit="kWh")
    check_layout(sheets[0])
    assert [axes.get_title("left") for axes in sheets[0].axes] == [f"meter {number}" for number in range(6)]
    assert any("2 more series are not shown." in text.get_text() for text in sheets[0].figure.texts)
    draw_forecasts(tmp_path / "b.png", many[:3])
    assert [axes.get_visible() for axes in sheets[1].axes] == [True, True, True, False]


def test_long_names_and_many_baselines_stay_inside(tmp_path: Path, sheets: list[Sheet]) -> None:
    stamps = pd.date_range("2024-01-01", periods=96, freq="h")
    others = {f"a baseline with a long name, number {number}": np.arange(24.0) for number in range(7)}
    bands = {(level, 1 - level): (np.zeros(24), np.ones(24)) for level in (0.1, 0.2, 0.3, 0.4)}
    one = forecast(stamps, 24, name="meter 1", others=others, bands=bands)
    draw_forecasts(tmp_path / "a.png", [one, one], title="A title without an end " * 9)
    check_layout(sheets[0])
    legend = [text.get_text() for text in sheets[0].figure.legends[0].get_texts()]
    assert "bands of 80, 60, 40 and 20 %" in legend
    assert any("3 more baselines are not shown." in text.get_text() for text in sheets[0].figure.texts)


def test_names_in_any_script_are_no_warning(tmp_path: Path) -> None:
    one = forecast(np.arange(96), 24, name="维多利亚")  # the font of many machines has no Han characters
    assert draw_forecasts(tmp_path / "a.png", [one, one], title="电力需求").stat().st_size > 10_000


def test_gaps_stay_gaps(tmp_path: Path, sheets: list[Sheet]) -> None:
    one = forecast(np.arange(100), 24)
    history = one.history.copy()
    history[[60, 62]] = np.nan
    draw_forecasts(tmp_path / "a.png", [Forecast(**{**vars(one), "history": history})])
    points = sheets[0].axes[0].collections[-1].get_offsets()
    assert np.asarray(points).tolist() == [[61, pytest.approx(history[61])]]  # alone between two gaps


def test_svg_is_whole_and_repeatable(tmp_path: Path) -> None:
    one = forecast(pd.date_range("2024-01-01", periods=96, freq="h"), 24)
    first = draw_forecasts(tmp_path / "a.svg", [one], title="x").read_bytes()
    assert first == draw_forecasts(tmp_path / "b.svg", [one], title="x").read_bytes()
    assert ElementTree.fromstring(first).tag.endswith("svg")
    with pytest.raises(UserError, match=r"a\.pdf.*\.png or \.svg"):
        draw_forecasts(tmp_path / "a.pdf", [one])


def test_backtest(tmp_path: Path, sheets: list[Sheet]) -> None:
    steps = np.arange(1, 49)
    errors = {"PatchTST": 100 + steps, "seasonal naive": np.full(48, 344.0), "ridge NLinear": 110.0 + steps}
    coverage = {0.8: np.full(48, 0.78), 0.5: np.full(48, 0.52)}
    draw_backtest(tmp_path / "a.png", errors, coverage, title="Victoria 2014", unit="MW", step="half-hours")
    check_layout(sheets[0])
    above, below = sheets[0].axes
    assert above.get_ylabel() == "MAE (MW)"
    assert above.get_ylim()[0] == 0
    assert below.get_xlabel() == "half-hours ahead"
    assert {6, 12, 24, 48} <= set(below.get_xticks().tolist())
    assert [text.get_text() for text in below.texts] == ["50 % band", "80 % band"]
    nominal = sorted(one.get_ydata()[0] for one in below.lines if one.get_linestyle() == "--")
    assert nominal == [50, 80]
    legend = [text.get_text() for text in sheets[0].figure.legends[0].get_texts()]
    assert legend[0] == "PatchTST (mean 124.5)"
    draw_backtest(
        tmp_path / "b.png", {"a": np.array([1, np.nan, 2]), "b": np.full(3, np.nan)}, {0.8: np.full(3, np.nan)}
    )
    check_layout(sheets[1])


def test_dispatch(tmp_path: Path, sheets: list[Sheet]) -> None:
    stamps = pd.date_range("2016-11-01", periods=48, freq="h", tz="Europe/Paris")
    prices = 50 + 40 * np.sin(np.arange(48) / 3.8)
    plan = schedule(prices, Battery(capacity=4, power=1, start=1), step_hours=1)
    band = (prices - 10, prices + 10)
    draw_dispatch(tmp_path / "a.png", stamps, plan, prices, band=band, truth=prices[::-1], demand=np.full(48, 3.0),
                  settlement=settle(plan, prices[::-1]), title="Battery")  # fmt: skip
    check_layout(sheets[0])
    _, site, power, level = sheets[0].axes
    heights = np.array([bar.get_height() for bar in power.patches])
    assert heights[:48] == pytest.approx(plan.charge)
    assert heights[48:] == pytest.approx(-plan.discharge)
    held = level.lines[0].get_ydata()
    assert held == pytest.approx([1, *plan.level])
    assert site.patches[0].get_data().values == pytest.approx(3 + plan.power)
    assert site.patches[-1].get_zorder() > site.patches[0].get_zorder()  # the demand stands above the grid's line
    assert any(text.get_text().startswith("saved") for text in sheets[0].figure.texts)
    one = schedule([5.0], Battery(capacity=1, power=1), step_hours=1)
    draw_dispatch(tmp_path / "b.svg", np.arange(1), one, np.array([5.0]))
    check_layout(sheets[1])


def test_dispatch_of_a_demand_draws_its_band_and_no_price(tmp_path: Path, sheets: list[Sheet]) -> None:
    stamps = pd.date_range("2016-11-01", periods=48, freq="h")
    demand = 4000 + 500 * np.sin(np.arange(48) / 3.8)
    plan = schedule(0.0, Battery(capacity=400, power=100), step_hours=1, demand=demand, tariff=Tariff(peak_charge=100))
    band = (demand - 200, demand + 300)
    draw_dispatch(tmp_path / "a.png", stamps, plan, None, demand=demand, band=band, saving=10_000.4, title="Battery")
    check_layout(sheets[0])
    assert [axes.get_ylabel() for axes in sheets[0].axes] == ["MW", "MW", "MWh"]
    filled = [one.get_data() for one in sheets[0].axes[0].patches if one.get_fill()]
    assert [(one.baseline == band[0]).all() and (one.values == band[1]).all() for one in filled] == [True]
    assert "expected saving 10,000" in [text.get_text() for text in sheets[0].figure.texts]
    came = settle(plan, 0.0, demand=demand + 50)
    draw_dispatch(tmp_path / "b.png", stamps, plan, None, demand=demand, truth=demand + 50, settlement=came)
    said = [text.get_text() for text in sheets[1].figure.texts]
    assert any(re.match(r"saved [\d,]+(\.\d\d)? of [\d,]+", text) for text in said)


ZOOMS = {"h": 200, "30min": 96, "D": 45, "W-SUN": 60, "MS": 40, "YS": 70, "5min": 100}


@pytest.mark.parametrize("alias", ZOOMS)
def test_ticks_are_evenly_apart_and_do_not_touch(alias: str, tmp_path: Path, sheets: list[Sheet]) -> None:
    stamps = pd.date_range("2024-04-05 03:00" if "h" in alias else "2023-09-20", periods=3 * ZOOMS[alias], freq=alias)
    draw_forecasts(tmp_path / "a.png", [forecast(stamps, ZOOMS[alias])])
    check_layout(sheets[0])
    axes = sheets[0].axes[0]
    low, high = axes.get_xlim()
    ticks = [place for place in axes.get_xticks() if low <= place <= high]
    assert 4 <= len(ticks) <= 13
    gaps = np.diff(ticks)
    assert gaps.max() / gaps.min() < 1.12  # months and years are not of one length, all else is
    if gaps.max() < 28:
        assert np.ptp(gaps) < 1e-6
    assert all(abs(place * 24 % 1) < 1e-6 or gaps.max() < 1 / 24 for place in ticks)  # full hours, midnights


def test_ticks_by_the_clocks_of_the_zone() -> None:
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    day = float(np.datetime64("2024-03-31").astype(int))  # clocks go forward at two
    ticks = even_ticks(day - 1, day + 1, berlin, 9)
    assert np.diff(ticks) * 24 == pytest.approx([6, 6, 6, 5, 6, 6, 6])
    assert even_ticks(0.300005, 0.300006, berlin, 9).size == 0
    mondays = even_ticks(0.0, 60.0, timezone.utc, 9)
    assert ((mondays - 4) % 7 == 0).all()
    assert even_ticks(-800_000.0, 3_500_000.0, berlin, 9).size  # a picture without dates has no end


def test_stamps_in_words() -> None:
    assert plain(pd.date_range("2024-03-30", periods=3, freq="D", tz="Europe/Berlin"))[1] == "2024-03-31"
    assert plain(pd.date_range("2024-03-30", periods=3, freq="12h"))[:2] == [
        "2024-03-30 00:00:00",
        "2024-03-30 12:00:00",
    ]
    assert plain(pd.RangeIndex(3, 5)) == ["3", "4"]


def test_tints() -> None:
    assert tint("#0072b2", 0) == "#0072b2"
    assert tint("#0072b2", 1) == "#ffffff"
    assert band_colour(0, 3) > band_colour(1, 3) > band_colour(2, 3)  # the widest is the palest
