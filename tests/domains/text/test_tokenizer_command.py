"""`tsuite tokenizer extend`, from a checkpoint on the disk to one that transformers reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tsuite.cli.app import start
from tsuite.domains.text import tokenizer_command
from tsuite.domains.text.conversation import Conversation, Document, Preference, Turn
from tsuite.domains.text.export import write_hf
from tsuite.domains.text.families.phi import PhiConfig
from tsuite.domains.text.tokenizer import Tokenizer

from .bpe_toy import ENGLISH, base, chinese

SPARE = 70


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny phi with rows to spare, in a Hugging Face folder, with a bias in its head that is not nought."""
    torch.manual_seed(0)
    config = PhiConfig(vocabulary=len(base()) + SPARE, dim=16, depth=1, heads=2, kv_heads=2, hidden=32, length=64)
    tensors = {name: torch.randn_like(tensor) / 4 for name, tensor in config.network().state_dict().items()}
    write_hf(tmp_path / "model", config, tensors, base(), dtype=torch.float32)
    return tmp_path / "model"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Instructions in Chinese."""
    rows = [{"instruction": text, "output": text[::-1]} for text in chinese(60)]
    path = tmp_path / "zh.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def place(model: Path, texts: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a model, texts in Chinese and in English, and a folder that is somebody's."""
    folder = model.parent
    monkeypatch.chdir(folder)
    (folder / "en.txt").write_text(ENGLISH)
    (folder / "full").mkdir()
    (folder / "full" / "precious.txt").write_text("mine")
    return folder


def extend(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        start(["tokenizer", "extend", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_from_folder_to_folder(model: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    output = tmp_path / "extended"
    assert extend(texts, "--base", model, "--output", output, "--reserve", "5", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    rows = len(base()) + SPARE
    assert told["rows"] == {"before": rows, "new": SPARE - 5, "added": 0, "after": rows}
    assert told["tokens_per_char"]["after"] < 0.8 * told["tokens_per_char"]["before"]
    assert (told["texts"], told["held_out"], told["weights"]) == (60, 6, True)
    assert told["examples"]
    before, after = (AutoModelForCausalLM.from_pretrained(folder).eval() for folder in (model, output))
    tokenizer = AutoTokenizer.from_pretrained(output)
    ids = tokenizer(ENGLISH, return_tensors="pt", add_special_tokens=False).input_ids
    assert ids.tolist() == [base().encode(ENGLISH)]
    old = [row for row in range(rows) if not len(base()) <= row < rows - 5]
    with torch.no_grad():  # the model's answers to English are what they were, but for new tokens among the guesses
        assert torch.equal(after(ids).logits[..., old], before(ids).logits[..., old])
    reply = chinese(1)[0]
    assert len(tokenizer(reply, add_special_tokens=False).input_ids) < len(base().encode(reply))


def test_what_a_person_sees(model: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extend(texts, "--base", model, "--rows", "75", "--output", tmp_path / "out") == 0
    told = capsys.readouterr().out
    assert "75: 14 rows were added" in told  # 70 to spare, of which 9 stay free
    assert "fewer (6 of 60 texts, held out)" in told


def test_a_tokenizer_alone_needs_no_weights(model: Path, texts: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").unlink()
    assert extend(texts, "--base", model, "--output", tmp_path / "out", "--tokenizer-only") == 0
    found = Tokenizer.from_folder(tmp_path / "out")
    assert len(found) == len(base()) + SPARE - 9
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["zh.jsonl", "--rows", "many"], "--rows many"),
        (["zh.jsonl", "--rows", "0"], "--rows 0"),
        (["zh_chatt"], "Did you mean zh_chat"),
        (["zh.jsonl", "--output", "model"], "extended"),
        (["zh.jsonl", "--output", "full"], "holds other files"),
        (["zh.jsonl", "--output", "zh.jsonl"], "is a file"),
        (["zh.jsonl", "--reserve", "70"], "0 to spare"),
        (["en.txt"], "nothing to learn"),
        (["zh.jsonl", "--base", "nowhere"], "no checkpoint"),
    ],
)
def test_what_cannot_be(place: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = extend(*([] if "--base" in arguments else ["--base", "model"]), *arguments)
    if told == "extended":  # a checkpoint may be replaced, also by its own extension
        assert code == 0
        return
    assert code == 2
    assert told in capsys.readouterr().err
    assert (place / "full" / "precious.txt").read_text() == "mine"


def test_the_split_depends_on_the_texts_alone() -> None:
    texts = chinese(50)
    learnt, held_out = tokenizer_command.split(texts)
    assert (learnt, held_out) == tokenizer_command.split([*texts[::-1], texts[3]])
    assert len(held_out) == 5
    assert not set(learnt) & set(held_out)
    assert tokenizer_command.split(["one"]) == (["one"], [])


def test_all_that_an_example_says_is_learnt_from() -> None:
    turns = (Turn(role="user", content="问"), Turn(role="assistant", content="答"))
    assert tokenizer_command.text_of(Conversation(id="1", turns=turns)) == "问\n答"
    assert tokenizer_command.text_of(Preference(id="1", turns=turns[:1], chosen="好", rejected="坏")) == "问\n好\n坏"
    assert tokenizer_command.text_of(Document(id="1", text="文")) == "文"
