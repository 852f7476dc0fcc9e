"""audio.asr on its held-out telephone prompts, whole and as a stream, beside pocketsphinx, on one thread.

    python benchmarks/audio_asr.py
    python benchmarks/audio_asr.py --checkpoint runs/mine --take 24

Whole files go as a person's do, one at a time, only where somebody speaks: greedily, and by beam search with the
checkpoint's own language model, which is the default.

pocketsphinx hears the same samples, with the English models that it comes with; they know no telephone prompts, which
ours were trained on, so that it decodes a second time with our language model in place of its own. It takes
`pocketsphinx_batch` (apt-get install pocketsphinx pocketsphinx-en-us); without it the entries are null. Its real-time
factor leaves out loading, as ours does: a run over no file is subtracted.

As a stream each file is followed by two seconds of silence and comes in blocks of 100 ms as fast as they are taken. The
delay of a file is from the end of speech (`find_speech` without padding, so the end of a window of 32 ms) to the end of
the block with which its last utterance was final, in the stream's time, plus what computing that block took; files
without speech or without an utterance have none. `by_closing`: utterances that only the stream's end made final.

Printed as JSON: character and word error rate (texts compared in lower case without punctuation) with the latter's 95 %
interval, real-time factors (seconds of work for a second of sound; of streams the silence counts as sound), delays and
blocks in ms. Needs: pip install -e '.[audio]'
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tsuite.core import registry, runtime
from tsuite.core.errors import UserError
from tsuite.domains.audio.asr.options import RunOptions
from tsuite.domains.audio.asr.streaming import Stream
from tsuite.domains.audio.asr.task import ASRTask
from tsuite.domains.audio.files import SAMPLE_RATE, Recording
from tsuite.domains.audio.metrics import Pair, score
from tsuite.domains.audio.ngram import NGram
from tsuite.domains.audio.sources import BLOCK
from tsuite.domains.audio.speech import find_speech

PEER = "pocketsphinx_batch"
SILENCE = 2.0
"""Seconds behind each file of a stream."""
GREEDY, DEFAULT = RunOptions(lm="none"), RunOptions()
HYPOTHESIS = re.compile(r"^(.*)\((\S+) -?\d+\)$")
"""A line of pocketsphinx's: what it heard (the file's name, a score)."""


def errors(examples: Sequence[Recording], texts: Sequence[str]) -> dict[str, Any]:
    """Of what was heard in each file."""
    pairs = [Pair(id=one.id, truth=one.transcript or "", heard=text) for one, text in zip(examples, texts, strict=True)]
    scores = score(pairs, normalisation="basic")
    return {
        "cer": round(scores.characters.rate, 4),
        "wer": round(scores.words.rate, 4),
        "wer_95": [round(bound, 4) for bound in scores.interval],
        "sentences_right": round(scores.metrics["sentences_right"], 4),
    }


def spoken(examples: Sequence[Recording]) -> float:
    """Seconds of sound."""
    return sum(one.seconds for one in examples)


# -- whole files ------------------------------------------------------------------------------------------------------


def whole(task: ASRTask, examples: Sequence[Recording], options: RunOptions) -> dict[str, Any]:
    """Each file by itself, from samples to text with times."""
    list(task.infer(examples[:1], options))  # the first time prepares things
    results = list(task.infer(examples, options))
    took = sum(one.took for one in results)
    return {**errors(examples, [one.text for one in results]), "rtf": round(took / spoken(examples), 4)}


# -- pocketsphinx -----------------------------------------------------------------------------------------------------


def peers(examples: Sequence[Recording], lm: NGram | None) -> dict[str, Any]:
    """pocketsphinx with its own language model and with ours, null where it is not installed."""
    found: dict[str, Any] = {"pocketsphinx": None, "pocketsphinx, our language model": None}
    if shutil.which(PEER) is None:
        print(f"There is no {PEER}: apt-get install pocketsphinx pocketsphinx-en-us", file=sys.stderr)
        return found
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, one in enumerate(examples):
            write_wav(folder / f"{number}.wav", one.samples)
        found["pocketsphinx"] = peer(examples, folder)
        if lm is not None and lm.level == "word":
            lm.write(folder / "lm.arpa.gz")
            found["pocketsphinx, our language model"] = peer(examples, folder, "-lm", str(folder / "lm.arpa.gz"))
    return found


def peer(examples: Sequence[Recording], folder: Path, *arguments: str) -> dict[str, Any]:
    """pocketsphinx over the WAV files of `folder`, which are named by their numbers."""
    loading, _ = decode(folder, 0, arguments)
    seconds, heard = decode(folder, len(examples), arguments)
    texts = [heard.get(str(number), "") for number in range(len(examples))]
    return {**errors(examples, texts), "rtf": round((seconds - loading) / spoken(examples), 4)}


def decode(folder: Path, count: int, arguments: Sequence[str]) -> tuple[float, dict[str, str]]:
    """Seconds of the whole process over the first `count` files, and what it heard in each, by name."""
    listed, heard, log = folder / "files.txt", folder / "heard.txt", folder / "log.txt"
    listed.write_text("".join(f"{number}\n" for number in range(count)), encoding="ascii")
    command = [PEER, "-adcin", "yes", "-cepdir", str(folder), "-cepext", ".wav", "-ctl", str(listed),
               "-hyp", str(heard), "-logfn", str(log), *arguments]  # fmt: skip
    start = time.perf_counter()
    ended = subprocess.run(command, check=False, capture_output=True)
    seconds = time.perf_counter() - start
    if ended.returncode:
        said = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
        raise SystemExit("\n".join([f"{PEER} ended with {ended.returncode}. Is pocketsphinx-en-us there?", *said[-3:]]))
    lines = [HYPOTHESIS.match(line) for line in heard.read_text(encoding="utf-8").splitlines()]
    return seconds, {line[2]: line[1].strip() for line in lines if line}


def write_wav(path: Path, samples: np.ndarray) -> None:
    """16-bit mono."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes())


# -- streams ----------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Streamed:
    """One file as a stream: its text, seconds of sound and of computing in all and for each block, the delay of its
    last utterance where it has one, and whether only the stream's end made that final."""

    text: str
    sound: float
    blocks: list[float]
    delay: float | None
    closed: bool


def stream(task: ASRTask, example: Recording, options: RunOptions) -> Streamed:
    """One file with silence behind it, block by block."""
    samples = np.concatenate([example.samples, np.zeros(round(SILENCE * SAMPLE_RATE), np.float32)])
    listener = Stream(task.recogniser, options)
    texts: list[str] = []
    blocks: list[float] = []
    final: float | None = None
    closed = False
    for start in range(0, len(samples), BLOCK):
        last = start + BLOCK >= len(samples)
        begin = time.perf_counter()
        heard = listener.hear(samples[start : start + BLOCK], last=last)
        blocks.append(time.perf_counter() - begin)
        if heard.ended:
            texts += [segment.text for segment in heard.ended]
            final, closed = listener.seconds + blocks[-1], last
    spans = find_speech(samples, pad=0.0)
    delay = final - spans[-1].end if final is not None and spans else None
    return Streamed(text=" ".join(texts), sound=listener.seconds, blocks=blocks, delay=delay, closed=closed)


def streaming(task: ASRTask, examples: Sequence[Recording], options: RunOptions) -> dict[str, Any] | None:
    """All files as streams; None for a model that cannot."""
    try:
        stream(task, examples[0], options)  # the first time prepares things
    except UserError as error:
        print(error, file=sys.stderr)
        return None
    found = [stream(task, one, options) for one in examples]
    blocks = [seconds for one in found for seconds in one.blocks]
    delays = [one.delay for one in found if one.delay is not None]
    return {
        **errors(examples, [one.text for one in found]),
        "rtf": round(sum(blocks) / sum(one.sound for one in found), 4),
        "delay_ms": milliseconds(delays),
        "with_delay": len(delays),
        "by_closing": sum(one.closed for one in found),
        "block_ms": milliseconds(blocks),
    }


def milliseconds(seconds: Sequence[float]) -> dict[str, float] | None:
    """What is usual, what is rare, and the worst."""
    if not seconds:
        return None
    values = 1e3 * np.quantile(seconds, [0.5, 0.9, 1.0])
    return {name: round(float(value), 1) for name, value in zip(("median", "p90", "max"), values, strict=True)}


# -- the report -------------------------------------------------------------------------------------------------------


def measure(task: ASRTask, examples: Sequence[Recording]) -> dict[str, Any]:
    lm: NGram | None = getattr(task.recogniser, "lm", None)
    report: dict[str, Any] = {
        "greedy": whole(task, examples, GREEDY),
        "language model": whole(task, examples, DEFAULT) if lm else None,
        **peers(examples, lm),
        "stream, greedy": streaming(task, examples, GREEDY),
    }
    report["stream, language model"] = streaming(task, examples, DEFAULT) if lm else None
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="embedded", help="as of tsuite run audio.asr")
    parser.add_argument("--take", type=int, default=0, help="so many files only, evenly spread (0: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    try:
        task: ASRTask = registry.card("audio.asr").load_task().load(options.checkpoint)
        split = task.held_out()
    except UserError as error:
        raise SystemExit(str(error)) from None
    task.network.eval()
    step = max(1, len(split.examples) // options.take) if options.take else 1
    examples: list[Recording] = list(split.examples[::step])[: options.take or None]
    report = {
        "machine": f"{runtime.cpu_name()}, {runtime.available_cores()} cores",
        "threads": 1,
        "torch": torch.__version__,
        "checkpoint": task.origin.to_json(),
        "data": {"name": split.name, "part": split.part, "files": len(examples), "seconds": round(spoken(examples), 1)},
        **measure(task, examples),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
