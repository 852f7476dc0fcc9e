"""What `plan` rehearses: a player of board games from its configuration alone, playing or learning."""

from __future__ import annotations

from typing import Any

from ....core.options import override, split_settings
from ....core.plan.blueprint import Blueprint, Wanted, method_of, plain, unsized
from ....core.task import Origin
from ....core.weights import without_weights
from .config import BoardConfig
from .model import MoveModel


def blueprint(cls: Any, wanted: Wanted) -> Blueprint:
    """The work of `run` or `finetune` on a network without weights."""
    if wanted.command == "finetune" and wanted.checkpoint in (None, "none", "scratch"):
        shape = split_settings(wanted.settings, BoardConfig(), wanted.options)[0]
        with without_weights():
            network = MoveModel(override(BoardConfig(), shape))
        task = cls(network, Origin())
    else:
        task = cls.load(wanted.checkpoint, settings=wanted.settings)
    said = unsized(wanted, "a game has as many moves as its board has cells")
    method, unknown = method_of(wanted, ("full",))
    return plain(task, wanted, method=method, notices=(*said, *unknown))
