"""Exported folders in the hands of somebody who has onnxruntime, numpy and the manifest, and nothing of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tsuite import load
from tsuite.core.generate import generate
from tsuite.core.sampling import Sampling

from .commands import tsuite

pytestmark = pytest.mark.slow
ALONE = Path(__file__).with_name("alone.py")


def exported(name: str, folder: Path, *words: Any) -> Path:
    pytest.importorskip("onnxscript")
    tsuite("export", name, *words, "--format", "onnx", "--output", folder / "exported", "--json")
    return folder / "exported"


def alone(model: str, folder: Path, **given: Any) -> Any:
    """What `alone.py` makes of the folder, in a process of its own."""
    read, write = folder.parent / "given.npz", folder.parent / "found.npz"
    np.savez(read, **given)
    done = subprocess.run(
        [sys.executable, "-I", str(ALONE), model, str(folder), str(read), str(write)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(np.load(write))


@torch.inference_mode()
def test_vision(tmp_path: Path) -> None:
    task: Any = load("vision.vit")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 1, 28, 28), np.uint8)
    found = alone("vision", exported("vision.vit", tmp_path), pixels=pixels)
    seen = task.preprocessing.normalise(torch.from_numpy(pixels) / 255)
    odds = task.network(seen).softmax(-1)
    assert np.allclose(found["odds"], odds.numpy(), atol=1e-3)
    assert np.allclose(found["map"], task.network.attention(seen).numpy(), atol=1e-3)
    assert found["label"] == task.labels[int(odds[0].argmax())]


def test_a_ctc_recogniser(tmp_path: Path) -> None:
    from tsuite.domains.audio.asr.options import RunOptions

    task: Any = load("audio.asr", checkpoint="embedded")
    samples = task.sample().examples[0].samples
    found = alone("ctc", exported("audio.asr", tmp_path, "--checkpoint", "embedded"), waveforms=samples[None])
    (own,) = task.recogniser.log_probs([samples])
    assert found["text"] == task.recogniser.labels.decode(task.recogniser.read(own, RunOptions(lm="none", beams=1)))
    assert len(str(found["text"])) > 3


@torch.inference_mode()
def test_a_whisper(tmp_path: Path) -> None:
    from tsuite.domains.audio.whisper.listening import Listener
    from tsuite.domains.audio.whisper.options import WhisperOptions

    from .domains.audio.whispers import hf_folder, reference

    place = hf_folder(tmp_path / "tiny", reference())
    waves = np.random.default_rng(5).normal(0, 0.1, (1, 32000)).astype(np.float32)
    found = alone("whisper", exported("audio.asr", tmp_path, "--checkpoint", place), waveforms=waves)
    task: Any = load("audio.asr", checkpoint=str(place))
    recogniser = task.recogniser
    heard = recogniser.network.listen(torch.from_numpy(waves), 32000)
    listener = Listener(recogniser.network, recogniser.tokenizer, WhisperOptions(language="en"))
    (said,) = listener.answer(heard, ["en"], most=20, guard=False)
    assert [one for one in found["ids"].tolist() if one != recogniser.tokenizer.end] == list(said.ids)
    assert len(said.ids) > 3


@torch.inference_mode()
def test_a_forecaster(tmp_path: Path) -> None:
    task: Any = load("timeseries.patchtst")
    config, ((mean, deviation), *_) = task.network.config, task.around.scaling.series.values()
    values = mean + deviation * np.random.default_rng(0).normal(size=(2, config.lookback)).astype(np.float32)
    found = alone("forecast", exported("timeseries.patchtst", tmp_path), values=values)
    batch: Any = task.example_batch(2)
    batch.values[:] = torch.from_numpy((values - mean) / deviation)
    batch.ahead[:], batch.known[:] = 0, False
    y_hat, quantiles = task.network(batch)
    assert np.allclose(found["y_hat"], y_hat.numpy() * deviation + mean, atol=1e-3 * deviation)
    assert np.allclose(found["quantiles"], quantiles.numpy() * deviation + mean, atol=1e-3 * deviation)


@torch.inference_mode()
def test_a_policy(tmp_path: Path) -> None:
    task: Any = load("control.decision_transformer")
    batch: Any = task.example_batch(2)
    batch.mask[0, :4] = False
    batch.observations.copy_(torch.from_numpy(np.random.default_rng(0).normal(size=batch.observations.shape)))
    context = task.network.config.context
    names = ("returns", "observations", "steps", "mask")
    found = alone("policy", exported("control.decision_transformer", tmp_path), actions=batch.actions[:, :context],
                  **{name: getattr(batch, name).numpy() for name in names})  # fmt: skip
    raw = task.network(batch).raw
    assert np.allclose(found["raw"][:, 4:], raw[:, 4:].numpy(), atol=1e-3)
    assert (found["action"] == task.network.head.decode(raw)[:, -1, 0].numpy()).all()


@torch.inference_mode()
def test_a_model_of_moves(tmp_path: Path) -> None:
    from tsuite.domains.control.board.games import CONNECT_FOUR
    from tsuite.domains.control.board.model import moves_of, planes_of, stones_along, tokens_of

    task: Any = load("control.board")
    moves = [3, 2, 3]
    told = planes_of(CONNECT_FOUR, *stones_along(CONNECT_FOUR, [moves]), task.network.config.told)
    assert told is not None
    assert not told.any()  # nothing threatens after three stones
    tokens = torch.tensor([tokens_of(CONNECT_FOUR, moves)])
    cells = [3 * 6, 2 * 6, 3 * 6 + 1]  # column by column, from below
    found = alone("board", exported("control.board", tmp_path), cells=cells)
    said = moves_of(task.network(tokens, torch.from_numpy(told)), CONNECT_FOUR)[0, -1]
    assert np.allclose(found["moves"], said.numpy(), atol=1e-3)


@torch.inference_mode()
def test_a_model_of_molecules(tmp_path: Path) -> None:
    task: Any = load("molecules.smiles_gpt")
    wish = np.full(len(task.network.config.conditions), np.nan, np.float32)
    wish[task.network.config.conditions.index("qed")] = 0.9
    found = alone("molecule", exported("molecules.smiles_gpt", tmp_path), wish=wish)
    begin = task.network.told(torch.from_numpy(wish)[None])
    tokenizer = task.around.tokenizer
    (own,) = generate(task.network, [[tokenizer.begin]], Sampling(max_new=55), past=begin,
                      stop_ids=frozenset([tokenizer.end]))  # fmt: skip
    assert found["smiles"] == tokenizer.decode([tokenizer.begin, *own.ids])
    assert len(str(found["smiles"])) > 5


def test_a_language_model(tmp_path: Path) -> None:
    from .domains.text.tiny import base

    task: Any = load("text.phi15_zh", checkpoint=str(base()))
    prompt = task.chatter.tokenizer.encode("What colour is the sky?")
    found = alone("text", exported("text.phi15_zh", tmp_path, "--checkpoint", base()), prompt=prompt)
    (own,) = generate(task.network, [prompt], Sampling(max_new=12), stop_ids=task.chatter.tokenizer.stop_ids)
    assert found["ids"].tolist() == own.ids
