"""What pip would install on a board, for real: our metadata, the package index, wheels for aarch64.

The torch of the board is given as installed; no extra may touch it. Without an index these are skipped with a sentence.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXTRAS = ("", "vision", "text", "audio", "timeseries", "control", "molecules", "export", "serve", "ui", "all")
JETPACKS = ("jetpack6", "jetpack7")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch folder; skips where the package index does not answer."""
    asked = [sys.executable, "-m", "pip", "--isolated", "--retries=0", "--timeout=10", "-q", "download", "--no-deps"]
    found = tmp_path_factory.mktemp("resolve")
    done = subprocess.run([*asked, "--dest", found / "asked", "filelock"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("the package index does not answer, so nothing was resolved")
    return found


@pytest.fixture(scope="module")
def wheel(resolve, folder: Path) -> Path:
    return resolve.metadata_wheel(folder / "wheel")


@pytest.fixture(scope="module")
def boards(resolve, folder: Path) -> dict[str, Path]:
    """JetPack -> the Python of an environment with the oldest torch that boards have under it, and its company."""
    return {
        name: resolve.environment(folder / name, dict(zip(resolve.TRIO, jetpack.boards[0], strict=True)))
        for name, jetpack in resolve.JETPACKS.items()
    }


def test_the_extras_are_those_of_the_project(resolve, deploy: Path) -> None:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    project = tomllib.loads((deploy.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["optional-dependencies"]) - {"dev"} == set(EXTRAS) - {""}
    assert set(resolve.EXTRAS) == set(EXTRAS)
    assert set(resolve.JETPACKS) == set(JETPACKS)
    installer = (deploy / "jetson/install.sh").read_text(encoding="utf-8")
    assert f"\nknown={','.join(EXTRAS[1:])}\n" in installer


@pytest.mark.jetson
@pytest.mark.parametrize("name", JETPACKS)
@pytest.mark.parametrize("extra", EXTRAS)
def test_nothing_replaces_the_torch_of_a_board(resolve, wheel: Path, boards, name: str, extra: str) -> None:
    plan = resolve.resolve(boards[name], resolve.JETPACKS[name].python, resolve.requirement(wheel, extra))
    assert plan["tsuite"]
    assert len(plan) > 40
    assert resolve.touched(plan) == {}


@pytest.mark.jetson
@pytest.mark.parametrize("name", JETPACKS)
def test_the_constraints_go_together_and_give_what_they_say(resolve, wheel: Path, boards, name: str) -> None:
    path = resolve.constraints_file(name)
    plan = resolve.resolve(boards[name], resolve.JETPACKS[name].python, resolve.requirement(wheel, "all"), path)
    assert resolve.touched(plan) == {}
    lines = path.read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins == {item: version for item, version in plan.items() if item not in resolve.NOT_PINNED}
    assert plan["sympy"] == "1.13.1" or name != "jetpack6"  # as NVIDIA's torch 2.5 asks


@pytest.mark.jetson
def test_a_package_that_would_replace_torch_is_noticed(resolve, folder: Path) -> None:
    python = resolve.environment(folder / "only-torch", {"torch": "2.5.0a0+nv24.8"})
    plan = resolve.resolve(python, "3.10", "torchvision==0.24.1")  # PyPI's wants PyPI's torch
    assert {"torch", "torchvision"} <= set(resolve.touched(plan))


@pytest.mark.jetson
def test_markers_are_those_of_the_board(resolve, folder: Path) -> None:
    python = resolve.environment(folder / "nothing", {})
    plan = resolve.resolve(python, "3.10", "torch==2.10.0")  # asks for CUDA's libraries on x86 alone
    assert plan["torch"] == "2.10.0"
    assert set(resolve.touched(plan)) == {"torch"}
    assert "tomli" in resolve.resolve(python, "3.10", 'tomli; python_version < "3.11"')
    assert resolve.resolve(python, "3.12", 'tomli; python_version < "3.11"') == {}
