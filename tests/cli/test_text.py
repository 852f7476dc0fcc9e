"""The commands over text.phi15_zh, start to end, on a small model that has learnt the colours of five things."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from tsuite.core import checkpoint as checkpoints
from tsuite.core.train.log import read_metrics
from tsuite.domains.text import finetuned

from ..commands import tsuite
from ..domains.text import tiny

ASK = "天空是什么颜色？"
SAYS = "天空是蓝色的。"
PLAIN = ["--repetition-penalty", 1, "--no-repeat-ngram", 0, "--max-new", 40, "--threads", 1]


@pytest.fixture(autouse=True)
def _apart(here: Path, tmp_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder with an empty cache; English is scored on data that would have to be fetched."""
    monkeypatch.setattr("tsuite.domains.text.phi15_zh.assessment.english", lambda task: float("nan"))


def run(*words: Any, code: int = 0):
    return tsuite("run", tiny.NAME, *words, "--checkpoint", tiny.trained(), *PLAIN, code=code)


def test_prompt_is_answered_as_it_grows() -> None:
    assert run(ASK).out.strip() == SAYS


def test_json_has_the_head_and_the_reply() -> None:
    value = run(ASK, "--json").json
    assert (value["command"], value["name"]) == ("run", tiny.NAME)
    assert value["results"][0]["reply"] == SAYS
    assert value["results"][0]["finish"] == "stop"


def test_probabilities_of_each_token() -> None:
    lines = run(ASK, "--show-probs").out.strip().splitlines()
    assert len(lines) >= 3
    assert 0 < float(lines[0].split()[0]) <= 1
    told = run(ASK, "--show-probs", "--json").json["results"][0]["probabilities"]
    assert len(told[0]["others"]) == 4
    assert told[0]["probability"] >= told[0]["others"][0][1]


def test_file_of_prompts_becomes_a_file_of_replies(here: Path) -> None:
    rows = [{"prompt": f"{thing}是什么颜色？"} for thing in tiny.COLOURS]
    tiny.write(here / "prompts.jsonl", rows)
    run("--input", "prompts.jsonl", "--output", "out/replies.jsonl", "--batch", 2)
    replies = [json.loads(line) for line in (here / "out" / "replies.jsonl").read_text("utf-8").splitlines()]
    assert [reply["reply"] for reply in replies] == [f"{thing}是{what}的。" for thing, what in tiny.COLOURS.items()]


def test_held_out_prompts_are_answered_and_scored() -> None:
    value = run("--json", "--data", tiny.data()).json
    assert value["data"]["n"] == 5
    assert {"bits_per_char", "han_share", "ended"} <= set(value["metrics"])
    assert value["metrics"]["ended"] == 1.0
    assert value["metrics"]["bits_per_char"] < 1


@pytest.mark.parametrize("how", ["--beams=3", "--lookup=4", "--quantize=int8", "--stop=蓝", "--temperature=0.01"])
def test_ways_of_generating(how: str) -> None:
    said = run(ASK, how, "--seed", 1).out.strip()
    learnt = [f"{thing}是{colour}的。" for thing, colour in tiny.COLOURS.items()]
    # The likeliest reply as a whole, which a search finds, need not begin with the likeliest token.
    assert said in {"--stop=蓝": ["天空是"], "--beams=3": learnt}.get(how, [SAYS])


def test_chat(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        ASK,
        "/save talk.json",
        "/save talk.json",
        "/reset",
        "草是什么颜色？",
        "/nonsense",
        "/system 你",
        "/exit",
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
    said = run()
    assert said.out.splitlines()[:1] == [SAYS]
    assert "草是绿色的。" in said.out
    assert "exists already" in said.err
    assert "There is no command /nonsense" in said.err
    saved = json.loads((here / "talk.json").read_text(encoding="utf-8"))
    assert [turn["content"] for turn in saved[0]["messages"]] == [ASK, SAYS]


def test_finetune_then_run(here: Path) -> None:
    said = tsuite(
        "finetune", tiny.NAME, "--base", tiny.base(), "--data", tiny.data(), "--epochs", 2, "--rows", 10,
        "--precision", "fp32", "--run", "one", "--threads", 1, "--json",
    )  # fmt: skip
    value = said.json
    assert value["run"] == "one"
    for name in ("report.json", "report.md", "report.png"):
        assert (here / "one" / "report" / name).stat().st_size > 100
    card = json.loads((here / "one" / "card.json").read_text(encoding="utf-8"))
    assert card["base"]["source"] == str(tiny.base())
    assert card["test"]["compared"]["after"]["n"] == 5
    tsuite("run", tiny.NAME, ASK, "--checkpoint", "one", *PLAIN)
    assert tsuite("evaluate", tiny.NAME, "--checkpoint", "one", "--data", tiny.data(), *PLAIN, "--json").json["metrics"]


def test_evaluate_text_and_choices(here: Path) -> None:
    (here / "text.txt").write_text("天空是蓝色的。" * 5, encoding="utf-8")
    (here / "asked.csv").write_text(
        "question,A,B,answer\n天空是什么颜色？,天空是蓝色的。,天空是绿色的。,A\n草是什么颜色？,草是红色的。,草是绿色的。,B\n",
        encoding="utf-8",
    )
    value = tsuite(
        "evaluate", tiny.NAME, "--checkpoint", tiny.trained(), "--data", tiny.data(), "--text", "text.txt",
        "--choices", "asked.csv", *PLAIN, "--json",
    ).json  # fmt: skip
    assert value["metrics"]["choice_accuracy"] == 1.0
    assert value["metrics"]["perplexity"] > 1


def test_export_for_transformers(here: Path) -> None:
    tsuite("export", tiny.NAME, "--checkpoint", tiny.trained(), "--output", "hf", "--precision", "float32")
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(here / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(here / "hf")
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": ASK}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**asked, max_new_tokens=40, do_sample=False)
    assert tokenizer.decode(out[0, asked["input_ids"].shape[1] :], skip_special_tokens=True) == SAYS


@pytest.mark.parametrize("precision", ["auto", "q8_0"])
def test_export_as_gguf_answers_the_same(here: Path, precision: str) -> None:
    words = ["--format", "gguf", "--precision", precision, "--output", "gguf"]
    tsuite("export", tiny.NAME, "--checkpoint", tiny.trained(), *words)
    (file,) = (here / "gguf").glob("*.gguf")
    assert tsuite("run", tiny.NAME, ASK, "--checkpoint", file, *PLAIN).out.strip() == SAYS


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # in peft
def test_export_of_an_adapter_for_peft(here: Path) -> None:
    tiny.train(here / "run", epochs=2, lr=3e-3)
    tsuite("export", tiny.NAME, "--checkpoint", "run", "--format", "peft", "--output", "peft")
    plain: Any = transformers.AutoModelForCausalLM.from_pretrained(tiny.base())
    theirs = peft.PeftModel.from_pretrained(plain, str(here / "peft")).eval()
    ours = finetuned.load(tiny.card(), "run").network
    ids = torch.randint(3, 300, (2, 10), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, rtol=0, atol=1e-5)
    back = finetuned.load(tiny.card(), "peft").network
    with torch.no_grad():
        torch.testing.assert_close(back(ids), ours(ids), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # in peft
def test_adapter_with_tokens_in_spare_rows_is_exported_for_peft(here: Path) -> None:
    tiny.train(here / "run", rows=20)
    tsuite("export", tiny.NAME, "--checkpoint", "run", "--format", "peft", "--output", "peft")
    plain: Any = transformers.AutoModelForCausalLM.from_pretrained(tiny.base())
    theirs = peft.PeftModel.from_pretrained(plain, str(here / "peft")).eval()
    words: Any = transformers.AutoTokenizer.from_pretrained(here / "peft")
    ours = finetuned.load(tiny.card(), "run")
    ids = ours.tokenizer.encode("天空是什么颜色？")
    assert words("天空是什么颜色？", add_special_tokens=False)["input_ids"] == ids
    with torch.no_grad():
        found = theirs(torch.tensor([ids])).logits
        torch.testing.assert_close(ours.network(torch.tensor([ids])), found, rtol=0, atol=1e-5)


def test_adapter_with_more_rows_than_its_base_is_exported_merged(here: Path) -> None:
    tiny.train(here / "run", rows=60)
    said = tsuite("export", tiny.NAME, "--checkpoint", "run", "--format", "peft", code=2)
    assert "Try --format hf" in said.err
    tsuite("export", tiny.NAME, "--checkpoint", "run", "--output", "hf", "--precision", "float32")
    theirs: Any = transformers.AutoModelForCausalLM.from_pretrained(here / "hf")
    loaded = finetuned.load(tiny.card(), "run")
    ids = torch.tensor([loaded.tokenizer.encode("天空是什么颜色？")])
    with torch.no_grad():
        torch.testing.assert_close(loaded.network(ids), theirs(ids).logits, rtol=0, atol=1e-4)


def test_export_refuses_a_folder_in_use(here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "letter.txt").write_text("dear", encoding="utf-8")
    said = tsuite("export", tiny.NAME, "--checkpoint", tiny.trained(), "--output", "mine", code=2)
    assert "holds something else" in said.err
    assert (here / "mine" / "letter.txt").read_text(encoding="utf-8") == "dear"


# -- what can go wrong ------------------------------------------------------------------------------------------------


def train(*words: Any, code: int = 2):
    return tsuite(
        "finetune",
        tiny.NAME,
        "--base",
        tiny.base(),
        "--epochs",
        1,
        "--rows",
        0,
        "--precision",
        "fp32",
        *words,
        code=code,
    )


def test_malformed_line_is_named(here: Path) -> None:
    (here / "bad.jsonl").write_text('{"instruction": "a", "output": "b"}\n{"instruction": "a", \n', encoding="utf-8")
    assert "bad.jsonl, line 2" in train("--data", "bad.jsonl").err.replace("\n", "")


def test_empty_data(here: Path) -> None:
    (here / "empty.jsonl").write_text("", encoding="utf-8")
    assert "empty.jsonl" in train("--data", "empty.jsonl").err


def test_unknown_role(here: Path) -> None:
    messages = [{"role": "usr", "content": "a"}, {"role": "assistant", "content": "b"}]
    tiny.write(here / "roles.jsonl", [{"messages": messages}])
    said = train("--data", "roles.jsonl").err
    assert "usr" in said
    assert "user" in said


def test_long_conversation_loses_its_oldest_turns_or_is_refused(here: Path) -> None:
    messages = [
        turn for _ in range(30) for turn in ({"role": "user", "content": ASK}, {"role": "assistant", "content": SAYS})
    ]
    tiny.write(here / "long.jsonl", [{"messages": [*messages, {"role": "user", "content": ASK}]}])
    value = run("--input", "long.jsonl", "--json").json
    assert "oldest turns were left out" in value["results"][0]["notices"][0]
    said = run("--input", "long.jsonl", "--strict", code=2)
    assert "tokens" in said.err


def test_tokenizer_of_another_checkpoint(here: Path) -> None:
    shutil.copytree(tiny.base(), here / "mixed")
    config = json.loads((here / "mixed" / "config.json").read_text(encoding="utf-8"))
    tensors = checkpoints.load_tensors(here / "mixed" / "model.safetensors")
    tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"][:300]
    tensors.pop("lm_head.weight", None)
    checkpoints.save_tensors(here / "mixed" / "model.safetensors", tensors)
    (here / "mixed" / "config.json").write_text(json.dumps(config | {"vocab_size": 300}), encoding="utf-8")
    said = tsuite("run", tiny.NAME, ASK, "--checkpoint", "mixed", code=2)
    assert "tokenizer" in said.err.lower()


def test_loss_that_is_no_number_stops_and_keeps_the_state(here: Path) -> None:
    said = train("--data", tiny.data(), "--lr", 1e30, "--clip", 0, "--method", "full", "--run", "wild", "--epochs", 3)
    assert "not finite" in said.err
    assert "lower --lr" in said.err.replace("\n", " ")
    assert all(line["step"] >= 1 for line in read_metrics(here / "wild"))


def test_base_that_cannot_be_had_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = tsuite("finetune", tiny.NAME, "--base", "microsoft/phi-1_5", "--epochs", 1, code=2)
    assert "microsoft/phi-1_5 cannot be had" in said.err


@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_streamed_reply_is_whole_where_the_limit_cuts_it(most: int) -> None:
    words = ["run", tiny.NAME, ASK, "--checkpoint", tiny.trained(), *PLAIN[:-4], "--max-new", most, "--threads", 1]
    streamed = tsuite(*words).out
    told = tsuite(*words, "--json").json["results"][0]
    assert streamed.strip() == told["reply"]
    assert told["tokens"] == most


def test_a_search_ends_at_a_stop_string() -> None:
    told = run(ASK, "--beams", 2, "--stop", "蓝", "--json").json["results"][0]
    assert (told["reply"], told["finish"]) == ("天空是", "string")


def test_a_reply_goes_into_a_file_where_one_is_named(here: Path) -> None:
    run(ASK, "--output", "reply.jsonl")
    assert json.loads((here / "reply.jsonl").read_text(encoding="utf-8"))["reply"] == SAYS


def test_lookup_needs_plain_greedy_decoding() -> None:
    said = tsuite("run", tiny.NAME, ASK, "--checkpoint", tiny.trained(), "--lookup", 4, code=2)
    assert "--repetition-penalty 1 --no-repeat-ngram 0" in said.err


def test_a_prompt_that_is_too_long_is_named(here: Path) -> None:
    tiny.write(here / "prompts.jsonl", [{"prompt": ASK}, {"prompt": "天" * 3000}])
    assert "prompts.jsonl" in run("--input", "prompts.jsonl", "--strict", "--json", code=2).err
