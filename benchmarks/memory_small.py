"""Every model's default commands under a hard limit of memory, each in processes of its own, with one thread.

    python benchmarks/memory_small.py --output memory_small.json
    python benchmarks/memory_small.py --only "finetune audio"

The limit is laid on the whole tree of processes by what the machine has: a memory cgroup (version 1 or 2), a scope of
systemd, or else a watcher that reads /proc and ends the tree when it is above. The JSON says which it was. Swap is
kept out. A command passes when it ends well and its resident memory was never above the limit: a cgroup alone would
not count the pages of libraries that another process has read before, so resident sizes are watched besides.

A training is cut to a few steps, of which the first take the longest examples there are, and ends with a validation,
a saved state and the scoring of its best weights, so it passes the peak that the whole training has.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tsuite.core import registry

GB = 10**9
MODELS = sorted(registry.cards())
RUN, CHAT, FINETUNE = 2 * GB, 1 * GB, 4 * GB
STEPS = {"text.phi15_zh": 4}
"""Steps of a training that is cut short; eight elsewhere."""
MORE = {"text.phi15_zh": ("--no-report",)}
"""Left out of a training that is cut short, unless --whole asks for it: answering all held-out prompts takes hours."""

LONGEST_FIRST = """
import sys
import numpy as np
from tsuite.core.train import data

def longest_first(order, lengths, *_):
    return order[np.argsort(-lengths[order], kind="stable")]

data.by_length = data.shortest_first = longest_first
from tsuite.cli.app import start
start(sys.argv[1:])
"""
"""The command line, with the order of training examples from long to short."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A command, and the bytes it may take. steps: of a training that is cut short (0: the whole command)."""

    words: tuple[str, ...]
    limit: int
    steps: int = 0

    @property
    def title(self) -> str:
        return " ".join(word if word.isascii() and " " not in word else f"'{word}'" for word in self.words)

    def command(self) -> list[str]:
        if self.steps:
            return [sys.executable, "-c", LONGEST_FIRST, *self.words, "--max-steps", str(self.steps), "--json"]
        return [sys.executable, "-m", "tsuite", *self.words, "--json"]


def settings(quantize: Sequence[str], *, whole: bool) -> list[Setting]:
    """All commands of the table; `quantize` are the words that ask the chat for 4-bit weights."""
    one = ("--threads", "1")
    chat = ("run", "text.phi15_zh", "Tell me three facts about the moon.", "--checkpoint", "smollm2-135m", *quantize)
    return [
        *(Setting(words=("run", name, *one), limit=RUN) for name in MODELS),
        Setting(words=(*chat, *one), limit=CHAT),
        *(
            Setting(
                words=("finetune", name, *(() if whole else MORE.get(name, ())), *one),
                limit=FINETUNE,
                steps=STEPS.get(name, 8),
            )
            for name in MODELS
        ),
    ]


# -- limits -----------------------------------------------------------------------------------------------------------


@dataclass
class Limit:
    """What keeps a command within `size` bytes. `kind` says how; `prefix` goes before the command."""

    size: int
    kind: str = "watcher"
    prefix: list[str] = field(default_factory=list)
    folder: Path | None = None
    """Of the cgroup."""

    def peak(self) -> int | None:
        """The most the cgroup has held, page cache included; None where there is none to ask."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            if self.folder is not None and (self.folder / name).is_file():
                return int((self.folder / name).read_text())
        return None

    def hits(self) -> int:
        """How often the system had to reclaim memory (or to kill) to stay below."""
        if self.folder is None:
            return 0
        if (count := self.folder / "memory.failcnt").is_file():
            return int(count.read_text())
        told = dict(line.split() for line in (self.folder / "memory.events").read_text().splitlines())
        return int(told.get("max", 0))


def _joining(folder: Path) -> list[str]:
    """A shell that puts itself into the cgroup and becomes the command."""
    return ["sh", "-c", f'echo $$ > "{folder}/cgroup.procs" && exec "$@"', "sh"]


@contextlib.contextmanager
def limited(size: int) -> Iterator[Limit]:
    """The hardest limit of `size` bytes that this machine lets us lay on a tree of processes."""
    folder = None
    for make in (_version_1, _version_2):
        with contextlib.suppress(OSError):
            folder = make(size)
            break
    if folder is not None:
        kind = "cgroup v1" if (folder / "memory.limit_in_bytes").is_file() else "cgroup v2"
        try:
            yield Limit(size, kind, _joining(folder), folder)
        finally:
            with contextlib.suppress(OSError):
                folder.rmdir()
        return
    scope = ["systemd-run", "--user", "--scope", "--quiet", "-p", f"MemoryMax={size}", "-p", "MemorySwapMax=0"]
    if shutil.which(scope[0]) and not subprocess.run([*scope, "true"], capture_output=True, check=False).returncode:
        yield Limit(size, "systemd scope", scope)
        return
    yield Limit(size)


def _version_1(size: int) -> Path:
    folder = Path("/sys/fs/cgroup/memory") / f"memory_small.{os.getpid()}"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(str(size))
    for name, value in (("memory.memsw.limit_in_bytes", size), ("memory.swappiness", 0)):
        with contextlib.suppress(OSError):  # where the kernel does not account for swap
            (folder / name).write_text(str(value))
    return folder


def _version_2(size: int) -> Path:
    own = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
    folder = Path("/sys/fs/cgroup") / own / f"memory_small.{os.getpid()}"
    folder.mkdir()
    try:
        (folder / "memory.max").write_text(str(size))
    except OSError:
        folder.rmdir()
        raise
    with contextlib.suppress(OSError):
        (folder / "memory.swap.max").write_text("0")
    return folder


# -- watching ---------------------------------------------------------------------------------------------------------


class Watcher(threading.Thread):
    """Reads the resident memory of a process and all that descend from it, and ends them when it is above `size`.

    peak: of the sum, bytes; pages that several processes share count once (their proportional sizes are added).
    """

    def __init__(self, root: int, size: int, every: float = 0.02) -> None:
        super().__init__(daemon=True)
        self.root, self.size, self.every = root, size, every
        self.peak, self.ended, self.over = 0, threading.Event(), False

    def run(self) -> None:
        while not self.ended.wait(self.every):
            now = self.resident()
            self.peak = max(self.peak, now)
            if now > self.size and not self.over:
                self.over = True
                with contextlib.suppress(OSError):
                    os.killpg(self.root, signal.SIGKILL)

    def resident(self) -> int:
        """Bytes held now, or the most that one process ever held, which no reading can miss."""
        tree = self.tree()
        alone = max((_status(pid, "VmHWM") for pid in tree), default=0)
        return max(alone, sum(map(_proportional, tree))) if len(tree) > 1 else alone

    def tree(self) -> list[int]:
        """The root and what descends from it. Zombies and what has just ended hold nothing."""
        found, more = [], [self.root]
        while more:
            pid = more.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    more += map(int, (thread / "children").read_text().split())
        return [pid for pid in found if Path(f"/proc/{pid}").exists()]


def _status(pid: int, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return 0


def _proportional(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return _status(pid, "VmRSS")


# -- measuring --------------------------------------------------------------------------------------------------------


def measure(setting: Setting, folder: Path, *, limit: int | None = None) -> dict[str, Any]:
    """One command under its limit (or another): whether it passed, its peaks in MB (10^6 bytes), its seconds."""
    size = limit or setting.limit
    with limited(size) as bound:
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        process = subprocess.Popen(
            [*bound.prefix, *setting.command()], cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        watcher = Watcher(process.pid, size)
        watcher.start()
        try:
            printed, complained = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        watcher.ended.set()
        watcher.join()
        held, hits = bound.peak(), bound.hits()
    passed = process.returncode == 0 and watcher.peak <= size
    found = {
        "command": f"tsuite {setting.title}", "steps": setting.steps or None, "limit_mb": round(size / 1e6),
        "by": bound.kind, "passed": passed, "resident_mb": round(watcher.peak / 1e6),
        "cgroup_mb": None if held is None else round(held / 1e6), "reclaims": hits, "seconds": round(seconds, 1),
        "processor_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
    }  # fmt: skip
    if process.returncode:
        killed = process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
        found["error"] = "killed: above the limit" if killed else (complained or printed).strip()[-400:]
    return found


def _show(rows: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    names = ("command", "limit_mb", "passed", "resident_mb", "cgroup_mb", "seconds")
    for name in names:
        table.add_column(name, justify="left" if name == "command" else "right")
    for row in rows:
        table.add_row(*(str(row[name]) for name in names))
    Console(stderr=True).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="commands that hold this")
    parser.add_argument("--limit", type=float, default=0, help="GB for every command, in place of its own")
    parser.add_argument("--quantize", default="--quantize int4", help="what asks the chat for 4-bit weights")
    parser.add_argument("--whole", action="store_true", help="with the report at the end of text's training: hours")
    parser.add_argument("--output", type=Path, help="write the JSON there as well")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for setting in settings(asked.quantize.split(), whole=asked.whole):
        if asked.only not in setting.title:
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(setting, Path(folder), limit=round(asked.limit * GB) or None))
        print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
        if asked.output:
            asked.output.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _show(rows)
    raise SystemExit(not all(row["passed"] for row in rows))


if __name__ == "__main__":
    main()
