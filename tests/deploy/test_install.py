"""The installer, on tiny packages: it goes beside the torch that is there, and whatever changes that is taken back.

The board's torch is a module of a few lines in the user's site-packages, where boards often have theirs; the rest is
real: Python, venv, pip, and wheels in a folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

BASE = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
BOARD = "2.5.0a0+nv24.8"
SCRIPT = "def main():\n    print('tsuite 9.9')\n"

pytestmark = pytest.mark.skipif(
    not BASE.exists() or not (3, 10) <= sys.version_info[:2] <= (3, 12), reason="a Python of a JetPack's age is needed"
)


def module(version: str, body: str = "def from_numpy(array):\n    return array\n") -> str:
    return f"__version__ = {version!r}\n{body}"


def wheel(folder: Path, name: str, version: str, files: dict[str, str], *needs: str, scripts: str = "") -> Path:
    """A wheel of text files; needs: its requirements."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    told = "".join(f"Requires-Dist: {need}\n" for need in needs)
    named = [need.partition("extra == ")[2].strip("'") for need in needs]
    extras = "".join(f"Provides-Extra: {extra}\n" for extra in named if extra)
    every = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{extras}{told}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **({f"{info}/entry_points.txt": f"[console_scripts]\n{scripts}\n"} if scripts else {}),
    }
    record = "".join(f"{place},,\n" for place in [*every, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for place, text in {**every, f"{info}/RECORD": record}.items():
            archive.writestr(place, text)
    return path


def product(folder: Path, *needs: str, **more: str) -> Path:
    """A tsuite of one module, and whatever else `more` smuggles in."""
    files = {"tsuite/__init__.py": SCRIPT, **{f"{name}/__init__.py": text for name, text in more.items()}}
    return wheel(folder, "tsuite", "9.9", files, *needs, scripts="tsuite = tsuite:main")


@pytest.fixture(scope="session")
def bare() -> Path:
    """A Python that has no torch: the one below the tests' environment, or one installed beside it."""
    beside = Path(sys.base_prefix).parent.glob("3.1[0-2].*/bin/python3")
    code = "import ensurepip, importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is not None)"
    for python in (BASE, *sorted(beside)):
        if subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip("every Python here has a torch of its own")


class Board:
    """A home with a torch in its user site-packages, a folder of wheels, and the installer."""

    def __init__(self, installer: Path, folder: Path) -> None:
        self.installer, self.wheels, self.venv = installer, folder / "wheels", folder / "env"
        self.told = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONUSERBASE": str(folder / "base")}
        self.told["PIP_CONFIG_FILE"] = os.devnull
        self.site = folder / f"base/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
        self.site.mkdir(parents=True)

    def has_torch(self, text: str = module(BOARD)) -> None:
        with zipfile.ZipFile(wheel(self.wheels.parent, "torch", BOARD, {"torch/__init__.py": text})) as archive:
            archive.extractall(self.site)

    def install(self, *words: str, python: Path = BASE) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(self.installer), "--python", str(python), "--venv", str(self.venv)]
        command += ["--wheels", str(self.wheels), *words]
        return subprocess.run(command, env=self.told, capture_output=True, text=True, check=False)

    def torch(self) -> str:
        """Version and file of the torch that the environment sees."""
        code = "import torch; print(torch.__version__, torch.__file__)"
        words = [self.venv / "bin/python", "-c", code]
        return subprocess.run(words, env=self.told, capture_output=True, text=True, check=True).stdout.strip()

    @property
    def own(self) -> str:
        return f"{BOARD} {self.site / 'torch/__init__.py'}"


@pytest.fixture
def board(deploy: Path, tmp_path: Path) -> Board:
    return Board(deploy / "jetson/install.sh", tmp_path)


@pytest.mark.jetson
def test_it_goes_beside_the_torch_that_is_there_and_may_be_run_again(board: Board) -> None:
    board.has_torch()
    product(board.wheels, "torch>=2.4", "plain; extra == 'text'")
    wheel(board.wheels, "plain", "1.0", {"plain.py": ""})
    for said in ("Installing", "Going on with the environment"):
        done = board.install("--extras", "text")
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
        assert f"tsuite 9.9 is in {board.venv}; torch is {board.own}." in done.stdout
        assert board.torch() == board.own
    assert subprocess.run([board.venv / "bin/python", "-c", "import plain"], check=False).returncode == 0
    assert os.access(board.venv / "bin/tsuite-finetune-or-resume", os.X_OK)


@pytest.mark.jetson
@pytest.mark.parametrize("need", ["torch>=2.6", "torchvision"])
def test_what_needs_another_torch_is_refused_and_nothing_is_kept(board: Board, need: str) -> None:
    board.has_torch()
    product(board.wheels, need)
    wheel(board.wheels, "torch", "2.14.1", {"torch/__init__.py": module("2.14.1")})
    wheel(board.wheels, "torchvision", "0.29.1", {"torchvision.py": ""}, "torch>=2.14")
    done = board.install()
    assert done.returncode == 2
    assert "beside this torch" in done.stderr
    assert "the board's torch is as it was" in done.stderr
    assert not board.venv.exists()


@pytest.mark.jetson
def test_a_torch_that_slips_in_is_taken_back(board: Board) -> None:
    board.has_torch()
    product(board.wheels, torch=module("6.6.6"))  # pip cannot know that this wheel brings a torch
    done = board.install()
    assert done.returncode == 2
    assert f"changed torch from {board.own} to 6.6.6" in done.stderr
    assert not board.venv.exists()


@pytest.mark.jetson
def test_a_torch_that_was_put_into_the_environment_goes_out_of_it(board: Board) -> None:
    board.has_torch()
    product(board.wheels, "torch>=2.4")
    assert board.install().returncode == 0
    newer = wheel(board.wheels.parent, "torch", "2.14.1", {"torch/__init__.py": module("2.14.1")})
    pip = [board.venv / "bin/pip", "install", "-q", "--no-index", newer]
    subprocess.run(pip, env=board.told, check=True, capture_output=True)
    assert board.torch().startswith("2.14.1")
    done = board.install()
    assert done.returncode == 2
    assert "were taken out" in done.stdout
    assert board.torch() == board.own
    assert board.install().returncode == 0


@pytest.mark.jetson
def test_a_torch_that_does_not_take_the_arrays_of_numpy_is_noticed(board: Board) -> None:
    refuses = "def from_numpy(array):\n    raise RuntimeError('Numpy is not available')\n"
    board.has_torch(module(BOARD, refuses))
    product(board.wheels, numpy="def ones(size, dtype):\n    return [1.0] * size\n")
    done = board.install()
    assert done.returncode == 2
    assert "does not take the arrays of the numpy" in done.stderr
    assert not board.venv.exists()


@pytest.mark.jetson
def test_without_any_torch_one_for_the_cpu_comes_when_it_is_asked_for(board: Board, bare: Path) -> None:
    product(board.wheels, "torch>=2.4")
    for version in ("2.10.0", "2.14.1"):
        wheel(board.wheels, "torch", version, {"torch/__init__.py": module(version)})
    for _ in range(2):
        done = board.install("--cpu-torch", python=bare)
        assert done.returncode == 0, done.stderr
        assert board.torch() == f"2.10.0 {next(board.venv.glob('lib/python*/site-packages'))}/torch/__init__.py"


@pytest.mark.jetson
def test_the_environment_of_the_python_that_is_named_is_used(board: Board) -> None:
    product(board.wheels, "torch>=2.4")
    there = board.venv.with_name("images-own")
    subprocess.run([BASE, "-m", "venv", there], check=True)
    inner = wheel(board.wheels.parent, "torch", "2.9.0a1+cu130", {"torch/__init__.py": module("2.9.0a1+cu130")})
    pip = [there / "bin/pip", "install", "-q", "--no-index", inner]
    subprocess.run(pip, env=board.told, check=True, capture_output=True)
    done = board.install(python=there / "bin/python")
    assert done.returncode == 0, done.stderr
    assert (there / "bin/tsuite").exists()
    assert not board.venv.exists()


def test_without_any_torch_it_says_where_to_take_it_from(board: Board, bare: Path) -> None:
    product(board.wheels, "torch>=2.4")
    done = board.install(python=bare)
    assert done.returncode == 2
    assert "jetson-ai-lab package index" in done.stderr
    assert "--cpu-torch" in done.stderr
    assert not board.venv.exists()


def test_a_folder_that_is_no_environment_is_left_alone(board: Board) -> None:
    board.has_torch()
    product(board.wheels)
    board.venv.mkdir()
    (board.venv / "thesis.txt").touch()
    done = board.install()
    assert done.returncode == 2
    assert "exists and is no environment" in done.stderr
    assert (board.venv / "thesis.txt").exists()
