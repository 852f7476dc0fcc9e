"""What `plan` rehearses: a Decision Transformer from its configuration alone, acting or learning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ....core.options import override, split_settings
from ....core.plan.blueprint import Blueprint, Wanted, length_of, method_of, plain
from ....core.weights import without_weights
from .model import DecisionTransformer
from .sizes import LONGEST


def blueprint(cls: Any, wanted: Wanted) -> Blueprint:
    """The work of `run` or `finetune` on a network without weights; states and actions as of the default data."""
    fresh = wanted.command == "finetune" and wanted.checkpoint in (None, "none", "scratch")
    task = cls.load(None if fresh else wanted.checkpoint, settings={} if fresh else wanted.settings)
    config, said = task.network.config, ()
    if fresh:
        options = wanted.options
        shape = split_settings(wanted.settings, config, options)[0]
        usual = options.context or int(shape.get("context", 0)) or config.context
        context, said = length_of(wanted, usual=usual, longest=LONGEST, unit="steps")
        facts = {"condition": options.condition, "chunk": options.chunk, "value": options.value}
        config = replace(config, context=context, max_steps=max(context, config.max_steps), **facts)
        config = override(config, {name: value for name, value in shape.items() if name != "context"})
        with without_weights():
            network = DecisionTransformer(config)
        task = cls(network.to("meta"), task.around, task.origin)
        told = f"states and actions like those of {cls.card.data} are assumed ({config.observation.words()})"
        said = (told, *said)
    elif wanted.length and wanted.length != config.context:
        said = (f"--length {wanted.length}: this checkpoint looks back on {config.context} steps, which are planned",)
    method, unknown = method_of(wanted, ("full",))
    return plain(
        task, wanted, length=config.context, longest=LONGEST if fresh else config.context, unit="steps",
        method=method, notices=(*said, *unknown),
    )  # fmt: skip
