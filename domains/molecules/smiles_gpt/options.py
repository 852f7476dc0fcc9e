"""What `run`, `evaluate` and `finetune` may be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ....core.options import RunOptions as CoreRunOptions
from ....core.options import TrainOptions, flag, option
from .config import SHAPES

SUITES = ("", "moses", "guacamol")
GUIDANCE = 1.5


@dataclass(frozen=True, kw_only=True)
class RunOptions(CoreRunOptions):
    """Options of `tsuite run molecules.smiles_gpt` and of a loaded model's call."""

    n: int = option(1000, "molecules to draw")
    batch: int = option(256, "molecules that are drawn together")
    temperature: float = option(1.0, "1 draws from what was learnt, less is more alike, 0 takes the likeliest token")
    top_k: int = option(0, "draw from the k likeliest tokens (0: all)")
    top_p: float = option(1.0, "draw from the likeliest tokens that hold this share of the probability")
    seed: int = option(0, "seed of what is drawn (the same for the same --batch)")
    show: int = option(20, "molecules in the table and in the picture, the best by QED")
    picture: str = option("png", "kind of the picture of the best", choices=("png", "svg", "none"))
    workers: int = option(0, "processes that compute properties (0: one for each core)")
    # predicting a property (a checkpoint of finetune --target)
    spellings: int = option(8, "ways to write each molecule over which what is predicted of it is averaged")
    # what molecules should be like
    logp: str = option("", "logP to aim at: a number, or a range 2..3, ..3, 2.. (so for each property)")
    qed: str = option("", "QED to aim at, 0 to 1")
    sa: str = option("", "SA score to aim at, 1 (easy to make) to 10")
    tpsa: str = option("", "polar surface to aim at, in Å²")
    weight: str = option("", "molar mass to aim at, in g/mol")
    guidance: float = option(GUIDANCE, "how much properties that are asked for count (1: as they were learnt)")
    scaffold: str = option("", "SMILES with attachment points (*), such as 'c1ccc(*)cc1': grow at them alone")
    similar_to: str = option("", "SMILES of a molecule: draw others like it")
    compared: int = option(50_000, "training molecules in which what was asked for is looked up to compare (0: none)")
    # towards a goal
    optimise: str = option("", "learn to draw what scores: qed,logp:2..3,sa*2,guacamol:osimertinib,similar:SMILES,…")
    oracle_calls: int = option(4000, "with --optimise: distinct molecules that are scored")
    agent_batch: int = option(32, "with --optimise: molecules in one step of learning")
    agent_lr: float = option(1e-3, "with --optimise: Adam's learning rate")
    sigma: float = option(128.0, "with --optimise: how much a score counts against staying as it was, in nats")
    per_scaffold: int = option(25, "with --optimise: molecules of one scaffold that pay, each once (0: all, each time)")
    above: float = option(0.9, "with --optimise: score from which on molecules are counted as good")
    screening: bool = option(True, "with --optimise: score as many random training molecules beside")
    save_agent: str = option("", "with --optimise: folder that keeps what learnt, as a checkpoint")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.spellings >= 1, f"--spellings must be at least 1, not {self.spellings}.")
        self.require(self.n >= 1, f"--n must be at least 1, not {self.n}.")
        self.require(self.temperature >= 0, f"--temperature cannot be below 0, as {self.temperature} is.")
        self.require(0 < self.top_p <= 1, f"--top-p is a share above 0, up to 1, not {self.top_p}.")
        self.require_not_negative("top_k", "show", "workers", "guidance", "compared")
        self.require(
            not (self.scaffold and self.similar_to),
            "--scaffold and --similar-to do not go together: give the one to grow from, or the one to be like.",
        )
        guided = any(getattr(self, name) for name in ("logp", "qed", "sa", "tpsa", "weight"))
        said = "--guidance is for properties that are asked for, such as --qed 0.9; none is."
        self.require(guided or self.guidance == GUIDANCE, said)
        self._check_optimisation()

    def _check_optimisation(self) -> None:
        """UserError for what an optimisation cannot be told, before a model is loaded."""
        self.require_not_negative("oracle_calls", "per_scaffold")
        for name in ("agent_batch", "agent_lr", "sigma"):
            self.require(getattr(self, name) > 0, f"{flag(name)} must be above 0, not {getattr(self, name)}.")
        self.require(0 <= self.above <= 1, f"--above is a score from 0 to 1, not {self.above}.")
        if not self.optimise:
            self.require(not self.save_agent, "--save-agent keeps what --optimise learnt; nothing is to be optimised.")
            return
        from .optimising.oracles import parse_goals

        parse_goals(self.optimise)
        self.require(self.n == type(self)().n, "--n is for drawing freely; --optimise goes by --oracle-calls.")
        self.require(self.oracle_calls >= 1, f"--oracle-calls must be at least 1, not {self.oracle_calls}.")
        plain = self.temperature == 1 and not self.top_k and self.top_p == 1
        self.require(plain, "--optimise draws at temperature 1 from all tokens: leave out how to draw.")
        told = [name for name in ("logp", "qed", "sa", "tpsa", "weight") if getattr(self, name)]
        inside = [self.optimise, *(f"{name}:{getattr(self, name)}" for name in told)]
        inside += [f"similar:{self.similar_to}"] * bool(self.similar_to)
        inside += ["substructure:SMARTS"] * bool(self.scaffold)
        self.require(len(inside) == 1, f"What is optimised is all said in --optimise, such as {','.join(inside)}.")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(RunOptions):
    """Options of `tsuite evaluate molecules.smiles_gpt`."""

    n: int = option(10_000, "molecules to draw")
    suite: str = option("", "a benchmark's metrics beside the published ones", choices=SUITES)
    oracle_calls: int = option(0, "with --suite guacamol: calls with which each goal is optimised (0: it is not)")
    held_out: int = option(10_000, "held-out molecules whose likelihood is measured, at most")

    def __post_init__(self) -> None:
        for name in ("scaffold", "similar_to"):
            self.require(
                not getattr(self, name), f"{flag(name)} is for tsuite run: the scores here are of free drawing."
            )
        self.require(not self.optimise, "--optimise is for tsuite run; here: --suite guacamol --oracle-calls 4000.")
        super().__post_init__()
        asked = not self.oracle_calls or self.suite == "guacamol"
        self.require(asked, "--oracle-calls is for the goals of --suite guacamol.")
        self.require(self.held_out >= 1, f"--held-out must be at least 1, not {self.held_out}.")


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainOptions):
    """Options of `tsuite finetune molecules.smiles_gpt`."""

    size: str = option("", "of the network (nothing: what suits the number of molecules)", choices=("", *SHAPES))
    column: str = option("", "column of the SMILES in a csv (nothing: recognised)")
    split: Literal["", "fixed", "hash", "scaffold"] = option(
        "",
        "how test and validation parts are taken (nothing: scaffold with --target, else fixed, where none are by hash)",
        choices=("", "fixed", "hash", "scaffold"),
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
    patience: int = option(8, "validations without a better score before stopping early (0: never)")
    half: bool = option(False, "keep the weights in half precision: half the size, but rounded to three digits")
    # predicting a property
    target: str = option("", "learn to predict this column (or several, by commas) instead of to draw molecules")
    unit: str = option("", "with --target: its unit, for tables and pictures (nothing: that of the data set)")
    augment: bool = option(True, "with --target: spell each molecule another way each time it is learnt from")
    described: bool = option(True, "with --target: logP, QED, SA, TPSA and weight are told beside the SMILES")
    dropout: float = option(0.1, "with --target: share of what is dropped out while it learns")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_not_negative("molecules", "measured", "random", "length")
        self.require(0 <= self.dropout < 1, f"--dropout is a share from 0 to 1, not {self.dropout}.")
        for name, without in (("unit", ""), ("augment", True), ("described", True), ("dropout", 0.1)):
            self.require(bool(self.target) or getattr(self, name) == without, f"--{name} belongs to --target.")

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of what is to be predicted."""
        return tuple(dict.fromkeys(name.strip() for name in self.target.split(",") if name.strip()))

    @property
    def told(self) -> tuple[str, ...]:
        """The names of the conditions."""
        names = [name.strip().lower() for name in self.conditions.split(",")]
        return tuple(name for name in names if name and name != "none")
