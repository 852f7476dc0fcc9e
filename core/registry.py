"""Which models exist: folders with a `card.toml`, found without importing torch.

`vision.vit` is the folder `domains/vision/vit/`. Other distributions add models through the entry-point group
`tsuite.domains`, whose values name packages laid out the same way. There is no list to edit.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .errors import UserError, missing_extra, near

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HOME = Path(__file__).resolve().parent.parent
PACKAGE = __name__.rpartition(".core.")[0]


@dataclass(frozen=True, kw_only=True)
class Card:
    """The static facts of a model, read from `card.toml`.

    `task` and `options` name classes inside the model's package as `module:Class`; importing `options` needs no torch.
    `sizes` maps a preset to its parameter count; `checkpoints` maps a short name to sources tried in order, or
    to a `folder` that ships with the model.
    `evaluate_options` and `export_options` name classes likewise, where a model has them.
    `commands` maps further commands (`"data record"`) to functions (`module:function`).
    `examples` maps a verb (run, finetune, evaluate) to what may be typed after `tsuite VERB NAME`, for its help.
    """

    name: str
    summary: str
    task: str
    task_class: str
    run_options: str
    train_options: str
    licence: str
    checkpoint: str
    data: str
    extra: str
    paper: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    checkpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    evaluate_options: str = ""
    export_options: str = ""  # where it has formats besides graphs
    package: str
    folder: Path

    def attribute(self, place: str) -> Any:
        """The object that `module:name` points to inside this model's package."""
        module, _, name = place.partition(":")
        try:
            return getattr(importlib.import_module(f"{self.package}.{module}"), name)
        except ModuleNotFoundError as error:
            if error.name and not error.name.startswith(self.package.partition(".")[0]):
                raise missing_extra(error.name.partition(".")[0], self.extra) from error
            raise

    def load_task(self) -> Any:
        """The model's `Task` class, with this card attached."""
        task = self.attribute(self.task_class)
        task.card = self
        return task


def read_card(folder: Path, package: str) -> Card:
    """The card in `folder`; raises `UserError` naming the field that is missing or unknown."""
    path = folder / "card.toml"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        return Card(**values, package=package, folder=folder)
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise UserError(f"The card {path} cannot be read: {error}.") from error


@lru_cache(maxsize=1)
def cards() -> dict[str, Card]:
    """Every known model by name, in order: this package's own folders, then other distributions' entry points."""
    found = {}
    for path in sorted((HOME / "domains").glob("*/*/card.toml")):
        domain, model = path.parts[-3:-1]
        card = read_card(path.parent, f"{PACKAGE}.domains.{domain}.{model}")
        found[card.name] = card
    for point in sorted(entry_points(group="tsuite.domains"), key=lambda point: point.name):
        try:
            spec = find_spec(point.value)
        except ModuleNotFoundError:  # its parent is gone: what is left of a distribution must not stop the others
            continue
        if spec and spec.submodule_search_locations:
            with contextlib.suppress(UserError):  # nor must another distribution's broken card
                card = read_card(Path(next(iter(spec.submodule_search_locations))), point.value)
                found.setdefault(card.name, card)
    return found


def card_of(module: str) -> Card | None:
    """The card of the model in whose folder `module` (its dotted name) lies; None where it lies in none."""
    return next((one for one in cards().values() if module.startswith(f"{one.package}.")), None)


def card(name: str) -> Card:
    """The card of one model; an unknown name is a `UserError` that lists near ones."""
    known = cards()
    if name not in known:
        raise UserError(f"There is no model called {name!r}.", f"{near(name, known)} See: tsuite list")
    return known[name]
