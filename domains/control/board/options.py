"""What `run`, `evaluate` and `finetune` may be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ....core.options import RunOptions as CoreRunOptions
from ....core.options import TrainOptions, option

GAME_NAMES = ("connect-four", "tic-tac-toe")


@dataclass(frozen=True, kw_only=True)
class RunOptions(CoreRunOptions):
    """Options of `tsuite run control.board` and of a loaded model's call."""

    batch: int = option(64, "games side by side")
    game: str = option("connect-four", "which game (examples are of both)", choices=GAME_NAMES)
    first: bool = option(True, "in the terminal, whether you have the first move")
    hints: bool = option(False, "in the terminal, say what the network thinks of your moves")
    search: int = option(0, "moves that are tried and judged by the value before one is made (0 to 2)")
    asked: str = option("best", "what the policy is asked for: its best, or the moves of won games",
                        choices=("best", "win"))  # fmt: skip
    picture: str = option("png", "kind of the pictures", choices=("png", "svg", "none"))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.search <= 2, f"--search takes 0, 1 or 2 moves, not {self.search}.")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(CoreRunOptions):
    """Options of `tsuite evaluate control.board`."""

    batch: int = option(64, "games side by side")
    game: str = option("connect-four", "of files that do not say which game", choices=GAME_NAMES)
    games: int = option(100, "games of Connect Four against each opponent with the first move, and with the second")
    opponents: str = option(
        "random,one-ply,alpha-beta", "players, separated by commas; alpha-beta-6 looks 6 moves ahead"
    )
    ways: str = option("policy,win,search-1,search-2", "how the network plays, separated by commas: policy, win (asked "
                       "for won games), search-1, search-2")  # fmt: skip
    seed: int = option(0, "seed of the opponents' choices")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.games >= 1, f"--games must be at least 1, not {self.games}.")
        self.require_not_negative("seed")


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainOptions):
    """Options of `tsuite finetune control.board`."""

    game: str = option("connect-four", "of files that do not say which game", choices=GAME_NAMES)
    games: int = option(24_000, "games of Connect Four to record, where no --data is given")
    tic_tac_toe: int = option(4_000, "games of tic-tac-toe to record, where no --data is given")
    outcomes: int = option(8, "random games that judge each move of a position that is not solved")
    exact: int = option(24, "stones of Connect Four from which on positions are solved to the end")
    conditioned: float = option(0.15, "share of games learnt as moves that led to their result, rather than best moves")
    batch_size: int = option(32, "games in one optimiser step, over all processes and accumulated parts")
    weight_decay: float = option(0.01, "AdamW's decay of matrices")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_not_negative("games", "tic_tac_toe")
        self.require(self.games + self.tic_tac_toe > 1, "There is nothing to learn from without any games.")
        self.require(self.outcomes >= 2, f"--outcomes must be at least 2, not {self.outcomes}.")
        self.require(12 <= self.exact <= 42, f"--exact lies from 12 to 42 stones, not at {self.exact}.")
        self.require(0 <= self.conditioned <= 1, f"--conditioned is a share, not {self.conditioned}.")
