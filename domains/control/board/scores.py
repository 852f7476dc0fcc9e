"""What comes out of games, and what is said of it: results, the table, Elo.

Axes: A moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....core.task import Example, Result, Summary
from .elo import Rating, ratings
from .games import CONNECT_FOUR, GAMES, TIC_TAC_TOE, Game
from .matches import Played, Way

EVERYTHING = "everything"
"""The opponent that plays every game there is."""


@dataclass(frozen=True, kw_only=True)
class Match(Example):
    """A game to be played: by the network in some way, or by another player where `player` is a name. first: whether it
    has the first move. The opponent EVERYTHING stands for all games that can come about."""

    game: Game
    player: Way | str
    opponent: str
    first: bool
    seed: int = 0

    @property
    def name(self) -> str:
        return self.player if isinstance(self.player, str) else self.player.words


@dataclass(frozen=True, kw_only=True)
class MatchResult(Result):
    """How a game ended for `player`, or games against EVERYTHING: how many so. moves: of a single game, as people write
    them. thought: what the network thought before its last move."""

    game: str
    player: str
    opponent: str
    first: bool
    wins: int
    draws: int
    losses: int
    moves: str = ""
    thought: Advice | None = None

    @classmethod
    def of(cls, match: Match, games: Sequence[Played], thought: Advice | None = None) -> MatchResult:
        count = {name: sum(one.outcome == name for one in games) for name in ("win", "draw", "loss")}
        moves = " ".join(match.game.move_name(move) for move in games[0].moves) if match.opponent != EVERYTHING else ""
        return cls(
            id=match.id, game=match.game.name, player=match.name, opponent=match.opponent, first=match.first,
            wins=count["win"], draws=count["draw"], losses=count["loss"], moves=moves, thought=thought,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        plain = {name: value for name, value in vars(self).items() if name != "thought"}
        return {**plain, **({"before_its_last_move": self.thought.to_json()} if self.thought else {})}


@dataclass(frozen=True, kw_only=True)
class Advice(Result):
    """What the network would do after `moves`: chances of each move, 0 where the rules forbid it; expected: the result
    to be expected of each (-1 to 1) where there was a search; ends: chances of loss, draw and win for the mover."""

    game: str
    moves: tuple[int, ...]
    best: int
    chances: tuple[float, ...]
    expected: tuple[float, ...] | None
    ends: tuple[float, float, float]

    def to_json(self) -> dict[str, Any]:
        game = GAMES[self.game]
        names = [game.move_name(move) for move in range(game.moves)]
        plain = {
            "id": self.id,
            "notices": list(self.notices),
            "game": self.game,
            "moves": " ".join(game.move_name(move) for move in self.moves),
            "best": game.move_name(self.best),
            "chances": dict(zip(names, (round(chance, 4) for chance in self.chances), strict=True)),
            **dict(zip(("loss", "draw", "win"), (round(chance, 4) for chance in self.ends), strict=True)),
        }
        if self.expected is not None:
            allowed = [(name, value) for name, value in zip(names, self.expected, strict=True) if np.isfinite(value)]
            plain["expected"] = {name: round(value, 4) for name, value in allowed}
        return plain


@dataclass(frozen=True, kw_only=True)
class Learnt(Result):
    """How well one recorded game is foreseen: in how many of its positions the likeliest move is a good one (at least
    half as likely as the best), and the game's result the likeliest."""

    positions: int
    good: int
    results: int
    foreseen: int


def summarise(results: Sequence[Any]) -> Summary:
    """Of matches: wins, draws, losses and Elo; of recorded games: shares of good moves and foreseen results."""
    learnt = [one for one in results if isinstance(one, Learnt)]
    matches = [one for one in results if isinstance(one, MatchResult)]
    metrics: dict[str, float] = {}
    if learnt:
        metrics["good_moves"] = sum(one.good for one in learnt) / max(1, sum(one.positions for one in learnt))
        metrics["foreseen"] = sum(one.foreseen for one in learnt) / max(1, sum(one.results for one in learnt))
    exhaustive = [one for one in matches if one.opponent == EVERYTHING]
    if exhaustive:
        metrics["tic_tac_toe_games"] = sum(one.wins + one.draws + one.losses for one in exhaustive)
        metrics["tic_tac_toe_losses"] = sum(one.losses for one in exhaustive)
    rated = [one for one in matches if one.game == CONNECT_FOUR.name]
    for (player, opponent), (wins, draws, losses) in totals(rated).items():
        if player not in NAMES_OF_OTHERS:
            share = (wins + draws / 2) / (wins + draws + losses)
            metrics[f"{player} against {opponent}".replace(" ", "_").replace("-", "_")] = share
    points = rating_of(rated)
    metrics |= {f"elo_{name}".replace(" ", "_").replace("-", "_"): round(one.elo, 1) for name, one in points.items()}
    details = {
        "matches": [_line(one) for one in together(matches)],
        "elo": {name: one._asdict() for name, one in points.items()},
    }
    return Summary(metrics=metrics, details=details if matches else {})


NAMES_OF_OTHERS = ("random", "one-ply", "alpha-beta")


def totals(matches: Iterable[MatchResult]) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Wins, draws and losses of each pair of players."""
    found: dict[tuple[str, str], tuple[int, int, int]] = {}
    for one in matches:
        wins, draws, losses = found.get((one.player, one.opponent), (0, 0, 0))
        found[one.player, one.opponent] = (wins + one.wins, draws + one.draws, losses + one.losses)
    return found


def rating_of(matches: Sequence[MatchResult]) -> dict[str, Rating]:
    """Elo of everyone in these matches, where random play has 0; empty where nobody met it."""
    pairs = totals(matches)
    if not any("random" in pair for pair in pairs):
        return {}
    try:
        return ratings(pairs, zero="random")
    except ValueError:  # players that nothing connects
        return {}


@dataclass
class Row:
    """A pair of players over all their games: results with the first move and with the second."""

    game: str
    player: str
    opponent: str
    sides: dict[bool, list[int]] = field(default_factory=lambda: {True: [0, 0, 0], False: [0, 0, 0]})

    @property
    def share(self) -> float:
        wins, draws, losses = np.sum(list(self.sides.values()), axis=0)
        return float((wins + draws / 2) / max(1, wins + draws + losses))


def together(matches: Iterable[MatchResult]) -> list[Row]:
    """One row for each game and pair."""
    rows: dict[tuple[str, str, str], Row] = {}
    for one in matches:
        row = rows.setdefault((one.game, one.player, one.opponent), Row(one.game, one.player, one.opponent))
        for place, count in enumerate((one.wins, one.draws, one.losses)):
            row.sides[one.first][place] += count
    return list(rows.values())


def _line(row: Row) -> dict[str, Any]:
    names = ("wins", "draws", "losses")
    sides = {"first": dict(zip(names, row.sides[True], strict=True)),
             "second": dict(zip(names, row.sides[False], strict=True))}  # fmt: skip
    return {"game": row.game, "player": row.player, "opponent": row.opponent, **sides, "share": row.share}


def table(results: Sequence[Any]) -> Any:
    """Matches with wins, draws and losses by who began, and Elo; advice move by move; shares of recorded games."""
    from rich.console import Group
    from rich.table import Table

    parts: list[Any] = []
    matches = [one for one in results if isinstance(one, MatchResult)]
    for game in dict.fromkeys(one.game for one in matches):
        shown = Table(title=f"{game}: wins / draws / losses", title_justify="left", header_style="bold")
        for column in ("player", "against"):
            shown.add_column(column)
        for column in ("moving first", "moving second", "points"):
            shown.add_column(column, justify="right", no_wrap=True)
        for row in together([one for one in matches if one.game == game]):
            sides = [" / ".join(map(str, row.sides[first])) if sum(row.sides[first]) else "" for first in (True, False)]
            shown.add_row(row.player, row.opponent, *sides, f"{row.share:.1%}")
        parts.append(shown)
    if points := rating_of([one for one in matches if one.game == CONNECT_FOUR.name]):
        shown = Table(title="Connect Four, Elo (random 0)", title_justify="left", header_style="bold")
        shown.add_column("player")
        shown.add_column("Elo", justify="right")
        shown.add_column("95 % confidence", justify="right")
        for name, one in sorted(points.items(), key=lambda item: -item[1].elo):
            shown.add_row(name, f"{one.elo:.0f}", "" if name == "random" else f"{one.low:.0f} to {one.high:.0f}")
        parts.append(shown)
    parts += [_advice(one) for one in results if isinstance(one, Advice)]
    if learnt := [one for one in results if isinstance(one, Learnt)]:
        shares = summarise(learnt).metrics
        parts.append(
            f"{len(learnt):,} games: good moves {shares['good_moves']:.1%}, results foreseen {shares['foreseen']:.1%}"
        )
    return Group(*parts)


def _advice(one: Advice) -> Any:
    from rich.table import Table

    game = GAMES[one.game]
    loss, draw, win = one.ends
    title = f"{one.id}: for the mover, win {win:.0%}, draw {draw:.0%}, loss {loss:.0%}"
    shown = Table(title=title, title_justify="left", header_style="bold")
    shown.add_column("column" if game.drops else "cell", justify="right")
    shown.add_column("chance", justify="right")
    if one.expected is not None:
        shown.add_column("expected", justify="right")
    for move in np.argsort(one.chances)[::-1]:
        if one.chances[move] > 0:
            expected = [] if one.expected is None else [f"{one.expected[move]:+.2f}"]
            shown.add_row(game.move_name(int(move)), f"{one.chances[move]:.1%}", *expected)
    return shown


def every_game(way: Way) -> list[Match]:
    """Tic-tac-toe against everything, with the first move and the second."""
    name = f"{TIC_TAC_TOE.name}, every game"
    return [
        Match(
            id=f"{name}, {'first' if first else 'second'}",
            game=TIC_TAC_TOE,
            player=way,
            opponent=EVERYTHING,
            first=first,
        )
        for first in (True, False)
    ]
