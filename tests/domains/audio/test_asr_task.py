"""audio.asr from data to transcripts: training, checkpoints, pieces, streams."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tsuite.core import finetune, flow
from tsuite.core.errors import UserError
from tsuite.core.sources import Unreachable
from tsuite.core.train.log import read_metrics
from tsuite.domains.audio.asr.options import FinetuneOptions, RunOptions
from tsuite.domains.audio.asr.recognisers import CTCRecogniser, WhisperRecogniser
from tsuite.domains.audio.asr.streaming import Gate, Stream
from tsuite.domains.audio.asr.training import prepare
from tsuite.domains.audio.files import SAMPLE_RATE
from tsuite.domains.audio.voice import WINDOW

from . import tinyasr, whispers

PLAIN = RunOptions(speech="off", lm="none")


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TSUITE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_learns_to_write_what_is_said(tmp_path: Path) -> None:
    task = tinyasr.task_class().load(str(tinyasr.trained()))
    recording = task(tinyasr.say("do re ore"), SAMPLE_RATE, speech="off", words=True)
    assert recording.text == "do re ore"
    (segment,) = recording.segments
    assert [word.text for word in segment.words] == ["do", "re", "ore"]
    starts = [word.start for word in segment.words]
    assert starts == pytest.approx([0.1, 0.7, 1.3], abs=0.2)  # a label's peak may lag behind its sound
    rows = [row for row in read_metrics(tinyasr.trained()) if row["split"] == "validation"]
    assert rows[-1]["metrics"]["cer"] < 0.05


def test_the_same_alone_and_beside_others() -> None:
    task = tinyasr.task_class().load(str(tinyasr.trained()))
    texts = ["do", "ore rod doe", "re re"]
    recordings = task.read([tinyasr.say(text) for text in texts], PLAIN)
    assert [item.text for item in task.infer(recordings, RunOptions(batch=3, speech="off"))] == texts


def test_long_recordings_are_cut_and_joined(tmp_path: Path) -> None:
    task = tinyasr.task_class().load(str(tinyasr.trained()))
    assert isinstance(task.recogniser, CTCRecogniser)
    task.recogniser.longest = 4.0
    said = " ".join(["do", "re", "ore", "rod"] * 6)
    heard = task(tinyasr.say(said), SAMPLE_RATE, speech="off", lm="none").text
    assert abs(len(heard.split()) - 24) <= 4  # pieces side by side may tear a word


def test_a_stream_says_the_same(tmp_path: Path) -> None:
    task = tinyasr.task_class().load(str(tinyasr.trained()))
    stream = Stream(task.recogniser, PLAIN, silence=0.6)
    samples = np.concatenate([tinyasr.say("do ore"), np.zeros(SAMPLE_RATE, np.float32), tinyasr.say("rod re")])
    ended, finals = [], []
    for part in np.array_split(samples, 37):
        heard = stream.hear(part)
        ended += heard.ended
        finals.append(heard.final)
    ended += stream.hear(np.empty(0, np.float32), last=True).ended
    assert [segment.text for segment in ended] == ["do ore", "rod re"]
    grown = [second.startswith(first) or not second for first, second in pairwise(finals)]
    assert all(grown)


def test_a_stream_that_closes_in_a_word_keeps_it() -> None:
    task = tinyasr.task_class().load(str(tinyasr.trained()))
    stream = Stream(task.recogniser, PLAIN, silence=0.6)
    stream.hear(tinyasr.say("do re")[:-3500])
    (segment,) = stream.hear(np.empty(0, np.float32), last=True).ended
    assert segment.text.startswith("do r")


def test_language_model_and_hot_words(tmp_path: Path) -> None:
    task = tinyasr.task_class().load(str(tinyasr.trained()))
    samples = tinyasr.say("do re")
    assert task(samples, SAMPLE_RATE, speech="off", lm="auto").text == "do re"
    arpa = tmp_path / "one.arpa"
    arpa.write_text(
        "\\data\\\nngram 1=4\n\n\\1-grams:\n-1\t</s>\n-99\t<s>\n-0.5\tdo\n-0.5\tre\n\n\\end\\\n", encoding="utf-8"
    )
    heard = task(samples, SAMPLE_RATE, speech="off", lm=str(arpa), lm_weight=3.0).text
    assert heard == "do re"
    with pytest.raises(UserError, match="no language model"):
        task(samples, SAMPLE_RATE, speech="off", lm="nowhere.arpa")
    with pytest.raises(UserError, match="'loud' is no weight for 'do'"):
        task(samples, SAMPLE_RATE, speech="off", hotwords="do:loud")


def test_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    report = tinyasr.train(tmp_path / "more", checkpoint=tinyasr.trained(), epochs=1, lr=1e-4)
    assert report.metrics["cer"] < 0.2


def test_low_rank_adapters_are_folded_in(tmp_path: Path) -> None:
    tinyasr.train(tmp_path / "lora", checkpoint=tinyasr.trained(), epochs=1, lr=1e-4, lora=4)
    task = tinyasr.task_class().load(str(tmp_path / "lora"))
    assert task(tinyasr.say("ore"), SAMPLE_RATE, speech="off").text == "ore"
    assert not [name for name in task.network.state_dict() if "lora" in name]


def test_byte_pairs_and_a_plain_transformer(tmp_path: Path) -> None:
    tinyasr.train(tmp_path / "run", labels="bpe", bpe=10, encoder="transformer", max_steps=2, epochs=0)
    task = tinyasr.task_class().load(str(tmp_path / "run"))
    assert isinstance(task.recogniser, CTCRecogniser)
    assert task.recogniser.labels.kind == "bpe"
    assert isinstance(task(tinyasr.say("do"), SAMPLE_RATE, speech="off").text, str)


def test_another_alphabet_than_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for number, text in enumerate(("zoo", "do", "rod", "doe")):
        tinyasr.save(folder / f"{number}.wav", tinyasr.say("do re"))
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")

    with pytest.raises(UserError, match=r"zoo.*cannot write: z"):
        prepare(
            tinyasr.task_class(), FinetuneOptions(), data=str(folder), checkpoint=str(tinyasr.trained()), settings={}
        )


def test_the_weights_are_half_as_large(tmp_path: Path) -> None:
    task = tinyasr.task_class().load(str(tinyasr.trained()))
    assert all(
        value.dtype == torch.float32 for value in task.network.state_dict().values() if value.is_floating_point()
    )
    parameters = sum(value.numel() for value in task.network.parameters())
    assert (tinyasr.trained() / "best" / "model.safetensors").stat().st_size < 2.5 * parameters + 10_000


@pytest.mark.parametrize("lora", [0, 2])
def test_a_whisper_learns_on(tmp_path: Path, lora: int) -> None:
    base = whispers.hf_folder(tmp_path / "base", whispers.reference())
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(12):
        tinyasr.save(folder / f"{number}.wav", tinyasr.say(tinyasr.WORDS[number % 3]))
        (folder / f"{number}.txt").write_text(("He was not", "an ill young man.", "please hold on!")[number % 3])
    request = flow.Request(name=tinyasr.NAME, data=str(folder), checkpoint=str(base), device="cpu", threads=1)
    options = FinetuneOptions(
        epochs=6, lr=1e-2 if lora else 3e-3, batch_size=4, lora=lora, speed=0, noise=0, join=0, mask=0
    )
    finetune.finetune(request, options, tmp_path / "run")
    rows = [row["loss"] for row in read_metrics(tmp_path / "run") if row["split"] == "validation"]
    assert rows[-1] < rows[0]
    task = tinyasr.task_class().load(str(tmp_path / "run"))
    before = tinyasr.task_class().load(str(base))
    assert isinstance(task.recogniser, WhisperRecogniser)
    assert isinstance(before.recogniser, WhisperRecogniser)
    assert task.recogniser.tokenizer.suppress == before.recogniser.tokenizer.suppress
    assert isinstance(task(tinyasr.say("do"), SAMPLE_RATE, speech="off", picture=False).text, str)


def test_whisper_is_for_own_recordings_where_it_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    task, known = tinyasr.task_class(), {"whisper-tiny.en": True}

    def locate(card: object, name: str) -> object:
        if not known[name]:
            raise Unreachable("Nothing answers.")
        return None

    monkeypatch.setattr("tsuite.core.pretrained.locate", locate)
    assert task.default_checkpoint(["talk.wav"], PLAIN) == "whisper-tiny.en"
    assert task.default_checkpoint([], PLAIN) is None
    assert task.default_checkpoint(["talk.wav"], RunOptions(stream=True)) is None
    known["whisper-tiny.en"] = False
    assert task.default_checkpoint(["talk.wav"], PLAIN) is None


def test_a_stream_and_a_whole_recording_do_not_disturb_each_other() -> None:
    task = tinyasr.task_class().load(str(tinyasr.trained()))
    stream = Stream(task.recogniser, PLAIN, silence=0.6)
    samples = tinyasr.say("ore do")
    stream.hear(samples[:9000])
    assert task(samples, SAMPLE_RATE, speech="off", lm="none").text == "ore do"
    stream.hear(samples[9000:])
    (segment,) = stream.hear(np.empty(0, np.float32), last=True).ended
    assert segment.text == "ore do"


class Switched:
    """A detector that finds speech in windows `first` to `last`."""

    notices: tuple[str, ...] = ()

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last, self.count, self.held = first, last, 0, 0

    def feed(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray:
        self.held += len(samples)
        windows = (self.held + (WINDOW - 1 if last else 0)) // WINDOW
        self.held -= min(self.held, windows * WINDOW)
        places = np.arange(self.count, self.count + windows)
        self.count += windows
        return ((places >= self.first) & (places <= self.last)).astype(np.float32)


@pytest.mark.parametrize("parts", [1, 7, 100])
def test_the_gate_lets_speech_through_with_its_beginning(parts: int) -> None:
    samples = np.ones(100 * WINDOW + 100, np.float32)
    gate = Gate(Switched(40, 50), before=0.32, after=0.64)
    out = np.concatenate([*(gate(part) for part in np.array_split(samples, parts)), gate(samples[:0], last=True)])
    assert len(out) >= len(samples) - 1
    passed = out[: 100 * WINDOW].reshape(-1, WINDOW).all(axis=1).nonzero()[0]
    assert (passed[0], passed[-1]) == (30, 70)
