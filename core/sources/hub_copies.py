"""Copies of a repository's files on this machine: our own cache and the user's ordinary Hugging Face cache.

The hub library's layout names each file by its hash, so that a copy can be checked without the hub.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import UserError
from .cache import cache_folder, unchanged, writing
from .digest import git_blob_file, sha256_file
from .hub_files import WEIGHTS, select, suffix


@dataclass(frozen=True, kw_only=True)
class Repo:
    """A repository: `org/name`, its kind ("model" or "dataset") and the branch, tag or commit asked for."""

    name: str
    kind: str
    revision: str

    def __str__(self) -> str:
        return f"hf://{'datasets/' if self.kind == 'dataset' else ''}{self.name}"

    def folder(self, cache: Path) -> Path:
        """Where the hub library's cache layout keeps it."""
        return cache / "--".join([f"{self.kind}s", *self.name.split("/")])

    def snapshot(self, cache: Path, commit: str) -> Path:
        return self.folder(cache) / "snapshots" / commit


def own_cache() -> Path:
    """The hub library's cache layout, inside our own cache."""
    return cache_folder() / "huggingface"


def ordinary_cache() -> Path:
    """The folder that the hub library uses by itself, by the variables that choose it."""
    if chosen := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(chosen).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface" / "hub"


def whole(path: Path, digest: str) -> bool:
    """Whether the file is there with this hash; a file whose hash nobody knows only has to be there."""
    if not path.is_file():
        return False
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", digest):
        return True
    blob = path.resolve()
    stamp = cache_folder() / "checked" / hashlib.sha256(str(blob).encode()).hexdigest()
    return unchanged(blob, digest, stamp, sha256_file if len(digest) == 64 else git_blob_file)


def copy_here(repo: Repo, member: str, patterns: Sequence[str] | None) -> Path | None:
    """What was asked for, from a whole copy on this machine; None if there is none. The hub is not asked."""
    if local := recorded(repo, member, patterns):
        return local
    for cache in (own_cache(), ordinary_cache()):
        snapshot = repo.snapshot(cache, _commit(repo, cache))
        names = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file()]
        chosen = [name for name in names if name == member]
        if not member:
            with contextlib.suppress(UserError):
                chosen = select(names, patterns, str(repo))
        if not chosen or not (member or _looks_complete(snapshot, names, chosen, patterns)):
            continue
        if all(whole(snapshot / name, (snapshot / name).resolve().name) for name in chosen):
            return snapshot / member if member else snapshot
    return None


def _commit(repo: Repo, cache: Path) -> str:
    """The commit that the revision stood for when the cache last learnt of it."""
    try:
        return (repo.folder(cache) / "refs" / repo.revision).read_text(encoding="utf-8").strip()
    except OSError:
        return repo.revision


def _record_path(repo: Repo, commit: str, member: str, patterns: Sequence[str] | None) -> Path:
    asked = json.dumps([member, sorted(patterns) if patterns is not None else None])
    return repo.folder(own_cache()) / "fetched" / commit / hashlib.sha256(asked.encode()).hexdigest()


def record(repo: Repo, commit: str, member: str, patterns: Sequence[str] | None, names: list[str]) -> None:
    """Note which files answered a request, so that the same one needs no hub to know that nothing is missing."""
    path = _record_path(repo, commit, member, patterns)
    with writing():
        path.parent.mkdir(parents=True, exist_ok=True)
        passing = path.with_name(f"{path.name}.{os.getpid()}")
        passing.write_text(json.dumps(names), encoding="utf-8")
        os.replace(passing, path)


def recorded(repo: Repo, member: str, patterns: Sequence[str] | None) -> Path | None:
    """The answer to the same request as before, if each of its files is still whole."""
    commit = _commit(repo, own_cache())
    snapshot = repo.snapshot(own_cache(), commit)
    try:
        names = json.loads(_record_path(repo, commit, member, patterns).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not all(whole(snapshot / name, (snapshot / name).resolve().name) for name in names):
        return None
    return snapshot / member if member else snapshot


def _looks_complete(snapshot: Path, names: list[str], chosen: list[str], patterns: Sequence[str] | None) -> bool:
    """Whether nothing seems to be missing: each pattern has a file, and each shard that an index names is there."""
    if patterns is None:
        if not any(suffix(name) in WEIGHTS for name in chosen):
            return False
    elif not all(fnmatch.filter(chosen, pattern) for pattern in patterns):
        return False
    for index in (name for name in chosen if name.endswith(".safetensors.index.json")):
        shards = json.loads((snapshot / index).read_text(encoding="utf-8")).get("weight_map", {}).values()
        if not {(PurePosixPath(index).parent / shard).as_posix() for shard in shards} <= set(names):
            return False
    return True
