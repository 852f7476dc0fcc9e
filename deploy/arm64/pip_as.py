"""pip, asked as if it ran on another machine: `python pip_as.py aarch64 3.10 install --dry-run …`.

pip's `--platform` and `--python-version` choose the wheels. But which requirements hold at all (torch's CUDA packages
are asked for `platform_machine == "x86_64"`) pip decides by the machine and the Python it runs on. Python's module
`platform` is where it asks, so that is told first. Tags and the interpreter for wheels are added to the command here.
"""

from __future__ import annotations

import platform
import runpy
import sys

GLIBC = (39, 35, 34, 31, 28, 27, 24, 17)
"""The glibc 2.x of manylinux wheels; Ubuntu 22.04 (JetPack 6) has 2.35, 24.04 (JetPack 7) has 2.39, Debian 12 2.36."""
NEWEST = {"3.10": 35, "3.11": 36, "3.12": 39}
"""Python of the system -> its newest glibc."""
PATCH = {"3.10": "3.10.12", "3.11": "3.11.2", "3.12": "3.12.3"}
"""Python of the system -> the full version it ships there."""


def tags(machine: str, version: str) -> list[str]:
    """The flags that make pip choose wheels for `machine` ("aarch64") and Python `version` ("3.10")."""
    names = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC if minor <= NEWEST[version]]
    names += [f"manylinux2014_{machine}", f"linux_{machine}"]
    flags = ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}"]
    return [*flags, *(f"--platform={name}" for name in names)]


def pretend(machine: str, version: str) -> None:
    """Let this process's `platform` answer for `machine` and Python `version`: environment markers follow it."""
    full = PATCH[version]
    platform.machine = lambda: machine
    platform.python_version = lambda: full
    platform.python_version_tuple = lambda: (*full.split("."),)  # type: ignore[assignment]


def main(machine: str, version: str, *command: str) -> None:
    """Run pip's `command` (download, install --dry-run) for that machine in this process."""
    pretend(machine, version)
    verb, *rest = command
    sys.argv = ["pip", verb, *tags(machine, version), *rest]
    runpy.run_module("pip", run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
