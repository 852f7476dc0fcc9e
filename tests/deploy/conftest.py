"""The scripts of deploy/ as modules, and where they lie."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture(scope="session")
def deploy() -> Path:
    """The folder deploy/; a wheel does not have it."""
    if not DEPLOY.is_dir():
        pytest.skip("deploy/ is part of the checkout alone")
    return DEPLOY


def script(name: str) -> ModuleType:
    """`deploy/arm64/compare.py` by "arm64/compare", imported as its neighbours import it."""
    folder, _, module = name.partition("/")
    sys.path.insert(0, str(DEPLOY / folder))
    try:
        return import_module(module)
    finally:
        sys.path.remove(str(DEPLOY / folder))


@pytest.fixture(scope="session")
def compare() -> ModuleType:
    return script("arm64/compare")


@pytest.fixture(scope="session")
def prove() -> ModuleType:
    return script("arm64/prove")


@pytest.fixture(scope="session")
def resolve() -> ModuleType:
    return script("jetson/resolve")
