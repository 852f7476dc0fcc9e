"""The policies that ship: small, made by our own command, and as good as their cards say."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tsuite.core import registry
from tsuite.domains.control.decision_transformer.plays import returns_of

pytest.importorskip("gymnasium")

CARD = registry.card("control.decision_transformer")
UNTOUCHED = 2_000_000
"""Seeds that neither a training nor a choice nor a figure has seen."""


def shipped(name: str | None = None) -> Any:
    return CARD.load_task().load(name)


def told(folder: str) -> dict[str, Any]:
    return json.loads((CARD.folder / folder / "card.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("folder", ["checkpoint", "checkpoint_inverted_pendulum"])
def test_they_are_small_and_quickly_made(folder: str) -> None:
    assert (CARD.folder / folder / "model.safetensors").stat().st_size < 1_000_000
    card = told(folder)
    assert card["command"].startswith("tsuite finetune control.decision_transformer")
    assert card["test"]["n"] == 100


def test_cart_pole_does_what_it_is_asked() -> None:
    policy = shipped()
    returns = returns_of(policy.setting, policy.actor(), targets=[100, 500], seeds=range(UNTOUCHED, UNTOUCHED + 10))
    assert 60 < returns[0].mean() < 140
    assert returns[1].mean() >= 475


def test_cart_pole_was_learnt_from_what_cloning_cannot_learn_from() -> None:
    policy, card = shipped(), told("checkpoint")
    assert card["test"]["metrics"]["return_mean"] >= 475
    assert policy.around.baselines["cloning"]["mean"] < 300
    assert policy.around.baselines["cloning"]["n"] == 100
    assert policy.around.data.mean < 250


def test_inverted_pendulum_stands() -> None:
    pytest.importorskip("mujoco")
    policy = shipped("inverted-pendulum")
    assert told("checkpoint_inverted_pendulum")["test"]["metrics"]["return_mean"] >= policy.setting.threshold == 950
    player = policy.actor()
    returns = returns_of(policy.setting, player, targets=[policy.around.target], seeds=[UNTOUCHED])
    assert returns[0, 0] >= 950
    assert np.median(player.times) < 0.01
