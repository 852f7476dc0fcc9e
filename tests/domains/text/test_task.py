"""The chat model as a task: what it learns it says, every method trains, and what is saved loads as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tsuite.core.adapters import row_tensors
from tsuite.core.errors import UserError
from tsuite.core.train.log import read_metrics
from tsuite.domains.text import finetuned
from tsuite.domains.text.phi15_zh.options import RunOptions

from . import tiny


@pytest.fixture(autouse=True)
def _no_english(monkeypatch: pytest.MonkeyPatch) -> None:
    """English is scored on data that has to be fetched; that is tried elsewhere."""
    monkeypatch.setattr("tsuite.domains.text.phi15_zh.assessment.english", lambda task: float("nan"))


DENSE = ("lora", "dora", "qlora", "freeze", "full")
"""Methods that learn many weights, and so with small steps."""


def validation_losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(run) if line["split"] == "validation"]


def test_learnt_replies_are_said_and_end(tmp_cache: Path) -> None:
    task = tiny.task_class().load(str(tiny.trained()))
    options = RunOptions(repetition_penalty=1.0, max_new=40)
    results = list(task.infer(task.read([f"{thing}是什么颜色？" for thing in tiny.COLOURS], options), options))
    assert [result.text for result in results] == [f"{thing}是{colour}的。" for thing, colour in tiny.COLOURS.items()]
    assert {result.finish for result in results} == {"stop"}


@pytest.mark.parametrize("method", ["lora", "dora", "qlora", "ia3", "bottleneck", "prompt", "prefix", "freeze", "full"])
def test_every_method_learns_and_loads_as_it_was(method: str, tmp_path: Path, tmp_cache: Path) -> None:
    tiny.train(tmp_path / "run", method=method, epochs=4, lr=3e-3 if method in DENSE else 2e-2)
    losses = validation_losses(tmp_path / "run")
    assert losses[-1] < losses[0]
    first = tiny.task_class().load(str(tmp_path / "run"))
    again = finetuned.load(tiny.card(), str(tmp_path / "run"), merge=False)
    ids = torch.randint(3, 300, (1, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain, adapted = first.network(ids), again.network(ids)
    assert torch.allclose(plain, adapted, atol=1e-4)


def test_frozen_weights_stay_as_they_were(tmp_path: Path, tmp_cache: Path) -> None:
    before = finetuned.load(tiny.card(), str(tiny.base())).network.state_dict()
    tiny.train(tmp_path / "run", method="freeze", layers=1)
    after = finetuned.load(tiny.card(), str(tmp_path / "run")).network.state_dict()
    assert torch.equal(before["tokens.weight"], after["tokens.weight"])
    assert torch.equal(before["decoder.blocks.0.mlp.down.weight"], after["decoder.blocks.0.mlp.down.weight"])
    assert not torch.equal(before["decoder.blocks.1.mlp.down.weight"], after["decoder.blocks.1.mlp.down.weight"])


def learnt_rows(folder: Path) -> torch.Tensor:
    return row_tensors(finetuned.load(tiny.card(), str(folder), merge=False).network)["ids"]


def test_new_rows_learn_and_old_ones_do_not(tmp_path: Path, tmp_cache: Path) -> None:
    before = finetuned.load(tiny.card(), str(tiny.base())).network.state_dict()["tokens.weight"]
    tiny.train(tmp_path / "run", rows=20, packing="on", vocabulary="new")
    loaded, rows = finetuned.load(tiny.card(), str(tmp_path / "run")), learnt_rows(tmp_path / "run")
    after = loaded.network.state_dict()["tokens.weight"]
    assert loaded.extended
    assert torch.equal(before[: rows[0]], after[: rows[0]])
    assert len(loaded.tokenizer) > rows[0]
    text = "天空是什么颜色？ hello 🦊"
    assert loaded.tokenizer.decode(loaded.tokenizer.encode(text)) == text


def test_rows_of_the_language_learn_and_english_ones_do_not(tmp_path: Path, tmp_cache: Path) -> None:
    start = finetuned.load(tiny.card(), str(tiny.base()))
    tiny.train(tmp_path / "run", lr=1e-2)
    loaded = finetuned.load(tiny.card(), str(tmp_path / "run"))
    before, after = (one.network.state_dict()["tokens.weight"] for one in (start, loaded))
    assert not loaded.extended
    rows = learnt_rows(tmp_path / "run")
    assert set(rows.tolist()) >= set(start.tokenizer.encode("天空"))
    assert all(max(start.tokenizer.piece(id)) >= 0x80 for id in rows.tolist())
    changed = (before != after).any(dim=1).nonzero().flatten()
    assert changed.tolist() == rows.tolist()


def test_adapter_goes_on_learning(tmp_path: Path, tmp_cache: Path) -> None:
    tiny.train(tmp_path / "one", rows=20)
    report = tiny.train(tmp_path / "two", checkpoint=tmp_path / "one", rows=-1)
    assert finetuned.load(tiny.card(), str(tmp_path / "two")).extended
    assert torch.equal(learnt_rows(tmp_path / "one"), learnt_rows(tmp_path / "two"))
    assert report.checkpoint.base == str(tiny.base())


def test_preferences_widen_the_margin(tmp_path: Path, tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"instruction": row["instruction"], "chosen": row["output"], "rejected": "我不知道。"}
        for row in tiny.exchanges(40)
    ]
    pairs = tiny.write(tmp_path / "pairs.jsonl", rows)
    monkeypatch.setattr(tiny, "data", lambda: pairs)
    monkeypatch.setattr(tiny.task_class(), "held_out", lambda self, data=None: None)
    report = tiny.train(tmp_path / "run", objective="dpo", epochs=3, lr=5e-3, length=200)
    assert report.metrics["reward_margin"] > 0.1
    assert report.metrics["reward_accuracy"] > 0.9


def test_plain_text_is_learnt(tmp_path: Path, tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [{"text": f"第{number}天，天空是蓝色的，草是绿色的。"} for number in range(40)]
    file = tiny.write(tmp_path / "texts.jsonl", texts)
    monkeypatch.setattr(tiny, "data", lambda: file)
    tiny.train(tmp_path / "run", objective="text", method="full", epochs=4, lr=5e-3)
    losses = validation_losses(tmp_path / "run")
    assert losses[-1] < losses[0] - 0.5


def test_adapter_for_another_base(tmp_path: Path, tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tiny.save_base(tmp_path / "mine", seed=1)
    monkeypatch.setattr(tiny, "base", lambda: mine)
    tiny.train(tmp_path / "run")
    tiny.save_base(mine, seed=2)  # the same shape, other weights
    with pytest.raises(UserError, match="was learnt on"):
        tiny.task_class().load(str(tmp_path / "run"))


def test_own_data_are_reported_on_too(tmp_path: Path, tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsuite.domains.text.phi15_zh.assessment.english", lambda task: float("nan"))
    file = tiny.write(tmp_path / "own.jsonl", tiny.exchanges(20))
    monkeypatch.setattr(tiny, "data", lambda: file)
    report = tiny.train(tmp_path / "run", report=True, max_steps=1, epochs=0)
    assert (tmp_path / "run" / "report" / "report.json").is_file()
    assert report.data is not None
    assert report.data["split"] == "validation"


def test_a_base_by_relative_path_is_found_from_anywhere(
    tmp_path: Path, tmp_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.base().parent)
    monkeypatch.setattr(tiny, "base", lambda: Path(tiny_base.name))
    tiny.train(tmp_path / "run", max_steps=1, epochs=0)
    monkeypatch.chdir(tmp_path)
    assert tiny.task_class().load(str(tmp_path / "run")).origin.base == str(tiny_base)


def test_weights_that_broke_are_never_the_best(tmp_path: Path, tmp_cache: Path) -> None:
    with pytest.raises(UserError, match="validation loss is not finite"):
        tiny.train(tmp_path / "run", max_steps=1, epochs=0, lr=1e30)
    assert not (tmp_path / "run" / "best").exists()


tiny_base = tiny.base()
