"""The MOSES suite (Polykovskiy et al. 2020) in one call: `moses(generated)["values"]["FCD/Test"]`.

The metrics, by the names of the reference's `get_all_metrics`, whose values these are:

| name                    | what it is                                                                      | best is |
|-------------------------|---------------------------------------------------------------------------------|---------|
| valid                   | generated strings that rdkit reads                                              | 1       |
| unique@1000, @10000     | distinct ones of the first so many valid molecules                              | 1       |
| Novelty                 | distinct valid molecules that are not in the training set                       | high    |
| FCD/Test, FCD/TestSF    | Fréchet ChemNet distance to the test and the scaffold test set                  | 0       |
| SNN/…                   | mean Tanimoto similarity to the nearest molecule of the set (Morgan, 1024 bits) | high    |
| Frag/…, Scaf/…          | cosine of BRICS fragments' and of Murcko scaffolds' counts                      | 1       |
| IntDiv, IntDiv2         | internal diversity with powers 1 and 2                                          | high    |
| Filters                 | molecules that pass the filters the training set has passed                     | 1       |
| logP, SA, QED, weight   | first Wasserstein distance to the test set, in each one's unit                  | 0       |

Every one is over valid molecules, repeated ones as often as they were generated. All are computed properties; none
says that a molecule is active, safe or can be made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ....core.errors import UserError
from ....core.manifest import manifest
from ....core.sources.packages import shared_archives
from ..parallel import spread
from . import distances
from .published import PUBLISHED
from .statistics import PROPERTIES, SETS, Statistics, statistics
from .traits import Filters, Traits, work

Tell = Callable[[str, int, int], None]
"""Hears what is being done, how much of it is done and how much there is."""

UNIQUE_AT = (1000, 10000)
CHUNK = 200
"""Molecules a process is handed at a time: about a second of work."""


def moses(
    generated: Sequence[str],
    *,
    train: Container[str] | None = None,
    n: int | None = None,
    workers: int = 1,
    device: str = "cpu",
    tick: Tell | None = None,
    floor: bool = True,
    held_out: Mapping[str, Statistics] | None = None,
    unique_at: Sequence[int] = UNIQUE_AT,
) -> dict[str, Any]:
    """All metrics of generated SMILES, beside what real molecules reach at the same number and what was published.

    generated: what a model gave, invalid and repeated strings too. train: the canonical SMILES it learnt from, for
    novelty. n: only so many of the first. workers: processes for rdkit's part. device: for ChemNet and similarities.
    tick: hears "molecules", "nearest" or "ChemNet" with how much is done and how much there is. floor: whether to give
    that of real molecules (see `floors.floor`; at another n than those that are shipped it takes as long again).
    held_out: other sets to compare with than MOSES' own two (see `describe`); there is no floor for them.

    Returns n, valid (how many), values and floor (by metric; None where a metric has nothing to say), published (by
    model) and notes (sentences). Raises `UserError` if there is nothing to measure or rdkit is missing.
    """
    generated = list(generated if n is None else generated[:n])
    if not generated:
        raise UserError("There are no molecules to measure.", "Generate some, or give a file that holds some.")
    sample = read_sample(generated, workers=workers, tick=tick)
    if held_out is None:
        with shared_archives():
            known: Mapping[str, Statistics] = {name: statistics(name) for name in SETS}
    else:
        known, floor = held_out, False
    values: dict[str, float | None] = {"valid": len(sample.order) / len(generated)}
    values |= {f"unique@{k}": sample.unique(k) for k in unique_at}
    values |= _against(describe(sample, device=device, tick=tick), sample, known, device=device, tick=tick)
    values |= {
        "IntDiv": distances.diversity(sample.prints, sample.often, device=device),
        "IntDiv2": distances.diversity(sample.prints, sample.often, power=2, device=device),
        "Filters": sample.mean(np.array([item.passes for item in sample.distinct], dtype=float)),
    }
    if train is not None:
        values["Novelty"] = sample.novelty(train)
    result = {"n": len(generated), "valid": len(sample.order), "values": values, "published": PUBLISHED}
    result["notes"] = _notes(sample, len(generated), unique_at)
    if floor:
        from .floors import floor as at

        result["floor"] = at(len(generated), workers=workers, device=device, tick=tick)
    return result


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Generated molecules: the `distinct` valid ones in the order they first came, and `order` [valid], which of them
    each valid string is."""

    distinct: list[Traits]
    order: np.ndarray

    @property
    def often(self) -> np.ndarray:
        """How often each distinct molecule was generated."""
        return np.bincount(self.order, minlength=len(self.distinct))

    @property
    def prints(self) -> np.ndarray:
        """Fingerprints of the distinct molecules, [distinct, 128] bytes."""
        flat = np.frombuffer(b"".join(item.prints for item in self.distinct), dtype=np.uint8)
        return flat.reshape(len(self.distinct), 128)

    def unique(self, k: int) -> float | None:
        """Distinct ones among the first `k` valid molecules, or among all of them if there are fewer."""
        first = self.order[:k]
        return len(set(first.tolist())) / len(first) if len(first) else None

    def mean(self, values: np.ndarray) -> float | None:
        """The mean over all valid molecules of a number for each distinct one."""
        return float(values[self.order].mean()) if len(self.order) else None

    def novelty(self, train: Container[str]) -> float | None:
        """Distinct molecules that are not among the training ones."""
        known = set(train) if isinstance(train, (list, tuple)) else train
        found = [item.smiles not in known for item in self.distinct]
        return sum(found) / len(found) if found else None

    def counts(self, names: Callable[[Traits], Sequence[str]]) -> Counter[str]:
        """How often each name (a fragment, a scaffold) comes in all valid molecules."""
        result: Counter[str] = Counter()
        for item, times in zip(self.distinct, self.often.tolist(), strict=True):
            for name in names(item):
                result[name] += times
        return result


def official_filters() -> Filters:
    """The files of MOSES' filters, fetched where they are not in the cache."""
    with shared_archives():
        files = {name: manifest("moses_statistics").sources[name].fetch() for name in ("mcf", "pains")}
    return Filters(**files)


def read_sample(generated: Sequence[str], *, workers: int = 1, tick: Tell | None = None) -> Sample:
    """rdkit's part of the work, each different string once."""
    texts = list(dict.fromkeys(generated))
    task = partial(work, filters=official_filters())
    found: dict[str, Traits | None] = {}
    for results in spread(task, texts, workers=workers, chunk=CHUNK):
        found |= zip(texts[len(found) : len(found) + len(results)], results, strict=True)
        if tick:
            tick("molecules", len(found), len(texts))
    places: dict[str, int] = {}
    distinct: list[Traits] = []
    order = []
    for text in generated:
        traits = found[text]
        if traits is None:
            continue
        if traits.smiles not in places:
            places[traits.smiles] = len(distinct)
            distinct.append(traits)
        order.append(places[traits.smiles])
    return Sample(distinct=distinct, order=np.array(order, dtype=np.int64))


def describe(sample: Sample, *, device: str = "cpu", tick: Tell | None = None) -> Statistics:
    """What a set of molecules is compared by, as MOSES keeps it of its test sets: one may stand for another set.

    Mean and covariance are empty where there are fewer than two valid molecules."""
    from .chemnet import activations

    mean = covariance = np.zeros(0)
    if len(sample.order) > 1:
        texts = [item.smiles for item in sample.distinct]
        found = activations(texts, device=device, tick=_named(tick, "ChemNet"))
        mean, covariance = distances.moments(found[sample.order])
    numbers = np.array([item.properties for item in sample.distinct]).reshape(-1, len(PROPERTIES))
    return Statistics(
        mean=mean,
        covariance=covariance,
        prints=sample.prints,
        fragments=sample.counts(lambda item: item.fragments),
        scaffolds=sample.counts(lambda item: (item.scaffold,) if item.scaffold else ()),
        properties=dict(zip(PROPERTIES, numbers[sample.order].T, strict=True)),
    )


def _against(
    own: Statistics, sample: Sample, known: Mapping[str, Statistics], *, device: str, tick: Tell | None
) -> dict[str, float | None]:
    """The metrics that compare with held-out sets; distances of properties are to the first of them."""
    values: dict[str, float | None] = {}
    for name, other in known.items():
        near = distances.nearest(own.prints, other.prints, device=device, tick=_named(tick, f"nearest of {name}"))
        values |= {
            f"FCD/{name}": _frechet(own, other),
            f"SNN/{name}": sample.mean(near),
            f"Frag/{name}": distances.cosine(own.fragments, other.fragments),
            f"Scaf/{name}": distances.cosine(own.scaffolds, other.scaffolds),
        }
    for other in list(known.values())[:1]:
        values |= {key: distances.wasserstein(own.properties[key], other.properties[key]) for key in PROPERTIES}
    return values


def _frechet(own: Statistics, other: Statistics) -> float | None:
    if not (len(own.mean) and len(other.mean)):
        return None
    return distances.frechet(own.mean, own.covariance, other.mean, other.covariance)


def _named(tick: Tell | None, what: str) -> distances.Tick | None:
    return partial(tick, what) if tick else None


def _notes(sample: Sample, n: int, unique_at: Sequence[int]) -> list[str]:
    """What a reader of the values has to know."""
    notes = [f"Computed from {n:,} generated strings, {len(sample.order):,} of them valid; the published from 30,000."]
    notes += [
        f"unique@{k} is over the {len(sample.order):,} valid molecules there are, fewer than {k:,}."
        for k in unique_at
        if len(sample.order) < k
    ]
    if n < 10_000:
        notes.append(f"FCD falls with n: compare it with the floor that real molecules reach at n = {n:,}, not with 0.")
    return [*notes, "Computed properties only: nothing here says that a molecule is active, safe or can be made."]
