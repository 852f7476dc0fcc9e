"""Commands of this domain's own: `tsuite data record`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

ENV = typer.Option(..., "--env", help="a gymnasium id (CartPole-v1), module:id, or tsuite/GridPath-v0")
POLICY = typer.Option(
    "scripted", "--policy",
    help="who acts: random, scripted, against, noisy:SHARE, late:STEP, drift:STEPS, tsuite:CHECKPOINT@RETURN, "
    "sb3:ALGORITHM:FILE.zip, or of several one for each episode: mix:0.1*scripted+0.9*random. LOW-HIGH behind noisy:, "
    "late: and drift: draws a number for each episode",
)  # fmt: skip
OUT = typer.Option(..., "--out", help="folder of the recording")
SETTINGS = typer.Option([], "--set", help="option=value: what the environment is made with")


def record(
    env: str = ENV,
    policy: str = POLICY,
    out: Path = OUT,
    *,
    episodes: int = typer.Option(100, "--episodes", min=1, help="how many in all"),
    seed: int = typer.Option(0, "--seed", min=0, help="episode i starts from seed + i, and depends on nothing else"),
    workers: int = typer.Option(0, "--workers", min=0, help="processes (0: one, or as many as cores if that pays)"),
    max_steps: int = typer.Option(0, "--max-steps", min=0, help="time limit in steps (0: the environment's own)"),
    format: str = typer.Option("tsuite", "--format", help="also write tsuite|minari|lerobot|parquet|csv into --out"),
    settings: list[str] = SETTINGS,
    resume: bool = typer.Option(False, "--resume", help="go on with the recording in --out"),
    allow_pickle: bool = typer.Option(
        False, "--allow-pickle", help="open policy files that hold pickled code: only from who you trust"
    ),
    as_json: bool = typer.Option(False, "--json", help="print exactly one JSON object"),
) -> None:
    """Record episodes of an environment, to learn from. Ctrl-C keeps what there is; --resume goes on.

    Examples:

      tsuite data record --env CartPole-v1 --policy 'mix:0.1*scripted+0.9*against' --episodes 300 --out cartpole

      tsuite data record --env Hopper-v5 --policy sb3:sac:hopper.zip --allow-pickle --out hopper --format minari
    """
    import json

    from rich.console import Console

    from ...core.progress import bar
    from . import environments, recording
    from .record import record as play

    recording.check_format(format)
    console = Console(stderr=True)
    with bar(console, f"recording {env}", episodes) as tick:
        made = play(
            env, policy, out, episodes=episodes, seed=seed, workers=workers, max_steps=max_steps or None,
            env_options=environments.options_of(recording.pairs(settings)), resume=resume, trusted=allow_pickle,
            tick=tick, notice=lambda text: console.print(text, markup=False, highlight=False),
        )  # fmt: skip
    report = recording.finish(made, out, format, policy)
    if as_json:
        typer.echo(json.dumps(report.to_json(), ensure_ascii=False))
        return
    screen: Any = Console()
    screen.print(report.table())
    for path in report.files:
        screen.print(f"saved {path}", highlight=False, markup=False, soft_wrap=True)
