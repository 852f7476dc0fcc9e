"""The proof on 64-bit Arm, run where this machine can; its parts that need no Arm, everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT = 3600.0
"""Seconds for the whole proof: bootstrapping five minutes, installing nine, the runs a few minutes each, emulated."""


def test_every_domain_is_tried_and_its_command_is_one(prove, tmp_path: Path) -> None:
    from tsuite.cli.app import build

    domains = {words[0].partition(".")[0]: words for words in prove.cases.CASES.values()}
    assert set(domains) == {"vision", "text", "audio", "timeseries", "control", "molecules"}
    assert set(prove.cases.CASES) == set(domains)
    for words in domains.values():
        build(["run", words[0]])
    prove.cases.make_inputs(tmp_path)
    named = {word for words in domains.values() for word in words if word.endswith((".png", ".csv"))}
    assert named == {path.name for path in tmp_path.iterdir()}


def test_the_table_says_what_differs(prove) -> None:
    sides = {"machine": "x86_64", "python": "3.11.7", "torch": "2.11.0+cpu"}
    rows = [
        {"name": "text", "same": True, "numbers": 41, "words": 9, "largest": 2e-6, "seconds_here": 5.0,
         "seconds_there": 90.0, "differences": []},
        {"name": "audio", "same": False, "seconds_here": 1.0, "seconds_there": 2.0, "differences": ["no JSON: ''"]},
    ]  # fmt: skip
    found = {"checks": 7, "failed": ["attention: RuntimeError"]}
    other = {"machine": "aarch64", "python": "3.11.2", "torch": "2.10.0+cpu"}
    said = prove.table({"here": sides, "there": other, "emulated": True, "doctor": found, "domains": rows})
    assert "emulated by qemu" in said
    assert "versions of torch differ" in said
    assert "1 of 7 failed: attention: RuntimeError" in said
    assert said.splitlines()[-1].strip() == "no JSON: ''"
    assert [line.split()[-1] for line in said.splitlines() if line.startswith(("text", "audio"))] == ["yes", "NO"]


def test_where_it_cannot_be_done_it_is_skipped_with_a_sentence(deploy: Path, tmp_path: Path) -> None:
    told = {**os.environ, "PATH": str(tmp_path)}  # no debootstrap there
    command = [sys.executable, str(deploy / "arm64/prove.py"), "--work", str(tmp_path / "work")]
    for words, code, said in ((["--if-possible"], 0, "Skipped: An arm64 root needs"), ([], 2, "Not possible: ")):
        done = subprocess.run([*command, *words], env=told, capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert done.stderr.startswith(said)
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "work").exists()


@pytest.mark.jetson
def test_the_six_domains_say_the_same_on_arm64(deploy: Path, tmp_path: Path) -> None:
    """The system is kept in the folder TSUITE_ARM64 (made if need be), so that a second run takes less time."""
    kept, path = os.environ.get("TSUITE_ARM64"), tmp_path / "result.json"
    if not kept:
        pytest.skip("the proof on arm64 takes half an hour: TSUITE_ARM64=FOLDER asks for it")
    command = [sys.executable, str(deploy / "arm64/prove.py"), "--if-possible", "--json", str(path), "--work", kept]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)
    if done.stderr.startswith("Skipped: "):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["there"]["machine"] == "aarch64"
    assert result["doctor"]["checks"] > 5
    assert result["doctor"]["failed"] == []
    assert len(result["domains"]) == 6
    assert all(row["same"] and row["numbers"] + row["words"] > 5 for row in result["domains"])
