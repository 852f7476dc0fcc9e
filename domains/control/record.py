"""Recording episodes: in parallel, the same whatever happens on the way, and never lost once they are on the disk.

Episode i starts from the seed `seed` + i and depends on nothing else, so it does not matter which process plays it, in
which order, or whether the recording was stopped and gone on with in between.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import Interrupted, UserError
from ...core.train.signals import Interruption
from . import environments
from .episodes import check
from .policies import policy as policy_of
from .rollout import Stage
from .words import counted

if TYPE_CHECKING:
    from ...core.task import Tick
    from .episodes import Episode, Episodes, Setting
    from .store import Writer

CHUNK = 8
"""Episodes that are played side by side, always the same ones together: what a network computes for a row may differ in
the last bit with the number of rows."""
WORTH = 15.0
"""Seconds of recording that are left from which on further processes pay: each takes some to start."""
OFTEN, SELDOM = 2.0, 60.0
"""Seconds between writes to the disk, at the beginning and in a long recording."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is recorded, as every process is told it."""

    env: str
    policy: str
    options: Mapping[str, Any] = field(default_factory=dict)
    trusted: bool = False


class Player:
    """Plays chunks of episodes of a scene."""

    def __init__(self, scene: Scene) -> None:
        self.stage = Stage(environments.name(scene.env), CHUNK, scene.options)
        self._policy = policy_of(scene.policy, self.stage.setting, trusted=scene.trusted)

    def play(self, seeds: Sequence[int], stop: Callable[[], bool] = lambda: False) -> list[Episode]:
        """One episode from each seed, at most `CHUNK` of them; those that were over when `stop()` became true."""
        self._policy.reset(seeds)
        return self.stage.play(seeds, self._policy.act, self._policy.reward, self._policy.names, stop=stop)


def _check_folder(folder: Path, *, resume: bool) -> None:
    """UserError where nothing can be recorded into."""
    from .store import META, NO_META, damaged, is_store

    if is_store(folder) and not resume:
        raise UserError(f"{folder} holds a recording already.", "Go on with it by --resume, or give another folder.")
    if damaged(folder):
        raise UserError(f"{folder / META} is damaged or missing, without which its episodes cannot be read.", NO_META)
    if resume and not is_store(folder):
        raise UserError(f"{folder} holds no recording to go on with.", "Leave --resume out to begin one.")


def _with_limit(
    env: str, options: Mapping[str, Any], max_steps: int | None, notice: Callable[[str], None]
) -> dict[str, Any]:
    """What the environment is made with: a time limit where it has none of its own."""
    if not max_steps and environments.setting_of(environments.name(env), **options).max_steps is None:
        max_steps = environments.ENDLESS
        notice(f"{env} has no time limit: episodes are cut after {max_steps:,} steps. --max-steps changes that.")
    return {**options, **({"max_episode_steps": max_steps} if max_steps else {})}


def record(
    env: str,
    policy: str,
    folder: str | Path,
    *,
    episodes: int,
    seed: int = 0,
    workers: int = 0,
    env_options: Mapping[str, Any] | None = None,
    max_steps: int | None = None,
    resume: bool = False,
    trusted: bool = False,
    tick: Tick | None = None,
    notice: Callable[[str], None] = lambda text: None,
) -> Episodes:
    """Record `episodes` episodes of the gymnasium environment `env` into our own store in `folder`.

    policy: who acts, in words (see `policies.FORMS`). workers: processes (1: this one; 0: as many as there are cores,
    if enough is left to do). env_options: what the environment is made with. max_steps: its time limit, instead of its
    own. resume: go on with what is there, up to `episodes` of them. trusted: files with pickled code may be opened.
    tick is told (episodes on the disk or about to be, in all).

    Ctrl-C and SIGTERM end it with `Interrupted` after what is there was written; a kill loses the last seconds at most.
    Raises UserError for a folder that holds a recording already (or, to resume, another one), and for what `Stage` and
    `policies.policy` raise.
    """
    from .store import Writer, read_store

    if episodes < 1 or seed < 0 or workers < 0 or (max_steps or 1) < 1:
        raise UserError("A recording needs at least one episode and step; seed and workers cannot be negative.")
    folder = Path(folder)
    _check_folder(folder, resume=resume)
    options = _with_limit(env, env_options or {}, max_steps, notice)
    scene = Scene(env=env, policy=policy, options=options, trusted=trusted)
    player = Player(scene)
    told = {"policy": policy, "seed": seed, "env_options": options}
    with contextlib.ExitStack() as stack:
        asked = stack.enter_context(Interruption(notice))
        writer = stack.enter_context(Writer(folder, player.stage.setting, told=told))
        todo = _chunks(seed, episodes, writer.seeds_done)
        played = stack.enter_context(contextlib.closing(_played(scene, player, todo, workers, lambda: asked.asked)))
        done, begun, flushed = len(writer.seeds_done), time.monotonic(), time.monotonic()
        if tick:
            tick(done, episodes)
        with _kept(writer):
            for chunk in played:
                for episode in chunk:
                    if episode.seed not in writer.seeds_done:
                        _check(episode, writer.setting)
                        writer.append(episode)
                        done += 1
                if tick:
                    tick(done, episodes)
                now = time.monotonic()
                if now - flushed > min(SELDOM, max(OFTEN, (now - begun) / 50)):
                    writer.flush()
                    flushed = now
            writer.flush()
        if asked.asked and len(writer.seeds_done) < episodes:
            done = f"{len(writer.seeds_done):,} of {counted(episodes, 'episode')}"
            raise Interrupted(
                f"Stopped after {done}, which are kept in {folder}.",
                "The same command with --resume goes on.",
            )
    return read_store(folder)


def _check(episode: Episode, setting: Setting) -> None:
    """Raise UserError that says whose fault it is where the environment gave what it does not declare."""
    try:
        check(episode, setting)
    except UserError as error:
        what = error.what.rstrip(".")
        raise UserError(f"{what}, as {setting.env} gave it.", "This is for the environment to mend.") from error


@contextlib.contextmanager
def _kept(writer: Writer) -> Iterator[None]:
    """An error on the way also says how much was recorded before it, which is kept."""
    try:
        yield
    except UserError as error:
        writer.flush()
        if not writer.count:
            raise
        kept = f"{counted(writer.count, 'episode')} recorded before {'is' if writer.count == 1 else 'are'} kept in"
        raise UserError(error.what, f"{error.hint} The {kept} {writer.folder}.".strip()) from error


def _chunks(seed: int, episodes: int, done: set[int]) -> list[range]:
    """The seeds of the chunks of which something is missing. Chunks begin at fixed seeds, so that the same episodes are
    always played together."""
    every = [range(first, min(first + CHUNK, seed + episodes)) for first in range(seed, seed + episodes, CHUNK)]
    return [chunk for chunk in every if not done.issuperset(chunk)]


def _played(
    scene: Scene, player: Player, todo: Sequence[range], workers: int, stop: Callable[[], bool]
) -> Generator[list[Episode], None, None]:
    """The episodes of each chunk, in this process until it is clear that others pay; ends early once `stop()` is."""
    todo = list(todo)
    try:
        while todo and workers in (0, 1) and not stop():
            begun = time.monotonic()
            yield player.play(todo.pop(0), stop)
            if workers == 0 and cores() > 1 and (time.monotonic() - begun) * len(todo) > WORTH:
                workers = cores()
    finally:
        player.stage.close()
    if todo and not stop():
        with Crew(scene, min(workers, len(todo))) as crew:
            yield from crew.play(todo, stop)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- processes --------------------------------------------------------------------------------------------------------


class Crew:
    """Processes that each play a scene, fresh ones (spawned), so that nothing of this process leaks into them."""

    def __init__(self, scene: Scene, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._members: dict[Any, Any] = {}
        for _ in range(count):
            mine, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, scene), daemon=True)
            with _undisturbed():
                process.start()
            theirs.close()  # so that the end of the process is the end of the pipe
            self._members[mine] = process

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for connection, process in self._members.items():
            connection.close()
            process.terminate()
        for process in self._members.values():
            process.join()

    def play(self, todo: Sequence[range], stop: Callable[[], bool]) -> Iterator[list[Episode]]:
        """The chunks in the order in which they are finished; after `stop()` no more, nor those that were begun."""
        waiting = list(reversed(todo))
        busy = set()
        for connection in self._members:
            if waiting:
                self._give(connection, waiting.pop())
                busy.add(connection)
        while busy and not stop():
            for connection in wait(list(busy), timeout=0.2):
                episodes = self._take(connection, stop)
                if waiting:
                    self._give(connection, waiting.pop())
                else:
                    busy.remove(connection)
                yield episodes

    def _give(self, connection: Any, chunk: range) -> None:
        with contextlib.suppress(BrokenPipeError):  # it died; reading from it will tell
            connection.send(chunk)

    def _take(self, connection: Any, stop: Callable[[], bool]) -> list[Episode]:
        try:
            episodes, error = connection.recv()
        except (EOFError, ConnectionResetError):
            if stop():  # a SIGTERM for all of us
                return []
            process = self._members[connection]
            process.join(5)
            raise UserError(
                f"A process that played episodes died (exit code {process.exitcode}). What was recorded is kept.",
                "Was there too little memory? --resume --workers 1 goes on in a single process.",
            ) from None
        if isinstance(error, tuple):
            raise UserError(*error)
        if error:
            raise RuntimeError(f"a process that played episodes failed:\n{error}")
        return episodes


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes that are started here never hear of Ctrl-C, which reaches all those of a terminal: the first one
    decides. Its own signal waits meanwhile."""
    resource_tracker.ensure_running()  # else it is started with the first process, and lifts the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Any, scene: Scene) -> None:
    """What a process does until its pipe is closed: play the chunks it is given."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    environments.headless()
    player: Player | None = None
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            chunk = connection.recv()
            try:
                player = player or Player(scene)
                connection.send((player.play(chunk), None))
            except UserError as error:
                connection.send(([], (error.what, error.hint)))
            except Exception:
                connection.send(([], traceback.format_exc()))
