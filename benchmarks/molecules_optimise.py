"""Optimising molecules against screening: QED by default, with 4,000 oracle calls each.

    python benchmarks/molecules_optimise.py
    python benchmarks/molecules_optimise.py --goals qed guacamol:osimertinib guacamol:celecoxib --seeds 0 1 2

For every goal the model learns towards it (REINVENT's loss, in smiles_gpt/optimising/reinforce.py), and as many
random training molecules are scored. A call is one distinct molecule; repeated and invalid ones cost none.

Printed as JSON: for each goal and seed the area under the mean of the best 10 over the calls (Gao et al. 2022), that
mean in the end, how many score at least 0.9, the mean score of what is drawn first and last, scaffolds, seconds; the
same of screening beside. Needs: pip install -e '.[molecules]'
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from tsuite.core import registry, runtime
from tsuite.domains.molecules.smiles_gpt.optimising.counted import top
from tsuite.domains.molecules.smiles_gpt.optimising.oracles import parse_goals
from tsuite.domains.molecules.smiles_gpt.optimising.pursuit import training_molecules
from tsuite.domains.molecules.smiles_gpt.optimising.reinforce import AgentSettings, optimise

GOOD = 0.9


def numbers(scores: list[float], auc: float) -> dict[str, Any]:
    """What optimisation and screening are compared by."""
    return {
        "auc_top10": round(auc, 4),
        "top10": round(top(scores), 4),
        "top1": round(top(scores, 1), 4),
        "above_0.9": sum(score >= GOOD for score in scores),
        "mean": round(sum(scores) / len(scores), 4),
        "calls": len(scores),
    }


def measure(task: Any, goal: str, calls: int, seed: int) -> dict[str, Any]:
    """One optimisation and one screening; the molecules that are screened are the same for every seed."""
    molecules, _ = training_molecules(task, calls)
    found = optimise(task, parse_goals(goal), oracle_calls=calls, settings=AgentSettings(seed=seed), screen=molecules)
    beside = found.screening
    return {
        "goal": goal,
        "seed": seed,
        "optimised": numbers(found.scores, found.auc),
        "screening": numbers(list(beside.scores), beside.auc) if beside else None,
        "mean_score_first_step": round(found.before, 4),
        "mean_score_last_steps": round(found.after, 4),
        "scaffolds": found.scaffolds,
        "steps": found.steps,
        "drawn": dict(found.drawn),
        "stopped": found.stopped,
        "seconds": {name: round(value, 1) for name, value in found.seconds.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default=None)
    parser.add_argument("--goals", nargs="+", default=["qed"])
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    task = registry.card("molecules.smiles_gpt").load_task().load(given.checkpoint)
    rows = [measure(task, goal, given.calls, seed) for goal in given.goals for seed in given.seeds]
    facts = {"threads": given.threads, "checkpoint": task.origin.to_json(), "calls": given.calls}
    print(json.dumps({**facts, "runs": rows, "seconds": round(runtime.seconds_since_start(), 1)}, indent=1))


if __name__ == "__main__":
    main()
