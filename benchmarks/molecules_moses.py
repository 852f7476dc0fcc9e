"""The MOSES suite on many molecules: its values beside the floor and the published table, and how long each step takes.

    python benchmarks/molecules_moses.py --workers 2
    python benchmarks/molecules_moses.py --molecules generated.smi --n 10000 --workers 2
    python benchmarks/molecules_moses.py --floors 500 1000 2000 5000 10000 > floors.toml

Without a file the molecules are random training ones of MOSES: what they reach is the floor. `--floors` prints those
values for several n, in the form of domains/molecules/metrics/floors.toml; they do not depend on the machine beyond
rounding.

Printed as JSON: `seconds` of the wall clock by step, last the whole (fetching and unpacking the official statistics
come before, once a machine); `cpu_seconds` of this process and its workers; n, values, floor and published.
Needs: pip install -e '.[molecules]'
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import torch
from tsuite.domains.molecules.metrics.chemnet import chemnet
from tsuite.domains.molecules.metrics.floors import training_sample
from tsuite.domains.molecules.metrics.published import rows
from tsuite.domains.molecules.metrics.statistics import SETS, statistics
from tsuite.domains.molecules.metrics.suite import moses, official_filters


class Clock:
    """When each step began: `tick` for the suite."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def tick(self, what: str, done: int, total: int) -> None:
        self.seconds[what] = round(time.perf_counter() - self.start - sum(self._before(what)), 2)

    def _before(self, what: str) -> list[float]:
        return [seconds for name, seconds in self.seconds.items() if name != what]


def cpu_seconds() -> float:
    """Of this process and of those of its workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(smiles: list[str], workers: int, *, floor: bool) -> dict[str, Any]:
    """The suite on these molecules, with its times."""
    for name in SETS:
        statistics(name)
    chemnet()
    official_filters()
    clock, before = Clock(), cpu_seconds()
    result = moses(smiles, workers=workers, tick=clock.tick, floor=floor)
    total = round(time.perf_counter() - clock.start, 2)
    facts = {"workers": workers, "threads": torch.get_num_threads(), "cpu_seconds": round(cpu_seconds() - before, 1)}
    return facts | {"seconds": clock.seconds | {"all": total}} | result


def print_floors(numbers: list[int], workers: int) -> None:
    """The values of real molecules as TOML."""
    for n in numbers:
        values = moses(training_sample(n), workers=workers, floor=False)["values"]
        print(
            f"[{n}]", *(f'"{name}" = {value:.6g}' for name, value in values.items()), sep="\n", end="\n\n", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=Path, help="a file with one SMILES a line")
    parser.add_argument("--n", type=int, default=10_000, help="how many of them")
    parser.add_argument("--workers", type=int, default=2, help="processes for rdkit's part")
    parser.add_argument("--floors", type=int, nargs="+", help="print the floors at these n instead")
    given = parser.parse_args()
    if given.floors:
        print_floors(given.floors, given.workers)
        return
    if given.molecules:
        smiles = [line.split()[0] if line.split() else "" for line in given.molecules.read_text().splitlines()]
    else:
        smiles = training_sample(given.n)
    result = measure(smiles[: given.n], given.workers, floor=given.molecules is not None)
    table = rows(result)
    print(json.dumps({key: result[key] for key in result if key != "published"} | {"table": table}, indent=1))


if __name__ == "__main__":
    main()
