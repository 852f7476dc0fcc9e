"""ViT-Ti/16 and ViT-S/16 beside timm's own module: same weights, same batch, same threads, in one run.

    python benchmarks/vision_vs_timm.py --threads 2

The two are timed in turn, A B A B …, so that a machine that slows down slows both. Printed as JSON: median seconds of
each, and the median of the ratios pair by pair (above 1: ours is faster). The first line of each entry says how far the
outputs differ. Needs timm: pip install -e '.[dev]' -c constraints.txt
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import timm
import torch
from torch import nn
from tsuite.core import runtime
from tsuite.core.weights import load_into
from tsuite.domains.vision.vit import ViT, ViTConfig
from tsuite.domains.vision.vit.config import SIZES
from tsuite.domains.vision.vit.families import TIMM

NAMES = {"tiny": "vit_tiny_patch16_224", "small": "vit_small_patch16_224"}


def pair(size: str) -> tuple[ViT, nn.Module]:
    """Our network and timm's, holding the same random weights."""
    torch.manual_seed(0)
    theirs = timm.create_model(NAMES[size], pretrained=False)
    ours = ViT(ViTConfig(**SIZES[size]))  # type: ignore[arg-type]
    load_into(ours, TIMM.to_ours(theirs.state_dict()))
    return ours, theirs


def in_turn(ours: Callable[[], Any], theirs: Callable[[], Any], *, seconds: float) -> dict[str, Any]:
    """Time both alternately for about `seconds`, at least ten pairs; the order within a pair alternates too."""
    for _ in range(3):
        ours()
        theirs()
    times: dict[str, list[float]] = {"ours": [], "timm": []}
    end = time.perf_counter() + seconds
    while len(times["ours"]) < 10 or time.perf_counter() < end:
        order = [("ours", ours), ("timm", theirs)]
        for name, work in order if len(times["ours"]) % 2 else reversed(order):
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    ratios = [theirs / ours for ours, theirs in zip(times["ours"], times["timm"], strict=True)]
    return {
        "ours_ms": round(1e3 * statistics.median(times["ours"]), 3),
        "timm_ms": round(1e3 * statistics.median(times["timm"]), 3),
        "ratio": round(statistics.median(ratios), 3),
        "pairs": len(ratios),
    }


def inference(size: str, batch: int, seconds: float) -> dict[str, Any]:
    """Forward pass without gradients."""
    ours, theirs = (network.eval() for network in pair(size))
    pixels = torch.randn(batch, 3, 224, 224)
    with torch.inference_mode():
        difference = float((ours(pixels) - theirs(pixels)).abs().max())
        found = in_turn(lambda: ours(pixels), lambda: theirs(pixels), seconds=seconds)
    # Two operations for each weight of a linear layer and each token, and the two products of attention.
    products = 2 * 196 * 768 * SIZES[size]["dim"] + 12 * (
        24 * 197 * SIZES[size]["dim"] ** 2 + 4 * 197**2 * SIZES[size]["dim"]
    )
    speed = products * batch / found["ours_ms"] / 1e6
    return {"largest_difference": difference, **found, "images_per_second": round(1e3 * batch / found["ours_ms"], 2),
            "gflops_nominal": round(speed, 1)}  # fmt: skip


def training_step(size: str, batch: int, seconds: float) -> dict[str, Any]:
    """Forward, cross-entropy, backward, clip, AdamW: the same plain loop around both."""

    def step_of(network: nn.Module) -> Callable[[], float]:
        network.train()
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=0.05)
        pixels, labels = torch.randn(batch, 3, 224, 224), torch.randint(0, 1000, (batch,))

        def step() -> float:
            optimiser.zero_grad(set_to_none=True)
            loss = nn.functional.cross_entropy(network(pixels), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            return float(loss.detach())

        return step

    ours, theirs = pair(size)
    return in_turn(step_of(ours), step_of(theirs), seconds=seconds)


def arithmetic_limit(seconds: float = 1.0) -> float:
    """What one large matrix product reaches here, in 10^9 operations a second: the ceiling of every layer."""
    left, right = torch.randn(1024, 1024), torch.randn(1024, 1024)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.matmul(left, right)
        best = min(best, time.perf_counter() - start)
    return 2 * 1024**3 / best / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: measured)")
    parser.add_argument("--seconds", type=float, default=15.0, help="seconds for each pair of measurements")
    options = parser.parse_args()
    threads = runtime.set_threads(options.threads)
    results: dict[str, Any] = {
        "machine": f"{runtime.cpu_name()}, {runtime.available_cores()} cores",
        "threads": threads,
        "torch": torch.__version__,
        "timm": timm.__version__,
        "matrix_product_gflops": round(arithmetic_limit(), 1),
    }
    for size in NAMES:
        for batch in (1, 16):
            results[f"inference, {size}, batch {batch}"] = inference(size, batch, options.seconds)
        results[f"training step, {size}, batch 16"] = training_step(size, 16, options.seconds)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
