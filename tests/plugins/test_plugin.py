"""A model of another kind, from another distribution, through every command: nothing in cli/ or core/ knows of it."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import tsuite as package
from tsuite.core import registry
from tsuite.core.errors import UserError

from ..commands import tsuite

QUICK = ["--epochs", "30", "--batch-size", "8", "--weight-decay", "0"]


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As pip would have it: importable, with an entry point in the group `tsuite.domains`."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.chdir(tmp_path)
    point = EntryPoint(name="bigram", value="babbler.bigram", group="tsuite.domains")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == point.group else [])
    registry.cards.cache_clear()
    yield
    registry.cards.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "babbler"]:
        del sys.modules[name]


@pytest.fixture
def learned(tmp_path: Path) -> Path:
    tsuite("finetune", "text.bigram", *QUICK, "--run", tmp_path / "run")
    return tmp_path / "run"


def test_list_and_info() -> None:
    names = [model["name"] for model in tsuite("list", "--json").json["models"]]
    assert names[-1] == "text.bigram"
    assert "vision.vit" in names
    assert package.names() == names
    facts = tsuite("info", "text.bigram", "--json").json
    assert facts["run_options"]["length"] == {"default": 5, "help": "letters to write", "choices": []}
    assert "length=5" in tsuite("info", "text.bigram").out
    assert "text.bigram" in tsuite("run", "--help").out


def test_its_own_options_are_flags() -> None:
    text = tsuite("run", "text.bigram", "--help").out
    assert "--length" in text
    assert "--chat" in text
    assert "--top" not in text
    assert "forward|backward" in tsuite("finetune", "text.bigram", "--help").out
    error = tsuite("finetune", "text.bigram", "--order", "forwards", "--json", code=2).json["error"]
    assert "--order cannot be 'forwards'. Did you mean forward" in error


def test_finetune(learned: Path) -> None:
    assert {"best", "card.json", "config.yaml"} <= {path.name for path in learned.iterdir()}
    value = tsuite("finetune", "text.bigram", *QUICK, "--order", "backward", "--json").json
    assert value["metrics"]["right"] == 0  # the truth is the forward alphabet's
    assert value["command"] == "finetune"
    again = tsuite("finetune", "text.bigram", *QUICK, "--run", learned, "--json", code=2)
    assert "already holds a run" in again.json["error"]
    assert tsuite("finetune", "text.bigram", "--run", learned, "--resume", "--json").json["metrics"]["right"] == 1.0


def test_run(learned: Path) -> None:
    words = ("run", "text.bigram", "abc", "mn", "--checkpoint", learned, "--length", 3)
    value = tsuite(*words, "--json").json
    assert [result["text"] for result in value["results"]] == ["def", "opq"]
    assert value["checkpoint"]["parameters"] == 729
    assert Path(value["artifacts"][0]).read_text() == "abcdef\nmnopq"
    assert "opq" in tsuite(*words).out
    held = tsuite("run", "text.bigram", "--checkpoint", learned, "--json").json
    assert held["data"]["n"] == 2
    assert held["metrics"]["right"] >= 0.5


def test_run_with_a_bad_input(learned: Path) -> None:
    value = tsuite("run", "text.bigram", "abc", "a1", "b", "--checkpoint", learned, "--json", code=2).json
    assert [result.get("text", "")[:1] for result in value["results"]] == ["d", "c", ""]
    assert value["results"][-1] == {"id": "a1", "error": "a1: '1' is no letter."}


def test_a_live_session(learned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("abc\nx\n\n"))
    said = tsuite("run", "text.bigram", "--chat", "--length", 2, "--checkpoint", learned)
    assert said.err.split() == ["de", "yz"]


def test_evaluate_and_bench(learned: Path) -> None:
    value = tsuite("evaluate", "text.bigram", "--checkpoint", learned, "--json").json
    assert set(value["metrics"]) == {"right"}
    bench = tsuite("bench", "text.bigram", "--checkpoint", learned, "--batch", 2, "--seconds", 0.02, "--json").json
    assert bench["bench"][0]["batch"] == 2


def test_its_own_commands() -> None:
    assert tsuite("text", "spell", "cat").out == "c a t\n"
    assert tsuite("text", "spell", "cat", "--slowly").out == "c...a...t\n"
    assert "'c4t' is no word" in tsuite("text", "spell", "c4t", code=2).err
    assert "spell" in tsuite("text", "--help").out
    assert tsuite("data", "letters").out == "a to z\n"  # beside the commands that were there before
    assert "mnist_5k" in tsuite("data", "list").out
    assert "text" in tsuite("--help").out


def test_in_python(learned: Path) -> None:
    model = package.load("text.bigram", str(learned))
    assert model("abc", length=2).text == "de"
    assert [result.text for result in model("a", "b", length=1)] == ["b", "c"]
    with pytest.raises(UserError, match=r"no field 'lenght'.*Did you mean length"):
        model("a", lenght=3)


def test_checkpoints_are_told_apart(learned: Path) -> None:
    error = tsuite("run", "vision.vit", "--checkpoint", learned, "--json", code=2).json["error"]
    assert "is a checkpoint of text.bigram, not of vision.vit" in error


def test_a_model_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.nn.functional", None)  # as if it were not installed
    sys.modules.pop("babbler.bigram.task", None)
    error = tsuite("run", "text.bigram", "a", "--json", code=2).json["error"]
    assert "pip install" in error
