"""Horizons that a network was not trained for: shorter ones are a part, longer ones roll on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor
from tsuite.domains.timeseries.heads import LEVELS
from tsuite.domains.timeseries.patchtst.forecaster import Forecaster
from tsuite.domains.timeseries.patchtst.rolling import forecast, rolled_map, widening_said
from tsuite.domains.timeseries.windows import WindowBatch

from .networks import HORIZON, KINDS, LOOKBACK, batch, network

each = pytest.mark.parametrize("kind", KINDS)


def shorter(given: WindowBatch, horizon: int) -> WindowBatch:
    """The same windows, less far ahead."""
    stop = LOOKBACK + horizon
    return dataclasses.replace(given, ahead=given.ahead[..., :stop], known=given.known[..., :stop])


def rolled(model: Forecaster, given: WindowBatch, horizon: int) -> tuple[Tensor, Tensor]:
    """Forecast and quantiles of a head that says both."""
    y_hat, quantiles = forecast(model, given, horizon)
    assert quantiles is not None
    return y_hat, quantiles


@each
@torch.no_grad()
def test_the_trained_horizon_is_the_plain_forecast(kind: str) -> None:
    model, given = network(kind), batch(2, 1, gaps=0.2)
    for one, plain in zip(rolled(model, given, HORIZON), model(given), strict=True):
        assert torch.equal(one, plain)


@each
@torch.no_grad()
def test_a_shorter_horizon_knows_less_ahead(kind: str) -> None:
    model, given = network(kind), batch(2, 1)
    y_hat, quantiles = rolled(model, shorter(given, 4), 4)
    assert (y_hat.shape, quantiles.shape) == ((3, 4), (3, len(LEVELS), 4))
    unknown = dataclasses.replace(given, ahead=given.ahead.clone(), known=given.known.clone())
    unknown.ahead[..., LOOKBACK + 4 :], unknown.known[..., LOOKBACK + 4 :] = 0, False
    torch.testing.assert_close(y_hat, model(unknown)[0][:, :4])


@each
@torch.no_grad()
def test_a_longer_horizon_begins_as_the_trained_one(kind: str) -> None:
    model, given = network(kind), batch(2, 1, horizon=27)
    y_hat, quantiles = rolled(model, given, 27)
    assert (y_hat.shape, quantiles.shape) == ((3, 27), (3, len(LEVELS), 27))
    plain, bands = rolled(model, shorter(given, HORIZON), HORIZON)
    torch.testing.assert_close(y_hat[:, :HORIZON], plain)
    torch.testing.assert_close(quantiles[..., :HORIZON], bands)


@each
@torch.no_grad()
def test_later_pieces_read_the_medians_of_earlier_ones(kind: str) -> None:
    model, given = network(kind), batch(2, 1, horizon=20, gaps=0.2)
    y_hat, _ = forecast(model, given, 20)
    by_hand = dataclasses.replace(
        given,
        values=torch.cat([given.values, y_hat[:, :HORIZON]], dim=1)[:, HORIZON:],
        observed=torch.cat([given.observed, torch.ones(3, HORIZON, dtype=torch.bool)], dim=1)[:, HORIZON:],
        past=torch.cat([given.past, torch.zeros(2, 1, HORIZON)], dim=2)[..., HORIZON:],
        ahead=given.ahead[..., HORIZON:],
        known=given.known[..., HORIZON:],
    )
    torch.testing.assert_close(y_hat[:, HORIZON:], model(by_hand)[0])


@each
@torch.no_grad()
def test_what_is_known_ahead_of_later_pieces_counts(kind: str) -> None:
    model, given = network(kind), batch(2, 1, horizon=20)
    ahead = given.ahead.clone()
    ahead[..., -1] += 3
    before, after = (forecast(model, one, 20)[0] for one in (given, dataclasses.replace(given, ahead=ahead)))
    assert torch.equal(before[:, :HORIZON], after[:, :HORIZON])
    assert (before[:, -1] != after[:, -1]).all()


@pytest.mark.parametrize("head", ["quantiles", "studentt"])
@each
@torch.no_grad()
def test_bands_stay_in_order_and_are_never_narrower_than_where_a_piece_ended(kind: str, head: str) -> None:
    model, given = network(kind, head=head), batch(4, horizon=35)
    y_hat, quantiles = rolled(model, given, 35)
    assert (quantiles.diff(dim=1) >= 0).all()
    torch.testing.assert_close(quantiles[:, LEVELS.index(0.5)], y_hat, rtol=1e-4, atol=1e-4)
    widths = quantiles[:, -1] - quantiles[:, 0]
    for start in range(HORIZON, 35, HORIZON):
        later = widths[:, start : start + HORIZON]
        assert (later >= widths[:, start - 1 : start] - 1e-5).all()


@torch.no_grad()
def test_a_point_head_rolls_on_without_bands() -> None:
    y_hat, quantiles = forecast(network("patchtst", head="point"), batch(3, horizon=25), 25)
    assert y_hat.shape == (3, 25)
    assert quantiles is None


def test_a_linear_map_rolls_on_by_its_own_forecasts() -> None:
    weight, past = np.random.default_rng(0).normal(0, 0.3, (3, 5)), np.random.default_rng(1).normal(size=(2, 5))
    found = rolled_map(past, weight, 7)
    assert found.shape == (2, 7)
    first = past @ weight.T
    assert found[:, :3] == pytest.approx(first)
    second = np.concatenate([past[:, 3:], first], axis=1) @ weight.T
    assert found[:, 3:6] == pytest.approx(second)
    assert rolled_map(past, weight, 2) == pytest.approx(first[:, :2])
    gap = np.where(np.arange(5) == 4, np.nan, past)
    filled = np.where(np.arange(5) == 4, past[:, 3:4], past)
    assert rolled_map(gap, weight, 7) == pytest.approx(rolled_map(filled, weight, 7))


def test_what_is_said_of_the_bands_is_what_they_do() -> None:
    width = np.array([1.0, 2.0, 3.0, 6.0])
    bands = np.stack([-width / 2, 0 * width, width / 2])[None]
    assert widening_said(bands, 2) == "the band from q10 to q90 is 3.00 times as wide at step 4 as at step 2"
    flat = np.stack([-np.ones(4), np.zeros(4), np.ones(4)])[None]
    assert "1.00 times as wide at step 4 as at step 2: it hardly widens" in widening_said(flat, 2)
    assert widening_said(flat, 4) == widening_said(None, 2) == widening_said(flat * 0, 2) == ""
