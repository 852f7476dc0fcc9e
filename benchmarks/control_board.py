"""The player that ships at both games: every game of tic-tac-toe, and Connect Four against players of known strength.

    python benchmarks/control_board.py                       200 games for each pairing
    python benchmarks/control_board.py --games 500 --opponents random,one-ply,alpha-beta,alpha-beta-6

How it plays is told apart: the policy alone, the policy asked for won games, and with one or two moves searched by the
value. Elo counts random play as 0; ranges hold with 95 % confidence. Also measured: a move with the key/value cache
against reading the whole game anew, and the cost of recording. Printed as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import torch
from tsuite.core import registry, runtime
from tsuite.domains.control.board.games import CONNECT_FOUR
from tsuite.domains.control.board.options import EvaluateOptions
from tsuite.domains.control.board.playing import Seat, read_through
from tsuite.domains.control.board.recording import record
from tsuite.domains.control.board.task import BoardTask

NAME = "control.board"


def matches(task: BoardTask, options: EvaluateOptions) -> dict[str, Any]:
    """Every pairing, and Elo."""
    start = time.perf_counter()
    _, summary = task.assess(task.to_score(None, options), options)
    return {**summary.details, "metrics": summary.metrics, "seconds": round(time.perf_counter() - start, 1)}


def milliseconds_of_a_move(task: BoardTask, repeats: int = 5) -> dict[str, float]:
    """Of one game, whole: the median move with the cache, without it, and with searches."""
    moves = [3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 4, 4, 4, 1, 4, 1, 1, 1, 5, 5, 5, 5]
    found: dict[str, list[float]] = {"cached": [], "anew": [], "search 1": [], "search 2": []}
    for _ in range(repeats):
        seats = {"cached": 0, "search 1": 1, "search 2": 2}
        for name, search in seats.items():
            seat = Seat(task.network, CONNECT_FOUR, 1)
            for move in moves:
                start = time.perf_counter()
                seat.think(search)
                found[name].append(time.perf_counter() - start)
                seat.put(np.array([move]))
        for length in range(len(moves)):
            start = time.perf_counter()
            read_through(task.network, CONNECT_FOUR, [moves[:length]])
            found["anew"].append(time.perf_counter() - start)
    return {name: round(1e3 * float(np.median(times)), 3) for name, times in found.items()}


def cost_of_recording(games: int = 500) -> float:
    """Processor seconds for a thousand games of Connect Four."""
    start = time.process_time()
    record(CONNECT_FOUR, games, exact_from=24)
    return round((time.process_time() - start) * 1_000 / games, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", help="another one than the shipped one")
    parser.add_argument("--games", type=int, default=100, help="for each pairing and side")
    parser.add_argument("--opponents", default="random,one-ply,alpha-beta")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    runtime.set_threads(given.threads)
    task = registry.card(NAME).load_task().load(given.checkpoint)
    task.network.eval()
    found = {
        "threads": torch.get_num_threads(),
        "parameters": task.origin.parameters,
        "games_per_side": given.games,
        **matches(task, EvaluateOptions(games=given.games, opponents=given.opponents)),
        "milliseconds_of_a_move": milliseconds_of_a_move(task),
        "processor_seconds_for_1000_recorded_games": cost_of_recording(),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
