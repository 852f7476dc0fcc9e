"""Victorian demand, every half-hour of 2014 an origin: the shipped forecaster, one without temperature, baselines.

    python benchmarks/timeseries_vic_elec.py                            trains the one without temperature first
    python benchmarks/timeseries_vic_elec.py --without runs/cold --with runs/mine

Both learn by `tsuite finetune timeseries.patchtst` with its defaults, from 2012 to September 2013; the weights are
chosen and the bands calibrated on October to December 2013; 2014 is only scored. Temperature is what was measured: a
stand-in for a forecast of the weather, better than any real one.

The errors of an origin are those of its 48 half-hours. Paired tests are Diebold and Mariano's, with the variance of
Newey and West over 47 lags, for neighbouring origins share all but one step. Printed as JSON.
Needs: pip install -e '.[timeseries]'
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tsuite.core import registry, runtime
from tsuite.core.train import fit
from tsuite.domains.timeseries.forecast import stack
from tsuite.domains.timeseries.metrics import diebold_mariano
from tsuite.domains.timeseries.patchtst.options import EvaluateOptions, FinetuneOptions
from tsuite.domains.timeseries.patchtst.task import ForecastTask

NAME = "timeseries.patchtst"


def trained_without(folder: Path, threads: int) -> float:
    """Train the forecaster that knows the demand and the calendar alone; gives the seconds it took."""
    runtime.set_threads(threads)
    kind = registry.card(NAME).load_task()
    prepared = kind.for_training(FinetuneOptions(target="Demand"), data=None, checkpoint=None, settings={})
    start = time.perf_counter()
    fit(prepared.task, prepared.splits, prepared.options, folder)
    return time.perf_counter() - start


def scored(checkpoint: str | None, horizon: int) -> tuple[dict[str, Any], np.ndarray]:
    """Scores on the held-out year, and the mean absolute error [T] of each origin."""
    task = registry.card(NAME).load_task().load(checkpoint)
    assert isinstance(task, ForecastTask)
    task.network.eval()
    start = time.perf_counter()
    results, summary = task.assess(task.held_out(), EvaluateOptions(horizon=horizon))
    seconds = time.perf_counter() - start
    rows = stack(results)
    errors = np.abs(rows.y - rows.y_hat).mean(axis=1)
    plain = {
        **{name: round(value, 4) for name, value in summary.metrics.items()},
        "origins": len(errors),
        "seconds": round(seconds, 1),
        "parameters": task.origin.parameters,
        "baselines": {name: round(one["mae"], 1) for name, one in summary.baselines.items()},
        "against_seasonal_naive": summary.details["diebold_mariano"],
    }
    return plain, errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--with", dest="warm", help="checkpoint with temperature (default: the shipped one)")
    parser.add_argument("--without", help="checkpoint without temperature (default: trained now)")
    parser.add_argument("--horizon", type=int, default=48)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    runtime.set_threads(given.threads)
    took = None
    with tempfile.TemporaryDirectory() as folder:
        cold = given.without
        if cold is None:
            cold = str(Path(folder) / "run")
            took = round(trained_without(Path(cold), given.threads), 1)
        without, cold_errors = scored(cold, given.horizon)
    warm, warm_errors = scored(given.warm, given.horizon)
    paired = diebold_mariano(warm_errors, cold_errors, horizon=given.horizon)
    print(json.dumps({
        "threads": torch.get_num_threads(), "horizon": given.horizon, "with_temperature": warm,
        "without_temperature": without, "seconds_of_training_without": took,
        "with_against_without": paired.to_json(),
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
