"""tsuite info NAME: everything on a model's card, and what its shipped checkpoint scores."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from ..core.registry import Card
from . import options as cli


def command(card: Card) -> Callable[..., Any]:
    """The command for one model."""

    def info(*, as_json: bool) -> None:
        facts = _facts(card)
        if as_json:
            cli.print_json(facts)
        else:
            _show(facts)

    help = f"""What {card.name} is: sizes, checkpoints, data, options.

    Examples:

      tsuite info {card.name}

      tsuite info {card.name} --json"""
    return cli.make(info, [cli.JSON], help=help)


def _facts(card: Card) -> dict[str, Any]:
    """The card as plain data, with the options of `run` and `finetune` and the shipped checkpoint's own card."""
    plain = {item.name: getattr(card, item.name) for item in dataclasses.fields(card)}
    for name in ("task_class", "run_options", "train_options", "package", "folder"):
        del plain[name]
    own = card.folder / "checkpoint" / "card.json"
    plain["embedded"] = json.loads(own.read_text(encoding="utf-8")) if own.is_file() else None
    for verb, place in (("run", card.run_options), ("finetune", card.train_options)):
        fields = dataclasses.fields(card.attribute(place))
        plain[f"{verb}_options"] = {item.name: {"default": item.default, **item.metadata} for item in fields}
    return plain


def _show(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name in ("name", "summary", "task", "paper", "licence", "data", "extra"):
        table.add_row(name, str(facts[name]))
    table.add_row("sizes", ", ".join(f"{name} {count:,}" for name, count in facts["sizes"].items()))
    for name, checkpoint in {"embedded": _embedded(facts["embedded"]), **facts["checkpoints"]}.items():
        table.add_row("checkpoint", f"{name}: {checkpoint['summary']}")
        for source in checkpoint.get("sources", ()):
            table.add_row("", f"  {source.partition('#')[0]}")
    for verb in ("run", "finetune"):
        options = facts[f"{verb}_options"]
        table.add_row(f"{verb} options", ", ".join(f"{name}={item['default']}" for name, item in options.items()))
    Console().print(table)


def _embedded(card: dict[str, Any] | None) -> dict[str, str]:
    if card is None:
        return {"summary": "none"}
    test = card.get("test") or {}
    scores = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in test.get("metrics", {}).items())
    trained = f"trained in {card['seconds'] / 60:.0f} min on {card['hardware']['cpu']}"
    return {
        "summary": f"{card.get('parameters', 0):,} parameters, {trained}; {scores} on {test.get('n', 0):,} held-out"
    }
