"""Which files of a repository are fetched: those a model is made of, in formats that cannot execute code."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import PurePosixPath

from ..errors import UserError, near
from .errors import NoSuchMember

SAFE = {
    ".safetensors", ".gguf", ".json", ".jsonl", ".txt", ".model", ".spm", ".vocab", ".bpe", ".tiktoken", ".jinja",
    ".md", ".yaml", ".yml", ".toml", ".csv", ".tsv", ".parquet", ".smi", ".png", ".jpg", ".jpeg", ".wav", ".flac",
    ".mp3", ".ogg", ".opus",
}  # fmt: skip
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npz"}
WEIGHTS = {".safetensors", ".gguf"}


def select(names: Sequence[str], patterns: Sequence[str] | None, repo: str) -> list[str]:
    """The names to fetch out of a repository; `UserError` if none, or if its weights come only as pickles."""
    if patterns is None:
        chosen = [name for name in names if "/" not in name and suffix(name) in SAFE - {".gguf"}]
    else:
        chosen = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
        unsafe = [name for name in chosen if suffix(name) not in SAFE]
        chosen = [name for name in chosen if name not in unsafe]
        if unsafe and not chosen:
            raise refuse(f"{repo}/{unsafe[0]}", unsafe[0])
    pickles = [name for name in names if suffix(name) in PICKLES]
    if patterns is None and pickles and not any(suffix(name) in WEIGHTS for name in names):
        raise UserError(
            f"{repo} has its weights only as pickles ({pickles[0]}), which can execute code and are never loaded.",
            "Look for a revision with safetensors (many repositories have one at @refs/pr/1), or convert it yourself.",
        )
    if not chosen:
        wanted = "the files of a model" if patterns is None else " or ".join(patterns)
        raise NoSuchMember(f"{repo} has no file that matches {wanted}.", near((patterns or [""])[0], names))
    return sorted(chosen)


def suffix(name: str) -> str:
    """The lower-case ending that tells a file's kind; that of the licence, which has none, counts as text."""
    ending = PurePosixPath(name).suffix.lower()
    return ending or (".txt" if PurePosixPath(name).name.upper() in ("LICENSE", "LICENCE", "NOTICE") else "")


def refuse(source: str, name: str) -> UserError:
    """The error for a file that is not fetched."""
    what = "a pickle, which can execute code" if suffix(name) in PICKLES else "not of a kind that is known to be safe"
    return UserError(
        f"{source} is refused: {PurePosixPath(name).name} is {what}.", "Take a safetensors or JSON file instead."
    )
