"""Recognisers as graphs: what an engine makes of them is what torch makes of the weights, whatever is asked."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from tsuite.core.engines import onnxruntime
from tsuite.core.errors import UserError
from tsuite.core.export.folder import attach
from tsuite.core.export.graph import Graph, write_onnx, write_torch
from tsuite.domains.audio import wav2vec2
from tsuite.domains.audio.asr import exported
from tsuite.domains.audio.frontend import LogMel
from tsuite.domains.audio.whisper import load
from tsuite.domains.audio.whisper.decoding import decode
from tsuite.domains.audio.whisper.options import WhisperOptions

from .test_wav2vec2 import KINDS, original, sound
from .whispers import hf_folder, reference

PLAIN = WhisperOptions(language="en", log_probability=-99.0, compression=99.0)
"""Any answer will do: a random model is never sure of itself."""
WISHES = {
    "greedy": {},
    "beams": {"beams": 3},
    "words": {"words": True},
    "times": {"timestamps": True, "words": True},
    "prompt": {"prompt": "the number"},
    "any language": {"language": "auto", "words": True},
    "translation": {"language": "de", "task": "translate"},
    "one at a time": {"batch": 1},
    "drawn": {"temperatures": (0.6,), "words": True},
}


def sounds(*seconds: float) -> list[np.ndarray]:
    draw = np.random.default_rng(5)
    return [draw.normal(0, 0.1, round(length * 16000)).astype(np.float32) for length in seconds]


def by_torch(graph: Graph) -> Any:
    """A graph's function, run by torch as it is."""

    def run(*tensors: Tensor) -> Any:
        with torch.no_grad():
            return graph.module(*tensors)

    return run


def hollow(network: nn.Module) -> nn.Module:
    """The network with nothing in it that a graph holds."""
    for value in network.parameters():
        value.data = torch.full_like(value, float("nan"))
    return network


def attached(network: Any, other: Any, runs: Any = None) -> Any:
    """`other` with the graphs of `network` in place of its methods, run by torch where no engine is given."""
    made = exported.graphs(network)
    task: Any = SimpleNamespace(network=hollow(other), exported=lambda: exported.attached(other))
    task.step_extras = lambda cache, batch: exported.step_extras(other, cache, batch)
    attach(task, {"graphs": [one.facts() for one in made]}, runs or {one.name: by_torch(one) for one in made})
    return other


def written(network: Any, folder: Path) -> Any:
    """The graphs of a network as ONNX, run by ONNX Runtime."""
    made = exported.graphs(network)
    for one in made:
        write_onnx(one, folder / f"{one.name}.onnx")
    return onnxruntime.start(folder, {"graphs": [one.facts() for one in made]}, device="cpu", threads=1)[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_folder(tmp_path_factory.mktemp("hf"), reference())


@pytest.mark.parametrize("wish", WISHES)
def test_a_whisper_by_its_graphs_says_the_same(wish: str, place: Path) -> None:
    (network, tokenizer), (other, _) = load(place, source="tiny"), load(place, source="tiny")
    options = replace(PLAIN, **WISHES[wish])
    pieces = sounds(1.0, 2.0, 0.3)
    own = decode(network, tokenizer, pieces, options)
    found = decode(attached(network, other), tokenizer, pieces, options)
    assert [said.ids for said in found] == [said.ids for said in own]
    assert max(map(len, (said.ids for said in own))) > 5
    for one, said in zip(own, found, strict=True):
        assert_close(said.probabilities, one.probabilities, rtol=0, atol=1e-4)
        assert (said.language, said.no_speech) == (one.language, pytest.approx(one.no_speech, abs=1e-4))
        assert [(word.text, word.start, word.end) for word in said.words] == [
            (word.text, word.start, word.end) for word in one.words
        ]


def test_beams_of_one_window_are_laid_out_once(place: Path) -> None:
    network = load(place, source="tiny")[0]
    with torch.no_grad():
        heard = network.listen(torch.from_numpy(sounds(1.0)[0])[None], 32000)
    cache = network.text.new_cache(4)
    cache.copy(heard, rows=3)
    given = exported.step_extras(network, cache, 3)
    assert all(value.shape[0] == 3 and value.is_contiguous() for value in given)
    assert [value.data_ptr() for value in exported.step_extras(network, cache, 3)] == [v.data_ptr() for v in given]
    assert heard.cross[0].read()[0].shape[0] == 1


@pytest.mark.parametrize("front", [LogMel.whisper(mels=16), LogMel(mels=16)], ids=["whisper", "ours"])
def test_spectra_in_a_graph_are_those_of_the_fourier_transform(front: LogMel, monkeypatch: Any) -> None:
    waves, lengths = torch.from_numpy(sounds(0.5)[0])[None], torch.tensor([8000])
    own = front(waves, lengths)[0]
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    monkeypatch.setattr(torch, "stft", None)
    assert_close(front(waves, lengths)[0], own, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "torch"])
@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
def test_a_written_whisper_says_the_same(kind: str, place: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    (network, tokenizer), (other, _) = load(place, source="tiny"), load(place, source="tiny")
    if kind == "onnx":
        runs = written(network, tmp_path)
    else:
        for one in exported.graphs(network):
            write_torch(one, tmp_path / f"{one.name}.pt2")
        programs = {path.stem: torch.export.load(str(path)) for path in tmp_path.glob("*.pt2")}
        runs = {name: partial(one.module(check_guards=False)) for name, one in programs.items()}
    engine = attached(network, other, runs)
    waves = torch.from_numpy(np.stack(sounds(1.0, 1.0)))
    for samples in (16000, 25600, 32000):  # windows of any length
        with torch.no_grad():
            own, found = network.listen(waves, samples), engine.listen(waves, samples)
        for left, right in zip(own.cross, found.cross, strict=True):
            assert_close(right.read(), left.read(), rtol=0, atol=1e-3)
    for wish, asked in WISHES.items():
        options = replace(PLAIN, **asked)
        own, found = (decode(one, tokenizer, sounds(1.0, 2.0, 0.3), options) for one in (network, engine))
        assert [said.ids for said in found] == [said.ids for said in own], wish
        assert [said.words for said in found if not options.words] == [said.words for said in own if not options.words]


@pytest.mark.slow
def test_the_spectrogram_is_left_out_of_8_bits(place: Path, tmp_path: Path) -> None:
    """What is narrowed are products with fixed weights: the mel filters, [201, 16], may be none of these."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    write_onnx(exported.graphs(load(place, source="tiny")[0])[0], tmp_path / "encoder.onnx")
    graph = onnx.load(str(tmp_path / "encoder.onnx")).graph
    shapes = {value.name: tuple(value.dims) for value in graph.initializer}
    narrowed = {shapes[name] for node in graph.node if node.op_type in {"MatMul", "Gemm"} for name in node.input
                if name in shapes}  # fmt: skip
    assert (32, 48) in narrowed
    assert (201, 16) not in narrowed


# -- wav2vec 2.0 -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_wav2vec2_by_its_graph_says_the_same(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    original(tmp_path, kind)
    (network, _), (other, _) = wav2vec2.load(tmp_path), wav2vec2.load(tmp_path)
    engine = attached(network, other, written(network, tmp_path))
    for lengths in ([3000, 1234, 34], [16000], [9000, 30], [20], [31, 5]):
        waveforms, counts = sound(*lengths)
        with torch.no_grad():
            own, found = network(waveforms, counts), engine(waveforms, counts)
        assert found.lengths.tolist() == own.lengths.tolist()
        for row, length in enumerate(own.lengths.tolist()):
            assert_close(found.log_probs[row, :length], own.log_probs[row, :length], rtol=0, atol=1e-3)
    with pytest.raises(UserError, match="no streams"):
        engine.new_stream()
