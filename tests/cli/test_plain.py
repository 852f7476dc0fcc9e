"""The commands that are about no model, and how the command line starts and ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ..commands import tsuite

HEAVY = {"torch", "numpy", "matplotlib", "sklearn", "accelerate", "transformers", "huggingface_hub", "PIL"}


def test_version_and_help() -> None:
    assert tsuite("--version").out.strip() == f"tsuite {version('tsuite')}"
    text = tsuite("--help").out
    for word in ("run", "finetune", "evaluate", "bench", "info", "list", "doctor", "data", "Exit codes"):
        assert word in text
    assert "vision.vit" in tsuite("run", "--help").out


def test_list() -> None:
    models = tsuite("list", "--json").json["models"]
    assert "vision.vit" in [model["name"] for model in models]
    assert "vision.vit" in tsuite("list").out


@pytest.mark.parametrize("words", ["--help", "list", "list --json", "run --help", "run vision.vit --help",
                                   "finetune vision.vit --help", "info vision.vit", "data list",
                                   "run nothing.here"])  # fmt: skip
def test_what_needs_no_torch_imports_none(words: str, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom tsuite.cli.app import start\n"
        f"sys.argv = ['tsuite', *{words.split()!r}]\n"
        "try:\n    start()\nexcept SystemExit: pass\n"
        f"print(*({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True
    )
    assert done.stdout or "nothing" in words
    assert done.stderr.splitlines()[-1] == "", done.stderr


def test_data_list_and_info() -> None:
    sets = {item["name"]: item for item in tsuite("data", "list", "--json").json["data"]}
    assert {"mnist_5k", "elpv"} <= set(sets)
    assert "mnist_5k" in tsuite("data", "list").out
    facts = tsuite("data", "info", "elpv", "--json").json
    assert facts["licence"] == "CC-BY-NC-SA-4.0"
    text = tsuite("data", "info", "mnist_5k").out
    assert "grey level 0 to 255" in text
    assert "1,000 rows" in text


def test_data_that_does_not_exist() -> None:
    error = tsuite("data", "info", "mnist_5", "--json", code=2).json["error"]
    assert "Did you mean mnist_5k?" in error


def test_doctor() -> None:
    value = tsuite("doctor", "--json", "--device", "cpu").json
    assert value["command"] == "doctor"
    assert value["healthy"]
    assert len(value["checks"]) >= 6
    assert all(check["ok"] for check in value["checks"] if check["ok"] is not None)
    assert "matrix product" in tsuite("doctor", "--device", "cpu").out


def test_doctor_on_a_device_that_is_not_there() -> None:
    assert "no device 'gpu'" in tsuite("doctor", "--device", "gpu", "--json", code=2).json["error"]


@pytest.mark.parametrize("words", [("--nothing", "--json"), ("list", "--nothing", "--json"), ("run", "--json"),
                                   ("run", "vision.vit", "--top", "x", "--json"), ("rum", "vision.vit", "--json"),
                                   ("run", "vision.vti", "--json"), ("data", "info", "--json")])  # fmt: skip
def test_a_wrong_call_is_one_json_object_too(words: tuple[str, ...]) -> None:
    said = tsuite(*words, code=2)
    assert said.json["exit_code"] == 2
    assert said.json["error"].endswith((".", "?")) or "See" in said.json["error"]
    assert said.json["version"] == version("tsuite")
    assert said.err.startswith("tsuite: ")


@pytest.mark.parametrize(("words", "near"), [(("rum",), "run"), (("list", "--jsn"), "--json"), (("run", "x"), "Known")])
def test_near_names_for_people(words: tuple[str, ...], near: str) -> None:
    said = tsuite(*words, code=2)
    assert near in said.err or "vision.vit" in said.err
    assert said.out == ""


@pytest.mark.parametrize("words", [("list", "--json"), ("data", "list", "--json"), ("list",)])
def test_a_reader_that_goes_away(words: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "tsuite", *words],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 0 or "--json" not in words


def test_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tsuite", "list", "--json"],
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["models"]
    assert done.stderr == ""


def test_a_fault_of_ours_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("wires\ncrossed")

    monkeypatch.setattr("tsuite.core.manifest.manifests", broken)
    said = tsuite("data", "list", "--json", code=1)
    assert said.json["error"] == "RuntimeError: wires (a fault of tsuite; --debug shows where)"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 2, "Stopped"),
        (MemoryError(), 2, "not enough memory"),
        (PermissionError(13, "Permission denied", "/x/y"), 2, "/x/y: Permission denied"),
        (RuntimeError("CUDA out of memory. Tried"), 1, "not enough memory"),
    ],
)
def test_how_errors_end(error: BaseException, code: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise error

    monkeypatch.setattr("tsuite.core.manifest.manifests", broken)
    said = tsuite("data", "list", "--json", code=code)
    assert words in said.json["error"]
