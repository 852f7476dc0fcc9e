"""What narrow weights cost: each model's score on held-out data, eager and exported, in float32, int8 and int4.

    python benchmarks/export_accuracy.py --output export_accuracy.json
    python benchmarks/export_accuracy.py --only vision

Runs `tsuite export` and `tsuite evaluate` as a person would, each in a process of its own, with default checkpoints on
their held-out parts; text is scored by the perplexity of this project's own guide for contributors instead, which no
checkpoint has seen. Printed as JSON: of each model the scores that tell, by engine and precision.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tsuite.core import runtime

GUIDE = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"
TALK = {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello!"}]}
TEXT = ("--data", "talk.jsonl", "--max-new", "1", "--text", str(GUIDE))

ROWS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "vision": ("vision.vit", (), (), ("accuracy",)),
    "timeseries": ("timeseries.patchtst", (), (), ("mase", "wql", "coverage80")),
    "control": ("control.decision_transformer", (), (), ("return_mean",)),
    "audio": ("audio.asr", (), (), ("wer", "cer")),
    "audio, Whisper tiny.en": ("audio.asr", ("--checkpoint", "whisper-tiny.en"), (), ("wer", "cer")),
    "text, the chat in Chinese": ("text.phi15_zh", (), TEXT, ("perplexity",)),
    "text, SmolLM2-135M": ("text.phi15_zh", ("--checkpoint", "smollm2-135m"), TEXT, ("perplexity",)),
    "molecules": ("molecules.smiles_gpt", (), (), ("validity", "nats_per_token")),
}
"""By title: model, its checkpoint, options of `evaluate`, scores."""
PRECISIONS = ("none", "int8", "int4")


def tsuite(*words: str, folder: str) -> dict[str, Any]:
    """The report of a command."""
    command = [sys.executable, "-W", "ignore", "-m", "tsuite", *words, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"tsuite {' '.join(words)} ended with {done.returncode}: {done.stderr[-500:]}")
    return json.loads(done.stdout)


def scores(title: str, folder: str) -> dict[str, dict[str, float]]:
    """By engine and precision."""
    name, checkpoint, options, keys = ROWS[title]
    threads = ("--threads", "1")
    found: dict[str, dict[str, float]] = {}
    for kind in PRECISIONS:
        place = f"{title.replace(' ', '_')}_{kind}"
        tsuite("export", name, *checkpoint, "--quantize", kind, "--output", place, *threads, folder=folder)
        ways = {"torch": (*checkpoint, "--quantize", kind), "onnxruntime": ("--checkpoint", place)}
        for engine, way in ways.items():
            said = tsuite("evaluate", name, *way, "--engine", engine, *options, *threads, folder=folder)
            word = "float32" if kind == "none" else kind
            found[f"{engine}, {word}"] = {key: round(said["metrics"][key], 4) for key in keys}
            print(title, engine, word, found[f"{engine}, {word}"], file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose title has this in it")
    parser.add_argument("--output", type=Path, default=None, help="also write the JSON here")
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": f"{runtime.cpu_name()}, {runtime.available_cores()} cores"}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "talk.jsonl").write_text(json.dumps(TALK) + "\n", encoding="utf-8")
        for title in ROWS:
            if options.only in title:
                results[title] = scores(title, folder)
                if options.output:
                    options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
