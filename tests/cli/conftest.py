"""A trained digit classifier for the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..domains.vision.pictures import trained


@pytest.fixture(scope="session")
def digit_data() -> Path:
    """Digits under train/ and test/."""
    return trained()[0]


@pytest.fixture(scope="session")
def digit_run() -> Path:
    """A finished run on them; its checkpoint is in best/."""
    return trained()[1]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
