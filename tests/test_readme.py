"""The README's code runs as it stands there, and its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("code", SNIPPETS, ids=[f"snippet {number}" for number in range(1, len(SNIPPETS) + 1)])
def test_snippets_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (64, 48), "white").save(tmp_path / "photo.jpg")
    hours = (f"2024-01-{1 + hour // 24:02} {hour % 24:02}:00,{40 + hour % 24},{hour % 7}\n" for hour in range(480))
    (tmp_path / "load.csv").write_text("ds,load,temperature\n" + "".join(hours), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) == 3


def test_commands_name_options_that_exist() -> None:
    lines = re.findall(r"^tsuite (run|finetune|evaluate|bench) (\S+)([^#\n]*)", README, flags=re.MULTILINE)
    assert len(lines) >= 8
    for verb, name, rest in lines:
        shown = subprocess.run(
            [sys.executable, "-m", "tsuite", verb, name, "--help"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in shown, f"tsuite {verb} {name} has no {option}"


@pytest.mark.parametrize("what", ["run", "test"])
def test_the_two_commands_stand_alone(what: str) -> None:
    block = README.split(f"<!-- setup-and-{what} -->")[1].lstrip("\n")
    assert block.startswith("```bash\npython -m venv .venv && . .venv/bin/activate && pip install -e ")
    assert block.split("```")[1].count("\n") == 2
