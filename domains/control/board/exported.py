"""The model of moves as graphs: the decoder's step, by which tsuite plays, and for other programs the whole in one.

Axes: B games, T tokens, M moves of both games, P planes.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ....core.export.graph import WHOLE, Graph
from ....core.export.steps import decoder_graph
from .games import GAMES
from .model import ASKED, NUMBERS, MoveModel


class Whole(nn.Module):
    """The network for whole games."""

    def __init__(self, network: MoveModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, *planes: Tensor) -> tuple[Tensor, Tensor]:
        """tokens [B, T], planes [B, T, P] where the network is told any -> moves [B, T, M], value [B, T, 3]."""
        return tuple(self.network(tokens, planes[0] if planes else None))  # pyright: ignore[reportReturnType]


def graphs(network: MoveModel, tokens: Tensor, planes: Tensor) -> list[Graph]:
    """The decoder, and the whole network. tokens, planes: an example."""
    inputs = {"tokens": tokens, **({"planes": planes} if network.planes is not None else {})}
    about = {
        "tokens": "[B, T]: what is asked, then who put a stone into which cell (see `use`)",
        "planes": "[B, T, P]: 1 for each free cell that would complete a line, of the first player and then of the "
                  "second, game after game in the order of the tokens",
        "moves": "[B, T, M]: a score for each move of all games after each token; forbid what the rules do",
        "value": "[B, T, 3]: logits of loss, draw, win for whoever moves next",
    }  # fmt: skip
    whole = Graph(
        name="model", owner="network", method="forward", module=Whole(network), inputs=inputs, kind=WHOLE,
        free=dict.fromkeys(inputs, (0, 1)), outputs=("moves", "value"),
        about={name: about[name] for name in (*inputs, "moves", "value")},
    )  # fmt: skip
    return [decoder_graph("network.decoder", network.decoder), whole]


def use() -> dict[str, Any]:
    """See `Exportable.use`."""
    games = {
        name: {"first_token": NUMBERS[name].tokens, "first_move": NUMBERS[name].moves, "cells": game.cells,
               "moves": game.moves}
        for name, game in GAMES.items()
    }  # fmt: skip
    return {
        "games": games,
        "asked": list(ASKED),
        "input": "A game is first_token + the place of what is asked in `asked`, then for each stone first_token + "
                 f"{len(ASKED)} + player (0 or 1) times cells + its cell: of connect-four column by column from "
                 "below, of tic-tac-toe row by row from the top left.",
        "output": "The game's moves are those from first_move on. `decoder` is the Transformer alone.",
    }  # fmt: skip
