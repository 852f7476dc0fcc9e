"""Files as Jetson boards have them, under a folder of their own: /proc, /sys and /etc with the texts of real boards.

The texts are those that owners of such boards have published (the release file and the device tree in reports to
jetson-stats and others, the rest in logs of tegrastats and sysfs). Numbers are of their order, not of one board.
"""

from __future__ import annotations

import shutil
from pathlib import Path

RELEASES = {
    "5.1": "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64, "
    "DATE: Tue Aug  1 19:57:35 UTC 2023\n",
    "6.1": "# R36 (release), REVISION: 4.0, GCID: 37537400, BOARD: generic, EABI: aarch64, "
    "DATE: Fri Sep 13 04:36:44 UTC 2024\n# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n",
    "6.2": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
    "DATE: Wed Jan  8 01:49:37 UTC 2025\n# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n",
    "7.2": "# R39 (release), REVISION: 2.0, GCID: 45755727, BOARD: generic, EABI: aarch64, "
    "DATE: Mon Jun  1 09:28:48 PM UTC 2026\n# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n",
}
UBUNTU = {
    "5.1": ("20.04.6 LTS", "3.8"),
    "6.1": ("22.04.5 LTS", "3.10"),
    "6.2": ("22.04.5 LTS", "3.10"),
    "7.2": ("24.04.4 LTS", "3.12"),
}
MODELS = {  # for JetPack 5.1, 6.1, and later with the Super clocks
    "nano": (
        "NVIDIA Orin Nano Developer Kit",
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit",
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
    ),
    "nx": (
        "NVIDIA Orin NX Developer Kit",
        "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
        "NVIDIA Jetson Orin NX Engineering Reference Developer Kit Super",
    ),
    "agx": ("Jetson AGX Orin", "NVIDIA Jetson AGX Orin Developer Kit", "NVIDIA Jetson AGX Orin Developer Kit"),
    "thor": ("NVIDIA Jetson AGX Thor Developer Kit",) * 3,
}
PARTS = {"nano": ("p3768-0000", "p3767-0005"), "nx": ("p3768-0000", "p3767-0000"), "agx": ("p3737-0000", "p3701-0005"),
         "thor": ("p4071-0000", "p3834-0008")}  # fmt: skip
MEMORY = {"nano": 7802880, "nx": 16031334, "agx": 64349184, "thor": 128790092}  # kB
MODES = {  # names, the one that is set, the default
    "nano": (("15W", "25W", "MAXN_SUPER", "7W"), 2, 1),
    "nx": (("MAXN", "10W", "15W", "25W"), 2, 2),
    "agx": (("MAXN", "MODE_15W", "MODE_30W", "MODE_50W"), 2, 2),
    "thor": (("MAXN", "120W", "90W", "70W"), 1, 1),
}
CORES = {"nano": (6, 6), "nx": (8, 8), "agx": (8, 12), "thor": (14, 14)}
RAILS = {  # label, mV, mA
    "nano": (("VDD_IN", 4984, 1012), ("VDD_CPU_GPU_CV", 4984, 180), ("VDD_SOC", 4984, 280)),
    "nx": (("VDD_IN", 5016, 1512), ("VDD_CPU_GPU_CV", 5016, 240), ("VDD_SOC", 5016, 410)),
    "agx": (("VDD_GPU_SOC", 19920, 160), ("VDD_CPU_CV", 19920, 40), ("VIN_SYS_5V0", 4968, 953)),
    "thor": (("VDD_GPU", 19700, 300), ("VDD_CPU_SOC_MSS", 19700, 330), ("VIN_SYS_5V0", 4968, 1312)),
}
ZONES = {"cpu-thermal": 51687, "gpu-thermal": 48500, "soc0-thermal": 49062, "tj-thermal": 51687}


def tree(root: Path, jetpack: str, board: str, *, disk: str = "nvme0n1p1") -> Path:
    """The files of `board` (nano, nx, agx, thor) with `jetpack` (5.1, 6.1, 6.2, 7.2) below the empty folder `root`."""
    write(root, "etc/nv_tegra_release", RELEASES[jetpack])
    ubuntu = UBUNTU[jetpack][0]
    write(root, "etc/os-release", f'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu {ubuntu}"\nID=ubuntu\n')
    generation = {"5.1": 0, "6.1": 1}.get(jetpack, 2)
    _device_tree(root, board, generation)
    _memory(root, MEMORY[board], zram=board != "thor")
    names, chosen, default = (("15W", "7W"), 0, 0) if board == "nano" and generation < 2 else MODES[board]
    lines = "".join(f"< POWER_MODEL ID={key} NAME={name} >\nCPU_ONLINE CORE_0 1\n\n" for key, name in enumerate(names))
    write(root, "etc/nvpmodel.conf", f"{lines}< PM_CONFIG DEFAULT={default} >\n")
    write(root, "var/lib/nvpmodel/status", f"pmode:{chosen:04d} fmode:fan_mode_quiet\n")
    _clocks(root, board, {"5.1": "17000000.ga10b"}.get(jetpack, "17000000.gpu"))
    _sensors(root, board)
    _disk(root, disk)
    return root


def write(root: Path, path: str, text: str | bytes) -> None:
    """One file, with the folders it lies in."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)


def link(root: Path, path: str, target: str) -> None:
    """One symbolic link, to whatever `target` says."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).symlink_to(target)


def torch_of_the_system(root: Path, python: str, version: str) -> None:
    """A torch where JetPack's packages are, as far as anybody looks at it."""
    folder = f"usr/local/lib/python{python}/dist-packages/torch"
    write(root, f"{folder}/__init__.py", "raise ImportError('never to be imported')\n")
    write(root, f"{folder}/version.py", f"from typing import Optional\n__version__ = '{version}'\ncuda = '12.6'\n")


def without(root: Path, path: str) -> None:
    """Take a file or a folder away."""
    shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()


def _device_tree(root: Path, board: str, generation: int) -> None:
    carrier, module = PARTS[board]
    chips = "nvidia,tegra264" if board == "thor" else "nvidia,tegra234"
    better = "-super" if generation == 2 and module.startswith("p3767") else ""
    names = [f"nvidia,{carrier}+{module}{better}", f"nvidia,{module}", chips]
    names += ["nvidia,tegra23x"] if generation == 0 and board != "thor" else []
    write(root, "proc/device-tree/model", MODELS[board][generation] + "\0")
    write(root, "proc/device-tree/compatible", "\0".join(names) + "\0")


def _memory(root: Path, total: int, *, zram: bool) -> None:
    swap = total // 2 if zram else 0
    write(
        root,
        "proc/meminfo",
        f"MemTotal:       {total} kB\nMemFree:        {total // 2} kB\nMemAvailable:   {total * 7 // 8} kB\n"
        f"SwapTotal:      {swap} kB\nSwapFree:       {swap} kB\n",
    )
    for device in range(8 if zram else 0):
        write(root, f"sys/block/zram{device}/mm_stat", "  104857600 20971520 26214400        0 26214400  0  0  0  0\n")
    lines = [f"/dev/zram{n}                              partition\t{swap // 8}\t\t0\t\t5\n" for n in range(8) if zram]
    write(root, "proc/swaps", "".join(["Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n", *lines]))


def _clocks(root: Path, board: str, gpu: str) -> None:
    cpu = "sys/devices/system/cpu"
    at_work, there = CORES[board]
    write(root, f"{cpu}/online", f"0-{at_work - 1}\n")
    write(root, f"{cpu}/present", f"0-{there - 1}\n")
    for first in range(0, at_work, 4):
        for name, value in (("cur", 729600), ("min", 729600), ("max", 1984000)):
            write(root, f"{cpu}/cpufreq/policy{first}/scaling_{name}_freq", f"{value}\n")
    unit = "gpu-gpc-0" if board == "thor" else gpu
    for name, value in (("cur", 306000000), ("min", 306000000), ("max", 918000000)):
        write(root, f"sys/devices/platform/{unit}/devfreq/{unit}/{name}_freq", f"{value}\n")
    link(root, f"sys/class/devfreq/{unit}", f"../../devices/platform/{unit}/devfreq/{unit}")


def _sensors(root: Path, board: str) -> None:
    chip = "sys/devices/platform/c240000.i2c/i2c-1/1-0040/hwmon/hwmon1"
    write(root, f"{chip}/name", "ina3221\n")
    for channel, (label, volts, amperes) in enumerate(RAILS[board], start=1):
        write(root, f"{chip}/in{channel}_label", f"{label}\n")
        write(root, f"{chip}/in{channel}_input", f"{volts}\n")
        write(root, f"{chip}/curr{channel}_input", f"{amperes}\n")
    write(root, f"{chip}/in7_label", "sum of shunt voltages\n")
    write(root, f"{chip}/in7_input", "3200\n")
    link(root, "sys/class/hwmon/hwmon1", f"../../../{chip}")
    if board == "thor":
        write(root, "sys/class/hwmon/hwmon5/name", "ina238\n")
        write(root, "sys/class/hwmon/hwmon5/in1_label", "VIN\n")
        write(root, "sys/class/hwmon/hwmon5/power1_input", "25530000\n")
    write(root, "sys/class/hwmon/hwmon3/name", "soctherm_oc\n")
    for number, count in ((1, 0), (2, 15), (3, 37)):
        write(root, f"sys/class/hwmon/hwmon3/oc{number}_event_cnt", f"{count}\n")
    thermal = "sys/class/thermal"
    for index, (zone, value) in enumerate(ZONES.items()):
        write(root, f"{thermal}/thermal_zone{index}/type", f"{zone}\n")
        write(root, f"{thermal}/thermal_zone{index}/temp", f"{value}\n")
    write(root, f"{thermal}/thermal_zone9/type", "cv0-thermal\n")  # asleep: its temperature cannot be read
    devices = ("pwm-fan", 3), ("cpu-throttle-alert", 0), ("gpu-throttle-alert", 0), ("devfreq-17000000.gpu", 4)
    for index, (kind, state) in enumerate(devices):
        write(root, f"{thermal}/cooling_device{index}/type", f"{kind}\n")
        write(root, f"{thermal}/cooling_device{index}/cur_state", f"{state}\n")


def _disk(root: Path, name: str) -> None:
    write(
        root,
        "proc/self/mountinfo",
        "22 28 0:21 / /sys rw,nosuid,nodev - sysfs sysfs rw\n"
        "28 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw,commit=600\n",
    )
    write(root, "sys/dev/block/259:1/uevent", f"MAJOR=259\nMINOR=1\nDEVNAME={name}\nDEVTYPE=partition\n")
    if name.startswith("mmcblk"):
        write(root, "sys/block/mmcblk0/device/type", "SD\n")
