"""What this machine is, by what it says of itself in /proc, /sys and /etc. Other machines than a Jetson say so plainly.

Everything is read under a `root`, so that a copied or made tree of files can be looked at like the machine itself.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import look
from .boards import BOARDS, GIB, Board
from .releases import Release, l4t_of, release_of

FAMILIES = {  # part numbers of modules, by which the device tree names them
    "p3767-0000": "orin-nx", "p3767-0001": "orin-nx", "p3767-0003": "orin-nano", "p3767-0004": "orin-nano",
    "p3767-0005": "orin-nano", "p3701": "agx-orin", "p3834": "thor", "p3668": "xavier-nx", "p2888": "agx-xavier",
}  # fmt: skip
WORDS = {"orin nano": "orin-nano", "orin nx": "orin-nx", "agx orin": "agx-orin", "thor": "thor",
         "xavier nx": "xavier-nx", "agx xavier": "agx-xavier"}  # fmt: skip
CAPABILITIES = {"tegra194": "7.2", "tegra234": "8.7", "tegra264": "11.0"}
CHIPS = {25: "tegra194", 35: "tegra234", 38: "tegra264"}  # as the soc bus numbers them


@dataclass(frozen=True, kw_only=True)
class Swap:
    """One line of /proc/swaps; kind: "zram" (in memory itself), "file" or "partition". Bytes."""

    name: str
    kind: str
    size: int
    used: int


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of the one memory that CPU and GPU share; 0 where /proc/meminfo does not tell.

    zram_held: what zram takes of it now for what was swapped out there.
    """

    total: int = 0
    available: int = 0
    swap_total: int = 0
    swap_free: int = 0
    swaps: tuple[Swap, ...] = ()
    zram_held: int = 0

    @property
    def zram(self) -> int:
        """Bytes of swap that are kept in memory, compressed."""
        return sum(swap.size for swap in self.swaps if swap.kind == "zram")


@dataclass(frozen=True, kw_only=True)
class PowerMode:
    """What nvpmodel is set to. names: all modes by number; watts None for a mode without a limit (MAXN)."""

    number: int
    name: str
    names: dict[int, str]

    @property
    def watts(self) -> int | None:
        return _watts(self.name)

    @property
    def best(self) -> tuple[int, str]:
        """Number and name of the mode with the widest limit: MAXN before the most watts."""
        return max(self.names.items(), key=lambda item: _rank(item[1])) if self.names else (self.number, self.name)

    @property
    def is_best(self) -> bool:
        return _rank(self.name) >= _rank(self.best[1])


@dataclass(frozen=True, kw_only=True)
class Clock:
    """One clock in MHz, with the limits set to it; None where it does not tell."""

    name: str
    now: float | None
    least: float | None
    most: float | None

    @property
    def locked(self) -> bool:
        """Whether it cannot move (as `jetson_clocks` leaves it)."""
        return self.least is not None and self.least == self.most


@dataclass(frozen=True, kw_only=True)
class System:
    """A machine. On one that is no Jetson (`is_jetson`) model and board are empty, and only memory and storage tell.

    model: as the device tree says. board None: unknown, or none. capability "" where the chip is unknown. l4t "" and
    release None: /etc/nv_tegra_release is missing or damaged. desktop: whether it starts into one. cores: those at work
    and those there are. storage: what holds the root file system.
    """

    is_jetson: bool = False
    model: str = ""
    soc: str = ""
    board: Board | None = None
    capability: str = ""
    l4t: str = ""
    release: Release | None = None
    distribution: str = ""
    memory: Memory = Memory()
    desktop: bool = False
    power_mode: PowerMode | None = None
    clocks: tuple[Clock, ...] = ()
    cores: tuple[int, int] | None = None
    storage: str = ""

    @property
    def label(self) -> str:
        """What to call it: the board, else what the device tree says."""
        if not self.is_jetson:
            return "not a Jetson"
        return self.board.label if self.board else self.model or "an unknown Jetson"


def look_at(root: Path = Path("/")) -> System:
    """The machine whose files lie under `root`. Never raises."""
    model, compatible, soc = _chip(root)
    tegra = "-tegra" in look.text(root / "proc/version")
    memory = _memory(root)
    board = _board(model, compatible, memory.total)
    l4t = l4t_of(look.text(root / "etc/nv_tegra_release"))
    return System(
        is_jetson=soc in CAPABILITIES or "jetson" in model.lower() or tegra,
        model=model,
        soc=soc,
        board=board,
        capability=board.capability if board else CAPABILITIES.get(soc, ""),
        l4t=l4t,
        release=release_of(l4t),
        distribution=_distribution(root),
        memory=memory,
        desktop=_starts_desktop(root),
        power_mode=_power_mode(root),
        clocks=_clocks(root),
        cores=_cores(root),
        storage=_storage(root),
    )


def _chip(root: Path) -> tuple[str, str, str]:
    """Model, compatible and chip by the device tree; where a container hides that, model and chip by the soc bus."""
    tree, bus = root / "proc/device-tree", root / "sys/devices/soc0"
    compatible = look.text(tree / "compatible")
    named = re.search(r"nvidia,(tegra\d{3})\b", compatible)
    if named:
        return _words(look.text(tree / "model")), compatible, named.group(1)
    if look.text(bus / "family") == "Tegra":
        return _words(look.text(bus / "machine")), "", CHIPS.get(look.number(bus / "soc_id") or 0, "")
    return _words(look.text(tree / "model")), compatible, ""


def _words(text: str) -> str:
    """A name as it is; "" for what is none: it goes to the terminal."""
    named = len(text) < 200 and text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text
    return text if named and re.search("[A-Za-z]{2}", text) else ""


def _board(model: str, compatible: str, total: int) -> Board | None:
    """By the module's part number, else the model's words; which of its sizes, the memory tells: a module may carry the
    part number of another size (an NX of 8 GB was seen with that of 16)."""
    parts = re.findall(r"p\d{4}-\d{4}", compatible.replace("+", " "))
    family = next((FAMILIES[key] for part in parts for key in (part, part[:5]) if key in FAMILIES), "")
    family = family or next((name for words, name in WORDS.items() if words in model.lower()), "")
    sizes = sorted((board for board in BOARDS.values() if board.name.startswith(family)), key=lambda each: each.memory)
    if not family or not total:
        return None
    board = next((each for each in sizes if total <= each.memory), None)
    return board if board and total > 0.75 * board.memory else None  # else a size that is not in the table


def _memory(root: Path) -> Memory:
    told = dict(re.findall(r"^(\w+):\s+(\d{1,15}) kB$", look.text(root / "proc/meminfo"), re.MULTILINE))
    total, available, swap_total, swap_free = (
        1024 * int(told.get(name, 0)) for name in ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")
    )
    lines = re.findall(r"^(/\S+)\s+(\w+)\s+(\d{1,15})\s+(\d{1,15})\b", look.text(root / "proc/swaps"), re.MULTILINE)
    swaps = tuple(
        Swap(name=name, kind="zram" if "/zram" in name else kind, size=1024 * int(size), used=1024 * int(used))
        for name, kind, size, used in lines
    )
    usage = (look.text(device / "mm_stat").split() for device in look.entries(root / "sys/block", "zram*"))
    held = sum(int(words[2]) for words in usage if len(words) > 2 and re.fullmatch(r"\d{1,15}", words[2]))
    return Memory(
        total=total, available=available, swap_total=swap_total, swap_free=swap_free, swaps=swaps, zram_held=held
    )


def _distribution(root: Path) -> str:
    told = re.search(r"^PRETTY_NAME=\"?([^\"\n]*)", look.text(root / "etc/os-release"), re.MULTILINE)
    return _words(told.group(1).strip()) if told else ""


def _starts_desktop(root: Path) -> bool:
    """Whether the machine starts into a desktop: there is a display manager, and the default target is not another.
    The links are not followed: they lead out of `root`."""
    units = root / "etc/systemd/system"
    try:
        if not (units / "display-manager.service").is_symlink():
            return False
        return (units / "default.target").readlink().name == "graphical.target"
    except (OSError, ValueError):
        return True  # systems are made with the graphical target as default


def _power_mode(root: Path) -> PowerMode | None:
    """What /var/lib/nvpmodel/status says ("pmode:0002 fmode:…"), named by /etc/nvpmodel.conf; on a machine where it is
    not to be read, what `nvpmodel -q` answers."""
    settings = look.text(root / "etc/nvpmodel.conf")
    names = {int(key): name for key, name in re.findall(r"<\s*POWER_MODEL\s+ID=(\d{1,3})\s+NAME=([^\s>]+)", settings)}
    told = re.search(r"pmode:\s*(\d{1,6})", look.text(root / "var/lib/nvpmodel/status"))
    number = int(told.group(1)) if told else None
    if number is None and names and root == Path("/"):
        number = _asked_nvpmodel()
    if number is None:
        default = re.search(r"<\s*PM_CONFIG\s+DEFAULT=(\d{1,3})", settings)
        number = int(default.group(1)) if default else None
    if number is None:
        return None
    return PowerMode(number=number, name=names.get(number, f"mode {number}"), names=names)


def _asked_nvpmodel() -> int | None:
    try:
        done = subprocess.run(["nvpmodel", "-q"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    numbers = re.findall(r"^(\d{1,3})$", done.stdout, re.MULTILINE)
    return int(numbers[-1]) if numbers else None


def _watts(name: str) -> int | None:
    found = re.search(r"(\d+)W", name)
    return int(found.group(1)) if found else None


def _rank(name: str) -> float:
    watts = _watts(name)
    return float("inf") if "MAXN" in name else float(watts or 0)


def _clocks(root: Path) -> tuple[Clock, ...]:
    """The first core of each cluster's cpufreq, and the GPU's devfreq (its name differs: ga10b, gpu, gpu-gpc-0)."""
    found = []
    for policy in look.entries(root / "sys/devices/system/cpu/cpufreq", "policy*") or look.entries(
        root / "sys/devices/system/cpu", "cpu[0-9]*/cpufreq"
    ):
        values = [look.number(policy / f"scaling_{name}_freq") for name in ("cur", "min", "max")]
        owner = policy.parent.name if policy.name == "cpufreq" else policy.name.replace("policy", "cpu")
        found.append(_clock(owner, values, 1e3))
    found += [
        _clock("gpu", [look.number(unit / f"{name}_freq") for name in ("cur", "min", "max")], 1e6)
        for unit in look.entries(root / "sys/class/devfreq", "*")
        if re.search(r"gpu|ga10b|gv11b", unit.name) and "nvd" not in unit.name
    ]
    return tuple(clock for clock in found if clock.now is not None or clock.most is not None)


def _clock(name: str, values: list[int | None], unit: float) -> Clock:
    now, least, most = (None if value is None else value / unit for value in values)
    return Clock(name=name, now=now, least=least, most=most)


def _cores(root: Path) -> tuple[int, int] | None:
    """Cores at work and cores there are: low power modes switch some off."""
    at_work, there = (_span(look.text(root / "sys/devices/system/cpu" / name)) for name in ("online", "present"))
    return (at_work, there) if at_work and there else None


def _span(text: str) -> int:
    """How many cores "0-3,8" are; 0 where it is no such list."""
    if not re.fullmatch(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*", text):
        return 0
    ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
    return sum(max(0, part[-1] - part[0] + 1) for part in ends)


def _storage(root: Path) -> str:
    """What holds the root file system; "" where that cannot be told (a container's overlay, a network)."""
    mounted = re.search(
        r"^\d+ \d+ (\d+:\d+) \S+ / .* - \S+ (\S+)", look.text(root / "proc/self/mountinfo"), re.MULTILINE
    )
    if not mounted:
        return ""
    event = look.text(root / "sys/dev/block" / mounted.group(1) / "uevent")
    named = re.search(r"^DEVNAME=(\S+)", event, re.MULTILINE)
    device = (named.group(1) if named else mounted.group(2)).removeprefix("/dev/")
    if device.startswith("nvme"):
        return "NVMe"
    if device.startswith("mmcblk"):
        kind = look.text(root / "sys/block" / device.split("p")[0] / "device/type")
        return {"SD": "SD card", "MMC": "eMMC"}.get(kind, "eMMC or SD card")
    return "USB or SATA disk" if device.startswith("sd") else ""


def gib(size: float) -> str:
    """Bytes for people: 7.4 GiB."""
    return f"{size / GIB:.1f} GiB"
