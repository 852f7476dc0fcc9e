"""Exported models in ONNX Runtime beside eager mode and beside their peers' own exports: same weights, same threads.

    python benchmarks/export_speed.py --threads 2
    python benchmarks/export_speed.py --threads 2 --optimum optimum/     # made once by export_optimum.py

ViT-S/16: our eager float32 and timm's; our graph in float32 and with int8 weights; timm's own export (by
`torch.onnx.export`, as its `onnx_export.py` does it: traced, and by the dynamo exporter), and the same narrowed by the
same recipe. The Conformer of our recogniser beside torchaudio's. And, from the folder that `export_optimum.py` makes,
our graph beside optimum's of SmolLM2-135M, a GPT-2 of molecules, PatchTST, a Decision Transformer, wav2vec 2.0 and
Whisper tiny.

All contestants of a row are timed in turn, the order turning too, so that a machine that slows down slows all. Printed
as JSON: of each the median milliseconds, its quartiles, and the median over the rounds of the peer's time divided by
its own (above 1: faster than the peer named in the row); how far the outputs lie apart. Every row takes `--seconds`;
all of them with the export about eight minutes. Needs: pip install -e '.[dev]' -c constraints.txt
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import timm
import torch
from export_rows import ALONE, BESIDE, Work
from tsuite.core import runtime
from tsuite.core.errors import UserError


def in_turn(who: Mapping[str, Work], peer: str, seconds: float) -> dict[str, Any]:
    """Time all in turn, at least seven rounds, each beginning with another."""
    results = {name: work() for name, work in who.items()}
    for work in who.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in who}
    names, rounds, end = list(who), 0, time.perf_counter() + seconds
    while rounds < 7 or time.perf_counter() < end:
        for name in names[rounds % len(names) :] + names[: rounds % len(names)]:
            start = time.perf_counter()
            who[name]()
            times[name].append(time.perf_counter() - start)
        rounds += 1
    found: dict[str, Any] = {"peer": peer, "rounds": rounds}
    for name, own in times.items():
        quartiles = statistics.quantiles(own, n=4)
        ratios = [other / mine for mine, other in zip(own, times[peer], strict=True)]
        found[name] = {
            "ms": round(1e3 * quartiles[1], 3),
            "quartiles": [round(1e3 * quartiles[0], 3), round(1e3 * quartiles[2], 3)],
            "times_peer": round(statistics.median(ratios), 2),
            "difference": float(f"{np.abs(results[name] - results[peer]).max():.2g}"),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: measured)")
    parser.add_argument("--seconds", type=float, default=15.0, help="seconds for each row")
    parser.add_argument("--optimum", type=Path, help="what export_optimum.py made (without it: no rows beside optimum)")
    parser.add_argument("--only", nargs="+", choices=[*ALONE, *BESIDE], default=[*ALONE, *BESIDE])
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    results: dict[str, Any] = {
        "machine": f"{runtime.cpu_name()}, {runtime.available_cores()} cores",
        "threads": runtime.set_threads(options.threads),
        "torch": torch.__version__, "onnxruntime": onnxruntime.__version__, "timm": timm.__version__,
    }  # fmt: skip
    if options.optimum is not None:
        results["peers"] = json.loads((options.optimum / "versions.json").read_text(encoding="utf-8"))
    for name in options.only:
        if name in BESIDE and options.optimum is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                rows = (
                    ALONE[name](Path(folder)) if name in ALONE else BESIDE[name](Path(folder), options.optimum / name)
                )
                for row, peer, who in rows:
                    results[row] = in_turn(who, peer, options.seconds)
            except UserError as error:
                results[name] = f"left out: {error}"
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
