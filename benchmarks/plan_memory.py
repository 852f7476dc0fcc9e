"""What `plan` says against what the real commands take, on this CPU: each setting in a process of its own.

    python benchmarks/plan_memory.py --output plan_memory.json

Runs `tsuite finetune` and `tsuite run` on made-up data (noise, random words, random games) with one thread and reads
the greatest resident size off their reports: `measured_mb` as they are, and with --mapped `mapped_mb` with glibc told
to map every block above 128 KiB for itself and to give it back when it is freed, so that what remains is what the work
needs. The difference is what the heap keeps and cannot use again (`heap` of the plan). The plan is made by
`tsuite plan --device here --json`, in a process of its own too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

WORDS = ("alpha", "beta", "stone", "river", "cloud", "light", "green", "north", "little", "seven")
VIT = ["--set", "image_size=224", "--set", "patch_size=16"]

SETTINGS: dict[str, dict[str, Any]] = {
    "vision: ViT-S/16, full, 8": {
        "name": "vision.vit", "both": ["--size", "small", *VIT],
        "plan": ["--batch", "8", "--set", "classes=2"],
        "real": ["--data", "pictures", "--augment", "none", "--batch-size", "8", "--max-steps", "3"],
    },
    "vision: ViT-B/16, full, 8": {
        "name": "vision.vit", "both": ["--size", "base", *VIT],
        "plan": ["--batch", "8", "--set", "classes=2"],
        "real": ["--data", "pictures", "--augment", "none", "--batch-size", "8", "--max-steps", "3"],
    },
    "vision: ViT-S/16, full, 32 in 4 parts": {
        "name": "vision.vit", "both": ["--size", "small", *VIT],
        "plan": ["--batch", "32", "--accumulate", "4", "--set", "classes=2"],
        "real": ["--data", "pictures", "--augment", "none", "--batch-size", "32", "--accumulate", "4",
                 "--max-steps", "2"],
    },
    "text: SmolLM2-135M, lora, 2 x 512": {
        "name": "text.phi15_zh",
        "both": ["--base", "smollm2-135m", "--objective", "text", "--packing", "on", "--rows", "0",
                 "--vocabulary", "new", "--method", "lora", "--length", "512", "--precision", "fp32"],
        "plan": ["--batch", "2"],
        "real": ["--data", "text.txt", "--batch-size", "2", "--max-steps", "2", "--no-report"],
    },
    "text: SmolLM2-135M, full, 2 x 256": {
        "name": "text.phi15_zh",
        "both": ["--base", "smollm2-135m", "--objective", "text", "--packing", "on", "--rows", "0",
                 "--method", "full", "--length", "256", "--precision", "fp32"],
        "plan": ["--batch", "2"],
        "real": ["--data", "text.txt", "--batch-size", "2", "--max-steps", "2", "--no-report"],
    },
    "text: SmolLM2-135M answers 8 together": {
        "name": "text.phi15_zh", "command": "run", "both": ["--checkpoint", "smollm2-135m", "--max-new", "96"],
        "plan": ["--batch", "8", "--length", "148"],
        "real": ["--input", "prompts.txt", "--batch", "8", "--temperature", "1"],
    },
    "control: board, full, 256 games": {
        "name": "control.board", "both": [],
        "plan": ["--batch", "256"],
        "real": ["--data", "games.txt", "--batch-size", "256", "--max-steps", "3"],
    },
    "molecules: molgpt, full, 256": {
        "name": "molecules.smiles_gpt", "both": ["--size", "molgpt", "--length", "40", "--conditions", "none"],
        "plan": ["--batch", "256", "--set", "dropout=0.1"],
        "real": ["--data", "molecules.smi", "--batch-size", "256", "--max-steps", "3"],
    },
    "timeseries: PatchTST, full, 512 windows": {
        "name": "timeseries.patchtst", "both": ["--lookback", "336", "--horizon", "48"],
        "plan": ["--batch", "512"],
        "real": ["--data", "series.csv", "--batch-size", "512", "--max-steps", "3"],
    },
    "control: Decision Transformer, 512 x 20": {
        "name": "control.decision_transformer", "both": ["--context", "20", "--set", "dim=128"],
        "plan": ["--batch", "512"],
        "real": ["--batch-size", "512", "--max-steps", "3", "--episodes", "0"],
    },
    "audio: Conformer, full, 8 x 10 s": {
        "name": "audio.asr", "both": ["--size", "small"],
        "plan": ["--batch", "8", "--length", "10"],
        "real": ["--data", "sounds", "--batch-size", "8", "--max-steps", "2", "--speed", "0", "--noise", "0",
                 "--join", "0", "--synthetic", "0"],
    },
}  # fmt: skip


def make_data(folder: Path) -> None:
    """Pictures, text, games, molecules, a series and sounds that mean nothing."""
    from PIL import Image

    noise, lots = np.random.default_rng(0), random.Random(0)
    for name in ("a", "b"):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(40):
            pixels = noise.integers(0, 255, (224, 224, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / name / f"{number}.png")
    texts = [" ".join(lots.choices(WORDS, k=3000)) for _ in range(12)]
    (folder / "text.txt").write_text("\n\n".join(texts))
    (folder / "prompts.txt").write_text("\n".join(" ".join(lots.choices(WORDS, k=20)) for _ in range(8)))
    columns = [column for column in range(1, 8) for _ in range(6)]
    games = {tuple(lots.sample(columns, 42)) for _ in range(1500)}
    whole = "\n".join(" ".join(map(str, ended(game))) for game in sorted(games))
    (folder / "games.txt").write_text(whole + "\n")
    chains = {"".join(lots.choices(("C", "N", "O", "c1ccccc1"), (6, 1, 1, 1), k=20)) for _ in range(2500)}
    (folder / "molecules.smi").write_text("\n".join(sorted(chains)) + "\n")
    rows = [f"{np.datetime64('2024-01-01T00:00') + np.timedelta64(30 * number, 'm')},{noise.normal():.3f}"
            for number in range(6000)]  # fmt: skip
    (folder / "series.csv").write_text("time,load\n" + "\n".join(rows) + "\n")
    _make_sounds(folder / "sounds", noise, lots)


def ended(columns: tuple[int, ...]) -> tuple[int, ...]:
    """A game of Connect Four up to the move that wins it."""
    from tsuite.domains.control.board.games import CONNECT_FOUR

    moves: list[int] = []
    for column in columns:
        moves.append(column - 1)
        if CONNECT_FOUR.result(moves) is not None:
            break
    return tuple(move + 1 for move in moves)


def _make_sounds(folder: Path, noise: np.random.Generator, lots: random.Random) -> None:
    import wave

    folder.mkdir()
    lines = ["path,text"]
    for number in range(40):
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes((noise.normal(0, 3000, 160_000)).astype("<i2").tobytes())
        lines.append(f"{number}.wav,{' '.join(lots.choices(WORDS, k=20))}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")


MAPPED = """
import sys
from tsuite.cli.app import start
from tsuite.core.train import loop
loop.reuse_memory = lambda: None
start(sys.argv[1:])
"""


def ask(arguments: list[str], folder: Path, *, mapped: bool = False) -> dict[str, Any]:
    """The one JSON object that a command prints, run with one thread in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if mapped:
        environment["MALLOC_MMAP_THRESHOLD_"] = str(128 * 1024)
    begin = ["-c", MAPPED] if mapped else ["-m", "tsuite"]
    done = subprocess.run(
        [sys.executable, *begin, *arguments, "--json"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        return {"error": (done.stderr or done.stdout).strip()[-300:]}


def measure(title: str, setting: dict[str, Any], folder: Path, *, mapped: bool) -> dict[str, Any]:
    """The plan and the peak of one setting, MB."""
    name, command = setting["name"], setting.get("command", "finetune")
    planned = ask(["plan", name, "--command", command, *setting["both"], *setting["plan"]], folder)
    real = ask([command, name, *setting["both"], *setting["real"], "--device", "cpu"], folder)
    if error := planned.get("error") or real.get("error"):
        return {"setting": title, "error": error}
    plan, peak = planned["resident_bytes"] / 1e6, real["peak_memory_mb"]
    found = {
        "setting": title, "plan_mb": round(plan), "measured_mb": round(peak), "off": round(plan / peak - 1, 3),
        "memory_mb": {kind: round(size / 1e6) for kind, size in planned["memory_bytes"].items()},
    }  # fmt: skip
    if mapped:
        bare = ask([command, name, *setting["both"], *setting["real"], "--device", "cpu"], folder, mapped=True)
        lives = plan - planned["memory_bytes"].get("heap", 0) / 1e6
        found |= {
            "mapped_mb": round(bare["peak_memory_mb"]),
            "off_mapped": round(lives / bare["peak_memory_mb"] - 1, 3),
        }
    return found


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    names = ("setting", "plan_mb", "measured_mb", "off", "mapped_mb", "off_mapped")
    for name in names:
        table.add_column(name, justify="left" if name == "setting" else "right")
    for row in rows:
        table.add_row(*(str(row.get(name, row.get("error", "") if name == "plan_mb" else "")) for name in names))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("plan_memory.json"))
    parser.add_argument("--only", default="", help="settings whose name holds this")
    parser.add_argument("--mapped", action="store_true", help="also with blocks that are given back")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        make_data(Path(place))
        for title, setting in SETTINGS.items():
            if asked.only in title:
                rows.append(measure(title, setting, Path(place), mapped=asked.mapped))
                print(json.dumps(rows[-1]), flush=True)
    _show(rows)
    asked.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
