"""PatchTST beside neuralforecast's (training) and transformers' (forward pass): same data, shape, steps and threads.

    python benchmarks/timeseries_speed.py --threads 2
    python benchmarks/timeseries_speed.py --steps 100 --skip-neuralforecast

Training: hourly series of ETT's shape (17,420 steps, 7 series, made up), look-back 336, horizon 96, patches of 16 every
8, three layers of width 128 with 16 heads, batch norm, 128 windows in a step. Both fit through their own public way
(`ForecastModel`'s parts here, `NeuralForecast.fit` there) for few and for many steps; the difference is the time of a
step, so that neither loading nor validation counts.

Forward: the same random weights in both, `PatchTSTForPrediction` of transformers, batches of 1, 32 and 256 windows of
7 series. Median of repeated calls, the two taking turns.

Printed as JSON. Needs: pip install -e '.[timeseries]' neuralforecast transformers
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tsuite.core import registry, runtime
from tsuite.core.pretrained import Located
from tsuite.core.train import fit
from tsuite.domains.timeseries.patchtst import transformers as family
from tsuite.domains.timeseries.patchtst.options import FinetuneOptions
from tsuite.domains.timeseries.patchtst.training import prepare
from tsuite.domains.timeseries.windows import batch_of_values

LOOKBACK, HORIZON, SERIES, ROWS, WINDOWS = 336, 96, 7, 17_420, 128
SHAPE = {"dim": 128, "heads": 16, "hidden": 256, "depth": 3, "dropout": 0.2}


def made_up() -> pd.DataFrame:
    """A wide table of hourly series with a day, a week and a drift."""
    random, steps = np.random.default_rng(0), np.arange(ROWS)
    table: dict[str, Any] = {"date": pd.date_range("2016-07-01", periods=ROWS, freq="h")}
    for number in range(SERIES):
        day, week = random.uniform(0.5, 3, 2)
        drift = random.normal(size=ROWS).cumsum() * 0.02
        waves = day * np.sin(2 * np.pi * steps / 24 + number) + week * np.sin(2 * np.pi * steps / 168)
        table[f"s{number}"] = waves + drift + 0.3 * random.normal(size=ROWS)
    return pd.DataFrame(table)


def seconds_of(train: Callable[[int], None], few: int, many: int) -> float:
    """Seconds of one optimiser step: many steps less few."""
    train(2)  # the first time prepares things
    taken = []
    for steps in (few, many):
        start = time.perf_counter()
        train(steps)
        taken.append(time.perf_counter() - start)
    return (taken[1] - taken[0]) / (many - few)


def ours(table: pd.DataFrame, steps: int) -> None:
    settings = {name: str(value) for name, value in SHAPE.items()}
    settings |= {"patch": "16", "stride": "8", "decode": "flatten", "norm": "batch", "post_norm": "true", "pad": "true"}
    settings |= {"linear": "false", "masked": "false", "residual_attention": "true"}
    options = FinetuneOptions(
        max_steps=steps, lookback=LOOKBACK, horizon=HORIZON, batch_size=WINDOWS, head="point", calendar=False,
        lr=1e-3, patience=0, validation=0.01, test=0.2,
    )  # fmt: skip
    prepared = prepare(
        registry.card("timeseries.patchtst").load_task(), options, data=table, checkpoint=None, settings=settings
    )
    with tempfile.TemporaryDirectory() as folder:
        fit(prepared.task, prepared.splits, prepared.options, Path(folder) / "run")


def theirs(table: pd.DataFrame, steps: int) -> None:
    from neuralforecast import NeuralForecast  # pyright: ignore[reportMissingImports]
    from neuralforecast.losses.pytorch import MSE  # pyright: ignore[reportMissingImports]
    from neuralforecast.models import PatchTST  # pyright: ignore[reportMissingImports]

    long = table.melt("date", var_name="unique_id", value_name="y").rename(columns={"date": "ds"})
    model = PatchTST(
        h=HORIZON, input_size=LOOKBACK, encoder_layers=SHAPE["depth"], n_heads=SHAPE["heads"],
        hidden_size=SHAPE["dim"], linear_hidden_size=SHAPE["hidden"], dropout=SHAPE["dropout"], patch_len=16, stride=8,
        revin=True, revin_subtract_last=False, batch_normalization=True, loss=MSE(), max_steps=steps,
        learning_rate=1e-3,
        batch_size=SERIES, windows_batch_size=WINDOWS * SERIES, start_padding_enabled=False, logger=False,
        enable_progress_bar=False, enable_checkpointing=False, enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    NeuralForecast(models=[model], freq="h").fit(long)


def training(few: int, many: int, *, peer: bool) -> dict[str, Any]:
    table = made_up()
    # The peer first: our training tells the allocator of the process to keep memory.
    other = seconds_of(lambda steps: theirs(table, steps), few, many) if peer else None
    own = seconds_of(lambda steps: ours(table, steps), few, many)
    return {
        "windows_in_a_step": WINDOWS,
        "series": SERIES,
        "tsuite_ms": round(1e3 * own, 1),
        "neuralforecast_ms": other and round(1e3 * other, 1),
        "speedup": other and round(other / own, 2),
    }


def forward(repeats: int) -> list[dict[str, Any]]:
    from transformers import PatchTSTConfig, PatchTSTForPrediction

    torch.manual_seed(0)
    config = PatchTSTConfig(
        context_length=LOOKBACK, prediction_length=HORIZON, patch_length=16, patch_stride=8, d_model=SHAPE["dim"],
        num_hidden_layers=SHAPE["depth"], num_attention_heads=SHAPE["heads"], ffn_dim=SHAPE["hidden"],
        num_input_channels=SERIES, pooling_type=None, scaling="std", pre_norm=False,
    )  # fmt: skip
    reference = PatchTSTForPrediction(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        reference.save_pretrained(folder)
        network = family.load(Located(path=Path(folder), source="reference"))[0].eval()
    found = []
    for windows in (1, 32, 256):
        values = torch.randn(windows, LOOKBACK, SERIES) * 3 + 5
        batch = batch_of_values(values, horizon=HORIZON)
        with torch.inference_mode():
            want = reference(past_values=values).prediction_outputs
            got = network(batch)[0].reshape(windows, SERIES, HORIZON).transpose(1, 2)
            calls = partial(network, batch), partial(reference, past_values=values)
            own, other = in_turns(*calls, max(5, repeats // windows))
        found.append({
            "windows": windows, "tsuite_ms": round(1e3 * own, 3), "transformers_ms": round(1e3 * other, 3),
            "speedup": round(other / own, 2), "largest_difference": float((got - want).abs().max()),
        })  # fmt: skip
    return found


def in_turns(one: Callable[[], Any], other: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median seconds of either."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):
        for call in (one, other):
            call()
    for _ in range(repeats):
        for call, taken in zip((one, other), times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="optimiser steps timed")
    parser.add_argument("--repeats", type=int, default=300, help="forward passes timed, of one window")
    parser.add_argument("--skip-neuralforecast", action="store_true")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    runtime.set_threads(given.threads)
    few = max(2, given.steps // 4)
    print(json.dumps({
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "forward": forward(given.repeats),
        "training": training(few, few + given.steps, peer=not given.skip_neuralforecast),
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
