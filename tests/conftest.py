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
