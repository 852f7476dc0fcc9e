"""The examination of Jetson boards, on trees of files as they have them; the kernels run here, on the CPU."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tsuite.core import doctor
from tsuite.core.doctor import board, installed, kernels
from tsuite.core.doctor.check import Check
from tsuite.core.jetson.sensors import Sensors
from tsuite.core.jetson.system import look_at

from . import trees

BUILD = installed.Torch(
    version="2.8.0", cuda="12.6", architectures=("sm_87",), folder=Path("/opt/venv/lib/site-packages/torch")
)


@pytest.fixture
def nano(tmp_path: Path, tmp_cache: Path) -> Path:
    return trees.tree(tmp_path / "board", "6.2", "nano")


def by_name(found: Any) -> dict[str, Check]:
    return {check.name: check for check in found}


def shown(found: doctor.Examination, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(found.table())
    return console.export_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_board_whose_gpu_does_not_answer_is_not_healthy(nano: Path) -> None:
    found = doctor.examine("auto", nano)
    assert not found.healthy
    assert [check.name for check in found.checks if check.failed] == ["a kernel on the GPU"]
    check = by_name(found.checks)["a kernel on the GPU"]
    assert "RuntimeError" in check.detail
    assert check.hint.startswith("Take torch for JetPack 6")
    text = shown(found)
    assert "Jetson Orin Nano 8 GB" in text
    assert "fails: a kernel on the GPU" in text
    assert "as above" in text  # the same advice is not given twice


def test_on_the_cpu_by_wish_it_is_healthy(nano: Path) -> None:
    found = doctor.examine("cpu", nano)
    assert found.healthy
    checks = by_name(found.checks)
    assert checks["a kernel on the GPU"].ok is None
    for name in (
        "matrix product, float32",
        "comparison and sorting",
        "fused attention",
        "4-bit weights",
        "8-bit weights",
    ):
        assert checks[name].ok
    assert {check.group for check in found.checks} == {
        "what is installed",
        "what works on the device cpu",
        "how the board is set",
    }


def test_json_is_one_plain_object(nano: Path) -> None:
    value = json.loads(json.dumps(doctor.examine("cpu", nano).to_json()))
    assert (value["command"], value["device"], value["healthy"]) == ("doctor", "cpu", True)
    assert value["memory_gb"] == {"total": 8.0, "available": 7.0}
    assert all(set(check) >= {"name", "ok", "detail", "level", "hint", "group"} for check in value["checks"])
    told = value["jetson"]
    assert (told["board"], told["capability"], told["l4t"], told["jetpack"]) == (
        "orin-nano-8gb",
        "8.7",
        "36.4.3",
        "6.2",
    )
    assert told["power_mode"] == {"number": 2, "name": "MAXN_SUPER", "watts": None}
    assert told["watts"] == pytest.approx(4.984 * 1.012)
    assert told["memory"]["zram"] > 3e9


@pytest.mark.parametrize(("jetpack", "kind"), list(itertools.product(trees.RELEASES, trees.PARTS)))
def test_settings_of_every_board(tmp_path: Path, jetpack: str, kind: str) -> None:
    root = trees.tree(tmp_path, jetpack, kind)
    system, sensors = look_at(root), Sensors.here(root)
    release = board._release(system)
    assert release.ok == (kind != "thor" or jetpack == "7.2")
    shipped = trees.UBUNTU[jetpack][1]
    assert installed.python(system, f"{shipped}.1").ok
    wrong = installed.python(system, "3.11.7")
    assert wrong.ok is False
    assert ("JetPack 5's packages" if jetpack == "5.1" else f"python{shipped} -m venv") in wrong.hint
    checks = by_name(board._settings(system, sensors))
    assert checks["free memory"].ok
    assert (checks["swap"].ok, checks["power mode"].ok) == (kind == "thor", kind == "nano")
    assert checks["storage"].ok
    assert checks["clocks"].ok is None
    assert f"{trees.CORES[kind][0]} of {trees.CORES[kind][1]} cores" in checks["clocks"].detail
    assert checks["heat"].detail == "cpu at 52 °C; clocks were cut 52 times for want of current since the start"
    assert ("which holds 0.2 GiB" in checks["swap"].detail) == (kind != "thor")
    assert dict(board._rows(system, sensors))["power now"].endswith(f"({' + '.join(sensors.counted)})")


def test_what_could_be_better(tmp_path: Path) -> None:
    root = trees.tree(tmp_path, "6.2", "nano", disk="mmcblk0p1")
    trees.write(root, "proc/meminfo", "MemTotal: 7802880 kB\nMemAvailable: 900000 kB\nSwapTotal: 0 kB\n")
    trees.write(root, "proc/swaps", "Filename Type Size Used Priority\n")
    trees.write(root, "var/lib/nvpmodel/status", "pmode:0003\n")
    trees.write(root, "sys/class/thermal/cooling_device2/cur_state", "2\n")
    system = look_at(root)
    checks = by_name(board._settings(system, Sensors.here(root)))
    assert [name for name, check in checks.items() if check.ok is False] == [
        "free memory",
        "swap",
        "power mode",
        "heat",
        "storage",
    ]
    assert not any(check.failed for check in checks.values())
    assert "nvpmodel -m 2 sets MAXN_SUPER" in checks["power mode"].hint
    assert "held back now: gpu" in checks["heat"].detail
    assert "SD card" in checks["storage"].detail
    assert "swap file on NVMe" in checks["swap"].hint
    assert "set-default multi-user.target" in board._memory(replace(system, desktop=True)).hint


def test_locked_clocks(tmp_path: Path) -> None:
    system = look_at(trees.tree(tmp_path, "7.2", "thor"))
    still = tuple(replace(clock, least=clock.most) for clock in system.clocks)
    found = board._clocks(replace(system, clocks=still))
    assert found.ok
    assert found.detail.startswith("locked: cpu up to 1984 MHz, gpu up to 918 MHz")


def test_an_l4t_that_is_not_known(tmp_path: Path) -> None:
    text = trees.RELEASES["6.2"].replace("REVISION: 4.3", "REVISION: 7.1")
    trees.write(trees.tree(tmp_path, "6.2", "nx"), "etc/nv_tegra_release", text)
    system = look_at(tmp_path)
    found = board._release(system)
    assert found.ok is False
    assert found.detail == "L4T 36.7.1 is not known here; the nearest known is 36.5.2, JetPack 6.2.3"
    assert ("JetPack", "unknown (L4T 36.7.1)") in board._rows(system, Sensors.here(tmp_path))
    trees.write(tmp_path, "etc/nv_tegra_release", b"\xff\0")
    assert "missing or damaged" in board._release(look_at(tmp_path)).detail


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (BUILD, ""),
        (replace(BUILD, architectures=("sm_80", "compute_87")), ""),
        (replace(BUILD, architectures=("sm_87a",)), ""),
        (replace(BUILD, architectures=()), ""),
        (replace(BUILD, version="2.10.0+cpu", cuda=None, architectures=()), "built without CUDA"),
        (replace(BUILD, architectures=("sm_80", "sm_90", "sm_110")), "no code for compute capability 8.7"),
    ],
)
def test_whose_torch_it_is(nano: Path, build: installed.Torch, words: str) -> None:
    found = installed.torch(look_at(nano), nano, build)
    assert found.ok == (not words)
    assert words in found.detail
    assert not found.failed  # the kernels decide
    assert found.ok or "jp6/cu126" in found.hint


def test_a_torch_over_the_systems(nano: Path) -> None:
    trees.torch_of_the_system(nano, "3.10", "2.5.0a0+872d972e41.nv24.08")
    system = look_at(nano)
    found = installed.torch(system, nano, BUILD)
    assert found.ok is False
    assert "torch 2.5.0a0+872d972e41.nv24.08 stands in /usr/local/lib/python3.10/dist-packages/torch" in found.detail
    assert "pip counts it as older than 2.5" in found.hint
    own = nano / "usr/local/lib/python3.10/dist-packages/torch"
    assert installed.torch(system, nano, replace(BUILD, folder=own)).ok


def test_the_torch_of_this_process() -> None:
    found = installed.Torch.here()
    assert (found.version, found.cuda) == (torch.__version__, torch.version.cuda)
    assert found.folder == Path(torch.__file__).parent
    assert bool(found.architectures) == bool(found.cuda)


@pytest.mark.skipif(bool(installed.importlib.util.find_spec("tensorrt")), reason="TensorRT is here")
def test_tensorrt_that_the_environment_does_not_see(nano: Path) -> None:
    found = installed.tensorrt(nano)
    assert found.ok is None
    trees.write(nano, "usr/lib/python3.10/dist-packages/tensorrt/__init__.py", "raise ImportError\n")
    found = installed.tensorrt(nano)
    assert found.ok is False
    assert "/usr/lib/python3.10/dist-packages/tensorrt" in found.detail
    assert "--system-site-packages" in found.hint


@pytest.mark.parametrize("damage", [b"", b"\0\xff" * 40, b"9" * 40])
def test_a_board_with_nothing_but_damage_is_still_examined(nano: Path, damage: bytes) -> None:
    for file in [path for path in nano.rglob("*") if path.is_file() and path.name != "compatible"]:
        file.write_bytes(damage)
    found = doctor.examine("cpu", nano)
    assert found.healthy
    text = shown(found, width=60)
    assert "an unknown Jetson" in text
    assert "compute capability 8.7" in " ".join(text.split())
    json.dumps(found.to_json())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize(("capability", "level"), [("8.7", "needed"), ("7.2", "optional")])
def test_kernels_that_fail_on_the_gpu_name_the_source(nano: Path, capability: str, level: str) -> None:
    system = replace(look_at(nano), capability=capability)
    found = board._work(system, "auto", torch.device("cuda"))
    assert len(found) >= 9
    assert all(check.ok is False for check in found)
    assert all("jp6/cu126" in check.hint for check in found)
    assert by_name(found)["matrix product, bfloat16"].level == level


def test_a_kernel_that_fails_on_the_cpu_is_no_packages_fault(nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(device: Any) -> str:
        raise RuntimeError("not implemented\nmore")

    monkeypatch.setattr(kernels, "comparison", fails)
    check = by_name(board._work(look_at(nano), "cpu", torch.device("cpu")))["comparison and sorting"]
    assert check.failed
    assert (check.detail, check.hint) == ("RuntimeError: not implemented", "")


def test_comparisons_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "where", lambda condition, left, right: right)
    with pytest.raises(ArithmeticError, match="something else than on the CPU"):
        kernels.comparison(torch.device("cpu"))


def test_narrow_weights_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    from tsuite.core import nf4, quantize

    cpu = torch.device("cpu")
    assert "off by" in kernels.four_bit(cpu)
    assert "off by" in kernels.eight_bit(cpu)
    monkeypatch.setattr(nf4.NF4Linear, "forward", lambda self, x: x[..., : self.out_features])
    with pytest.raises(ArithmeticError, match="the layer is off"):
        kernels.four_bit(cpu)
    monkeypatch.setattr(quantize.Int8Linear, "forward", lambda self, x: x[..., : self.out_features])
    with pytest.raises(ArithmeticError, match="the layer is off"):
        kernels.eight_bit(cpu)


def test_what_is_no_jetson_is_left_alone(tmp_path: Path, tmp_cache: Path) -> None:
    trees.without(trees.tree(tmp_path, "6.2", "nx"), "proc/device-tree")
    found = doctor.examine("cpu", tmp_path)
    assert "jetson" not in found.to_json()
    assert found.rows == ()
    assert [check.name for check in found.checks] == [check.name for check in doctor.examine("cpu").checks]
