"""act() of control.decision_transformer beside transformers' DecisionTransformerModel: same weights, same episode.

    python benchmarks/control_act.py
    python benchmarks/control_act.py --numbers 11 --actions 3 --steps 1000 --threads 1

A network as the paper sets it for Hopper (3 layers of width 128, one head, a context of 20 steps), its weights random,
is asked for an action at each step of an episode that is longer than the context. transformers is used as its model
card shows: the last 20 steps are put together and computed anew. Here the cache holds them; where the window is full
its newer half is read again, which counts. Episodes of the two take turns, so that neither has the quieter machine;
`processor` is the mean time of the processor, which other programs on the machine change little.

Before that: the actions of both for the same 20 steps, which must be equal. After that: a control loop at 50 Hz, and
how often its tick was missed.

Printed as JSON. Needs: pip install -e '.[control]' transformers
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tsuite.core import runtime
from tsuite.core.pretrained import Located
from tsuite.domains.control.decision_transformer import transformers as family
from tsuite.domains.control.decision_transformer.acting import Player
from tsuite.domains.control.safety import Watchdog

CONTEXT, TARGET, REWARD = 20, 3600.0, 3.0


class Theirs:
    """The loop of the model card: states, actions, returns and timesteps grow, the last 20 go in."""

    def __init__(self, model: Any, numbers: int, actions: int) -> None:
        self.model, self.numbers, self.count = model, numbers, actions

    def reset(self) -> None:
        self.states = torch.zeros(0, self.numbers)
        self.actions = torch.zeros(0, self.count)
        self.returns = torch.zeros(0)
        self.asked = TARGET / 1000

    @torch.inference_mode()
    def act(self, state: np.ndarray) -> np.ndarray:
        self.states = torch.cat([self.states, torch.from_numpy(state)[None]])
        self.actions = torch.cat([self.actions, torch.zeros(1, self.count)])
        self.returns = torch.cat([self.returns, torch.tensor([self.asked])])
        first = max(0, len(self.states) - CONTEXT)
        steps = torch.arange(first, len(self.states))
        said = self.model(
            states=self.states[None, first:],
            actions=self.actions[None, first:],
            returns_to_go=self.returns[None, first:, None],
            timesteps=steps[None],
            attention_mask=torch.ones(1, len(steps), dtype=torch.long),
            return_dict=False,
        )[1][0, -1]
        self.actions[-1] = said
        self.asked -= REWARD / 1000
        return said.numpy()


def episode(act: Any, states: np.ndarray) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Actions [T, A], and the seconds that each took: by the clock, and of the processor."""
    actions, seconds = [], []
    for state in states:
        start, busy = time.perf_counter(), time.process_time()
        actions.append(act(state))
        busy = time.process_time() - busy
        seconds.append((time.perf_counter() - start, busy))
    return np.stack(actions), seconds


def ours(player: Player) -> Any:
    """The player as a function of one state."""

    def act(state: np.ndarray) -> np.ndarray:
        action = player.act(state[None])[0]
        player.reward(np.array([REWARD]))
        return action

    return act


def figures(seconds: list[tuple[float, float]]) -> dict[str, float]:
    values, busy = np.array(seconds).T * 1e3
    return {
        "mean_ms": round(float(values.mean()), 4),
        **{f"p{share}_ms": round(float(np.percentile(values, share)), 4) for share in (50, 95, 99)},
        "processor_ms": round(float(busy.mean()), 4),
    }


def held(player: Player, states: np.ndarray, hz: float) -> dict[str, float]:
    """A control loop at that rate."""
    act = ours(player)
    player.reset(1, targets=[TARGET])
    watchdog = Watchdog(hz)
    for state in states:
        act(state)
        watchdog.wait()
    return watchdog.report()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--numbers", type=int, default=11)
    parser.add_argument("--actions", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--episodes", type=int, default=8)
    parser.add_argument("--threads", type=int, default=None)
    asked = parser.parse_args()
    runtime.set_threads(asked.threads, None)
    transformers.logging.set_verbosity_error()
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    config = transformers.DecisionTransformerConfig(
        state_dim=asked.numbers, act_dim=asked.actions, bos_token_id=None, eos_token_id=None
    )
    model = transformers.DecisionTransformerModel(config).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * torch.randn_like(value))
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        network, _ = family.load(Located(path=Path(folder), source="theirs"), {"return_scale": "1000"})
    states = np.random.default_rng(0).normal(size=(asked.steps, asked.numbers)).astype(np.float32)
    player, other = Player(network), Theirs(model, asked.numbers, asked.actions)
    taken: dict[str, list[tuple[float, float]]] = {"tsuite": [], "transformers": []}
    apart = 0.0
    for number in range(asked.episodes + 1):
        player.reset(1, targets=[TARGET])
        other.reset()
        mine, seconds = episode(ours(player), states)
        theirs, their_seconds = episode(other.act, states)
        apart = max(apart, float(np.abs(mine[:CONTEXT] - theirs[:CONTEXT]).max()))
        if number:  # the first warms up
            taken["tsuite"] += seconds
            taken["transformers"] += their_seconds
    told = {name: figures(seconds) for name, seconds in taken.items()}
    report = {
        "network": {
            "layers": 3,
            "width": 128,
            "heads": 1,
            "context": CONTEXT,
            "parameters": sum(value.numel() for value in network.parameters()),
        },
        "batch": 1,
        "threads": torch.get_num_threads(),
        "calls": len(taken["tsuite"]),
        "largest_difference_of_actions": apart,
        **told,
        "times_as_fast": {
            key: round(told["transformers"][f"{key}_ms"] / told["tsuite"][f"{key}_ms"], 2)
            for key in ("mean", "p50", "p99", "processor")
        },
        "at_50_hz": held(player, states[:250], 50.0),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
