"""Which column of a table is what, by the many names that people give them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...core.errors import UserError, near
from ...core.options import build

WORDS = {
    "episode": "episode episode_id episode_index episode_idx episode_number episode_no ep ep_id traj traj_id "
    "trajectory trajectory_id trajectory_index rollout rollout_id run run_id",
    "step": "step steps t time_step timestep step_id step_index step_number frame_index frame time timestamp",
    "reward": "reward rewards r rew next_reward",
    "terminated": "terminated terminal terminals termination terminations next_terminated",
    "truncated": "truncated truncation truncations timeout timeouts next_truncated",
    "done": "done dones next_done is_last",
    "seed": "seed episode_seed",
    "policy": "policy",
}
"""Of columns there is one of; the first word of those found is taken."""
MANY = {
    "following": re.compile(r"(next_(observations?|obs|states?)|observation_next|obs_next)(_(?P<rest>.+))?"),
    "observation": re.compile(r"(observations?|obs|states?)(_(?P<rest>.+))?|[os]_?(?P<number>\d+)"),
    "action": re.compile(r"(actions?|acts?)(_(?P<rest>.+))?|[au]_?(?P<number>\d+)"),
}
"""Of columns there may be several of, one number each, or one with lists."""


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The names of a table's columns by what they hold; "" or () where there is none."""

    observation: tuple[str, ...]
    action: tuple[str, ...]
    reward: str
    following: tuple[str, ...] = ()
    episode: str = ""
    step: str = ""
    terminated: str = ""
    truncated: str = ""
    done: str = ""
    seed: str = ""
    policy: str = ""
    ignored: tuple[str, ...] = ()

    @property
    def ends(self) -> tuple[str, ...]:
        """The columns that say where an episode ends."""
        return tuple(name for name in (self.terminated, self.truncated, self.done) if name)


def recognise(names: Sequence[str], where: str) -> Roles:
    """What each column is. Raises `UserError` that lists them where observation, action or reward is not among them."""
    plain = {name: re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_") for name in names}
    single: dict[str, str] = {}
    for role, words in WORDS.items():
        found = [name for word in words.split() for name in names if plain[name] == word]
        single[role] = found[0] if found else ""
    several = {role: _several(plain, pattern, set(single.values())) for role, pattern in MANY.items()}
    several["observation"] = tuple(name for name in several["observation"] if name not in several["following"])
    for role, found in (*single.items(), *several.items()):
        if not found and role in ("observation", "action", "reward"):
            example = f"{role}, or {role}_0, {role}_1, …" if role in several else role
            raise UserError(
                f"{where} has no column with the {role}; it has {', '.join(names)}.",
                f"Call it {example}.{_like(role, names)}",
            )
    used = {*single.values(), *(name for found in several.values() for name in found)}
    ignored = tuple(name for name in names if name not in used)
    return build(Roles, {**single, **several, "ignored": ignored})


def _like(role: str, names: Sequence[str]) -> str:
    """Of the names, which were just listed, those that are close."""
    hint = near(role, names)
    return f" {hint}" if hint.startswith("Did") else ""


def _several(plain: dict[str, str], pattern: re.Pattern[str], taken: set[str]) -> tuple[str, ...]:
    """Those that match, in the order of the numbers they end in where all do, else in that of the table."""
    found = [(name, match) for name, word in plain.items() if name not in taken and (match := pattern.fullmatch(word))]
    rests = [next((value for value in match.groupdict().values() if value), "") for _, match in found]
    if found and all(rest.isdigit() for rest in rests):
        order = sorted(range(len(found)), key=lambda row: int(rests[row]))
        return tuple(found[row][0] for row in order)
    return tuple(name for name, _ in found)
