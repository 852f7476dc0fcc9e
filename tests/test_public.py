"""What people import: names that exist, and that cost nothing until they are used."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
import tsuite
from tsuite.core import registry
from tsuite.core.errors import UserError

from .domains.vision.pictures import photo, trained


def test_names_and_version() -> None:
    assert "vision.vit" in tsuite.names()
    assert tsuite.__version__ == version("tsuite")
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        tsuite.lod  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_costs_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, tsuite, tsuite.core, tsuite.domains.vision.vit\n"
        "tsuite.names(), tsuite.__version__\n"
        "assert not {'torch', 'numpy', 'typer', 'rich'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, timeout=60)


def test_load_and_call(tmp_path: Path) -> None:
    data, run = trained()
    vit = tsuite.load("vision.vit", str(run), device="cpu")
    files = [str(next((data / "test" / name).iterdir())) for name in "37"]
    result = vit(files[0])
    assert result.labels[0].name == "3"
    assert sum(label.probability for label in result.labels) <= 1.0 + 1e-6
    assert [item.labels[0].name for item in vit(*files, top=1)] == ["3", "7"]
    assert len(vit(*files, top=1)[0].labels) == 1
    assert vit(photo()).notices
    assert not vit.network.training


def test_load_with_settings() -> None:
    _, run = trained()
    vit = tsuite.load("vision.vit", str(run), image_size=24)
    assert vit.network.config.image_size == 24
    assert vit(photo()).labels


def test_mistakes_in_python() -> None:
    _, run = trained()
    with pytest.raises(UserError, match=r"no model called 'vision\.vti'.*Did you mean"):
        tsuite.load("vision.vti")
    with pytest.raises(UserError, match="no device 'gpu'"):
        tsuite.load("vision.vit", str(run), device="gpu")
    with pytest.raises(UserError, match="no setting 'imagesize'"):
        tsuite.load("vision.vit", str(run), imagesize=3)
    with pytest.raises(UserError, match=r"no field 'tops'.*top"):
        tsuite.load("vision.vit", str(run))(photo(), tops=3)


def test_the_parts_compose_in_a_plain_loop() -> None:
    """As a research notebook would: our modules, torch's own training."""
    from torch import nn
    from tsuite.core import Encoder, MultiHeadAttention
    from tsuite.domains.vision.vit import ViT, ViTConfig

    torch.manual_seed(0)
    vit = ViT(ViTConfig(image_size=16, patch_size=4, channels=1, dim=24, depth=2, heads=2, mlp_dim=48, classes=2))
    pixels, labels = torch.rand(16, 1, 16, 16), torch.arange(16) % 2
    pixels[labels == 1] *= 0.2
    optimiser = torch.optim.AdamW(vit.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = nn.functional.cross_entropy(vit(pixels), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]
    mixed = nn.Sequential(Encoder(dim=24, depth=1, heads=2), nn.Linear(24, 3))
    assert mixed(torch.randn(2, 5, 24)).shape == (2, 5, 3)
    assert MultiHeadAttention(dim=24, heads=2)(torch.randn(2, 5, 24)).shape == (2, 5, 24)


def test_a_model_is_loaded_for_a_persons_own_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `tsuite run` would take it; a checkpoint that is named goes first."""
    asked: list[Any] = []

    class Kind:
        run_options = dict

        @staticmethod
        def default_checkpoint(inputs: Any, options: Any) -> str | None:
            asked.append(len(inputs))
            return "for own"

        @staticmethod
        def load(checkpoint: str | None, settings: Any) -> Any:
            asked.append(checkpoint)
            raise UserError("enough")

    monkeypatch.setattr("tsuite.core.registry.Card.load_task", lambda card: Kind)
    for named, wanted in ((None, "for own"), ("other", "other")):
        with pytest.raises(UserError, match="enough"):
            tsuite.load("vision.vit", named)
        assert asked[-1] == wanted
    assert asked[0] == 1


@pytest.mark.parametrize("card", registry.cards().values(), ids=lambda card: card.name)
def test_every_name_that_a_model_offers_is_there(card: registry.Card) -> None:
    package = importlib.import_module(card.package)
    for name in getattr(package, "_HOME", {}):
        assert getattr(package, name) is not None
