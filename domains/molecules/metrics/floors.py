"""What real molecules reach in the MOSES suite: as many random ones of the training set as a model has generated.

No model can be expected to do better, and of a few thousand molecules even real ones score far from the ideal: FCD
falls with their number. Without the floor at the same n, a number from such a sample says nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from ....core.manifest import manifest
from ....core.sources.derived import derived

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SEED = 0
VERSION = 1
"""To be raised when the suite gives other values than it did."""


def floor(n: int, **how: Any) -> dict[str, float | None]:
    """The suite's values for `n` random training molecules of MOSES, without novelty, which is 0 for them.

    For some n they are shipped (`floors.toml`, made by benchmarks/molecules_moses.py), for any other they are computed
    once and kept in the cache; `how` is then what `moses` takes besides: workers, device, tick. Raises as it does."""
    known = shipped()
    if n in known:
        return dict(known[n])
    source = manifest("moses").sources["train"].source
    key = hashlib.sha256(f"{source} {n} {SEED} {VERSION}".encode()).hexdigest()
    folder = derived("moses-floors", key, lambda folder: _write(folder / "floor.json", n, how))
    return json.loads((folder / "floor.json").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def shipped() -> dict[int, dict[str, float]]:
    """The values that lie beside this file, by n."""
    text = Path(__file__).with_name("floors.toml").read_text(encoding="utf-8")
    return {int(n): values for n, values in tomllib.loads(text).items()}


def training_sample(n: int) -> list[str]:
    """`n` random training molecules of MOSES (all of them if there are not so many), the same every time."""
    with gzip.open(manifest("moses").sources["train"].fetch(), "rt", encoding="utf-8") as file:
        smiles = file.read().split()[1:]
    return random.Random(SEED).sample(smiles, min(n, len(smiles)))


def _write(path: Path, n: int, how: dict[str, Any]) -> None:
    from .suite import moses

    values = moses(training_sample(n), floor=False, **how)["values"]
    path.write_text(json.dumps(values), encoding="utf-8")
