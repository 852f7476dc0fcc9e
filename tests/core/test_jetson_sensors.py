"""Power, temperatures and throttling as the files of boards tell them, and energy over time."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from tsuite.core.jetson.sensors import Sensors

from . import trees


@pytest.mark.parametrize(
    ("board", "watts", "counted"),
    [
        ("nano", 4.984 * 1.012, ("VDD_IN",)),
        ("nx", 5.016 * 1.512, ("VDD_IN",)),
        ("agx", 19.92 * 0.16 + 19.92 * 0.04 + 4.968 * 0.953, ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")),
        ("thor", 25.53, ("VIN",)),
    ],
)
def test_power(tmp_path: Path, board: str, watts: float, counted: tuple[str, ...]) -> None:
    sensors = Sensors.here(trees.tree(tmp_path, "6.2", board))
    assert sensors.counted == counted
    assert sensors.power() == pytest.approx(watts)
    assert "sum of shunt voltages" not in sensors.power_by_rail()


def test_rails_that_are_not_connected_or_fall_silent(tmp_path: Path) -> None:
    trees.tree(tmp_path, "6.2", "agx")
    trees.write(tmp_path, "sys/class/hwmon/hwmon1/in1_label", "NC\n")
    sensors = Sensors.here(tmp_path)
    assert set(sensors.rails) == {"VDD_CPU_CV", "VIN_SYS_5V0"}
    trees.write(tmp_path, "sys/class/hwmon/hwmon1/curr2_input", "")
    assert sensors.power() == pytest.approx(4.968 * 0.953)
    trees.write(tmp_path, "sys/class/hwmon/hwmon1/curr3_input", "nothing")
    assert sensors.power() is None


def test_temperatures_leave_out_what_sleeps(tmp_path: Path) -> None:
    trees.tree(tmp_path, "6.2", "nx")
    sensors = Sensors.here(tmp_path)
    assert sensors.temperatures() == {"cpu": 51.687, "gpu": 48.5, "soc0": 49.062, "tj": 51.687}
    trees.write(tmp_path, "sys/class/thermal/thermal_zone1/temp", "-256000\n")
    assert "gpu" not in sensors.temperatures()


def test_only_alerts_are_throttling(tmp_path: Path) -> None:
    trees.tree(tmp_path, "6.2", "nx")
    sensors = Sensors.here(tmp_path)
    assert sensors.throttled() == ()  # although the fan turns and a governor has set a limit
    trees.write(tmp_path, "sys/class/thermal/cooling_device2/cur_state", "1\n")
    assert sensors.throttled() == ("gpu",)
    assert sensors.overcurrents() == 52


def test_a_machine_without_sensors(tmp_path: Path) -> None:
    sensors = Sensors.here(tmp_path)
    assert (sensors.power(), sensors.temperatures(), sensors.throttled(), sensors.overcurrents()) == (
        None,
        {},
        (),
        None,
    )
    with sensors.meter(every=0.01) as meter:
        time.sleep(0.02)
    assert (meter.joules, meter.watts, meter.hottest, meter.throttled) == (None, None, None, set())
    assert meter.seconds > 0.015


def test_the_machine_here_is_asked_without_trouble() -> None:
    sensors = Sensors.here()
    assert sensors.power() is None or sensors.power() != 0
    assert all(-50 < value < 150 for value in sensors.temperatures().values())


def test_energy_is_the_mean_power_times_the_time(tmp_path: Path) -> None:
    trees.tree(tmp_path, "6.2", "nx")
    with Sensors.here(tmp_path).meter(every=0.01) as meter:
        time.sleep(0.05)
    assert meter.watts == pytest.approx(5.016 * 1.512)
    assert meter.joules == pytest.approx(5.016 * 1.512 * meter.seconds)
    assert meter.hottest == 51.687


def test_what_changes_meanwhile_counts(tmp_path: Path) -> None:
    trees.tree(tmp_path, "6.2", "nx")

    def load() -> None:
        trees.write(tmp_path, "sys/class/hwmon/hwmon1/curr1_input", "3024\n")
        trees.write(tmp_path, "sys/class/thermal/thermal_zone3/temp", "99000\n")
        trees.write(tmp_path, "sys/class/thermal/cooling_device1/cur_state", "1\n")

    worker = threading.Timer(0.05, load)
    with Sensors.here(tmp_path).meter(every=0.005) as meter:
        worker.start()
        worker.join()
        time.sleep(0.05)
    assert meter.watts is not None
    assert 5.016 * 1.512 * 1.05 < meter.watts < 5.016 * 3.024 * 0.95
    assert meter.hottest == 99.0
    assert meter.throttled == {"cpu"}


def test_the_meter_stops_when_the_work_fails(tmp_path: Path) -> None:
    meter = Sensors.here(trees.tree(tmp_path, "6.2", "nx")).meter(every=0.01)
    with pytest.raises(ValueError, match="broken"), meter:
        raise ValueError("broken")
    assert not meter._thread.is_alive()
    assert meter.joules is not None
