"""The examination of a Jetson: what it is, what is installed, real kernels, and how it is set."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..jetson.boards import GIB
from ..jetson.sensors import Sensors
from ..jetson.system import Clock, System, gib
from . import engines, installed, kernels
from .check import Check, attempt, notice
from .examination import NUMPY, Examination, cache, versions

PACKAGES = ("torchao", "bitsandbytes", "onnxruntime-gpu", "tensorrt", "jetson-stats")
SMALL = 20 * GIB
"""Boards below this live from hand to mouth: each desktop and each missing swap file counts."""


def examine(system: System, *, root: Path, device: str, chosen: Any, facts: dict[str, Any]) -> Examination:
    """All of it. `device` is what was asked for, `chosen` what it became."""
    sensors = Sensors.here(root)
    memory = {"total": round(system.memory.total / 1e9, 1), "available": round(system.memory.available / 1e9, 1)}
    told = {**facts, "memory_gb": memory, "packages": facts["packages"] | versions(PACKAGES)}
    told["jetson"] = _plain(system, sensors)
    groups = {
        "what is installed": (
            _release(system),
            installed.python(system),
            installed.torch(system, root, installed.Torch.here()),
            attempt("arrays of numpy", kernels.arrays, hint=NUMPY),
            installed.tensorrt(root),
            *engines.checks(system, chosen),
        ),
        f"what works on the device {chosen}": _work(system, device, chosen),
        "how the board is set": (*_settings(system, sensors), replace(cache(), name="cache folder")),
    }
    checks = tuple(replace(check, group=group) for group, found in groups.items() for check in found)
    return Examination(device=str(chosen), facts=told, checks=checks, rows=_rows(system, sensors))


def _work(system: System, device: str, chosen: Any) -> list[Check]:
    """Real kernels, those that fail on the GPU with where a torch for it comes from."""
    import torch

    hint = installed.advice(system, "torch")
    found = []
    if device == "auto" or chosen.type == "cuda":
        found.append(attempt("a kernel on the GPU", kernels.gpu, hint=hint))
    else:
        found.append(notice("a kernel on the GPU", f"not tried: --device {device} was asked for", ok=None))
    hint = hint if chosen.type == "cuda" else ""
    bf16 = "needed" if chosen.type == "cuda" and system.capability in {"8.7", "11.0"} else "optional"
    product = kernels.product
    found += [
        attempt("matrix product, float32", lambda: product(chosen, torch.float32, 1e-3), hint=hint),
        attempt("matrix product, bfloat16", lambda: product(chosen, torch.bfloat16, 0.2), hint=hint, level=bf16),
        attempt("matrix product, float16", lambda: product(chosen, torch.float16, 0.05), hint=hint, level="optional"),
        attempt("comparison and sorting", lambda: kernels.comparison(chosen), hint=hint),
        attempt("fused attention", lambda: kernels.attention(chosen), hint=hint),
        attempt("gradient of a layer", lambda: kernels.gradient(chosen), hint=hint),
        attempt("4-bit weights", lambda: kernels.four_bit(chosen), hint=hint),
        attempt("8-bit weights", lambda: kernels.eight_bit(chosen), hint=hint),
    ]
    if chosen.type == "cuda" and importlib.util.find_spec("bitsandbytes"):
        mend = installed.advice(system, "bitsandbytes")
        work = attempt("bitsandbytes' 4-bit", lambda: kernels.bitsandbytes(chosen), hint=mend, level="optional")
        found.append(work)
    return found


def _release(system: System) -> Check:
    release = system.release
    if release is None:
        detail = "/etc/nv_tegra_release is missing or damaged, so the JetPack is not known"
        hint = "In a container, mount it from the board; on the board: apt show nvidia-jetpack"
        return notice("JetPack", detail, ok=False, hint=hint)
    if not release.exact:
        detail = f"L4T {system.l4t} is not known here; the nearest known is {release.l4t}, JetPack {release.jetpack}"
        return notice("JetPack", detail, ok=False, hint="What follows goes by that one.")
    if system.board and release.line not in system.board.jetpacks:
        return notice("JetPack", f"{release.jetpack}, which is not known to run on this board", ok=False)
    return notice("JetPack", f"{release.jetpack}, by L4T {system.l4t}")


def _settings(system: System, sensors: Sensors) -> list[Check]:
    return [_memory(system), _swap(system), _power(system), _clocks(system), _heat(sensors), _storage(system)]


def _memory(system: System) -> Check:
    memory = system.memory
    if not memory.total:
        return notice("free memory", "/proc/meminfo does not tell", ok=None)
    detail = f"{gib(memory.available)} of {gib(memory.total)}, which CPU and GPU share"
    if system.desktop and memory.total < SMALL:
        hint = "The desktop takes some 800 MB: sudo systemctl set-default multi-user.target, and start again."
        return notice("free memory", detail, ok=False, hint=hint)
    if memory.available < 0.25 * memory.total:
        return notice("free memory", detail, ok=False, hint="See what holds it: ps aux --sort=-rss | head")
    return notice("free memory", detail)


def _swap(system: System) -> Check:
    memory = system.memory
    kinds = {"zram": "zram", "file": "files", "partition": "partitions"}
    sizes = {kind: sum(swap.size for swap in memory.swaps if swap.kind == kind) for kind in kinds}
    detail = ", ".join(f"{gib(sizes[kind])} in {words}" for kind, words in kinds.items() if sizes[kind]) or "none"
    file = "a swap file on NVMe (fallocate, mkswap, swapon, a line in /etc/fstab)"
    if memory.zram:
        detail += f", which holds {gib(memory.zram_held)} of the memory now" if memory.zram_held else ""
        hint = (
            f"zram takes from the memory that it stands in for: sudo systemctl disable nvzramconfig, and make {file}."
        )
        return notice("swap", detail, ok=False, hint=hint)
    if not memory.swap_total and 0 < memory.total < SMALL:
        return notice("swap", detail, ok=False, hint=f"Work that needs a moment's more memory is killed: make {file}.")
    return notice("swap", detail)


def _power(system: System) -> Check:
    mode = system.power_mode
    if mode is None:
        return notice("power mode", "nvpmodel does not tell", ok=None)
    others = ", ".join(name for number, name in sorted(mode.names.items()) if number != mode.number)
    detail = f"{mode.name} (mode {mode.number})" + (f"; there are also {others}" if others else "")
    if mode.is_best:
        return notice("power mode", detail)
    number, name = mode.best
    hint = f"A low limit can multiply the time of a training: sudo nvpmodel -m {number} sets {name}."
    return notice("power mode", detail, ok=False, hint=hint)


def _clocks(system: System) -> Check:
    if not system.clocks:
        return notice("clocks", "they do not tell", ok=None)
    detail = ", ".join(_most(clock) for clock in _distinct(system.clocks))
    if system.cores:
        detail += f"; {system.cores[0]} of {system.cores[1]} cores at work"
    if all(clock.locked for clock in system.clocks):
        return notice("clocks", f"locked: {detail}")
    return notice("clocks", f"{detail}; they move with the load (before measuring: sudo jetson_clocks)", ok=None)


def _most(clock: Clock) -> str:
    most = clock.most if clock.most is not None else clock.now or 0.0
    return f"{clock.name} up to {most:.0f} MHz"


def _distinct(clocks: tuple[Clock, ...]) -> list[Clock]:
    """One of the clocks that are set alike: the cores of a board are."""
    kept: dict[tuple[str, float | None, float | None], Clock] = {}
    for clock in clocks:
        kept.setdefault((clock.name.rstrip("0123456789"), clock.least, clock.most), clock)
    return [Clock(name=key[0], now=clock.now, least=clock.least, most=clock.most) for key, clock in kept.items()]


def _heat(sensors: Sensors) -> Check:
    throttled, found = sensors.throttled(), sensors.temperatures()
    hottest = max(found.items(), key=lambda item: item[1], default=None)
    detail = f"{hottest[0]} at {hottest[1]:.0f} °C" if hottest else "no zone tells its temperature"
    if cut := sensors.overcurrents():
        detail += f"; clocks were cut {cut} times for want of current since the start"
    if throttled:
        hint = "Work goes on, slower: give the board air, or set a lower power mode."
        return notice("heat", f"held back now: {', '.join(throttled)}; {detail}", ok=False, hint=hint)
    return notice("heat", detail, ok=True if hottest else None)


def _storage(system: System) -> Check:
    if not system.storage:
        return notice("storage", "what holds the root file system cannot be told", ok=None)
    if system.storage in {"NVMe", "USB or SATA disk"}:
        return notice("storage", system.storage)
    hint = "Slow and soon worn: keep the cache (TSUITE_CACHE), checkpoints and swap on an NVMe disk."
    return notice("storage", system.storage, ok=False, hint=hint)


def _rows(system: System, sensors: Sensors) -> tuple[tuple[str, str], ...]:
    release, watts = system.release, sensors.power()
    board = system.label + (f" ({system.model})" if system.model not in {"", system.label} else "")
    rows = [("board", f"{board}, compute capability {system.capability or 'unknown'}")]
    if release and release.exact:
        holds = f"Python {release.python}, CUDA {release.cuda}"
        holds += f", TensorRT {release.tensorrt}" if release.tensorrt else ""
        rows.append(("JetPack", f"{release.jetpack} (L4T {system.l4t}), with {holds}"))
    else:
        rows.append(("JetPack", f"unknown (L4T {system.l4t})" if system.l4t else "unknown"))
    if system.distribution:
        rows.append(("distribution", system.distribution))
    if watts is not None:
        rows.append(("power now", f"{watts:.1f} W ({' + '.join(sensors.counted)})"))
    return tuple(rows)


def _plain(system: System, sensors: Sensors) -> dict[str, Any]:
    """What the JSON holds under "jetson"; bytes, MHz, W, °C."""
    release, mode, memory = system.release, system.power_mode, system.memory
    return {
        "board": system.board.name if system.board else None,
        "label": system.label,
        "model": system.model,
        "capability": system.capability or None,
        "l4t": system.l4t or None,
        "jetpack": release.jetpack if release and release.exact else None,
        "nearest_jetpack": release.jetpack if release else None,
        "memory": {
            "total": memory.total,
            "available": memory.available,
            "swap": memory.swap_total,
            "zram": memory.zram,
            "zram_held": memory.zram_held,
        },
        "desktop": system.desktop,
        "power_mode": {"number": mode.number, "name": mode.name, "watts": mode.watts} if mode else None,
        "clocks": {
            clock.name: {"now": clock.now, "most": clock.most, "locked": clock.locked} for clock in system.clocks
        },
        "storage": system.storage or None,
        "watts": sensors.power(),
        "rails": sensors.power_by_rail(),
        "temperatures": sensors.temperatures(),
        "throttled": list(sensors.throttled()),
        "overcurrents": sensors.overcurrents(),
    }
