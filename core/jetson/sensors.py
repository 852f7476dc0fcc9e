"""What a board's sensors say now: power, temperatures, whether it is throttled. Read from files, without rights.

    with Sensors.here().meter() as meter:
        work()
    meter.joules, meter.watts     # None where the board has no sensor

A machine without these sensors gives None and empty answers, never an error.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import look

WHOLE = ("VDD_IN", "VIN", "POM_5V_IN")
"""Rails that feed everything else on their board: the module of an Orin Nano or NX, Thor with its carrier."""
ASLEEP = -100.0
"""Degrees Celsius below which a zone is switched off rather than cold (a sleeping one reads -256)."""


@dataclass(frozen=True, kw_only=True)
class Sensors:
    """The sensors found under a root. `here` looks for them once; the methods read them.

    rails: by name, the files whose product is the power (mV and mA), or the one that tells it (µW).
    """

    rails: dict[str, tuple[Path, ...]]
    zones: dict[str, Path]
    alerts: dict[str, Path]
    counters: tuple[Path, ...]
    ask: Callable[[], float | None] | None = None

    @classmethod
    def here(cls, root: Path = Path("/")) -> Sensors:
        """The sensors of the machine whose files lie under `root`."""
        chips = look.entries(root / "sys/class/hwmon", "hwmon*")
        rails = {name: files for chip in chips for name, files in _rails(chip).items()}
        thermal = root / "sys/class/thermal"
        zones = {look.text(zone / "type"): zone / "temp" for zone in look.entries(thermal, "thermal_zone*")}
        devices = {look.text(device / "type"): device for device in look.entries(thermal, "cooling_device*")}
        alerts = {name: device / "cur_state" for name, device in devices.items() if name.endswith("-alert")}
        counters = [
            file
            for chip in chips
            if look.text(chip / "name") == "soctherm_oc"
            for file in look.entries(chip, "oc*_event_cnt")
        ]
        asked = _jtop() if not rails and root == Path("/") else None
        zones.pop("", None)
        return cls(rails=rails, zones=zones, alerts=alerts, counters=tuple(counters), ask=asked)

    @property
    def counted(self) -> tuple[str, ...]:
        """The rails that `power` adds up: one that feeds all others where there is one, else all there are."""
        whole = [name for name in WHOLE if name in self.rails]
        return (whole[0],) if whole else tuple(self.rails)

    def power(self) -> float | None:
        """Watts now, over the rails of `counted`; None where no sensor tells.

        Without a rail that feeds all (AGX Orin) this is the sum of the rails, which is less than what the supply gives.
        """
        found = self.power_by_rail()
        values = [found[name] for name in self.counted if name in found]
        if values:
            return sum(values)
        return self.ask() if self.ask else None

    def power_by_rail(self) -> dict[str, float]:
        """Watts now of each rail that answers."""
        found = {}
        for name, files in self.rails.items():
            values = [look.number(file) for file in files]
            if None not in values:
                product = 1.0
                for value in values:
                    product *= value or 0
                found[name] = product / 1e6  # mV · mA, or µW
        return found

    def temperatures(self) -> dict[str, float]:
        """Degrees Celsius by zone ("cpu", "gpu", "tj" …), without those that are switched off."""
        read = {name.removesuffix("-thermal"): look.number(file) for name, file in self.zones.items()}
        return {name: value / 1e3 for name, value in read.items() if value is not None and value / 1e3 > ASLEEP}

    def throttled(self) -> tuple[str, ...]:
        """What is held back now because it is hot ("gpu", "cpu" …); empty where nothing is.

        Only the alerts count: fans and the governors' own limits are cooling devices too, at work in any warm board.
        """
        names = (name for name, file in self.alerts.items() if (look.number(file) or 0) > 0)
        return tuple(name.removesuffix("-alert").removesuffix("-throttle") for name in names)

    def overcurrents(self) -> int | None:
        """How often the board has cut its clocks since it started because the supply or a rail was overdrawn.

        None where it does not count. Only the difference between two readings says something about a piece of work.
        """
        counts = [count for file in self.counters if (count := look.number(file)) is not None]
        return sum(counts) if counts else None

    def meter(self, *, every: float = 0.1) -> Meter:
        """A context that measures the energy of what runs in it, reading the power each `every` seconds."""
        return Meter(self, every=every)


class Meter:
    """Energy of a piece of work: joules and mean watts, both None where no sensor tells.

    throttled: everything that was seen held back meanwhile; hottest: the highest temperature, °C, None without zones.
    """

    def __init__(self, sensors: Sensors, *, every: float) -> None:
        self.sensors, self.every = sensors, every
        self.joules: float | None = None
        self.seconds = 0.0
        self.throttled: set[str] = set()
        self.hottest: float | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def watts(self) -> float | None:
        return self.joules / self.seconds if self.joules is not None and self.seconds > 0 else None

    def __enter__(self) -> Meter:
        self._last = (time.perf_counter(), self.sensors.power())
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._done.set()
        self._thread.join()
        self._add()

    def _watch(self) -> None:
        while not self._done.wait(self.every):
            self._add()

    def _add(self) -> None:
        """The stretch since the last reading, at the mean of both (the trapezium)."""
        now, power = time.perf_counter(), self.sensors.power()
        before, past = self._last
        self.seconds += now - before
        if power is not None and past is not None:
            self.joules = (self.joules or 0.0) + (now - before) * (power + past) / 2
        self._last = (now, power)
        self._look()

    def _look(self) -> None:
        self.throttled.update(self.sensors.throttled())
        found = self.sensors.temperatures().values()
        self.hottest = max([*found, *([] if self.hottest is None else [self.hottest])], default=None)


def _rails(chip: Path) -> dict[str, tuple[Path, ...]]:
    """The rails of one chip: an ina3221 tells voltage and current of three, an ina238 (Thor's input) its power."""
    kind = look.text(chip / "name")
    if kind == "ina238":
        return {look.text(chip / "in1_label") or "VIN": (chip / "power1_input",)}
    if kind != "ina3221":
        return {}
    found = {}
    for channel in (1, 2, 3):  # 4 to 7 are shunt voltages and their sum
        label = look.text(chip / f"in{channel}_label")
        files = (chip / f"in{channel}_input", chip / f"curr{channel}_input")
        if label and label != "NC" and look.number(files[1]) is not None:
            found[label] = files
    return found


def _jtop() -> Callable[[], float | None] | None:
    """The way to ask jtop's service for the power, where it is installed and the files tell nothing."""
    try:
        from jtop import jtop  # pyright: ignore[reportMissingImports]
    except Exception:  # its own imports may fail elsewhere than on a board
        return None

    def ask() -> float | None:
        try:
            with jtop() as board:
                return board.power["tot"]["power"] / 1e3
        except Exception:  # the service is not running, or of another version
            return None

    return ask if ask() is not None else None
