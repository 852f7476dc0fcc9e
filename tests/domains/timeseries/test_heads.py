"""Heads: quantiles never cross, gradients stay finite, the Student-t is the one of torch and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from tsuite.core.errors import UserError
from tsuite.domains.timeseries.heads import KINDS, LEVELS, Head, Point, Quantiles, StudentT, build_head

EXTREMES = (-3e38, -1e30, -1e10, -1e4, -100.0, -1e-30, 0.0, 1e-30, 100.0, 1e4, 1e10, 1e30, 3e38)
HEADS = [Point(), Point("absolute"), Quantiles(), Quantiles((0.05, 0.5, 0.6)), StudentT()]


def random_raw(head: Head, *shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, head.parameters_per_step, generator=torch.Generator().manual_seed(seed))


def extreme_raw(size: int, rows: int = 500) -> Tensor:
    """Rows of extreme numbers in every mixture, [rows, 2, size]."""
    chosen = torch.randint(len(EXTREMES), (rows, 2, size), generator=torch.Generator().manual_seed(1))
    return torch.tensor(EXTREMES)[chosen]


@pytest.mark.parametrize("spread", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 30.0, 1e4, 1e8])
def test_quantiles_never_cross(scale: float, spread: float) -> None:
    head = Quantiles(spread=spread)
    raw = scale * random_raw(head, 2000, 3)
    raw[:1000, :, head.middle] += 1e6  # a median so large that small distances are lost to rounding
    q = head.quantiles(raw)
    assert q.shape == (2000, 9, 3)
    assert q.dtype == torch.float32
    assert int((q[:, 1:] < q[:, :-1]).sum()) == 0


def test_quantiles_never_cross_for_extreme_numbers() -> None:
    q = Quantiles().quantiles(extreme_raw(9))
    assert not q.isnan().any()
    assert int((q[:, 1:] < q[:, :-1]).sum()) == 0


def test_student_t_quantiles_never_cross() -> None:
    head = StudentT()
    for raw in (random_raw(head, 500, 3), 20 * random_raw(head, 500, 3), extreme_raw(3)):
        q = head.quantiles(raw)
        assert not q.isnan().any()
        assert int((q[:, 1:] < q[:, :-1]).sum()) == 0


def test_quantiles_in_half_precision_are_ordered_float32() -> None:
    head = Quantiles()
    q = head.quantiles(random_raw(head, 200, 4).bfloat16())
    assert q.dtype == torch.float32
    assert bool((q[:, 1:] >= q[:, :-1]).all())


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
def test_gradients_are_finite_for_extreme_numbers(head: Head) -> None:
    raw = extreme_raw(head.parameters_per_step).clamp(-1e30, 1e30).requires_grad_()
    y = torch.tensor([0.0, 1e6]).expand(500, 2)
    head.loss(raw, y, torch.ones(500, 2, dtype=torch.bool)).backward()
    assert raw.grad is not None
    assert bool(raw.grad.isfinite().all())


@pytest.mark.parametrize("head", [Quantiles(), StudentT()], ids=lambda head: type(head).__name__)
def test_losses_are_finite_far_away(head: Head) -> None:
    raw = extreme_raw(head.parameters_per_step).clamp(-1e30, 1e30)
    assert bool(head.loss(raw, torch.zeros(500, 2), torch.ones(500, 2, dtype=torch.bool)).isfinite())


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
def test_what_is_not_observed_does_not_count(head: Head) -> None:
    raw = random_raw(head, 6, 4).requires_grad_()
    y = torch.randn(6, 4)
    observed = torch.rand(6, 4, generator=torch.Generator().manual_seed(2)) > 0.4
    alone = sum(head.loss(raw[i, j][None], y[i, j][None], torch.tensor([True])) for i, j in observed.nonzero().tolist())
    y[~observed] = float("nan")
    loss = head.loss(raw, y, observed)
    torch.testing.assert_close(loss, alone)
    loss.backward()
    assert raw.grad is not None
    assert bool(raw.grad.isfinite().all())
    assert bool((raw.grad[~observed] == 0).all())


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
def test_steps_may_weigh_unequally(head: Head) -> None:
    raw, y, observed = random_raw(head, 6, 4), torch.randn(6, 4), torch.ones(6, 4, dtype=torch.bool)
    weight = torch.tensor([[0.0], [1.0], [2.0], [0.5], [0.0], [3.0]])
    each = [head.loss(raw[i : i + 1], y[i : i + 1], observed[i : i + 1]) for i in range(6)]
    torch.testing.assert_close(head.loss(raw, y, observed, weight=weight), (torch.stack(each) * weight[:, 0]).sum())


def test_pinball_loss_by_hand() -> None:
    head = Quantiles((0.1, 0.5, 0.9))
    raw = torch.tensor([[2.0, 5.0, -1.0]])  # H = 1
    low, median, high = head.quantiles(raw)[:, 0].tolist()
    assert median == 5.0
    y = 7.5
    expected = sum(
        (level if y > q else level - 1) * (y - q) for level, q in zip((0.1, 0.5, 0.9), (low, median, high), strict=True)
    )
    assert head.loss(raw, torch.tensor([y]), torch.tensor([True])).item() == pytest.approx(expected / 3, rel=1e-6)


def test_raw_zeros_are_a_normal_distribution() -> None:
    q = Quantiles(spread=0.3).quantiles(torch.zeros(1, 9))[:, 0]
    np.testing.assert_allclose(q.numpy(), 0.3 * stats.norm.ppf(LEVELS), atol=1e-6)


def test_quantiles_learn_a_distribution() -> None:
    head = Quantiles((0.1, 0.5, 0.9))
    y = torch.randn(4000, generator=torch.Generator().manual_seed(3)).exp()  # log-normal: a skewed one
    raw = torch.zeros(1, 3, requires_grad=True)
    optimiser = torch.optim.LBFGS([raw], lr=0.5, max_iter=60)

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = head.loss(raw.expand(4000, 1, 3), y[:, None], torch.ones(4000, 1, dtype=torch.bool)) / 4000
        loss.backward()
        return loss

    optimiser.step(closure)
    learnt = head.quantiles(raw.detach())[:, 0]
    np.testing.assert_allclose(learnt.numpy(), np.quantile(y.numpy(), [0.1, 0.5, 0.9]), atol=0.03)


def test_selected_quantiles() -> None:
    head = Quantiles()
    raw = random_raw(head, 5, 4)
    y_hat, every = head.predict(raw)
    assert every is not None
    assert torch.equal(head.quantiles(raw, (0.5, 0.9)), every[:, [4, 8]])
    assert torch.equal(y_hat, every[:, 4])
    few = Quantiles((0.1, 0.5, 0.9)).predict(raw[..., :3])[1]
    assert few is not None
    assert few.shape == (5, 3, 4)
    with pytest.raises(ValueError, match=r"0\.55"):
        head.quantiles(raw, (0.55,))


def test_student_t_density_is_torchs() -> None:
    head = StudentT(spread=0.5)
    raw, y = 3 * random_raw(head, 50, 4), 4 * torch.randn(50, 4)
    location, scale, freedom = head.parameters_of(raw)
    expected = -torch.distributions.StudentT(freedom, location, scale).log_prob(y).sum()
    torch.testing.assert_close(head.loss(raw, y, torch.ones(50, 4, dtype=torch.bool)), expected)
    assert bool((freedom > 2).all())
    assert bool((scale > 0).all())
    wild = head.parameters_of(extreme_raw(3))
    assert bool((wild[1] > 0).all())
    assert bool(((wild[2] > 2) & (wild[2] < 103)).all())  # beyond, float32 has no digits left in lgamma


def test_student_t_quantiles_are_scipys() -> None:
    head = StudentT(spread=2.0)
    raw = random_raw(head, 20, 4).double()
    levels = (0.025, 0.1, 0.4, 0.5, 0.7, 0.9, 0.999)
    location, scale, freedom = (each.numpy()[:, None] for each in head.parameters_of(raw))
    expected = stats.t.ppf(np.asarray(levels)[:, None], freedom, location, scale)
    np.testing.assert_allclose(head.quantiles(raw, levels).numpy(), expected, rtol=1e-5, atol=1e-5)


def test_student_t_samples() -> None:
    head = StudentT()
    raw = torch.tensor([[1.0, 0.5, 0.0], [-3.0, -1.0, 2.0]])  # H = 2
    drawn = head.sample(raw, 20_000)
    assert drawn.shape == (20_000, 2)
    assert torch.equal(drawn, head.sample(raw, 20_000))
    q = head.quantiles(raw, (0.1, 0.5, 0.9))
    np.testing.assert_allclose((drawn[:, None] <= q).float().mean(0), np.repeat([[0.1], [0.5], [0.9]], 2, 1), atol=0.01)


def test_point_errors_are_torchs() -> None:
    raw, y, every = torch.randn(3, 4, 1), torch.randn(3, 4), torch.ones(3, 4, dtype=torch.bool)
    squared = torch.nn.functional.mse_loss(raw[..., 0], y, reduction="sum")
    torch.testing.assert_close(Point().loss(raw, y, every), squared)
    absolute = torch.nn.functional.l1_loss(raw[..., 0], y, reduction="sum")
    torch.testing.assert_close(Point("absolute").loss(raw, y, every), absolute)
    y_hat, q = Point().predict(raw)
    assert y_hat.shape == (3, 4)
    assert q is None


def test_heads_by_name() -> None:
    heads = [build_head(kind) for kind in KINDS]
    assert [type(head) for head in heads] == [Quantiles, Point, StudentT]
    assert all(not list(head.parameters()) and not head.state_dict() for head in heads)
    with pytest.raises(UserError, match="Did you mean quantiles"):
        build_head("quantile")


@pytest.mark.parametrize("levels", [(), (0.5, 0.1), (0.1, 0.9), (0.0, 0.5), (0.5, 1.0), (0.5, 0.5)])
def test_levels_that_make_no_sense(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        Quantiles(levels)
