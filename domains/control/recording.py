"""What is told about a finished recording: a table, a histogram of returns, the same as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import UserError, near
from . import picture
from .scores import normalised, summary_of
from .words import counted

if TYPE_CHECKING:
    from .episodes import Episodes

PICTURE = "returns.png"
FILES = {"minari": "minari", "lerobot": "lerobot", "parquet": "episodes.parquet", "csv": "episodes.csv"}
"""Where in a recording's folder another format goes."""


def check_format(format: str) -> None:
    """Raise UserError unless the format is known, before anything is recorded."""
    if format != "tsuite" and format not in FILES:
        raise UserError(f"There is no format {format!r}.", near(format, ("tsuite", *FILES)))


def pairs(settings: Sequence[str], flag: str = "--set") -> dict[str, str]:
    """`option=value` words as a dict. UserError for a word without `=`; `flag` is where they stood."""
    for word in settings:
        if "=" not in word:
            raise UserError(f"{flag} takes option=value, not {word!r}.", f"For example: {flag} gravity=1.6")
    return {key.strip(): value.strip() for key, _, value in (word.partition("=") for word in settings)}


@dataclass(frozen=True, kw_only=True)
class Part:
    """Episodes in which the same kind of policy acted."""

    policy: str
    episodes: int
    steps: int
    mean: float


@dataclass(frozen=True, kw_only=True)
class Told:
    """A recording in figures. `returns` is `scores.summary_of`; `normalised` is on D4RL's scale, where it has one."""

    env: str
    policy: str
    folder: Path
    episodes: int
    steps: int
    returns: dict[str, float]
    terminated: int
    truncated: int
    parts: tuple[Part, ...]
    threshold: float | None
    normalised: float | None
    sha256: str
    files: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for machines."""
        from importlib.metadata import version

        plain = {key: value for key, value in vars(self).items() if key not in ("folder", "files", "parts")}
        return {
            "command": "data record", "name": str(self.folder), "version": version("tsuite"), **plain,
            "parts": [vars(part) for part in self.parts], "artifacts": [str(path) for path in self.files],
        }  # fmt: skip

    def table(self) -> Any:
        """For people."""
        from rich.table import Table

        shown = Table(title=f"{self.folder}: {self.env}", title_justify="left", header_style="bold")
        shown.add_column("policy", overflow="fold")
        for column in ("episodes", "steps", "share of steps", "mean return"):
            shown.add_column(column, justify="right")
        for part in self.parts if len(self.parts) > 1 else ():
            share = f"{100 * part.steps / self.steps:.0f} %"
            shown.add_row(part.policy, f"{part.episodes:,}", f"{part.steps:,}", share, f"{part.mean:,.4g}")
        if len(self.parts) > 1:
            shown.add_section()
        mean = f"{self.returns['mean']:,.4g}"
        shown.add_row(self.policy, f"{self.episodes:,}", f"{self.steps:,}", "100 %", mean, style="bold")
        low, middle, high = (f"{self.returns[key]:,.4g}" for key in ("min", "median", "max"))
        solved = "" if self.threshold is None else f"; solved from {self.threshold:,.4g}"
        scaled = "" if self.normalised is None else f"; {self.normalised:.1f} on D4RL's scale"
        shown.caption = (
            f"returns from {low} over {middle} (median) to {high}{solved}{scaled}; {self.terminated:,} terminated, "
            f"{self.truncated:,} truncated"
        )
        shown.caption_justify = "left"
        return shown


def finish(episodes: Episodes, folder: Path, format: str, policy: str) -> Told:
    """Draw the histogram, write the other format that was asked for, and count everything.

    Raises UserError for a format whose package is missing; the recording itself is kept.
    """
    terminated, truncated, policies = 0, 0, []
    for episode in episodes:
        terminated += bool(episode.terminations[-1])
        truncated += bool(episode.truncations[-1]) and not episode.terminations[-1]
        policies.append(episode.policy)
    returns = picture.by_policy(policies, episodes.returns)
    lengths = picture.by_policy(policies, episodes.lengths)
    setting = episodes.setting
    files = [
        picture.draw_returns(
            folder / PICTURE,
            returns,
            title=f"{setting.env}: {counted(len(episodes), 'episode')}",
            threshold=setting.threshold,
        )
    ]
    if format != "tsuite":
        files.append(_written(episodes, folder / FILES[format], format))
    return Told(
        env=setting.env,
        policy=policy,
        folder=folder,
        episodes=len(episodes),
        steps=episodes.steps,
        returns=summary_of(episodes.returns),
        terminated=terminated,
        truncated=truncated,
        parts=tuple(
            Part(policy=name, episodes=len(part), steps=int(lengths[name].sum()), mean=float(np.mean(part)))
            for name, part in returns.items()
        ),
        threshold=setting.threshold,
        normalised=normalised(episodes.returns, setting),
        sha256=episodes.sha256,
        files=tuple(files),
    )


def _written(episodes: Episodes, path: Path, format: str) -> Path:
    """In the other format; what an earlier recording with fewer episodes left there is replaced."""
    import shutil

    from .data import write_episodes

    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    return write_episodes(episodes, path, format)
