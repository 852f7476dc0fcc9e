"""What `run`, `evaluate` and `finetune` may be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ....core.options import RunOptions as CoreRunOptions
from ....core.options import TrainOptions, option

SIZES = ("small", "base", "molgpt")
SUITES = ("", "moses", "guacamol")


@dataclass(frozen=True, kw_only=True)
class RunOptions(CoreRunOptions):
    """Options of `tsuite run molecules.smiles_gpt` and of a loaded model's call."""

    n: int = option(1000, "molecules to draw")
    batch: int = option(256, "molecules that are drawn together")
    temperature: float = option(1.0, "1 draws from what was learnt, less is more alike, 0 takes the likeliest token")
    top_k: int = option(0, "draw from the k likeliest tokens (0: all)")
    top_p: float = option(1.0, "draw from the likeliest tokens that hold this share of the probability")
    seed: int = option(0, "seed of what is drawn")
    show: int = option(20, "molecules in the table and in the picture, the best by QED")
    picture: str = option("png", "kind of the picture of the best", choices=("png", "svg", "none"))
    workers: int = option(0, "processes that compute properties (0: one for each core)")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.n >= 1, f"--n must be at least 1, not {self.n}.")
        self.require(self.temperature >= 0, f"--temperature cannot be below 0, as {self.temperature} is.")
        self.require(0 < self.top_p <= 1, f"--top-p is a share above 0, up to 1, not {self.top_p}.")
        self.require_not_negative("top_k", "show", "workers")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(RunOptions):
    """Options of `tsuite evaluate molecules.smiles_gpt`."""

    n: int = option(10_000, "molecules to draw")
    suite: str = option("", "a benchmark's metrics beside the published ones", choices=SUITES)
    held_out: int = option(10_000, "held-out molecules whose likelihood is measured, at most")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.held_out >= 1, f"--held-out must be at least 1, not {self.held_out}.")


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainOptions):
    """Options of `tsuite finetune molecules.smiles_gpt`."""

    size: str = option("", "of the network (nothing: what suits the number of molecules)", choices=("", *SIZES))
    column: str = option("", "column of the SMILES in a csv (nothing: recognised)")
    split: Literal["fixed", "hash", "scaffold"] = option(
        "fixed", "how test and validation parts are taken, where none are fixed", choices=("fixed", "hash", "scaffold")
    )
    molecules: int = option(0, "learn from at most so many, taken at random (0: all)")
    conditions: str = option(
        "logp,qed,sa,tpsa,weight", "properties that the model can be told, separated by commas (none: it takes none)"
    )
    measured: int = option(200_000, "molecules whose properties are computed for that, at most")
    notation: Literal["smiles", "selfies"] = option(
        "smiles", "how molecules are written", choices=("smiles", "selfies")
    )
    random: int = option(0, "so many random spellings of each molecule instead of the canonical one (0: that)")
    length: int = option(0, "tokens of the longest molecule, begin and end included (0: of all but outliers)")
    batch_size: int = option(32, "molecules in one optimiser step, over all processes and accumulated parts")
    weight_decay: float = option(0.05, "AdamW's decay of matrices")
    warmup: float = option(0.02, "share of all steps over which the learning rate rises from zero")
    patience: int = option(3, "validations without a better score before stopping early (0: never)")
    half: bool = option(False, "keep the weights in half precision: half the size, but rounded to three digits")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_not_negative("molecules", "measured", "random", "length")

    @property
    def told(self) -> tuple[str, ...]:
        """The names of the conditions."""
        names = [name.strip().lower() for name in self.conditions.split(",")]
        return tuple(name for name in names if name and name != "none")
