"""All networks: what counts in a window, what does not, and what they begin with."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from tsuite.core.errors import UserError
from tsuite.domains.timeseries.baselines import RidgeNLinear
from tsuite.domains.timeseries.heads import LEVELS
from tsuite.domains.timeseries.patchtst import PatchTST, PatchTSTConfig
from tsuite.domains.timeseries.patchtst.checkpoints import build_network
from tsuite.domains.timeseries.patchtst.config import HEADS, DecoderConfig, ITransformerConfig
from tsuite.domains.timeseries.patchtst.forecaster import Forecaster, NLinear, carried_forward
from tsuite.domains.timeseries.windows import WindowBatch

from .networks import HORIZON, KINDS, LOOKBACK, batch, network

PATCHTSTS: list[dict[str, Any]] = [
    {"decode": "tokens"}, {"decode": "flatten"}, {"decode": "mean"}, {"decode": "first"},
    {"decode": "flatten", "residual_attention": True}, {"norm": "layer", "post_norm": False, "pad": False},
]  # fmt: skip
EACH = [pytest.param(kind, {}, id=kind) for kind in KINDS] + [
    pytest.param("patchtst", shape, id=f"patchtst {' '.join(map(str, shape.values()))}") for shape in PATCHTSTS[1:]
]


@torch.no_grad()
def said(model: Forecaster, given: WindowBatch) -> Tensor:
    """All that the network says of each row: [R, 1 + Q, H]."""
    y_hat, quantiles = model(given)
    assert quantiles is not None
    return torch.cat([y_hat[:, None], quantiles], dim=1)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("kind", "shape"), EACH)
def test_shapes(kind: str, shape: dict[str, Any], head: str) -> None:
    y_hat, quantiles = network(kind, head=head, **shape)(batch(2, 1, 3))
    assert y_hat.shape == (6, HORIZON)
    assert (quantiles is None) == (head == "point")
    if quantiles is not None:
        assert quantiles.shape == (6, len(LEVELS), HORIZON)
        assert (quantiles.diff(dim=1) >= 0).all()
        torch.testing.assert_close(quantiles[:, LEVELS.index(0.5)], y_hat)


@pytest.mark.parametrize("shape", [{}, {"past": 0, "ahead": 0, "static": 0}, {"ahead": 0}, {"masked": False}])
@pytest.mark.parametrize("kind", KINDS)
def test_any_covariates(kind: str, shape: dict[str, Any]) -> None:
    numbers = {name: value for name, value in shape.items() if name != "masked"}
    assert network(kind, **shape)(batch(2, 1, **numbers))[0].shape == (3, HORIZON)


@pytest.mark.parametrize(("kind", "shape"), EACH)
def test_the_future_changes_no_forecast(kind: str, shape: dict[str, Any]) -> None:
    model, given = network(kind, **shape), batch(2, 1)
    later = dataclasses.replace(
        given, target=given.target + 1e3, target_observed=torch.zeros_like(given.target_observed)
    )
    assert torch.equal(said(model, given), said(model, later))


@pytest.mark.parametrize(("kind", "shape"), EACH)
def test_what_is_told_counts(kind: str, shape: dict[str, Any]) -> None:
    model, given = network(kind, **shape), batch(2, 1)
    for name in ("values", "past", "ahead", "static"):
        other = dataclasses.replace(given, **{name: getattr(given, name) + torch.randn_like(getattr(given, name))})
        assert (said(model, given) - said(model, other)).abs().amax(dim=(1, 2)).min() > 1e-6, name


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_known_ahead_counts(kind: str) -> None:
    model, given = network(kind), batch(1, 1)
    before = said(model, given)
    for step in range(LOOKBACK, LOOKBACK + HORIZON):
        ahead = given.ahead.clone()
        ahead[:, :, step] += 1
        assert (said(model, dataclasses.replace(given, ahead=ahead)) != before).any(), step


@pytest.mark.parametrize(("kind", "shape"), EACH)
def test_what_stands_in_an_unobserved_place_never_counts(kind: str, shape: dict[str, Any]) -> None:
    model, given = network(kind, **shape), batch(3, 1, gaps=0.3)
    noise = torch.randn_like(given.values) * 100
    target = torch.where(given.target_observed, given.target, 100.0)
    other = dataclasses.replace(given, values=torch.where(given.observed, given.values, noise), target=target)
    assert torch.equal(said(model, given), said(model, other))
    assert torch.equal(model.loss(given), model.loss(other))


@pytest.mark.parametrize("kind", KINDS)
def test_the_networks_see_that_something_is_missing(kind: str) -> None:
    model, given = network(kind), batch(1)
    observed, known = given.observed.clone(), given.known.clone()
    observed[0, 5] = known[0, 0, 5] = False
    level = given.values.clone()
    level[0, 5] = level[0].mean()  # the same normalised window, but for the mark
    for one in (dataclasses.replace(given, values=level, observed=observed), dataclasses.replace(given, known=known)):
        if kind != "decoder" or one.known is not known:
            assert (said(model, one) - said(model, given)).abs().max() > 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_without_any_value_is_finite(kind: str) -> None:
    given = batch(2)
    nothing = dataclasses.replace(given, values=given.values * 0, observed=torch.zeros_like(given.observed))
    assert said(network(kind), nothing).isfinite().all()
    assert network(kind).loss(nothing).isfinite()


@pytest.mark.parametrize("kind", ["patchtst", "decoder"])
def test_a_series_is_forecast_for_itself(kind: str) -> None:
    model, given = network(kind), batch(2, 1, 3, gaps=0.2)
    whole = said(model, given)
    for row, window in enumerate(given.window.tolist()):
        alone = only(given, window, torch.arange(6) == row)
        torch.testing.assert_close(said(model, alone)[0], whole[row], rtol=0, atol=1e-5)


def test_an_itransformer_sees_the_series_of_a_window_and_no_other() -> None:
    model, given = network("itransformer"), batch(2, 1, 3, gaps=0.2)
    whole = said(model, given)
    for window in range(3):
        rows = given.window == window
        torch.testing.assert_close(said(model, only(given, window, rows)), whole[rows], rtol=0, atol=1e-5)
    values = given.values.clone()
    values[5] = values[5].flip(0)
    changed = (said(model, dataclasses.replace(given, values=values)) != whole).flatten(1).any(1)
    assert changed.tolist() == [False] * 3 + [True] * 3


def only(given: WindowBatch, window: int, rows: Tensor) -> WindowBatch:
    """Some rows of one window."""
    by_row = {
        name: getattr(given, name)[rows] for name in ("values", "observed", "target", "target_observed", "static")
    }
    by_window = {name: getattr(given, name)[window : window + 1] for name in ("past", "ahead", "known")}
    return dataclasses.replace(given, **by_row, **by_window, window=torch.zeros(int(rows.sum())).long())


@pytest.mark.parametrize(("kind", "shape"), EACH)
def test_shift_and_scale_of_a_series_shift_and_scale_its_forecast(kind: str, shape: dict[str, Any]) -> None:
    model, given = network(kind, **shape).double(), double(batch(2, 1, gaps=0.1))
    given = dataclasses.replace(given, values=given.values * 1e3)  # beside which the epsilon is nothing
    moved = dataclasses.replace(given, values=(given.values * 70 - 4e5) * given.observed)
    torch.testing.assert_close(said(model, moved), said(model, given) * 70 - 4e5, rtol=1e-5, atol=1e-3)
    still = network(kind, revin=False, **shape).double()
    assert (said(still, moved) - (said(still, given) * 70 - 4e5)).abs().max() > 1


def double(given: WindowBatch) -> WindowBatch:
    fields = vars(given).items()
    return dataclasses.replace(given, **{name: value.double() for name, value in fields if value.is_floating_point()})


@pytest.mark.parametrize("revin", [True, False])
@pytest.mark.parametrize("kind", ["patchtst", "itransformer"])
def test_a_fresh_network_forecasts_what_the_ridge_regression_does(kind: str, revin: bool) -> None:
    random = np.random.default_rng(0)
    windows = random.standard_normal((200, LOOKBACK + HORIZON)).cumsum(1)
    ridge = RidgeNLinear(LOOKBACK, HORIZON)
    ridge.update(windows[:, :LOOKBACK], windows[:, LOOKBACK:])
    model = network(kind, loud=False, revin=revin)
    assert model.linear is not None
    model.linear.start_from(torch.from_numpy(ridge.solve().weight))
    for given in (batch(2, 1), batch(4, 1, gaps=0.4)):
        expected = ridge.predict(given.values.masked_fill(~given.observed, torch.nan).numpy().astype(np.float64))
        with torch.no_grad():
            np.testing.assert_allclose(model(given)[0], expected, rtol=1e-4, atol=2e-5)


def test_without_a_solved_map_the_start_is_repeat_last() -> None:
    model, given = network("patchtst", loud=False), batch(2, 1, gaps=0.3)
    last = [row[seen][-1] for row, seen in zip(given.values, given.observed, strict=True)]
    torch.testing.assert_close(model(given)[0], torch.stack(last)[:, None].expand(-1, HORIZON), rtol=1e-4, atol=1e-5)


def test_the_linear_map_reads_no_unobserved_value() -> None:
    model = NLinear(4, 2)
    model.start_from(torch.ones(2, 4))
    values = torch.tensor([[1.0, 2, 4, 9], [5, 5, 5, 5]])
    observed = torch.tensor([[True, True, True, False], [False] * 4])
    assert model(values, observed).tolist() == [[-1, -1], [0, 0]]  # 4 + (1 - 4) + (2 - 4); nothing known
    gaps = torch.tensor([[False, True, False, True], [True, False, False, True]])
    assert carried_forward(values, gaps).tolist() == [[2, 2, 2, 9], [5, 5, 5, 5]]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("kind", "shape"), EACH)
def test_gradients_reach_every_parameter(kind: str, shape: dict[str, Any], head: str) -> None:
    model = network(kind, head=head, **shape).train()
    model.loss(batch(2, 1, gaps=0.2)).backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert not silent


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_a_sum_over_observed_steps(kind: str, head: str) -> None:
    model, given = network(kind, head=head), batch(2, 1, gaps=0.3)
    nothing = dataclasses.replace(given, target_observed=torch.zeros_like(given.target_observed))
    with torch.no_grad():
        parts = [model.loss(only(given, window, given.window == window)) for window in range(2)]
        torch.testing.assert_close(sum(parts), model.loss(given), rtol=1e-4, atol=1e-4)
        assert float(model.loss(nothing)) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_learning_lowers_the_loss(kind: str) -> None:
    model, given = network(kind).train(), batch(4, 4)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        losses.append(loss := model.loss(given))
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.8 * losses[0]


def test_patches_as_the_paper_counts_them() -> None:
    config = PatchTSTConfig(lookback=336, horizon=96)
    assert (config.patches, config.patches_ahead) == (42, 6)
    assert PatchTSTConfig(lookback=512, horizon=96).patches == 64
    x = torch.arange(24.0)[None]
    patched = PatchTST(PatchTSTConfig(lookback=24, horizon=2, patch=6, stride=6, dim=8, heads=1)).patches(x)
    assert patched[0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert patched[0, -1].tolist() == [23] * 6  # the end, once more
    lopsided = PatchTST(PatchTSTConfig(lookback=25, horizon=2, patch=6, stride=6, pad=False, dim=8, heads=1))
    assert lopsided.patches(torch.arange(25.0)[None])[0, -1].tolist() == [19, 20, 21, 22, 23, 24]  # the newest are in


def test_a_decoder_reads_from_left_to_right() -> None:
    model, given = network("decoder", revin=False), batch(2)
    values = given.values.clone()
    values[:, 18:] += 5  # the last patch
    patch = torch.zeros(2, 6)
    with torch.no_grad():
        one, two = (
            model._say(given, torch.cat([look, patch], 1), torch.ones(2, 30, dtype=torch.bool), 5)  # type: ignore[operator]
            for look in (given.values, values)
        )
    assert torch.equal(one[:, :3], two[:, :3])
    assert (one[:, 3] != two[:, 3]).any()


@pytest.mark.parametrize(
    ("kind", "config", "shape", "said"),
    [
        ("patchtst", PatchTSTConfig, {"patch": 30}, "longer than the look-back"),
        ("patchtst", PatchTSTConfig, {"decode": "flaten"}, "flatten"),
        ("patchtst", PatchTSTConfig, {"dim": 10, "heads": 4}, "heads"),
        ("patchtst", PatchTSTConfig, {"head_dropout": 1.0}, "head_dropout"),
        ("itransformer", ITransformerConfig, {"dropout": 1.5}, "dropout"),
        ("itransformer", ITransformerConfig, {"head": "quantile"}, "quantiles"),
        ("itransformer", ITransformerConfig, {"horizon": 0}, "horizon"),
        ("itransformer", ITransformerConfig, {"past": -1}, "negative"),
        ("decoder", DecoderConfig, {"linear": True}, "linear"),
        ("decoder", DecoderConfig, {"patch": 25}, "patch"),
        ("decoder", DecoderConfig, {"patch": 6, "dim": 6, "heads": 2}, "even"),
        ("patchtst", PatchTSTConfig, {"depth": 0}, "depth"),
    ],
)
def test_shapes_that_make_no_network(kind: str, config: type, shape: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        build_network(kind, {"lookback": 24, "horizon": 4, **shape})
    with pytest.raises(UserError, match=said):
        config(**{"lookback": 24, "horizon": 4, **shape})


def test_an_unknown_network_and_field() -> None:
    with pytest.raises(UserError, match="patchtst, itransformer, decoder"):
        build_network("lstm", {})
    with pytest.raises(UserError, match="lookback"):
        build_network("patchtst", {"look_back": 24, "horizon": 2})
