"""What `run`, `evaluate` and `finetune` may be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ....core.errors import UserError
from ....core.options import RunOptions as CoreRunOptions
from ....core.options import TrainOptions, option

FRESH = 1_000_000
"""Seed of the first episode that is played to show or to score; recordings begin at 0."""
VALIDATION = 500_000
"""Seed of the first episode that is played to choose by."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(CoreRunOptions):
    """Options of `tsuite run control.decision_transformer` and of a loaded policy's call."""

    batch: int = option(1, "episodes side by side (steps of recorded episodes in one forward pass)")
    env: str = option("", "play in this environment instead: a gymnasium id, or module:id for one of your own")
    episodes: int = option(5, "episodes to play for each return that is asked")
    returns: str = option("", "returns to ask for, separated by commas (nothing: the one chosen in training)")
    seed: int = option(FRESH, "seed of the first episode; each further one counts on from it")
    temperature: float = option(0.0, "of choices: 0 takes the likeliest, 1 draws them as the network gives them")
    execute: int = option(1, "actions of a chunk that are carried out before the network looks again")
    weight: float = option(2.0, "on maps: of what the network says in A* (more: fewer cells looked at, longer paths)")
    film: bool = option(True, "save the first episode as a film (GIF, and MP4 where ffmpeg is installed)")
    safe: bool = option(
        False, "guard actions: hold the last good one for one that is not finite, flag what is unlike the data"
    )
    rate_limit: float = option(0.0, "with --safe: most that a number of an action may change in a step (0: unlimited)")
    hz: float = option(
        0.0, "hold this control rate, steps a second, and say when it was missed (0: as fast as it goes)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_not_negative("episodes", "seed", "temperature", "rate_limit", "hz")
        self.require(self.weight >= 1, f"--weight must be at least 1, not {self.weight:g}.")
        self.require(self.execute >= 1, f"--execute must be at least 1, not {self.execute}.")
        self.require(self.safe or not self.rate_limit, "--rate-limit is part of --safe.")
        self.require(not self.hz or self.batch == 1, "--hz is for one machine: leave --batch at 1.")
        _ = self.asked

    @property
    def asked(self) -> tuple[float, ...]:
        """The returns to ask for. Raises UserError for one that is no number."""
        return numbers(self.returns, "--returns")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(RunOptions):
    """Options of `tsuite evaluate control.decision_transformer`."""

    batch: int = option(20, "episodes side by side (steps of recorded episodes in one forward pass)")
    episodes: int = option(100, "episodes to play for each return that is asked (0: score held-out actions instead)")
    returns: str = option("", "returns to ask for, separated by commas (nothing: from the data's least to its most)")
    film: bool = option(False, "save the first episode as a film")


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainOptions):
    """Options of `tsuite finetune control.decision_transformer`."""

    env: str = option("", "environment to play in, where the data name none or one of your own (module:id)")
    condition: str = option("return", "what the policy is told (none: cloning)", choices=("return", "none"))
    top: float = option(0.0, "learn from the episodes of highest return alone, this share of all steps (0: from all)")
    context: int = option(0, "steps that the policy looks back on (0: what suits)")
    chunk: int = option(1, "actions that it says ahead at each step")
    return_scale: float = option(0.0, "what returns are divided by (0: what suits)")
    value: bool = option(False, "let it also say what return is to come (for planning)")
    episodes: int = option(20, "episodes of validation seeds for each return among which the best is chosen (0: none)")
    baselines: bool = option(False, "also train cloning and 10 % cloning on the same data, and keep their scores")
    weight_decay: float = option(1e-4, "AdamW's decay of matrices")
    clip: float = option(0.25, "largest norm of the gradient (0: not clipped)")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_not_negative("context", "return_scale", "episodes")
        self.require(self.chunk >= 1, f"--chunk must be at least 1, not {self.chunk}.")
        self.require(0 <= self.top < 1, f"--top is a share from 0 to 1, not {self.top}.")


def numbers(text: str, what: str) -> tuple[float, ...]:
    """`50,200,500` as numbers. Raises UserError for what is none."""
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UserError(f"{what} takes numbers separated by commas, not {text!r}.", "For example: 50,200,500") from None
