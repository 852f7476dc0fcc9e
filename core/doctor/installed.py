"""What is installed for a board's GPU: whose torch this is, and which others stand beside it."""

from __future__ import annotations

import contextlib
import importlib.util
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..jetson import look
from ..jetson.packages import cautions, source
from ..jetson.system import System
from .check import Check, notice

STANDS = ("usr/lib", "usr/local/lib")
"""Where JetPack's apt and an index used with the system's pip put packages, below python3.*/dist-packages."""


@dataclass(frozen=True, kw_only=True)
class Torch:
    """One build of torch. cuda None: built without. architectures: as torch names them ("sm_87")."""

    version: str
    cuda: str | None
    architectures: tuple[str, ...]
    folder: Path

    @classmethod
    def here(cls) -> Torch:
        """The one that this process uses."""
        import torch

        found: list[str] = torch.cuda.get_arch_list()
        if not found and torch.version.cuda:  # get_arch_list is silent where no GPU answers
            with contextlib.suppress(Exception):
                flags: Any = torch._C
                found = flags._cuda_getArchFlags().split()
        return cls(
            version=torch.__version__,
            cuda=torch.version.cuda,
            architectures=tuple(found),
            folder=Path(torch.__file__).parent,
        )

    def names(self, capability: str) -> bool:
        """Whether it says to hold code for that compute capability ("8.7")."""
        number = capability.replace(".", "")
        return any(re.fullmatch(rf"(sm|compute)_{number}[af]?", each) for each in self.architectures)


def python(system: System, running: str = platform.python_version()) -> Check:
    """The Python at work against the one that the JetPack's packages are for."""
    if system.release is None:
        return notice("Python", f"{running}; the JetPack is not known", ok=None)
    ours, theirs = ".".join(running.split(".")[:2]), system.release.python
    if ours == theirs:
        return notice("Python", f"{running}, as JetPack {system.release.jetpack} ships")
    detail = f"{running}, while JetPack {system.release.jetpack} ships {theirs}: its packages for the GPU do not fit"
    hint = (
        source(system.release, "torch", board=system.board)
        if theirs == "3.8"
        else f"Make the environment with the system's own: python{theirs} -m venv --system-site-packages"
    )
    return notice("Python", detail, ok=False, hint=hint)


def torch(system: System, root: Path, build: Torch) -> Check:
    """Whether this torch is one for the board, or one that pip has put over it. A hint only: the kernels decide."""
    doubts = []
    if build.cuda is None:
        doubts.append("is built without CUDA, as PyPI's for the CPU are")
    elif system.capability and build.architectures and not build.names(system.capability):
        doubts.append(f"names no code for compute capability {system.capability} ({' '.join(build.architectures)})")
    others = [folder for folder in _standing(root, "torch") if folder != build.folder]
    if others and build.folder not in _standing(root, "torch"):
        theirs = _version(others[0])
        doubts.append(f"is not the system's: torch {theirs} stands in {_below(others[0], root)}")
    if not doubts:
        what = f"CUDA {build.cuda}, {' '.join(build.architectures) or 'architectures not told'}"
        return notice("torch", f"{build.version}, {what}")
    detail = (
        f"torch {build.version} in {build.folder.parent} {', and '.join(doubts)}: pip may have replaced the board's"
    )
    return notice("torch", detail, ok=False, hint=advice(system, "torch"))


def tensorrt(root: Path) -> Check:
    """Whether TensorRT's Python module is seen. Nothing needs it but the engine of that name."""
    name = "TensorRT"
    if importlib.util.find_spec("tensorrt"):
        try:
            import tensorrt  # pyright: ignore[reportMissingImports]

            return notice(name, str(tensorrt.__version__))
        except Exception as error:  # its libraries may be missing or of another version
            return notice(name, f"{type(error).__name__}: {error}", ok=False, hint=source(None, "tensorrt"))
    standing = _standing(root, "tensorrt")
    if standing:
        detail = f"stands in {_below(standing[0], root)}, which this environment does not see"
        return notice(name, detail, ok=False, hint=source(None, "tensorrt"))
    return notice(name, "not installed, and needed for --engine tensorrt alone", ok=None, hint=source(None, "tensorrt"))


def advice(system: System, part: str) -> str:
    """Where `part` comes from, and what goes wrong with it."""
    sentences = (source(system.release, part, board=system.board), *cautions(system.release, part))
    return " ".join(sentences)


def _standing(root: Path, package: str) -> list[Path]:
    """The folders of `package` that belong to the system."""
    return [
        folder / package
        for place in STANDS
        for folder in look.entries(root / place, "python3*/dist-packages")
        if (folder / package / "__init__.py").is_file() or (folder / package / "version.py").is_file()
    ]


def _version(folder: Path) -> str:
    """What its version.py says, read and not run."""
    told = re.search(r"^__version__ = ['\"]([^'\"]+)", look.text(folder / "version.py"), re.MULTILINE)
    return told.group(1) if told else "of unknown version"


def _below(folder: Path, root: Path) -> Path:
    """The path as the machine itself would call it."""
    return Path("/") / folder.relative_to(root)
