"""deploy/: scripts are clean and say what they do, units and settings can be read, constraints leave torch alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

APPLICATIONS = ("tsuite-audio", "tsuite-text", "tsuite-vision")
JETPACKS = ("jetpack6", "jetpack7")
HOST = re.compile(r"\b[\w-]+\.(com|org|net|io|dev|ai|cn|edu|gov)\b(?!\()")


def files(deploy: Path) -> list[Path]:
    return sorted(path for path in deploy.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def run(*words: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)


def test_scripts_are_shellcheck_clean_and_strict(deploy: Path) -> None:
    scripts = [path for path in files(deploy) if path.suffix == ".sh"]
    assert len(scripts) == 2 + 3 * len(APPLICATIONS)
    for path in scripts:
        assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n"), path
        assert "\nset -euo pipefail\n" in path.read_text(encoding="utf-8"), path
        assert path.stat().st_mode & 0o100, f"{path} cannot be executed"
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed, so the scripts were not checked by it")
    found = run("shellcheck", *scripts)
    assert found.returncode == 0, found.stdout


def test_no_host_stands_in_the_files(deploy: Path) -> None:
    assert HOST.search("wheels of pypi.example.io/simple")
    found = [(path.name, hit.group()) for path in files(deploy) for hit in HOST.finditer(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize("name", ["jetson/install.sh", "jetson/finetune-or-resume.sh", "arm64/prove.py"])
def test_help_says_how_to_call_it(deploy: Path, name: str) -> None:
    shell = "bash" if name.endswith(".sh") else "python"
    told = run(shell, deploy / name, "--help")
    assert told.returncode == 0, told.stderr
    assert told.stdout.lower().startswith("usage:"), told.stdout


def test_every_option_of_the_installer_is_in_its_help(deploy: Path) -> None:
    text = (deploy / "jetson/install.sh").read_text(encoding="utf-8")
    parse = text[text.index("parse() {") : text.index("# -- what there is")]
    known = set(re.findall(r"--[a-z][a-z-]+", parse))
    told = run("bash", deploy / "jetson/install.sh", "--help").stdout
    assert len(known) == 9
    assert known == set(re.findall(r"^  (--[a-z-]+)", told, re.MULTILINE))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--frob"], "There is no option --frob."),
        (["--extras"], "--extras needs a value."),
        (["--extras", "text,audoi"], "There is no extra audoi. There are vision, text, audio,"),
        (["--python", "python-of-nowhere"], "There is no Python called python-of-nowhere."),
        (["--constraints", "nothing.txt"], "There is no file nothing.txt."),
    ],
)
def test_the_installer_answers_wrong_words_with_a_sentence(deploy: Path, words: list[str], said: str) -> None:
    done = run("bash", deploy / "jetson/install.sh", *words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"install: {said}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", JETPACKS)
def test_constraints_pin_and_never_name_what_the_board_brings(deploy: Path, name: str) -> None:
    lines = (deploy / f"jetson/constraints-{name}.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    assert len(pins) > 80
    assert all(str(pin.specifier).startswith("==") and pin.marker is None for pin in pins)
    names = {pin.name.lower() for pin in pins}
    assert not names & {"torch", "torchvision", "torchaudio", "triton", "tsuite", "tensorrt", "bitsandbytes"}
    assert not [one for one in names if one.startswith("nvidia")]


@pytest.mark.parametrize("name", JETPACKS)
def test_container_files_keep_the_torch_of_their_image(deploy: Path, name: str) -> None:
    text = (deploy / f"jetson/Dockerfile.{name}").read_text(encoding="utf-8")
    steps = [line.split()[0] for line in re.sub(r"\\\n", "", text).splitlines() if line and not line.startswith("#")]
    assert steps[:2] == ["ARG", "FROM"]
    assert "FROM ${IMAGE}" in text
    assert "install.sh" in text
    assert "pip install" not in text  # the installer alone, which compares torch before and after
    assert set(steps) <= {"ARG", "FROM", "COPY", "RUN", "ENV", "WORKDIR", "VOLUME", "ENTRYPOINT", "CMD"}


@pytest.mark.parametrize("unit", ["tsuite-finetune@.service", "tsuite-run@.service"])
def test_units_are_understood_by_systemd(deploy: Path, unit: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed, so the unit was not checked by it")
    text = (deploy / "jetson" / unit).read_text(encoding="utf-8")
    for program in set(re.findall(r"/opt/tsuite/bin/[\w-]+", text)):  # systemd looks whether they are there
        path = tmp_path / Path(program).name
        path.write_text("#!/bin/sh\n", encoding="utf-8")
        path.chmod(0o755)
        text = re.sub(rf"{program}(?= )", str(path), text)
    (tmp_path / unit).write_text(text, encoding="utf-8")
    found = run("systemd-analyze", "verify", tmp_path / unit)
    assert [line for line in found.stderr.splitlines() if unit.partition("@")[0] in line] == []
    (tmp_path / unit).write_text(text.replace("Restart=on-failure", "Restart=if-you-like"), encoding="utf-8")
    assert "if-you-like" in run("systemd-analyze", "verify", tmp_path / unit).stderr  # it does look


def test_the_unit_calls_what_the_installer_installs(deploy: Path) -> None:
    unit = (deploy / "jetson/tsuite-finetune@.service").read_text(encoding="utf-8")
    (called,) = re.findall(r"^ExecStart=/opt/tsuite/bin/([\w-]+) ", unit, re.MULTILINE)
    assert f'"$venv/bin/{called}"' in (deploy / "jetson/install.sh").read_text(encoding="utf-8")


def test_the_unit_that_runs_a_model_calls_a_command_that_there_is(deploy: Path) -> None:
    from tsuite.cli.app import build

    text = (deploy / "jetson/tsuite-run@.service").read_text(encoding="utf-8")
    assert "\nExecStart=/opt/tsuite/bin/tsuite run $MODEL $OPTIONS\n" in text
    model, *options = re.findall(r"(?:MODEL|OPTIONS)=(\S+)", text)
    command = build(["run", model])
    assert command is not None
    assert options == ["--source"]


@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications_have_the_layout_of_jetson_examples(deploy: Path, name: str) -> None:
    folder = deploy / "jetson/examples" / name
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "clean.sh", "config.yaml", "init.sh", "run.sh",
    ]  # fmt: skip
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    assert set(config) == {"ALLOWED_L4T_VERSIONS", "REQUIRED_DISK_SPACE", "REQUIRED_MEM_SPACE", "PACKAGES", "DOCKER"}
    assert all(re.fullmatch(r"(36|38|39)\.\d+\.\d+", version) for version in config["ALLOWED_L4T_VERSIONS"])
    assert isinstance(config["REQUIRED_DISK_SPACE"], int)
    assert isinstance(config["REQUIRED_MEM_SPACE"], int)
    assert config["DOCKER"] == {"ENABLE": False}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_runs_its_model_and_cleans_what_it_made(deploy: Path, name: str, tmp_path: Path) -> None:
    folder = deploy / "jetson/examples" / name
    home, env = tmp_path / "home", tmp_path / "env"
    told = {"PATH": "/usr/bin:/bin", "HOME": str(home), "TSUITE_ENV": str(env)}
    first = run("bash", folder / "run.sh", env=told)
    assert first.returncode == 2
    assert "Run init.sh first." in first.stderr
    (env / "bin").mkdir(parents=True)
    (env / "pyvenv.cfg").touch()
    (env / "bin/tsuite").write_text('#!/bin/sh\nprintf "%s|" "$@" "$TSUITE_CACHE"\n', encoding="utf-8")
    (env / "bin/tsuite").chmod(0o755)
    saved = home / "tsuite-data" / name
    done = run("bash", folder / "run.sh", "two words", env=told)
    model = {"tsuite-text": "text.phi15_zh", "tsuite-vision": "vision.vit", "tsuite-audio": "audio.asr"}[name]
    assert done.stdout == f"run|{model}|--output|{saved}|two words|{home}/tsuite-data/cache|"
    (home / "tsuite-data/cache").mkdir()
    assert run("bash", folder / "clean.sh", env=told).returncode == 0
    assert not saved.exists()
    assert (home / "tsuite-data/cache").exists()
    assert run("bash", folder / "clean.sh", "--all", env=told).returncode == 0
    assert not (home / "tsuite-data/cache").exists()
    assert not env.exists()


@pytest.mark.parametrize("script", ["init.sh", "clean.sh"])
def test_applications_differ_by_their_folder_alone(deploy: Path, script: str) -> None:
    """Each folder is copied by itself, so each has its own."""
    examples = deploy / "jetson" / "examples"
    assert len({(examples / name / script).read_text(encoding="utf-8") for name in APPLICATIONS}) == 1
