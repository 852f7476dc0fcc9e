"""Seconds and memory of whole commands, as a person meets them: a new process each time, data in the cache.

    python benchmarks/commands.py --runs 5

Printed as JSON: the median and the slowest of the wall-clock seconds, and the largest resident size of the process in
MB (10^6 bytes), as the system counts it. One run before the counted ones fetches what is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from tsuite.core import runtime

COMMANDS = ("--help", "list", "run vision.vit --json")


def measure(words: Sequence[str], folder: str) -> tuple[float, float, str]:
    """Seconds, peak MB and what it printed on stdout."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "tsuite", *words]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"tsuite {' '.join(words)} ended with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e6, printed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each command")
    options = parser.parse_args()
    results: dict[str, object] = {"machine": f"{runtime.cpu_name()}, {runtime.available_cores()} cores"}
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            found = [measure(command.split(), folder) for _ in range(options.runs + 1)][1:]
            results[f"tsuite {command}"] = {
                "seconds_median": round(statistics.median(seconds for seconds, _, _ in found), 3),
                "seconds_slowest": round(max(seconds for seconds, _, _ in found), 3),
                "peak_memory_mb": round(max(memory for _, memory, _ in found), 1),
            }
            if command.startswith("run"):
                report = json.loads(found[-1][2])
                results["shipped checkpoint"] = {
                    "parameters": report["checkpoint"]["parameters"],
                    **report["metrics"],
                    "n": report["data"]["n"],
                }
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
