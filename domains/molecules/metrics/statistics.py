"""The official statistics of MOSES' two held-out sets, which generated molecules are compared with.

Each comes as one pickled object in an npz file. It is read once by `plain_pickle` (nothing in it is run) and kept in
the cache as plain arrays. They were made with the rdkit of 2020: about one held-out molecule in 9,000 has another
fingerprint today, which the reference implementation passes over as well.

N is the number of held-out molecules (176,074 and 176,225), 512 ChemNet's activations.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from ....core.errors import UserError
from ....core.manifest import manifest
from ....core.sources import Progress
from ....core.sources.derived import derived

SETS = {"Test": "test", "TestSF": "test_scaffolds"}
"""MOSES' names of the two sets, and those of their sources in the manifest."""

BITS = 1024
"""Bits of a molecule's fingerprint (Morgan, radius 2)."""

PROPERTIES = ("logP", "SA", "QED", "weight")
_LAYOUT = 2
"""To be raised when what is kept in the cache changes."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """One held-out set: `mean` [512] and `covariance` [512, 512] of its activations, `prints` [N, 128] (fingerprints,
    eight bits a byte), how often each BRICS fragment and Murcko scaffold comes, and each property's values [N]."""

    mean: np.ndarray
    covariance: np.ndarray
    prints: np.ndarray
    fragments: Mapping[str, int]
    scaffolds: Mapping[str, int]
    properties: Mapping[str, np.ndarray]


def statistics(name: str, progress: Progress | None = None) -> Statistics:
    """Those of "Test" or "TestSF", fetched and unpacked where they are not in the cache (about 45 MB in all).

    Raises `Unreachable` or another `UserError` as `Source.fetch` does."""
    source = manifest("moses_statistics").sources[SETS[name]]
    key = hashlib.sha256(f"{source.source} {_LAYOUT}".encode()).hexdigest()
    return _kept(derived("moses", key, lambda folder: _unpack(source.fetch(progress), folder), progress))


def _unpack(path: Path, folder: Path) -> None:
    """The official npz file as plain arrays and JSON."""
    from .plain_pickle import read_object_array

    try:
        with zipfile.ZipFile(path) as archive, archive.open("stats.npy") as member:
            given: dict[str, Any] = read_object_array(io.BufferedReader(member, 1 << 20))  # pyright: ignore
        arrays: dict[str, np.ndarray] = {"mean": given["FCD"]["mu"], "covariance": given["FCD"]["sigma"]}
        arrays |= {name: np.asarray(given[name]["values"], dtype=np.float64) for name in PROPERTIES}
        bits = given["SNN"]["fps"]
        counts = {"fragments": given["Frag"]["frag"], "scaffolds": given["Scaf"]["scaf"]}
    except (KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} does not hold MOSES' statistics: {error}.") from error
    if bits.dtype != np.uint8 or bits.shape != (len(arrays["logP"]), BITS) or bits.max() > 1:
        raise UserError(f"{path} holds fingerprints of another form: {bits.dtype} {bits.shape}.")
    arrays["prints"] = np.packbits(bits, axis=1)
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / "arrays.safetensors")
    (folder / "counts.json").write_text(json.dumps(counts), encoding="utf-8")


def _kept(folder: Path) -> Statistics:
    arrays = load_file(folder / "arrays.safetensors")
    counts = json.loads((folder / "counts.json").read_text(encoding="utf-8"))
    return Statistics(
        mean=arrays["mean"], covariance=arrays["covariance"], prints=arrays["prints"],
        fragments=counts["fragments"], scaffolds=counts["scaffolds"],
        properties={name: arrays[name] for name in PROPERTIES},
    )  # fmt: skip
