"""What every test stands on: one thread of torch, and on request a cache folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # small tensors lose more to handing work around than they gain


@pytest.fixture
def tmp_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that this test alone uses as tsuite's cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TSUITE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def digit_data() -> Path:
    """Digits under train/ and test/."""
    from .domains.vision.pictures import trained  # here, so that only those who ask pay for the training

    return trained()[0]


@pytest.fixture(scope="session")
def digit_run() -> Path:
    """A finished run on them; its checkpoint is in best/."""
    from .domains.vision.pictures import trained

    return trained()[1]
