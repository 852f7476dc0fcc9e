"""The examples in the help of every command are commands: each parses, and its options are valid."""

from __future__ import annotations

import dataclasses
import shlex
from importlib import import_module

import pytest
import typer
from tsuite.core import registry
from tsuite.core.registry import Card

VERBS = {"run": "run_options", "finetune": "train_options", "evaluate": "evaluate_options"}


def examples(card: Card, verb: str) -> list[list[str]]:
    """What the help of a command shows, in words, without `tsuite VERB NAME`."""
    text = import_module(f"tsuite.cli.{verb}").command(card).__doc__
    return [shlex.split(line)[3:] for line in text.splitlines() if line.startswith(f"  tsuite {verb} {card.name}")]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", registry.cards())
def test_every_example_parses(name: str, verb: str) -> None:
    card = registry.card(name)
    app = typer.Typer()
    app.command("it")(import_module(f"tsuite.cli.{verb}").command(card))
    command = typer.main.get_command(app)
    options = card.attribute(getattr(card, VERBS[verb]) or card.run_options)
    fields = {item.name for item in dataclasses.fields(options)}
    typed = examples(card, verb)
    assert len(typed) >= 2
    for words in typed:
        told = command.make_context("it", words).params
        options(**{key: value for key, value in told.items() if key in fields})


def test_a_model_gives_examples_of_its_own() -> None:
    assert set(registry.card("timeseries.patchtst").examples) == set(VERBS)
    assert all(set(card.examples) <= set(VERBS) for card in registry.cards().values())
    typed = [" ".join(words) for verb in VERBS for words in examples(registry.card("timeseries.patchtst"), verb)]
    for flag in ("--horizon", "--target", "--future", "--protocol ltsf", "--finance", "--task dispatch", "--backtest"):
        assert any(flag in line for line in typed), flag
    assert examples(registry.card("vision.vit"), "run")[0] == []  # the usual ones
