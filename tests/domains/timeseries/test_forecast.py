"""What is said of forecasts on the screen."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from tsuite.core.task import Summary

pytest.importorskip("pandas")

from tsuite.domains.timeseries.forecast import table

BY, CHANCE = "than seasonal naive by 0.5 of MAE", ", a difference that can be chance"


@pytest.mark.parametrize(
    ("difference", "p_value", "said"),
    [
        (-0.5, 0.97, "better {by}{chance} (Diebold-Mariano p = 0.970)"),
        (0.5, 0.05, "worse {by}{chance} (Diebold-Mariano p = 0.050)"),
        (-0.5, 0.0312, "better {by} (Diebold-Mariano p = 0.031)"),
        (-0.5, 0.0, "better {by} (Diebold-Mariano p < 0.001)"),
    ],
)  # fmt: skip
def test_a_difference_without_evidence_is_not_said_to_be_real(difference: float, p_value: float, said: str) -> None:
    test = {"against": "seasonal naive", "difference": difference, "p_value": p_value}
    console = Console(file=io.StringIO(), width=160)
    console.print(table([], Summary(metrics={"mae": 1.0}, details={"origins": 9, "diebold_mariano": test})))
    assert console.file.getvalue().strip().endswith(said.format(by=BY, chance=CHANCE))  # type: ignore[attr-defined]
