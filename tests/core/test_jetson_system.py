"""What a machine says of itself: the trees of real boards, other machines, and files that are damaged or missing."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from tsuite.core.jetson import look, system
from tsuite.core.jetson.releases import RELEASES, l4t_of, release_of
from tsuite.core.jetson.sensors import Sensors
from tsuite.core.jetson.system import System, look_at

from . import trees

NAMES = {"nano": "orin-nano-8gb", "nx": "orin-nx-16gb", "agx": "agx-orin-64gb", "thor": "thor"}
L4T = {"5.1": "35.4.1", "6.1": "36.4.0", "6.2": "36.4.3", "7.2": "39.2.0"}
JETPACK = {"5.1": "5.1.2", "6.1": "6.1", "6.2": "6.2", "7.2": "7.2"}


@pytest.mark.parametrize(("jetpack", "board"), list(itertools.product(L4T, NAMES)))
def test_every_board_with_every_jetpack(tmp_path: Path, jetpack: str, board: str) -> None:
    found = look_at(trees.tree(tmp_path, jetpack, board))
    assert found.is_jetson
    assert found.board is not None
    assert found.board.name == NAMES[board]
    assert found.capability == ("11.0" if board == "thor" else "8.7")
    assert (found.soc, found.model) == (
        "tegra264" if board == "thor" else "tegra234",
        trees.MODELS[board][{"5.1": 0, "6.1": 1}.get(jetpack, 2)],
    )
    assert found.l4t == L4T[jetpack]
    assert found.release is not None
    assert (found.release.jetpack, found.release.python) == (JETPACK[jetpack], trees.UBUNTU[jetpack][1])
    assert found.release.exact
    assert found.distribution == f"Ubuntu {trees.UBUNTU[jetpack][0]}"
    assert found.memory.total == 1024 * trees.MEMORY[board]
    assert 0.85 < found.memory.available / found.memory.total < 0.9
    assert found.memory.zram == (0 if board == "thor" else found.memory.total // 2 // 8192 * 8192)
    assert found.memory.zram_held == (0 if board == "thor" else 8 * 26214400)
    assert found.storage == "NVMe"
    assert found.cores == trees.CORES[board]
    assert {clock.name for clock in found.clocks} >= {"cpu0", "cpu4", "gpu"}
    gpu = next(clock for clock in found.clocks if clock.name == "gpu")
    assert (gpu.now, gpu.most, gpu.locked) == (306.0, 918.0, False)


@pytest.mark.parametrize(
    ("board", "name", "watts", "best"),
    [
        ("nano", "MAXN_SUPER", None, (2, "MAXN_SUPER")),
        ("nx", "15W", 15, (0, "MAXN")),
        ("agx", "MODE_30W", 30, (0, "MAXN")),
        ("thor", "120W", 120, (0, "MAXN")),
    ],
)
def test_power_modes(tmp_path: Path, board: str, name: str, watts: int | None, best: tuple[int, str]) -> None:
    mode = look_at(trees.tree(tmp_path, "7.2", board)).power_mode
    assert mode is not None
    assert (mode.name, mode.watts, mode.best) == (name, watts, best)
    assert mode.is_best == (board == "nano")


def test_the_default_power_mode_stands_in_for_the_status(tmp_path: Path) -> None:
    trees.without(trees.tree(tmp_path, "6.2", "nano"), "var/lib/nvpmodel/status")
    mode = look_at(tmp_path).power_mode
    assert mode is not None
    assert (mode.number, mode.name) == (1, "25W")
    trees.write(tmp_path, "var/lib/nvpmodel/status", "pmode:0009\n")
    mode = look_at(tmp_path).power_mode
    assert mode is not None
    assert mode.name == "mode 9"


def test_nvpmodel_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=None)
    assert system._asked_nvpmodel() is None
    trees.write(tmp_path, "nvpmodel", "#!/bin/sh\necho 'NV Fan Mode:quiet'\necho 'NV Power Mode: MODE_30W'\necho 2\n")
    (tmp_path / "nvpmodel").chmod(0o755)
    assert system._asked_nvpmodel() == 2
    trees.write(tmp_path, "nvpmodel", "#!/bin/sh\necho 'NVPM ERROR: optMask is 1, no request for power mode'\nexit 1\n")
    assert system._asked_nvpmodel() is None


@pytest.mark.parametrize(
    ("part", "kilobytes", "expected"),
    [
        ("p3767-0000", 7802880, "orin-nx-8gb"),  # an NX of 8 GB was seen with the part number of 16
        ("p3767-0004", 3500000, "orin-nano-4gb"),
        ("p3767-0003", 6635520, "orin-nano-8gb"),  # with the first firmware
        ("p3701-0000", 31268864, "agx-orin-32gb"),
        ("p3701-0008", 64349184, "agx-orin-64gb"),
        ("p2888-0004", 32000000, "agx-xavier-32gb"),
        ("p3668-0001", 7000000, "xavier-nx-8gb"),
        ("p3834-0000", 64000000, None),  # a Thor of 64 GB, which the table does not hold
    ],
)
def test_the_memory_tells_the_size(tmp_path: Path, part: str, kilobytes: int, expected: str | None) -> None:
    trees.tree(tmp_path, "6.2", "nx")
    chip = {"p2": "tegra194", "p36": "tegra194", "p38": "tegra264"}
    soc = next((soc for start, soc in chip.items() if part.startswith(start)), "tegra234")
    trees.write(tmp_path, "proc/device-tree/compatible", f"nvidia,p3509-0000+{part}\0nvidia,{part}\0nvidia,{soc}\0")
    trees.write(tmp_path, "proc/meminfo", f"MemTotal:       {kilobytes} kB\n")
    found = look_at(tmp_path)
    assert (found.board.name if found.board else None) == expected
    assert found.capability == {"tegra194": "7.2", "tegra234": "8.7", "tegra264": "11.0"}[soc]
    assert found.label == (found.board.label if found.board else trees.MODELS["nx"][2])


def test_a_carrier_of_another_maker_is_known_by_its_model(tmp_path: Path) -> None:
    trees.write(trees.tree(tmp_path, "6.2", "nx"), "proc/device-tree/compatible", "maker,carrier\0nvidia,tegra234\0")
    found = look_at(tmp_path)
    assert found.board is not None
    assert found.board.name == "orin-nx-16gb"


def test_in_a_container_the_soc_bus_tells(tmp_path: Path) -> None:
    trees.without(trees.tree(tmp_path, "6.2", "agx"), "proc/device-tree")
    trees.without(tmp_path, "etc/nv_tegra_release")
    assert not look_at(tmp_path).is_jetson
    for name, text in (("family", "Tegra"), ("machine", trees.MODELS["agx"][1]), ("soc_id", "35")):
        trees.write(tmp_path, f"sys/devices/soc0/{name}", f"{text}\n")
    found = look_at(tmp_path)
    assert found.is_jetson
    assert found.board is not None
    assert (found.board.name, found.capability, found.l4t, found.release) == ("agx-orin-64gb", "8.7", "", None)


def test_storage_and_swap(tmp_path: Path) -> None:
    trees.tree(tmp_path, "6.2", "nano", disk="mmcblk0p1")
    assert look_at(tmp_path).storage == "SD card"
    trees.write(tmp_path, "sys/block/mmcblk0/device/type", "MMC\n")
    assert look_at(tmp_path).storage == "eMMC"
    trees.write(tmp_path, "proc/self/mountinfo", "28 1 0:45 / / rw - overlay overlay rw,lowerdir=/a\n")
    assert look_at(tmp_path).storage == ""
    lines = "Filename Type Size Used Priority\n/swapfile file 16777212 1024 -2\n/dev/nvme0n1p2 partition 1024 0 -3\n"
    trees.write(tmp_path, "proc/swaps", lines)
    swaps = look_at(tmp_path).memory.swaps
    assert [(swap.kind, swap.size, swap.used) for swap in swaps] == [
        ("file", 1024 * 16777212, 1024 * 1024),
        ("partition", 1024 * 1024, 0),
    ]


def test_a_desktop_is_seen_without_following_links(tmp_path: Path) -> None:
    trees.tree(tmp_path, "6.2", "nano")
    assert not look_at(tmp_path).desktop
    trees.link(tmp_path, "etc/systemd/system/display-manager.service", "/lib/systemd/system/gdm.service")
    assert look_at(tmp_path).desktop
    trees.link(tmp_path, "etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target")
    assert not look_at(tmp_path).desktop


def test_another_machine_is_not_a_jetson(tmp_path: Path) -> None:
    trees.write(tmp_path, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 500 kB\n")
    trees.write(tmp_path, "proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    trees.write(tmp_path, "proc/device-tree/compatible", "raspberrypi,5-model-b\0brcm,bcm2712\0")
    trees.write(tmp_path, "etc/nv_tegra_release", trees.RELEASES["6.2"])  # an image for Jetsons, run elsewhere
    found = look_at(tmp_path)
    assert (found.is_jetson, found.label, found.board) == (False, "not a Jetson", None)
    assert found.memory.available == 512000
    assert look_at(tmp_path / "nothing") == System()
    assert not look_at().is_jetson


DAMAGE = [b"", b"\0\xff\xfe\x80" * 50, b"9" * 40, b"-1\n", b"NaN kB", b"# R (release), REVISION: x", b"a" * 300000]


def test_damaged_files_never_raise(tmp_path: Path) -> None:
    trees.tree(tmp_path, "6.2", "nx", disk="mmcblk0p1")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 50
    for file, damage in zip(files, itertools.cycle(DAMAGE), strict=False):
        whole = file.read_bytes()
        file.write_bytes(damage)
        look_at(tmp_path)
        Sensors.here(tmp_path).power()
        file.write_bytes(whole)
    for damage in DAMAGE:
        for file in files:
            file.write_bytes(damage)
        found, sensors = look_at(tmp_path), Sensors.here(tmp_path)
        assert (found.is_jetson, found.board, found.release) == (False, None, None)
        assert sensors.power() is None or sensors.counted


def test_folders_and_rings_in_place_of_files(tmp_path: Path) -> None:
    trees.tree(tmp_path, "6.2", "nx")
    for path in ("etc/nv_tegra_release", "proc/meminfo", "etc/nvpmodel.conf", "proc/device-tree/model"):
        trees.without(tmp_path, path)
        (tmp_path / path).mkdir()
    for path in ("proc/swaps", "etc/os-release", "var/lib/nvpmodel/status"):
        trees.without(tmp_path, path)
        trees.link(tmp_path, path, Path(path).name)
    found = look_at(tmp_path)
    assert found.is_jetson  # the chip is known all the same
    assert (found.board, found.release, found.power_mode) == (None, None, None)
    assert found.label == "an unknown Jetson"


def test_numbers_and_order(tmp_path: Path) -> None:
    for text, number in (("12\n", 12), ("-5 ma", -5), ("", None), ("x1", None), ("9" * 19, None), ("1.5", 1)):
        trees.write(tmp_path, "number", text)
        assert look.number(tmp_path / "number") == number
    for name in ("hwmon10", "hwmon2", "hwmon"):
        (tmp_path / name).mkdir()
    assert [path.name for path in look.entries(tmp_path, "hwmon*")] == ["hwmon", "hwmon2", "hwmon10"]


@pytest.mark.parametrize(
    ("text", "l4t"),
    [
        (trees.RELEASES["6.2"], "36.4.3"),
        ("# R36 (release), REVISION: 5.0, GCID: 1", "36.5.0"),
        ("# R36 (release), GCID: 1", "36"),
        ("# R36 (", ""),
        ("R36.4", ""),
        ("", ""),
    ],
)
def test_l4t_of_the_release_file(text: str, l4t: str) -> None:
    assert l4t_of(text) == l4t


@pytest.mark.parametrize(
    ("l4t", "jetpack", "exact"),
    [
        ("35.3.1", "5.1.1", True),
        ("36.3.0", "6.0", True),
        ("36.4.7", "6.2.1", True),
        ("36.5", "6.2.2", True),
        ("38.4.0", "7.1", True),
        ("39.2.0", "7.2", True),
        ("36.4.9", "6.2.1", False),
        ("36.9.0", "6.2.3", False),
        ("36", "6.0", False),
        ("32.7.4", "5.1", False),
        ("45.0.0", "7.2.1", False),
        ("39.1.0", "7.2", False),
    ],
)
def test_jetpack_of_l4t(l4t: str, jetpack: str, exact: bool) -> None:
    found = release_of(l4t)
    assert found is not None
    assert (found.jetpack, found.exact) == (jetpack, exact)


def test_no_jetpack_without_an_l4t() -> None:
    assert release_of("") is None
    assert release_of("thirty-six") is None
    keys = [tuple(map(int, known.l4t.split("."))) for known in RELEASES]
    assert keys == sorted(set(keys))  # `release_of` takes the last one before
    assert all(known.line in {"5.1", "6.0", "6.1", "6.2", "7.0", "7.1", "7.2"} for known in RELEASES)
