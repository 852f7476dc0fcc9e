"""What a setting of a model takes, whether it fits, and where it does not the nearest one that does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import UserError
from ..precision import narrow, narrowly
from ..quantize import KINDS as NARROW
from ..quantize import NONE, check
from ..registry import Card
from .blueprint import Blueprint, Wanted, plain
from .ledger import Ledger
from .machine import Machine
from .work import weigh

KINDS = ("weights", "gradients", "optimiser", "activations", "logits", "cache", "batch", "loading")
SHORTEST = 64
"""A length below which no shorter one is proposed."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a person may turn. 0 and "": what is usual. `options` are the model's own, by name."""

    command: str = "finetune"
    batch: int = 0
    accumulate: int = 1
    precision: str = ""
    quantize: str = NONE
    length: int = 0
    method: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def wanted(self, card: Card) -> Wanted:
        """As a model is asked for it. UserError for an option that the command does not have."""
        kind = card.attribute(card.run_options if self.command == "run" else card.train_options)
        check(self.quantize)
        if self.quantize != NONE and self.command != "run":
            raise UserError("--quantize is for --command run.", "Learning beside 4-bit weights: --method qlora")
        known = {item.name for item in dataclasses.fields(kind)}
        names = {"batch": self.batch, "batch_size": self.batch, "accumulate": self.accumulate}
        values: dict[str, Any] = {name: value for name, value in names.items() if name in known and value}
        precise = "weights" if self.command == "run" else "precision"
        if self.precision and precise in known:
            values[precise] = self.precision
        for name, value in self.options.items():
            if name not in known:
                raise UserError(f"--{name.replace('_', '-')} is no option of {self.command}.", "See --command.")
            values[name] = value
        return Wanted(
            command=self.command, options=kind(**values), checkpoint=self.checkpoint, settings=self.settings,
            method=self.method, length=self.length, batch=self.batch,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A setting, its memory by kind in bytes at the moment of its peak, and the machine it is for.

    work: bytes at the peak, without the runtime; loading: of that, what reading the checkpoint alone takes; resident:
    with pages of files, which the system drops where memory runs short."""

    setting: Setting
    machine: Machine
    memory: dict[str, int]
    work: int
    loading: int
    resident: int
    parameters: int
    learning: int
    blueprint: Blueprint

    @property
    def needed(self) -> int:
        """Bytes that the process takes at its peak."""
        return self.machine.runtime + self.work

    @property
    def fits(self) -> bool:
        return self.work <= self.machine.room

    @property
    def chosen(self) -> dict[str, Any]:
        """The setting with everything decided."""
        drawn = self.blueprint
        found = {"command": drawn.command, "batch": drawn.batch_size}
        if drawn.command != "run":
            found |= {"accumulate": min(self.setting.accumulate, drawn.batch_size), "method": drawn.method}
        found["precision"] = drawn.precision
        if self.setting.quantize != NONE:
            found["quantize"] = self.setting.quantize
        if drawn.length is not None:
            found["length"] = drawn.length
        return found | dict(self.setting.options)

    def to_json(self) -> dict[str, Any]:
        memory = {"runtime": self.machine.runtime, **self.memory}
        return {
            "setting": self.chosen, "fits": self.fits, "memory_bytes": memory, "needed_bytes": self.needed,
            "resident_bytes": self.machine.runtime + self.resident,
            "headroom_bytes": self.machine.headroom, "usable_bytes": self.machine.usable,
            "parameters": self.parameters, "learning_parameters": self.learning,
        }  # fmt: skip


def plan(card: Card, setting: Setting, machine: Machine) -> Plan:
    """Rehearse one setting. Raises UserError for what the model cannot do."""
    wanted = setting.wanted(card)
    drawn: list[Blueprint] = []

    def draw() -> Blueprint:
        with narrowly(setting.quantize):
            drawn.append(blueprint_of(card, wanted))
        narrow(drawn[0].task.network, setting.quantize, device=machine.device)
        return drawn[0]

    ledger = weigh(draw, device=machine.device)
    counts = list(drawn[0].task.network.parameters())
    memory = by_kind(ledger)
    heap = 0
    if setting.command != "run" and machine.heap:
        memory["heap"] = heap = round(machine.heap * (ledger.needed - memory.get("weights", 0)))
    return Plan(
        setting=setting,
        machine=machine,
        memory=memory,
        work=ledger.needed + heap,
        loading=ledger.loaded,
        resident=ledger.resident + heap,
        parameters=sum(value.numel() for value in counts),
        learning=sum(value.numel() for value in counts if value.requires_grad),
        blueprint=drawn[0],
    )


def blueprint_of(card: Card, wanted: Wanted) -> Blueprint:
    """What a model hands to a plan: by the function `blueprint` of a file of that name beside its card, else its
    network and its example batch as they are."""
    kind = card.load_task()
    if (card.folder / "blueprint.py").is_file():
        return card.attribute("blueprint:blueprint")(kind, wanted)
    return plain(kind.load(wanted.checkpoint, settings=wanted.settings), wanted)


def by_kind(ledger: Ledger) -> dict[str, int]:
    """The peak by kind, in the order in which it is told."""
    return {kind: ledger.peak[kind] for kind in KINDS if ledger.peak.get(kind)}


# -- the nearest setting that fits ------------------------------------------------------------------------------------


def nearest(first: Plan, make: Callable[[Setting], Plan]) -> Plan | None:
    """The first setting that fits, of those that change the result least: smaller parts of the same batch, half
    precision, shorter examples, then a method that learns less. None where none does. `make` plans a setting."""
    for bold in _bold(first):
        thinnest = _thinner(bold, first)[-1]
        if not make(thinnest).fits:
            continue
        for setting in _thinner(bold, first):
            if (found := make(setting)).fits:
                return found
    return None


def _thinner(setting: Setting, first: Plan) -> list[Setting]:
    """The same with smaller and smaller batches: `run` takes fewer at a time, a training takes them in parts."""
    size = first.blueprint.batch_size
    halves = [size >> step for step in range(size.bit_length()) if size >> step]
    if setting.command == "run":
        return [replace(setting, batch=half) for half in halves]
    parts = [setting.accumulate << step for step in range(size.bit_length())]
    parts = [count for count in parts if count < size] + [size]
    return [replace(setting, batch=size, accumulate=count) for count in parts]


def _bold(first: Plan) -> Iterator[Setting]:
    """Settings that differ by more and more: precision, recomputed activations, length, method."""
    drawn, setting = first.blueprint, first.setting
    yield setting
    narrower = drawn.precisions[drawn.precisions.index(drawn.precision) + 1 :] if drawn.precision else ()
    for precision in narrower:
        setting = replace(setting, precision=precision)
        yield setting
    if setting.command == "run":
        kinds = (NONE, *NARROW)
        for kind in kinds[kinds.index(setting.quantize) + 1 :]:
            setting = replace(setting, quantize=kind)
            yield setting
    if hasattr(drawn.options, "checkpointing") and not drawn.options.checkpointing:
        setting = replace(setting, options={**setting.options, "checkpointing": True})
        yield setting
    yield from _shorter(setting, drawn.length)
    known = drawn.methods.index(drawn.method) + 1 if drawn.method in drawn.methods else 0
    for method in drawn.methods[known:] if drawn.command != "run" else ():
        setting = replace(setting, method=method)
        yield setting
        yield from _shorter(setting, drawn.length)


def _shorter(setting: Setting, length: int | None) -> Iterator[Setting]:
    for share in (2, 4):
        if length is not None and length // share >= SHORTEST:
            yield replace(setting, length=length // share)
