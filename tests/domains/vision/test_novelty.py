"""A checkpoint says when a picture is unlike what it was trained on, and seldom otherwise."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from tsuite.core import flow, pretrained, registry
from tsuite.core.errors import UserError
from tsuite.core.report import Report
from tsuite.core.weights import count_parameters
from tsuite.domains.vision.novelty import LIMIT, Novelty, View

from .pictures import load, photo

EMBEDDED = registry.card("vision.vit").folder / "checkpoint"


def strange(size: int) -> dict[str, list[Image.Image]]:
    """Pictures that are no digits."""
    random = np.random.default_rng(0)
    noise = [Image.fromarray(random.integers(0, 256, (size, size), dtype=np.uint8)) for _ in range(10)]
    return {"noise": noise, "photographs": [photo(200, 200, seed=seed) for seed in range(10)]}


def noticed(task: Any, images: list[Any]) -> float:
    """The share of pictures that get a notice."""
    results = task(*images, batch=64)
    return sum(bool(result.notices) for result in (results if isinstance(results, list) else [results])) / len(images)


def test_strange_pictures_are_noticed(digit_run: Path) -> None:
    task = load(digit_run)
    for name, images in strange(16).items():
        assert noticed(task, images) >= 0.9, name


def test_inverted_digits_are_noticed(digit_run: Path, digit_data: Path) -> None:
    files = sorted((digit_data / "test").rglob("*.png"))[::12]
    inverted = [ImageOps.invert(Image.open(file)) for file in files]
    assert noticed(load(digit_run), inverted) >= 0.9


def test_its_own_held_out_pictures_seldom_are(digit_run: Path, digit_data: Path) -> None:
    files = sorted((digit_data / "test").rglob("*.png"))
    assert len(files) > 300
    assert noticed(load(digit_run), files) < 0.03


def test_the_notice_tells_what_is_known_and_how_far(digit_run: Path) -> None:
    result = load(digit_run)(photo())
    (notice,) = result.notices
    assert "0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in notice
    assert f"{result.unlikeness:.1f} times as far" in notice
    assert result.to_json()["unlikeness"] == round(result.unlikeness, 3)


def test_the_distance_of_mahalanobis() -> None:
    """Two classes far apart, one direction of wide spread: the edge holds 99 %, and spread is accounted for."""
    torch.manual_seed(0)
    spread = torch.tensor([10.0, 0.1])
    centres = torch.tensor([[0.0, 0.0], [0.0, 50.0]])
    labels = torch.arange(2000) % 2
    features = torch.randn(2000, 2) * spread + centres[labels]
    held = View(features=features[1000:])
    novelty = Novelty.fit(View(features=features[:1000]), labels[:1000], held)
    assert float((novelty.unlikeness(held) <= 1.0).float().mean()) == pytest.approx(0.99, abs=0.005)
    along, across = novelty.unlikeness(View(features=torch.tensor([[10.0, 0.0], [0.0, 10.0]])))
    assert along < 1
    assert across > 3


def test_more_features_than_pictures() -> None:
    view, labels = View(features=torch.randn(6, 40)), torch.arange(6) % 2
    novelty = Novelty.fit(view, labels, view)
    assert novelty.unlikeness(View(features=torch.randn(3, 40))).isfinite().all()


def test_either_of_features_and_texture_is_enough() -> None:
    torch.manual_seed(0)
    train, held = (View(features=torch.randn(400, 3), texture=torch.randn(400, 5)) for _ in range(2))
    novelty = Novelty.fit(train, torch.arange(400) % 2, held)
    assert float((novelty.unlikeness(held) <= 1.0).float().mean()) == pytest.approx(0.99, abs=0.005)
    plain = View(features=torch.zeros(1, 3), texture=torch.zeros(1, 5))
    for strange_view in (dataclasses.replace(plain, features=torch.full((1, 3), 9.0)),
                         dataclasses.replace(plain, texture=torch.full((1, 5), 9.0))):  # fmt: skip
        assert novelty.unlikeness(plain) < 1 < novelty.unlikeness(strange_view) / LIMIT
    again = Novelty.from_tensors(novelty.tensors())
    assert again is not None
    assert torch.equal(again.unlikeness(held), novelty.unlikeness(held))
    assert Novelty.from_tensors({"means": torch.zeros(1)}) is None


# -- the checkpoint that ships -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> Any:
    if not EMBEDDED.is_dir():
        pytest.skip("no checkpoint lies in the model's folder yet")
    return load("embedded")


@pytest.fixture(scope="module")
def scored(shipped: Any, tmp_path_factory: pytest.TempPathFactory) -> Report:
    request = flow.Request(name="vision.vit", output=tmp_path_factory.mktemp("out"), threads=1)
    try:
        return flow.run(request, [], shipped.run_options(batch=100))
    except UserError as error:
        pytest.skip(f"no way to the data: {error}")


def test_the_shipped_checkpoint_is_small_and_right(shipped: Any, scored: Report) -> None:
    assert count_parameters(shipped.network) <= 1_500_000
    assert scored.data is not None
    assert scored.data["n"] == 1000
    assert scored.metrics["accuracy"] >= 0.975
    assert (EMBEDDED / "card.json").is_file()
    assert pretrained.read_config(EMBEDDED)["name"] == "vision.vit"


def test_the_shipped_checkpoint_knows_what_it_knows(shipped: Any, scored: Report) -> None:
    for name, images in strange(28).items():
        assert noticed(shipped, images) >= 0.8, name
    inverted = [255 - result.example.image for result in scored.results[::50]]
    assert noticed(shipped, inverted) >= 0.8
    assert sum(bool(result.notices) for result in scored.results) < 30
