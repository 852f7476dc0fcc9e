"""A trained digit classifier for whoever asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from .pictures import trained


@pytest.fixture(scope="session")
def digit_data() -> Path:
    """Digits under train/ and test/."""
    return trained()[0]


@pytest.fixture(scope="session")
def digit_run() -> Path:
    """A finished run on them; its checkpoint is in best/."""
    return trained()[1]
