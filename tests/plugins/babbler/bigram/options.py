"""What `run` and `finetune` may be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from tsuite.core.options import RunOptions as CoreRunOptions
from tsuite.core.options import TrainOptions, option


@dataclass(frozen=True, kw_only=True)
class RunOptions(CoreRunOptions):
    """Options of `tsuite run text.bigram`."""

    length: int = option(5, "letters to write")
    chat: bool = option(False, "talk until an empty line")


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainOptions):
    """Options of `tsuite finetune text.bigram`."""

    order: str = option("forward", "which way the alphabet runs", choices=("forward", "backward"))
