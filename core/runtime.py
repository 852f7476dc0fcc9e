"""The machine: which device, how many threads, how much memory.

Threads are worth measuring: with two threads on a two-core machine that is otherwise busy, torch was seen 15 to 20
times slower than with one (a thread that waits at an OpenMP barrier for one that is not scheduled), and on a quiet
one 1.5 times faster. `calibrate_threads` times both and takes the better.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UserError, near

if TYPE_CHECKING:
    import torch

_threads: int | None = None
CALIBRATION_LASTS = 900.0
"""Seconds for which a measured thread count is believed: how busy a machine is changes."""


def pick_device(name: str = "auto") -> torch.device:
    """The torch device called `name`; `auto` takes the GPU that runs a kernel, else the CPU. UserError if absent."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() and _kernel_runs("cuda") else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"There is no device {name!r}.", near(name, ["auto", "cpu", "cuda", "mps"])) from None
    if device.type != "cpu" and not _kernel_runs(name):
        raise UserError(f"No kernel runs on the device {name!r} here.", "Try --device cpu, and see: tsuite doctor")
    return device


def _kernel_runs(name: str) -> bool:
    """Whether a real kernel runs: a build without code for this GPU imports well and fails here."""
    import torch

    try:
        return bool((torch.ones(4, 4, device=name) @ torch.ones(4, 4, device=name)).sum().item() == 64)
    except (RuntimeError, AssertionError, NotImplementedError):
        return False


def available_cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(threads: int | None, cache: Path | None = None) -> int:
    """Set torch's threads: `threads` where given, else OMP_NUM_THREADS, else what measuring finds best. Returns it.

    `cache` is the folder where a measured count is remembered for a quarter of an hour.
    """
    import torch

    global _threads  # noqa: PLW0603 (torch's own count is one where an engine has the cores)
    if threads is not None:
        if threads < 1:
            raise UserError(f"--threads must be at least 1, not {threads}.")
        count = threads
    elif os.environ.get("OMP_NUM_THREADS", "").isdigit():
        count = int(os.environ["OMP_NUM_THREADS"])
    else:
        count = _remembered(cache) or calibrate_threads(cache)
    torch.set_num_threads(count)
    _threads = count
    return count


def threads() -> int:
    """CPU threads that work is done with: those of `set_threads`, else torch's."""
    import torch

    return _threads or torch.get_num_threads()


def calibrate_threads(cache: Path | None = None, *, budget: float = 0.6) -> int:
    """Time small matrix products, the bulk of a Transformer, with 1, 2, 4 … threads; the fastest count wins.

    Takes about `budget` seconds. One thread is kept unless more gain at least a tenth.
    """
    import torch

    counts = sorted({1, available_cores(), *(2**power for power in range(8) if 2**power <= available_cores())})
    if len(counts) == 1:
        return 1
    left, right = torch.randn(192, 384), torch.randn(384, 384)
    seconds = {}
    for count in counts:
        torch.set_num_threads(count)
        seconds[count] = _best_time(lambda: torch.nn.functional.gelu(left @ right), budget / len(counts))
    best = min(counts, key=lambda count: seconds[count] * (1.0 if count == 1 else 1.1))
    if cache is not None:
        _remember(cache, best)
    return best


def _best_time(work, budget: float) -> float:
    """The median seconds of `work` over what fits into the budget: the median feels a barrier that the best hides."""
    work()
    times, end = [], time.perf_counter() + budget
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(10):
            work()
        times.append(time.perf_counter() - start)
        if time.perf_counter() > end + budget:
            break
    return sorted(times)[len(times) // 2]


def _thread_key() -> dict[str, object]:
    """What a measured thread count holds for: this machine, about as busy as now."""
    busy = round(os.getloadavg()[0] / available_cores(), 0) if hasattr(os, "getloadavg") else 0
    return {"host": platform.node(), "cores": available_cores(), "busy": busy}


def _remembered(cache: Path | None) -> int | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        saved = json.loads((Path(cache or "") / "threads.json").read_text(encoding="utf-8"))
        if saved["key"] == _thread_key() and 0 <= time.time() - saved["time"] < CALIBRATION_LASTS:
            return int(saved["threads"])
    return None


def _remember(cache: Path, threads: int) -> None:
    """Keep the count for the next call; a cache that cannot be written only costs measuring again."""
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=cache, delete=False, encoding="utf-8") as file:
            json.dump({"key": _thread_key(), "time": time.time(), "threads": threads}, file)
        os.replace(file.name, cache / "threads.json")


def reuse_memory() -> None:
    """Keep freed memory for the next step of a training instead of giving it back to the system.

    glibc maps every tensor of more than 32 MB anew, and the system clears each of its pages: a fifth of a step's time,
    measured. Elsewhere than under glibc this does nothing.
    """
    most_mapped, trim_above, pad = -4, -1, -2  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD of malloc.h
    with contextlib.suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        for setting, value in ((most_mapped, 0), (trim_above, 2**31 - 1), (pad, 2**26)):
            allocator.mallopt(setting, value)


def forget_peak(device: torch.device) -> None:
    """Have the largest sizes be counted from here on, where the system can (Linux)."""
    if device.type == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_gpu_memory_mb(device: torch.device) -> float | None:
    """The largest memory that torch has held on a GPU, in MB (10^6 bytes); None for another device."""
    import torch

    return torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else None


def give_back() -> None:
    """Give the system back what is free on the heap: after loading, what took part in it. Only glibc keeps so much."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def peak_memory_mb() -> float:
    """The largest resident size this process has had, in MB (10^6 bytes)."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def has_bf16(device: torch.device) -> bool:
    """Whether `device` has instructions for products in bfloat16; elsewhere they are slower than in float32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("flags", "Features")):
                return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(line.split()))
    return False


def cpu_name() -> str:
    """What the processor calls itself."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def seconds_since_start() -> float:
    """Seconds since this process began, imports included."""
    import psutil

    return time.time() - psutil.Process().create_time()
