"""Our own files of episodes: a folder that grows part by part, and of which a kill loses nothing that was flushed.

    recording/
      meta.json                   format, the setting, and what was asked for
      episodes-00000.safetensors  some episodes: their arrays one after another
      episodes-00001.safetensors  …

A part appears by one rename; `.new` files are what a kill left. Axes: E episodes of one part, N their steps together.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from ...core.checkpoint import flush, save_tensors, write_text
from ...core.errors import Interrupted, UserError
from .episodes import FIELDS, Episode, Episodes, Setting, check
from .words import reason

if TYPE_CHECKING:
    from typing_extensions import Self

META = "meta.json"
FORMAT = "tsuite episodes"
VERSION = 1
NO_META = "Put a whole copy of that file back: the parts beside it are as they were. Or record into another folder."
PART_BYTES = 32 << 20
"""So much is kept in memory before a part is written."""


# -- writing ----------------------------------------------------------------------------------------------------------


class Writer:
    """Appends episodes to the store in `folder`, which is made, or gone on with where it is there.

    told: what was asked for, as plain data (policy, seed, …), written down and compared when a recording is gone on
    with. part_bytes: a part is written when so much is waiting. As a context manager it flushes at the end, also after
    Ctrl-C or an error; of an error before the first episode nothing stays. Raises `UserError` for a folder of other
    things, or of another recording, or a full disk.
    """

    def __init__(
        self, folder: Path, setting: Setting, *, told: Mapping[str, Any] | None = None, part_bytes: int = PART_BYTES
    ) -> None:
        self.folder, self.setting, self.part_bytes = Path(folder), setting, part_bytes
        self.told = json.loads(json.dumps(dict(told or {})))
        self._waiting: list[Episode] = []
        self._bytes = 0
        self._begun = False
        self._made: list[Path] = []  # folders, the innermost first
        if is_store(self.folder):
            self._go_on()
        else:
            self._begin()
        parts = [_index(path) for path in _parts(self.folder)]
        self.seeds_done: set[int] = {int(seed) for part in parts for seed in part["seeds"] if seed >= 0}
        self.count = sum(len(part["lengths"]) for part in parts)
        self._next = 1 + max((int(path.stem[-5:]) for path in _parts(self.folder)), default=-1)

    def _begin(self) -> None:
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise UserError(f"{self.folder} holds other things.", "Give a new or an empty folder for the recording.")
        self._made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"The folder {self.folder} cannot be made: {error.strerror}.") from error
        self._begun = True
        meta = {"format": FORMAT, "version": VERSION, "setting": self.setting.to_json(), "told": self.told}
        write_text(self.folder / META, json.dumps(meta, indent=2) + "\n")

    def _go_on(self) -> None:
        setting, told = read_meta(self.folder)
        before, now = ({"env": item.env, **words} for item, words in ((setting, told), (self.setting, self.told)))
        for key in sorted({*before, *now}):
            if before.get(key) != now.get(key):
                raise UserError(
                    f"{self.folder} holds a recording with {key} {before.get(key)!r}, not {now.get(key)!r}.",
                    "Give another folder, or ask for the same again to go on with it.",
                )
        if (setting.observation, setting.action) != (self.setting.observation, self.setting.action):
            raise UserError(f"{self.folder} holds a recording of {setting.words()}, not of {self.setting.words()}.")
        for path in self.folder.glob(".*.new"):
            path.unlink()

    def append(self, episode: Episode) -> None:
        """Take up one episode of at least one step. Raises `UserError` where it does not fit the setting."""
        if not len(episode):
            raise UserError(f"Episode {episode.id} has no step.")
        check(episode, self.setting)
        self._waiting.append(episode)
        self._bytes += sum(getattr(episode, name).nbytes for name in FIELDS)
        self.count += 1
        if episode.seed is not None:
            self.seeds_done.add(episode.seed)
        if self._bytes >= self.part_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting as a part, and push it to the disk; nothing waiting: nothing happens."""
        if not self._waiting:
            return
        path = self.folder / f"episodes-{self._next:05d}.safetensors"
        fresh = path.with_name(f".{path.name}.new")
        try:
            save_tensors(fresh, *_packed(self._waiting))
            flush(fresh)
            os.replace(fresh, path)
            flush(self.folder)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise UserError(
                f"{path} could not be written: {reason(error)}. What was recorded before is kept.",
                "Is the disk full, or the folder read-only?",
            ) from error
        self._next += 1
        self._waiting, self._bytes = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, _: object) -> None:
        self.flush()
        if isinstance(error, Exception) and not isinstance(error, Interrupted) and self._begun and not self.count:
            self._vanish()

    def _vanish(self) -> None:
        """Leave no trace of a recording that failed before it held anything."""
        (self.folder / META).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what others have put there stays
            for path in self._made:
                path.rmdir()


def write_store(episodes: Episodes, folder: Path) -> Path:
    """All of these into a new store."""
    if is_store(folder):
        raise UserError(f"{folder} holds a recording already.", "Give a new or an empty folder.")
    with Writer(folder, episodes.setting) as writer:
        for episode in episodes:
            writer.append(episode)
    return folder


def _packed(episodes: Sequence[Episode]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors and the text of one part."""
    arrays = {name: np.concatenate([getattr(item, name) for item in episodes]) for name in FIELDS}
    arrays["lengths"] = np.array([len(item) for item in episodes], np.int64)
    arrays["returns"] = np.array([item.returns for item in episodes], np.float64)
    arrays["seeds"] = np.array([-1 if item.seed is None else item.seed for item in episodes], np.int64)
    arrays["has_last"] = np.array([item.has_last for item in episodes], np.bool_)
    text = {
        "ids": [item.id for item in episodes],
        "policies": [item.policy for item in episodes],
        "digests": [item.digest() for item in episodes],
    }
    tensors = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in arrays.items()}
    return tensors, {name: json.dumps(values) for name, values in text.items()}


# -- reading ----------------------------------------------------------------------------------------------------------


def is_store(folder: str | Path) -> bool:
    """Whether the folder holds episodes of ours."""
    try:
        return json.loads((Path(folder) / META).read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def damaged(folder: str | Path) -> bool:
    """Whether it holds parts of a recording of ours, but not what they were recorded of."""
    return not is_store(folder) and any(Path(folder).glob("episodes-[0-9]*.safetensors"))


def read_meta(folder: Path) -> tuple[Setting, dict[str, Any]]:
    """The setting of a store, and what was asked for when it was recorded."""
    path = folder / META
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        version = meta["version"]
        if version == VERSION:
            return Setting.from_json(meta["setting"]), dict(meta["told"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}.", "Is it a recording of ours?") from error
    raise UserError(f"{path} is of version {version}, and {VERSION} is what is read.", "Update tsuite.")


def read_store(folder: str | Path) -> Episodes:
    """The episodes of a store in the order of their seeds (of their writing, where they have none of their own).

    Steps are read from the disk when an episode is asked for. Raises `UserError` for a folder that is none, holds no
    episode yet, or has a damaged part.
    """
    folder = Path(folder)
    if not is_store(folder):
        raise UserError(f"{folder} holds no recording of ours: it has no {META} that says so.")
    setting, _ = read_meta(folder)
    paths = _parts(folder)
    parts = [_index(path) for path in paths]
    if not sum(len(part["lengths"]) for part in parts):
        raise UserError(f"{folder} holds no episode yet.", "Record some: see tsuite data record --help")
    rows = [(part, row) for part, facts in enumerate(parts) for row in range(len(facts["lengths"]))]
    seeds = np.concatenate([part["seeds"] for part in parts])
    order = range(len(rows))
    if (seeds >= 0).all() and len(set(seeds.tolist())) == len(seeds):
        order = np.argsort(seeds).tolist()
    stored = Stored([_stamped(path) for path in paths], parts, [rows[row] for row in order])
    return Episodes(
        stored,
        setting,
        name=folder.name,
        lengths=stored.column("lengths"),
        returns=stored.column("returns"),
        digests=stored.column("digests").tolist(),
        ids=stored.column("ids").tolist(),
    )


Stamped = tuple[str, int, int]
"""A file, when it was last changed, and its bytes: another file of the same name is another one."""


class Stored(Sequence[Episode]):
    """The episodes of some parts, read when asked for. `rows` says part and row of each."""

    def __init__(self, paths: list[Stamped], parts: list[dict[str, Any]], rows: list[tuple[int, int]]) -> None:
        self._paths, self._parts, self._rows = paths, parts, rows
        self._starts = [np.concatenate([[0], np.cumsum(part["lengths"])]) for part in parts]

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> np.ndarray:
        """[E] one fact of each episode."""
        return np.array([self._parts[part][name][row] for part, row in self._rows])

    def __getitem__(self, index: Any) -> Any:
        part, row = self._rows[index]
        facts, start = self._parts[part], int(self._starts[part][row])
        end = start + int(facts["lengths"][row])
        values = _slices(self._paths[part], start, end, row)
        seed = int(facts["seeds"][row])
        return Episode(
            id=facts["ids"][row],
            policy=facts["policies"][row],
            seed=None if seed < 0 else seed,
            has_last=bool(facts["has_last"][row]),
            **values,
        )


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("episodes-[0-9][0-9][0-9][0-9][0-9].safetensors"))


def _slices(path: Stamped, start: int, end: int, row: int) -> dict[str, np.ndarray]:
    """The five arrays of one episode; observations have one more in each episode before it."""
    file = _opened(*path)
    try:
        values = {name: file.get_slice(name)[start:end] for name in FIELDS if name != "observations"}
        return values | {"observations": file.get_slice("observations")[start + row : end + row + 1]}
    except (SafetensorError, OSError) as error:
        raise _damaged(Path(path[0]), error) from error


def _index(path: Path) -> dict[str, Any]:
    """What a part says of its episodes, without their steps."""
    try:
        with safe_open(path, framework="np") as file:
            facts = {name: file.get_tensor(name) for name in ("lengths", "returns", "seeds", "has_last")}
            text = file.metadata() or {}
        return facts | {name: json.loads(text[name]) for name in ("ids", "policies", "digests")}
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _stamped(path: Path) -> Stamped:
    facts = path.stat()
    return str(path), facts.st_mtime_ns, facts.st_size


@lru_cache(maxsize=64)
def _opened(path: str, *_: int) -> Any:
    """The file, mapped into memory and kept open."""
    try:
        return safe_open(path, framework="np")
    except (SafetensorError, OSError) as error:
        raise _damaged(Path(path), error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} cannot be read: {reason(error)}. It is cut short or damaged.",
        "Delete that file to go on without its episodes, or copy it again.",
    )
