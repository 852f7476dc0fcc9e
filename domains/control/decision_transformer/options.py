"""What `run`, `evaluate` and `finetune` may be told. Imports no torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ....core.errors import UserError
from ....core.options import RunOptions as CoreRunOptions
from ....core.options import TrainOptions, flag, option

FRESH = 1_000_000
"""Seed of the first episode that is played to show or to score; recordings begin at 0."""
VALIDATION = 500_000
"""Seed of the first episode that is played to choose by."""


@dataclass(frozen=True, kw_only=True)
class RunOptions(CoreRunOptions):
    """Options of `tsuite run control.decision_transformer` and of a loaded policy's call."""

    batch: int = option(1, "episodes side by side (steps of recorded episodes in one forward pass)")
    env: str = option("", "play in this environment instead: a gymnasium id, or module:id for one of your own")
    env_options: str = option("", "with --env: what it is made with, option=value separated by commas")
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

    fewest: ClassVar[int] = 1
    """Episodes that have to be asked for."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_not_negative("episodes", "seed", "temperature", "rate_limit", "hz")
        self.require(self.episodes >= self.fewest, f"--episodes must be at least {self.fewest}, not {self.episodes}.")
        self.require(self.weight >= 1, f"--weight must be at least 1, not {self.weight:g}.")
        self.require(self.execute >= 1, f"--execute must be at least 1, not {self.execute}.")
        self.require(bool(self.env) or not self.env_options, "--env-options is part of --env.")
        self.require(self.safe or not self.rate_limit, "--rate-limit is part of --safe.")
        self.require(not self.hz or self.batch == 1, "--hz is for one machine: leave --batch at 1.")
        _ = self.asked

    @property
    def asked(self) -> tuple[float, ...]:
        """The returns to ask for. Raises UserError for one that is no finite number."""
        return numbers(self.returns, "--returns")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(RunOptions):
    """Options of `tsuite evaluate control.decision_transformer`."""

    batch: int = option(20, "episodes side by side (steps of recorded episodes in one forward pass)")
    episodes: int = option(100, "episodes to play for each return that is asked (0: score held-out actions instead)")
    returns: str = option("", "returns to ask for, separated by commas (nothing: from the data's least to its most)")
    film: bool = option(False, "save the first episode as a film")
    fewest: ClassVar[int] = 0


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainOptions):
    """Options of `tsuite finetune control.decision_transformer`."""

    env: str = option("", "environment to play in, where the data name none or one of your own (module:id)")
    env_options: str = option("", "with --env: what it is made with, option=value separated by commas")
    condition: str = option("return", "what the policy is told (none: cloning)", choices=("return", "none"))
    top: float = option(0.0, "learn from the episodes of highest return alone, this share of all steps (0: from all)")
    context: int = option(0, "steps that it looks back on, at most those of the longest episode (0: what suits)")
    chunk: int = option(1, "actions that it says ahead at each step")
    return_scale: float = option(0.0, "what returns are divided by (0: what suits)")
    value: bool = option(False, "let it also say what return is to come (for planning)")
    episodes: int = option(20, "episodes of validation seeds for each return among which the best is chosen (0: none "
                           "is played, and at last held-out actions are scored)")  # fmt: skip
    baselines: bool = option(False, "also train cloning and 10 % cloning on the same data, and keep their scores")
    weight_decay: float = option(1e-4, "AdamW's decay of matrices")
    clip: float = option(0.25, "largest norm of the gradient (0: not clipped)")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_not_negative("context", "return_scale", "episodes")
        self.require(self.chunk >= 1, f"--chunk must be at least 1, not {self.chunk}.")
        self.require(0 <= self.top < 1, f"--top is a share from 0 to 1, not {self.top}.")
        self.require(self.episodes > 0 or not self.baselines, "--baselines play episodes, and --episodes 0 plays none.")


def numbers(text: str, what: str) -> tuple[float, ...]:
    """`50,200,500` as numbers. Raises UserError for what is none, or not finite."""
    try:
        found = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        found = (math.nan,)
    if not all(map(math.isfinite, found)):
        raise UserError(f"{what} takes finite numbers separated by commas, not {text!r}.", "For example: 50,200,500")
    return found


# -- options that would do nothing ------------------------------------------------------------------------------------

STEPWISE = ("returns", "temperature", "execute", "safe", "rate_limit", "hz")
"""What is for episodes that are played step by step."""


def refuse(options: Any, names: Sequence[str], why: str) -> None:
    """Raise UserError for the first of these options that somebody has given; `why` says why it would do nothing."""
    for item in dataclasses.fields(options):
        if item.name in names and getattr(options, item.name) != item.default:
            raise UserError(f"{flag(item.name)} does nothing here: {why}.", "Leave it out.")


def when_playing(options: RunOptions, *, conditioned: bool, choices: bool) -> None:
    """Raise UserError for options without effect where episodes are played by a policy that is told a return or not,
    whose actions are choices or numbers."""
    refuse(options, ("weight",), "it is for maps, on which paths are planned")
    if not conditioned:
        refuse(options, ("returns",), "this policy has learnt by cloning, and is told no return")
    if not choices:
        refuse(options, ("temperature",), "it is for drawing among choices, and these actions are numbers")


def when_planning(options: RunOptions) -> None:
    """The same where paths on maps are planned."""
    refuse(options, STEPWISE, "on a map the whole path is planned at once, towards the goal and no return")


def when_reading(options: RunOptions, because: str = "") -> None:
    """The same where recorded episodes are looked at; `because`: why nothing is played."""
    why = f"the actions of recorded episodes are looked at, and nothing is played{because and f' ({because})'}"
    refuse(options, ("env", "seed", "weight", *STEPWISE), why)
    if options.episodes:
        refuse(options, ("episodes",), why)
