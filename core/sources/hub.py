"""`hf://org/name@revision`: files of a Hugging Face repository, or of a mirror named by HF_ENDPOINT.

Only formats that cannot execute code are fetched. Every file is checked against the hash that the hub's listing gives
(sha256 of a large file, git's blob id of a small one); the hub's cache names its files by these hashes, so a copy
can be checked without the hub too. Copies in the user's ordinary Hugging Face cache are used where they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from ..errors import UserError, near
from .cache import FULL, locked, require_space, writing
from .digest import Progress, git_blob_file, sha256_file
from .errors import HubUnreachable, NoSuchMember, WrongHash
from .hub_copies import Repo, copy_here, ordinary_cache, own_cache, record, recorded, whole
from .hub_files import SAFE, refuse, select, suffix
from .transfer import is_network, reason

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that the hub has to list a repository's files before it counts as unreachable."""

TRY = "Try a mirror (HF_ENDPOINT=https://…), or give the path of a copy on this machine."


def fetch(repo: Repo, member: str, patterns: Sequence[str] | None, progress: Progress) -> tuple[Path, tuple[str, ...]]:
    """The file `member`, or (member empty) the folder with the repository's files that match `patterns`, and notices.

    Patterns are those of fnmatch against the path in the repository; None takes the
    files at its top that a model is made of. Raises `HubUnreachable` when there is no copy on this machine either.
    """
    if member and suffix(member) not in SAFE:
        raise refuse(f"{repo}/{member}", member)
    pinned = re.fullmatch(r"[0-9a-f]{40}", repo.revision)
    if pinned and (local := recorded(repo, member, patterns)):
        return local, ()
    try:
        listing, commit = _listing(repo)
    except HubUnreachable as problem:
        local = copy_here(repo, member, patterns)
        if local is None:
            raise
        return local, (f"{problem.what} The copy of {repo} fetched earlier is used instead.",)
    wanted = [_member(listing, member, repo)] if member else select(list(listing), patterns, str(repo))
    snapshot = repo.snapshot(ordinary_cache(), commit)
    if not all(whole(snapshot / name, listing[name][0]) for name in wanted):
        snapshot = _download(repo, commit, {name: listing[name] for name in wanted}, progress)
        record(repo, commit, member, patterns, wanted)
    return (snapshot / member if member else snapshot), ()


def _member(listing: Mapping[str, Any], member: str, repo: Repo) -> str:
    if member in listing:
        return member
    raise NoSuchMember(f"{repo} has no file {member}.", near(member, listing))


# -- asking the hub ---------------------------------------------------------------------------------------------------


def _listing(repo: Repo) -> tuple[dict[str, tuple[str, int]], str]:
    """name -> (hash, bytes) of every file, and the commit it stands for."""
    if _says_yes("HF_HUB_OFFLINE") or _says_yes("TRANSFORMERS_OFFLINE"):
        raise HubUnreachable("HF_HUB_OFFLINE is set, so the hub is not asked.", "Unset it, or give the path of a copy.")
    from huggingface_hub import HfApi

    api = HfApi(endpoint=_endpoint())

    def ask() -> Any:
        return api.repo_info(
            repo.name, revision=repo.revision, repo_type=repo.kind, files_metadata=True, timeout=PATIENCE
        )

    with _explained(repo):
        info = _within(PATIENCE, ask)
    listing = {}
    for file in info.siblings or ():
        digest = file.lfs.sha256 if file.lfs else file.blob_id
        if ".." not in PurePosixPath(file.rfilename).parts and not file.rfilename.startswith("/"):
            listing[file.rfilename] = (digest or "", file.size or 0)
    return listing, info.sha


def _within(seconds: float, work: Callable[[], T]) -> T:
    """The result of `work`, or `HubUnreachable` after so many seconds, even where a name lookup hangs."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise HubUnreachable(f"The model hub did not answer within {seconds:.0f} seconds.", TRY)
    return outcome[0]


@contextlib.contextmanager
def _explained(repo: Repo) -> Iterator[None]:
    """The hub library's exceptions as ours."""
    from huggingface_hub import errors

    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError as error:
        raise UserError(
            f"{repo} is open only to those who accepted its terms.",
            "Accept them on its page, then set HF_TOKEN to a token of your account.",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"There is no repository {repo} on the hub, or it is private.",
            "Check its name; for a private one set HF_TOKEN.",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{repo} has no revision {repo.revision!r}.", f"Leave it out for the newest: {repo}") from error
    except errors.HFValidationError as error:
        raise UserError(f"{repo} is not a name that the hub allows: {error}") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status == 404:
            raise UserError(f"{repo}@{repo.revision} was not found on the hub.", "Check its name.") from error
        raise HubUnreachable(f"The model hub, or a proxy before it, answered {status}.", TRY) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            with writing():
                raise
        if not is_network(error):
            raise
        raise HubUnreachable(f"The model hub cannot be reached: {reason(error)}.", TRY) from error


def _endpoint() -> str | None:
    """A mirror, read at each call: the hub library looks only once, when it is first imported."""
    return (os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None


def _says_yes(variable: str) -> bool:
    return os.environ.get(variable, "").upper() in ("1", "ON", "YES", "TRUE")


# -- downloading ------------------------------------------------------------------------------------------------------


def _download(repo: Repo, commit: str, files: Mapping[str, tuple[str, int]], progress: Progress) -> Path:
    """Bring every file of `files` into our own cache, verified; returns the snapshot folder that holds them."""
    folder, snapshot = repo.folder(own_cache()), repo.snapshot(own_cache(), commit)
    total = sum(size for _, size in files.values())
    done = 0
    with locked(hashlib.sha256(str(folder).encode()).hexdigest(), progress, str(repo)), writing():
        snapshot.mkdir(parents=True, exist_ok=True)
        for name, (digest, size) in files.items():
            if not whole(snapshot / name, digest):
                _discard(snapshot / name)
                if not _borrow(repo, commit, name, digest):
                    require_space(size)
                    _download_file(repo, commit, name, _Watch(folder, done, total, name, progress))
                if not whole(snapshot / name, digest):
                    found = (sha256_file if len(digest) == 64 else git_blob_file)(snapshot / name)
                    _discard(snapshot / name)
                    raise WrongHash(f"{name} of {repo}", digest, found)
            done += size
            progress(done, total, name)
        if repo.revision != commit:  # so that the copy is found again without the hub
            reference = folder / "refs" / repo.revision
            reference.parent.mkdir(parents=True, exist_ok=True)
            reference.write_text(commit, encoding="utf-8")
    return snapshot


def _borrow(repo: Repo, commit: str, name: str, digest: str) -> bool:
    """Link the file from the user's ordinary cache instead of fetching it again."""
    other = repo.snapshot(ordinary_cache(), commit) / name
    if not whole(other, digest):
        return False
    path = repo.snapshot(own_cache(), commit) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(other.resolve())
    return True


def _download_file(repo: Repo, commit: str, name: str, watch: _Watch) -> None:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    # The library draws bars of its own on stderr, where ours is
    quiet = constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not are_progress_bars_disabled()
    if quiet:
        disable_progress_bars()
    try:
        with _explained(repo), watch:
            hf_hub_download(
                repo.name, name, revision=commit, repo_type=repo.kind, cache_dir=own_cache(), endpoint=_endpoint(),
                etag_timeout=PATIENCE,
            )  # fmt: skip
    finally:
        if quiet:
            enable_progress_bars()


def _discard(path: Path) -> None:
    """Remove a damaged file: the link and, in our own cache, what it points to."""
    blob = path.resolve()
    if blob.is_relative_to(own_cache().resolve()):
        blob.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


class _Watch:
    """Reports progress by looking at how far the library's unfinished files have grown, twice a second."""

    def __init__(self, folder: Path, done: int, total: int, label: str, progress: Progress) -> None:
        self.folder, self.done, self.total, self.label, self.progress = folder, done, total, label, progress
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    def _look(self) -> None:
        while not self.ended.wait(0.5):
            with contextlib.suppress(OSError):
                grown = max((file.stat().st_size for file in self.folder.glob("blobs/*.incomplete")), default=0)
                self.progress(self.done + grown, self.total, self.label)
