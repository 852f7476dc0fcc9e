"""Where this machine's pip looks for packages, asked of pip itself."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

SECTIONS = ("global", "install", "download", ":env:")
"""Sections of pip's configuration that say where to look, the later ones having the last word."""


@dataclass(frozen=True, kw_only=True)
class PipSettings:
    """pip's own options by their own names; `index_url` empty means the public index, `timeout` is in seconds."""

    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    cert: str = ""
    client_cert: str = ""
    proxy: str = ""
    timeout: float = 15.0

    @property
    def index_urls(self) -> tuple[str, ...]:
        """The indexes named by the user, for the passwords in their addresses."""
        return tuple(url for url in (self.index_url, *self.extra_index_urls) if url)


def pip_settings() -> PipSettings:
    """What `pip config list` and the PIP_* variables say. Without pip in this interpreter, the variables alone."""
    values: dict[str, str] = {}
    sections = _listed()
    sections[":env:"] = {**sections.get(":env:", {}), **_environment(os.environ)}
    for section in SECTIONS:
        values.update(sections.get(section, {}))
    return _settings(values)


def _listed() -> dict[str, dict[str, str]]:
    """The sections of `pip config list`, whose lines read `section.key='value'`; empty without a working pip."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd=Path(sys.executable).parent,  # a folder called pip in the current one must not be run
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    sections: dict[str, dict[str, str]] = {}
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        name, equals, text = line.partition("=")
        section, _, key = name.rpartition(".")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            continue
        if equals and isinstance(value, str):
            sections.setdefault(section, {})[key] = value
    return sections


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """PIP_FIND_LINKS -> find-links. An empty variable counts as not set, as for pip."""
    return {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith("PIP_") and value
    }


def _settings(values: Mapping[str, str]) -> PipSettings:
    def words(key: str) -> tuple[str, ...]:
        return tuple(values.get(key, "").split())

    no_index = values.get("no-index", "").strip().lower() in ("1", "true", "yes", "on", "y", "t")
    find_links = tuple(str(Path(link).expanduser()) if "://" not in link else link for link in words("find-links"))
    if no_index and not find_links:
        raise UserError(
            "pip is told to use no package index and no other place, so no package can be fetched.",
            "Set PIP_FIND_LINKS to a folder of wheels, or take no-index out of pip's settings.",
        )
    proxy = values.get("proxy", "").strip()
    try:
        timeout = float(values.get("timeout") or values.get("default-timeout") or 15)
    except ValueError:
        timeout = 15.0
    return PipSettings(
        index_url=values.get("index-url", values.get("pypi-url", "")).strip(),
        extra_index_urls=words("extra-index-url"),
        find_links=find_links,
        no_index=no_index,
        trusted_hosts=words("trusted-host"),
        cert=values.get("cert", "").strip(),
        client_cert=values.get("client-cert", "").strip(),
        proxy=f"http://{proxy}" if proxy and "://" not in proxy else proxy,
        timeout=timeout,
    )
