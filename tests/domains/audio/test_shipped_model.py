"""The model that ships, on the held-out prompts that ship beside it."""

from __future__ import annotations

from functools import cache

import jiwer
import numpy as np
from tsuite.core.pretrained import read_json
from tsuite.domains.audio import data
from tsuite.domains.audio.asr.options import RunOptions
from tsuite.domains.audio.asr.streaming import Stream
from tsuite.domains.audio.asr.task import ONE_VOICE, ASRTask

from . import tinyasr

PLAIN = RunOptions(speech="off", picture=False)


@cache
def shipped() -> ASRTask:
    task = tinyasr.task_class().load("embedded")
    task.network.eval()
    return task


def error_rate(texts: list[str]) -> float:
    return float(jiwer.cer([item.transcript or "" for item in data.sample().examples], texts))


def test_it_hears_the_sample() -> None:
    results = list(shipped().infer(data.sample().examples, PLAIN))
    assert error_rate([item.text for item in results]) < 0.25
    assert all(word.end > word.start for item in results for segment in item.segments for word in segment.words)


def test_it_hears_the_sample_as_a_stream() -> None:
    texts = []
    for item in data.sample().examples:
        stream = Stream(shipped().recogniser, PLAIN)
        ended = [segment for part in np.array_split(item.samples, 9) for segment in stream.hear(part).ended]
        ended += stream.hear(np.empty(0, np.float32), last=True).ended
        texts.append(" ".join(segment.text for segment in ended))
    assert error_rate(texts) < 0.3


def test_its_card_says_how_it_was_made_and_what_it_scores() -> None:
    folder = tinyasr.card().folder / "checkpoint"
    made = read_json(folder / "card.json")
    assert made["command"] == "tsuite finetune audio.asr"
    assert made["test"]["metrics"]["cer"] < 0.15
    assert made["data"]["test"]["part"] == "test"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 8e6


def test_it_says_that_it_knows_one_voice() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    (heard,) = shipped().read([noise], PLAIN)
    assert heard.notices == (ONE_VOICE,)
