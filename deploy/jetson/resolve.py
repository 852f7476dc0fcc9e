"""What pip would install on a board, asked of the package index: `python resolve.py`.

For Python 3.10 (JetPack 6) and 3.12 (JetPack 7) on aarch64, each extra, and a torch that is already there: nothing may
replace torch, torchvision or torchaudio. The board's packages are given to pip as installed (their names, versions and
what they ask for, which is all that pip looks at), the wheels are the index's own. `--write` renews the constraints.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
PIP_AS = HERE.parent / "arm64" / "pip_as.py"
TRIO: tuple[str, ...] = ("torch", "torchvision", "torchaudio")
NOT_PINNED = (*TRIO, "tsuite", "triton", "sympy", "mpmath", "networkx", "setuptools")
"""Comes with the board, is ourselves, or is for the board's torch to say: 2.5 wants one sympy and no other."""
NEEDS = ("filelock", "typing-extensions>=4.8.0", "networkx", "jinja2", "fsspec")
SYMPY = {"2.5": "sympy==1.13.1"}
"""What a torch asks for; from 2.7 on any sympy from 1.13.3."""
EXTRAS = ("", "vision", "text", "audio", "timeseries", "control", "molecules", "export", "serve", "ui", "all")


@dataclass(frozen=True, kw_only=True)
class JetPack:
    """A JetPack's Python, and the torch, torchvision and torchaudio that boards have with it."""

    python: str
    boards: tuple[tuple[str, str, str], ...]
    held: dict[str, str] = field(default_factory=dict)
    """What the pins must satisfy beyond our own requirements -> why."""


JETPACKS = {
    "jetpack6": JetPack(
        python="3.10",
        boards=(("2.5.0a0+nv24.8", "0.20.0a0", "2.5.0a0"), ("2.8.0", "0.23.0", "2.8.0")),
        held={"numpy<2": "boards' torch 2.5 and 2.7 were built against numpy 1; later ones work with it too"},
    ),
    "jetpack7": JetPack(python="3.12", boards=(("2.8.0", "0.23.0", "2.8.0"), ("2.9.1", "0.24.1", "2.9.1"))),
}


class Unresolved(Exception):
    """pip found no set of versions; the text is pip's."""


def environment(folder: Path, installed: dict[str, str]) -> Path:
    """A virtual environment in `folder` where pip sees `installed` (name -> version); gives its Python."""
    venv.create(
        folder, with_pip=True, symlinks=True, upgrade_deps=True
    )  # the newest pip: older ones have no such dry run
    (site,) = folder.glob("lib/python*/site-packages")
    for name, version in installed.items():
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        needs = [f"Requires-Dist: {need}\n" for need in (asks(version) if name == "torch" else ())]
        told = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{''.join(needs)}"
        (info / "METADATA").write_text(told, encoding="utf-8")
        (info / "INSTALLER").write_text("the board\n", encoding="utf-8")
    return folder / "bin" / "python"


def asks(version: str) -> tuple[str, ...]:
    """What a board's torch of that version requires."""
    return (*NEEDS, SYMPY.get(version[:3], "sympy>=1.13.3"))


def resolve(python: Path, version: str, what: str, constraints: Path | None = None) -> dict[str, str]:
    """Name -> version of what pip would install for the requirement `what`, for Python `version` on aarch64.

    python: of an `environment`. Raises `Unresolved` with pip's complaint.
    """
    command = [str(python), str(PIP_AS), "aarch64", version, "install", "--isolated", "--quiet", "--dry-run"]
    command += ["--disable-pip-version-check", "--report", "-", what]
    command += ["--constraint", str(constraints)] if constraints else []
    # isolated: what the index answers, not what this machine's settings of pip make of it
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unresolved(done.stderr.strip())
    found = [item["metadata"] for item in json.loads(done.stdout)["install"]]
    return {item["name"].lower().replace("_", "-"): item["version"] for item in found}


def metadata_wheel(folder: Path) -> Path:
    """A wheel with the metadata of this checkout and next to no code: requirements are all that is asked about."""
    source = folder / "source"
    source.mkdir(parents=True)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "__init__.py"):
        (source / name).write_bytes((PROJECT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--isolated", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    subprocess.run([*command, str(source)], check=True)
    return next(folder.glob("tsuite-*.whl"))


def requirement(wheel: Path, extra: str) -> str:
    """tsuite out of `wheel`, with an extra or ("") without."""
    return f"tsuite{f'[{extra}]' if extra else ''} @ {wheel.as_uri()}"


def touched(plan: dict[str, str]) -> dict[str, str]:
    """Of a plan what no plan may hold on a board: torch, torchvision, torchaudio, and CUDA's libraries for servers."""
    return {name: version for name, version in plan.items() if name in TRIO or name.startswith("nvidia-")}


def constraints_file(name: str) -> Path:
    """The constraints of a JetPack."""
    return HERE / f"constraints-{name}.txt"


def write_constraints(name: str, plan: dict[str, str]) -> None:
    """Pin what `plan` (that of the extra `all`) holds, in the constraints file of the JetPack `name`."""
    jetpack = JETPACKS[name]
    lines = [
        f"# What pip may install beside the board's own torch on JetPack {name[-1]} (Python {jetpack.python}):",
        "# each of these has a wheel for aarch64. Made by resolve.py --write; what the board brings is absent.",
        *(f"# {what}: {why}." for what, why in jetpack.held.items()),
        *(f"{item}=={version}" for item, version in sorted(plan.items()) if item not in NOT_PINNED),
    ]
    constraints_file(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    """Ask for every JetPack, board and extra; 1 where something of the board would be touched or nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jetpack", choices=sorted(JETPACKS), nargs="+", default=sorted(JETPACKS))
    parser.add_argument("--extras", choices=EXTRAS, nargs="+", default=EXTRAS, help="default: none, and each")
    parser.add_argument("--write", action="store_true", help="renew the constraints files instead")
    args = parser.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        wheel = metadata_wheel(Path(folder))
        for name in args.jetpack:
            jetpack = JETPACKS[name]
            for number, versions in enumerate(jetpack.boards):
                board = dict(zip(TRIO, versions, strict=True))
                python = environment(Path(folder) / f"{name}-{number}", board)
                if args.write:
                    held = Path(folder) / "held.txt"
                    held.write_text("\n".join(jetpack.held) + "\n", encoding="utf-8")
                    write_constraints(name, resolve(python, jetpack.python, requirement(wheel, "all"), held))
                    break
                for extra in args.extras:
                    wrong += not said(name, board, extra, python, wheel)
    return 1 if wrong else 0


def said(name: str, board: dict[str, str], extra: str, python: Path, wheel: Path) -> bool:
    """Print a line about one extra on one board; whether all is well."""
    version = JETPACKS[name].python
    try:
        free = resolve(python, version, requirement(wheel, extra))
        pinned = resolve(python, version, requirement(wheel, extra), constraints_file(name))
    except Unresolved as error:
        sys.stdout.write(f"{name} torch {board['torch']:15} {extra or '(base)':11} cannot be had: {error}\n")
        return False
    bad = {**touched(free), **touched(pinned)}
    verdict = f"WOULD REPLACE {bad}" if bad else "keeps the board's torch"
    sys.stdout.write(f"{name} torch {board['torch']:15} {extra or '(base)':11} {len(pinned):3} packages, {verdict}\n")
    return not bad


if __name__ == "__main__":
    sys.exit(main())
