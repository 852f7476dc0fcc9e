"""The player as a task: games to learn from, positions to advise on, matches to play."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from ....core import checkpoint as checkpoints
from ....core import pretrained
from ....core.errors import UserError
from ....core.export.graph import Graph
from ....core.options import build
from ....core.task import Batch, Example, Failure, Origin, Prepared, Split, Summary, Task, Tick
from ....core.weights import load_into, without_weights
from . import exported, scores
from .batches import MoveBatch, batch_of, losses, positions
from .config import BoardConfig
from .data import GameExample, is_file, parts_of, read_begun, read_games, read_moves
from .games import CONNECT_FOUR, TIC_TAC_TOE, Game, game_called
from .matches import Played, Way, play, play_against, play_everything
from .model import MoveModel, Said
from .options import EvaluateOptions, FinetuneOptions, RunOptions
from .players import player_called
from .playing import Seat, Thought
from .scores import EVERYTHING, Advice, Learnt, Match, MatchResult

REFERENCES = (("one-ply", "random"), ("alpha-beta", "random"), ("alpha-beta", "one-ply"))
"""Matches between others, so that their ratings do not hang on the network alone."""


@dataclass(frozen=True, kw_only=True)
class Position(Example):
    """A game so far, to be advised on."""

    game: Game
    moves: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Boards(Batch):
    """What is played rather than passed through the network once: positions, or matches."""

    examples: tuple[Position | Match, ...]


class BoardTask(Task):
    """A network that plays, with what it takes to measure it."""

    run_options = RunOptions
    evaluate_options = EvaluateOptions
    train_options = FinetuneOptions
    monitor = ("loss", "min")
    unit = "games"
    network: MoveModel

    def __init__(self, network: MoveModel, origin: Origin) -> None:
        self.network, self.origin = network, origin
        self.conditioned = 0.0  # share of training games that show what led to their result; only a training sets it

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, checkpoint: str | None = None, *, settings: Mapping[str, Any] | None = None) -> BoardTask:
        if settings:
            raise UserError(f"A trained player's {next(iter(settings))} cannot be set.", "Train another one.")
        located = pretrained.locate(cls.card, checkpoint)
        saved, tensors = pretrained.read_ours(located, cls.card)
        try:
            config = build(BoardConfig, saved["config"])
        except (KeyError, TypeError) as error:
            raise UserError(f"The config of {located.source} is incomplete: {error}.") from None
        with without_weights():
            network = MoveModel(config)
        load_into(network, {name: value.float() for name, value in tensors.items()}, source=located.source)
        return cls(network.eval(), pretrained.origin_of(located, network))

    @classmethod
    def for_training(
        cls, options: FinetuneOptions, *, data: str | None, checkpoint: str | None, settings: Mapping[str, Any]
    ) -> Prepared:
        from .training import prepare

        return prepare(cls, options, data=data or cls.card.data, checkpoint=checkpoint, settings=settings)

    def save(self, folder: Path) -> None:
        tensors = checkpoints.halved(self.network.state_dict())
        pretrained.save_ours(folder, self.card, tensors, {"config": asdict(self.network.config)})

    # -- Source -> Example -> Batch -> Output -> Result -> Artifact -----------------------------------------------

    def read(self, inputs: Sequence[Any], options: RunOptions) -> list[Position]:
        """Games so far, as moves ("4 4 3") or as files of them, one game a line; the options say of which game."""
        game, found = game_called(options.game), []
        for given in map(str, inputs):
            if is_file(given):
                begun = read_begun(given, game)
                found += [Position(id=where, game=own, moves=moves) for where, own, moves in begun]
                continue
            try:
                moves = read_moves(game, given)
                game.result(moves)
            except UserError as error:
                raise UserError(f"{given}: {error.what.rstrip('.')}.", error.hint) from None
            found.append(Position(id=given or "the empty board", game=game, moves=tuple(moves)))
        return found

    def held_out(self, data: str | None = None) -> Split:
        return self.to_score(data, EvaluateOptions())

    def to_score(self, data: str | None, options: EvaluateOptions) -> Split:
        if data not in (None, self.card.data):
            found, sha256 = read_games(str(data), game_called(options.game))
            return parts_of(Path(str(data)).name, found, sha256).held_out()
        ways = [_way(word.strip()) for word in options.ways.split(",")]
        opponents = [word.strip() for word in options.opponents.split(",")]
        for name in opponents:
            player_called(name)
        made = [match for way in ways if not way.search for match in scores.every_game(way)]
        pairs: list[tuple[Way | str, str]] = [(way, name) for way in ways for name in opponents]
        pairs += [pair for pair in REFERENCES if set(pair) <= {*opponents, "random"}]
        made += [one for pair in pairs for one in _series(CONNECT_FOUR, *pair, options.games, options.seed)]
        return Split(name="matches", part="test", examples=made)

    def sample(self, data: str | None = None) -> Split:
        """A few games of both kinds, and tic-tac-toe against everything."""
        made = scores.every_game(Way())
        for game, opponent in ((CONNECT_FOUR, "one-ply"), (CONNECT_FOUR, "alpha-beta"), (TIC_TAC_TOE, "random")):
            made += _series(game, Way(), opponent, 1, 0)
        return Split(name="matches", part="examples", examples=made)

    def preprocess(self, examples: Sequence[Any], *, training: bool = False) -> MoveBatch | Boards:
        for one in examples:
            if isinstance(one, Position) and one.game.result(one.moves) is not None:
                raise UserError(f"{one.id}: the game is over, there is nothing to advise.")
        if not isinstance(examples[0], GameExample):
            return Boards(examples=tuple(examples))
        told = self.network.config.told
        return batch_of(examples, told, training=training, conditioned=self.conditioned)

    def infer(
        self,
        examples: Sequence[Any],
        options: RunOptions | EvaluateOptions,
        *,
        failures: list[Failure] | None = None,
        tick: Tick = lambda done, total: None,
    ) -> Iterator[Any]:
        """As every task's; games of one pairing are played side by side."""
        start = 0
        for _, group in groupby(examples, key=_pairing):
            part = list(group)
            done = lambda now, _, before=start: tick(before + now, len(examples))  # noqa: E731
            yield from super().infer(part, options, failures=failures, tick=done)
            start += len(part)

    def predict(self, batch: MoveBatch | Boards, options: RunOptions | EvaluateOptions) -> Any:
        """What the network says of games; for positions what it thinks; for matches the games that were played."""
        if isinstance(batch, MoveBatch):
            return self.network(batch.tokens, batch.planes), batch
        if isinstance(options, RunOptions) and isinstance(batch.examples[0], Position):
            return [self.think(one, options) for one in batch.examples if isinstance(one, Position)]
        return self._played([_meant(one, options) for one in batch.examples if isinstance(one, Match)])

    def think(self, position: Position, options: RunOptions) -> Thought:
        """What to do in one position."""
        way = Way(options.asked, options.search)
        first = len(position.moves) % 2 == 0
        seat = Seat(self.network, position.game, 1, asked=way.token(first))
        for move in position.moves:
            seat.put(np.array([move]))
        return seat.think(options.search)

    def _played(self, matches: list[Match]) -> list[list[Played]]:
        one = matches[0]
        if one.opponent == EVERYTHING:
            assert isinstance(one.player, Way)
            return [
                play_everything(self.network, match.game, first=match.first, asked=one.player.asked)
                for match in matches
            ]
        opponent, seeds = player_called(one.opponent), [match.seed for match in matches]
        if isinstance(one.player, str):
            games = play_against(one.game, player_called(one.player), opponent, first=one.first, seeds=seeds)
        else:
            games = play(self.network, one.game, opponent, first=one.first, seeds=seeds, way=one.player)
        return [[game] for game in games]

    def postprocess(self, output: Any, examples: Sequence[Any], options: RunOptions | EvaluateOptions) -> list[Any]:
        if isinstance(examples[0], GameExample):
            return _learnt(output[0], output[1], examples)
        if isinstance(examples[0], Position):
            return [_advice(one, thought) for one, thought in zip(examples, output, strict=True)]
        meant = [_meant(one, options) for one in examples]
        return [
            MatchResult.of(one, games, _last_thought(one, games[0])) for one, games in zip(meant, output, strict=True)
        ]

    # -- scores and pictures ------------------------------------------------------------------------------------------

    def summarise(self, results: Sequence[Any]) -> Summary:
        return scores.summarise(results)

    def table(self, results: Sequence[Any], summary: Summary) -> Any:
        return scores.table(results)

    def render(self, results: Sequence[Any], folder: Path, options: RunOptions | EvaluateOptions) -> list[Path]:
        from .picture import draw_boards

        thoughts = [one.thought if isinstance(one, MatchResult) else one for one in results]
        shown = [one for one in thoughts if isinstance(one, Advice)]
        if isinstance(options, EvaluateOptions) or options.picture == "none" or not shown:
            return []
        return [draw_boards(folder / f"boards.{options.picture}", shown)]

    def picture_training(self, results: Sequence[Any], folder: Path) -> list[Path]:
        from .picture import draw_scores

        matches = [one for one in results if isinstance(one, MatchResult)]
        return [draw_scores(folder / "matches.png", matches)] if matches else []

    def live(self, inputs: Sequence[Any], options: RunOptions) -> Callable[[Any], None] | None:
        if inputs:
            return None

        def talk(console: Any) -> None:
            from .terminal import Sitting

            Sitting(self.network, options, console=console).play()

        return talk

    # -- learning -------------------------------------------------------------------------------------------------

    def loss(self, network: nn.Module, batch: MoveBatch) -> Tensor:
        return losses(network(batch.tokens, batch.planes), batch)

    def weight(self, batch: MoveBatch) -> float:
        return float(positions(batch))

    kept_beside_graphs = ("tokens.", "planes.", "next.", "value.")

    def graphs(self) -> list[Graph]:
        batch = self.example_batch(2)
        return exported.graphs(self.network, batch.tokens, batch.planes)

    def use(self) -> dict[str, Any]:
        return exported.use()

    def example_batch(self, size: int) -> MoveBatch:
        """Whole games of Connect Four."""
        moves = np.array([column for column in range(7) for _ in range(6)])
        policy, value = np.full((42, 7), 36, dtype=np.uint8), np.full((42, 3), 85, dtype=np.uint8)
        one = GameExample(id="full", game=CONNECT_FOUR, moves=moves, policy=policy, value=value, result=None)
        return batch_of([one] * size, self.network.config.told, training=False, conditioned=0.0)


# -- from words to matches --------------------------------------------------------------------------------------------


def _way(word: str) -> Way:
    known = {"policy": Way(), "win": Way("win"), "search-1": Way(search=1), "search-2": Way(search=2)}
    if word not in known:
        raise UserError(f"The network does not play in the way {word!r}.", f"Known are: {', '.join(known)}.")
    return known[word]


def _series(game: Game, player: Way | str, opponent: str, games: int, seed: int) -> list[Match]:
    """As many games with the first move as with the second."""
    name = player if isinstance(player, str) else player.words
    return [
        Match(
            id=f"{game.name}, {name} against {opponent}, {'first' if first else 'second'}, {number + 1}", game=game,
            player=player, opponent=opponent, first=first, seed=1_000_000 * seed + 2 * number + first,
        )
        for first in (True, False)
        for number in range(max(1, games))
    ]  # fmt: skip


def _pairing(example: Any) -> Any:
    """What has to be equal for games to be played side by side."""
    if isinstance(example, Match):
        return example.game, example.player, example.opponent, example.first
    return type(example)


def _meant(match: Match, options: RunOptions | EvaluateOptions) -> Match:
    """The match as `run` is asked to play it; `evaluate` says how each of its matches is played."""
    if isinstance(options, EvaluateOptions) or isinstance(match.player, str):
        return match
    search = 0 if match.opponent == EVERYTHING else options.search
    return replace(match, player=Way(options.asked, search))


def _last_thought(match: Match, played: Played) -> Advice | None:
    """What the network thought before its last move."""
    if played.thought is None:
        return None
    count = len(played.moves)
    own = count - 1 if (count % 2 == 1) == match.first else count - 2
    position = Position(id=f"{match.id}, move {own + 1}", game=match.game, moves=played.moves[:own])
    return _advice(position, played.thought)


def _advice(position: Position, thought: Thought) -> Advice:
    loss, draw, win = thought.ends[0].tolist()
    searched = not np.isnan(thought.worth).all()
    return Advice(
        id=position.id, game=position.game.name, moves=position.moves, best=int(thought.moves[0]),
        chances=tuple(thought.chances[0].tolist()), ends=(loss, draw, win),
        expected=tuple(thought.worth[0].tolist()) if searched else None,
    )  # fmt: skip


def _learnt(said: Said, batch: MoveBatch, examples: Sequence[GameExample]) -> list[Learnt]:
    keep = batch.policy.sum(dim=-1) > 0
    best = said.moves.masked_fill(~batch.allowed, -1e9).argmax(dim=-1, keepdim=True)
    good = batch.policy.gather(-1, best)[..., 0] >= 0.5 * batch.policy.amax(dim=-1)
    known = batch.value.sum(dim=-1) > 0
    foreseen = said.value.argmax(dim=-1) == batch.value.argmax(dim=-1)
    return [
        Learnt(
            id=one.id, positions=int(keep[row].sum()), good=int((good & keep)[row].sum()),
            results=int(known[row].sum()), foreseen=int((foreseen & known)[row].sum()),
        )
        for row, one in enumerate(examples)
    ]  # fmt: skip
