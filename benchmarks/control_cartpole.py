"""CartPole from episodes that are bad on purpose: does a policy that is told a return do what it is asked, and cloning
what most of the data do?

    python benchmarks/control_cartpole.py
    python benchmarks/control_cartpole.py --checkpoint embedded
    python benchmarks/control_cartpole.py --data inverted-pendulum-recording --returns 1000

Trains control.decision_transformer, cloning and cloning of the best tenth on the same episodes, by the same options and
for as many steps, and plays 100 fresh episodes of each: of the first for every return that is asked. The seeds of
recording (from 0), of choosing (from 500,000) and of scoring (from 1,000,000) lie apart. With --checkpoint nothing is
trained, and the scores of cloning are those that the checkpoint holds.

Printed as JSON: achieved against asked, Spearman's rho over all episodes, seconds of training. Needs:
pip install -e '.[control]'
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from tsuite.core import registry, runtime
from tsuite.core.train import fit
from tsuite.domains.control.decision_transformer.options import FRESH, EvaluateOptions, FinetuneOptions

RETURNS = "50,100,200,300,400,500"


def trained(data: str, steps: int, seed: int) -> tuple[Any, dict[str, Any]]:
    """The policy, and what its training took."""
    kind = registry.card("control.decision_transformer").load_task()
    asked = FinetuneOptions(baselines=True, max_steps=steps, seed=seed)
    started = time.perf_counter(), time.process_time()
    prepared = kind.for_training(asked, data=data, checkpoint=None, settings={})
    with tempfile.TemporaryDirectory() as folder:
        run = fit(prepared.task, prepared.splits, prepared.options, Path(folder) / "run")
        policy = kind.load(str(run.best))
    took = {
        "steps": run.steps,
        "seconds": round(run.seconds, 1),
        "seconds_with_cloning": round(time.perf_counter() - started[0], 1),
        "processor_seconds_with_cloning": round(time.process_time() - started[1], 1),
        "validation": {"loss": run.loss, **run.metrics},
        "decided": list(prepared.chosen),
    }
    return policy, took


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="cartpole_mixed")
    parser.add_argument("--checkpoint", default=None)
    parser.add_argument("--returns", default=RETURNS)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=FRESH)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    asked = parser.parse_args()
    threads = runtime.set_threads(asked.threads, None)
    if asked.checkpoint:
        policy, training = registry.card("control.decision_transformer").load_task().load(asked.checkpoint), None
    else:
        policy, training = trained(asked.data, asked.steps, asked.seed)
    options = EvaluateOptions(episodes=asked.episodes, returns=asked.returns, seed=asked.first_seed)
    split = policy.to_score(None, options)
    started = time.perf_counter()
    _, summary = policy.assess(split, options)
    report = {
        "environment": split.name,
        "data": policy.around.data.name,
        "first_seed": asked.first_seed,
        "threads": threads,
        "chosen_on_validation_seeds": {"target": policy.around.target, "tried": policy.around.tried},
        "targets": summary.details["targets"],
        "spearman": summary.metrics["spearman"],
        "chosen": summary.metrics,
        "baselines": summary.baselines,
        "training": training,
        "seconds_of_playing": round(time.perf_counter() - started, 1),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
