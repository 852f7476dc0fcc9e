"""Episodes wherever they come from, and their parts.

Named sets are recorded on the machine when they are first asked for, and keep their fixed split.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...core import manifest
from ...core.errors import UserError, near
from ...core.sources import Progress, Source
from ...core.task import Collection
from .episodes import Episodes, Setting, usable
from .store import META, NO_META, damaged, is_store, read_store, write_store

KIND = "episodes"
"""What `format.kind` of a manifest says of episodes."""
FORMS = (
    "Give a name of `tsuite data list`, a folder of `tsuite data record`, a .csv or .parquet table, a Minari data set "
    "(minari:namespace/name-v0, or its folder), or the folder of a LeRobot v3.0 data set."
)
TABLES = (".csv", ".csv.gz", ".tsv", ".parquet")
FORMATS = ("tsuite", "minari", "minari-arrow", "lerobot", "parquet", "csv")
HUB_FILES = ("*.json", "*.parquet", "*.csv", "*.hdf5", "*.arrow", "*.safetensors")
"""What is fetched of a data set of the hub: no video."""
SHARE = 0.1
"""Of a person's own episodes, for validation and again for test."""


# -- reading ----------------------------------------------------------------------------------------------------------


def load_episodes(data: str | Path, progress: Progress | None = None) -> Episodes:
    """The episodes that `data` names, in whichever of `FORMS` they are.

    What cannot be learnt from is left out, and said in `notices`. Raises `UserError` for what cannot be found or read.
    """
    found = _manifest_of(data)
    if found is not None:
        return _named(found, progress)
    if str(data).startswith("minari:"):
        from .minari_files import find_minari

        return _read(find_minari(str(data).removeprefix("minari:")), str(data))
    return _read(_place(data, progress), str(data))


def _place(data: str | Path, progress: Progress | None) -> Path:
    """The local file or folder that `data` names."""
    if "://" in str(data):
        source = Source.parse(str(data))
        if source.kind != "hf":
            return source.fetch(progress)
        return replace(source, dataset=True).fetch(progress, files=None if source.member else HUB_FILES)
    place = Path(data).expanduser()
    if not place.exists():
        hint = near(str(data), [item.name for item in manifest.manifests().values() if item.format.kind == KIND])
        raise UserError(f"There is no data called {str(data)!r} and no such path.", f"{hint} {FORMS}")
    return place


def _read(place: Path, name: str) -> Episodes:
    """The episodes of a file or folder, by what it looks like."""
    if place.is_file() and place.name.lower().endswith(TABLES):
        from .tables import read_table

        return _usable(read_table(place), name)
    if is_store(place):
        return read_store(place).told(name=name)
    if (place / "meta" / "info.json").is_file():
        from .lerobot import read_lerobot

        return _usable(read_lerobot(place), name)
    for folder in (place, place / "data"):
        if (folder / "metadata.json").is_file():
            from .minari_files import read_minari

            return _usable(read_minari(folder), name)
    if damaged(place):
        raise UserError(f"{place / META} is damaged or missing, without which its episodes cannot be read.", NO_META)
    raise UserError(f"{place} holds no episodes of a form that is known.", FORMS)


def _usable(read: Episodes, name: str) -> Episodes:
    """Those that can be learnt from, with what is to be said of the others."""
    kept, notices = usable(read, read.setting)
    return Episodes(kept, read.setting, name=name, notices=[*read.notices, *notices])


def _manifest_of(data: str | Path) -> manifest.Manifest | None:
    """The manifest of a named data set; a path that is there goes before a name."""
    name = str(data)
    if name.endswith("dataset.toml") or (name in manifest.manifests() and not Path(name).expanduser().exists()):
        return manifest.manifest(name)
    return None


def _named(found: manifest.Manifest, progress: Progress | None) -> Episodes:
    """The episodes of a named set, recorded where they are not in the cache."""
    if found.format.kind != KIND:
        raise UserError(f"The data set {found.name} holds no episodes.", "See: tsuite data list")
    (place,) = found.fetch(progress).values()
    episodes = _read(place, found.name)
    if found.recipe and found.recipe.sha256 not in ("", episodes.sha256):
        return episodes.told(
            f"{found.name} was recorded anew, and differs in places from the original: this machine rounds otherwise."
        )
    return episodes


def produce(settings: Mapping[str, Any], folder: Path, progress: Progress | None) -> None:
    """Record what a manifest's recipe asks for into `folder`: env, policy, episodes, seed, and perhaps env_options and
    max_steps. Raises `UserError` for a setting that is missing or unknown, and what the recording raises."""
    from .record import record

    needed, known = {"env", "policy", "episodes", "seed"}, {"env_options", "max_steps"}
    if wrong := (needed - set(settings)) | (set(settings) - needed - known):
        raise UserError(f"The recipe lacks or does not know: {', '.join(sorted(wrong))}.")
    if ":" in settings["env"]:
        raise UserError(f"A recipe cannot name a module to import, as {settings['env']} does.", "Record it yourself.")
    label = f"recording {settings['env']}"
    record(
        settings["env"],
        settings["policy"],
        folder,
        episodes=settings["episodes"],
        seed=settings["seed"],
        workers=1,
        env_options=dict(settings.get("env_options", {})),
        max_steps=settings.get("max_steps"),
        tick=lambda done, total: progress(done, total, label) if progress else None,
        resume=False,
    )


# -- parts ------------------------------------------------------------------------------------------------------------


def collect(data: str | Path, *, progress: Progress | None = None) -> Collection:
    """The episodes that `data` names, as train, validation and test; each part is `Episodes`.

    Named sets keep the rule of their manifest; of others a tenth each, but at least one, is validation and test: those
    whose hash of the id is lowest, the same everywhere. Raises `UserError` as `load_episodes` does.
    """
    episodes = load_episodes(data, progress)
    found = _manifest_of(data)
    parts = _fixed(episodes, found) if found else _shared(episodes)
    rule = found.split.words if found else f"{SHARE} by hash"
    stamp = hashlib.sha256(f"{episodes.sha256} {rule}".encode()).hexdigest()
    chosen = {name: episodes.take(rows) for name, rows in parts.items()}
    return Collection(name=episodes.name, sha256=stamp, notices=episodes.notices, **chosen)


def _fixed(episodes: Episodes, found: manifest.Manifest) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for row in range(len(episodes)):
        parts[found.part(row, rows=len(episodes))].append(row)
    return parts


def _shared(episodes: Episodes) -> dict[str, list[int]]:
    """A tenth each for validation and test; of fewer than three episodes, one for validation."""
    order = sorted(range(len(episodes)), key=lambda row: hashlib.sha256(episodes.ids[row].encode()).digest())
    each = max(1, round(len(order) * SHARE))
    test = order[:each] if len(order) > 2 else []
    validation = order[len(test) : len(test) + each] if len(order) > 1 else []
    train = order[len(test) + len(validation) :]
    return {"train": sorted(train), "validation": sorted(validation), "test": sorted(test)}


def check_against(data: Setting, model: Setting) -> None:
    """Raise `UserError` that prints both shapes unless episodes of one setting fit what was made for the other."""
    for what in ("observation", "action"):
        one, other = getattr(data, what), getattr(model, what)
        if (one.kind, one.shape, one.sizes, one.start) != (other.kind, other.shape, other.sizes, other.start):
            verb = "seen" if what == "observation" else "to act"
            raise UserError(
                f"The {what}s do not fit: {data.env or 'the data'} has {one.words()} {verb} (shape {list(one.shape)}), "
                f"and {other.words()} (shape {list(other.shape)}) are expected for {model.env or 'this model'}.",
                "Is it the data set of another environment?",
            )


# -- writing ----------------------------------------------------------------------------------------------------------


def write_episodes(episodes: Episodes, path: str | Path, format: str) -> Path:
    """Write episodes as one of `FORMATS`: a file of the tables, a folder of the others; minari is HDF5.

    Nothing that is there is overwritten. Raises `UserError` for that, an unknown format, or a package that is missing.
    """
    if format not in FORMATS:
        raise UserError(f"There is no format {format!r}.", near(format, FORMATS))
    path = Path(path).expanduser()
    if path.exists() and (path.is_file() or any(path.iterdir())):
        raise UserError(f"{path} is there already.", "Give a new name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if format == "tsuite":
        return write_store(episodes, path)
    if format.startswith("minari"):
        from .minari_files import write_minari

        return write_minari(episodes, path, storage="arrow" if format == "minari-arrow" else "hdf5")
    if format == "lerobot":
        from .lerobot_writer import write_lerobot

        return write_lerobot(episodes, path)
    from .table_writer import write_table

    return write_table(episodes, path, csv=format == "csv")


def describe(episodes: Episodes) -> dict[str, Any]:
    """What there is, as plain data for cards and JSON."""
    ends = [bool(item.terminations[-1]) for item in episodes]
    return {
        "env": episodes.setting.env,
        "setting": json.loads(json.dumps(episodes.setting.to_json())),
        "episodes": len(episodes),
        "steps": episodes.steps,
        "terminated": sum(ends),
        "truncated": len(ends) - sum(ends),
        "returns": {
            "mean": float(episodes.returns.mean()),
            "min": float(episodes.returns.min()),
            "max": float(episodes.returns.max()),
        },
    }
