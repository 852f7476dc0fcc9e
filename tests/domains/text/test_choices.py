"""Questions with given answers, and how likely a model finds text: against sums worked out the slow way."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import tokenizers
import torch
from tokenizers import decoders, models, pre_tokenizers
from tsuite.core.errors import UserError
from tsuite.domains.text import choices
from tsuite.domains.text.families import build
from tsuite.domains.text.likelihood import answer_log_probabilities, perplexity, token_log_probabilities
from tsuite.domains.text.tokenizer import Tokenizer


def by_bytes() -> Tokenizer:
    """One token a byte, and two special ones."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(models.BPE(vocab={letter: id for id, letter in enumerate(letters)}, merges=[]))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    backend.add_special_tokens(["<end>", "<pad>"])
    return Tokenizer(backend=backend, end_id=256, pad_id=257)


def network(length: int = 16):
    torch.manual_seed(0)
    shape = {"vocabulary": 258, "dim": 16, "depth": 2, "heads": 2, "hidden": 32, "length": length}
    return build("gpt2", shape).network().eval()


# -- reading --------------------------------------------------------------------------------------------------------


def test_a_csv_with_columns_and_letters(tmp_path: Path) -> None:
    path = tmp_path / "questions.csv"
    path.write_text('\ufeffQuestion,A,B,C,D,Answer\n天空?,蓝,绿,,,a\n"two, lines\nof it",x,y,z,w,D\n', encoding="utf-8")
    first, second = choices.read(path)
    assert (first.question, first.choices, first.answer) == ("天空?", ("蓝", "绿"), 0)
    assert (second.question, second.choices[second.answer]) == ("two, lines\nof it", "w")
    assert first.id == f"{path}:2"


@pytest.mark.parametrize(("answer", "index"), [(0, 0), (1, 1), ("1", 1), ("B", 1), ("b", 1), ("绿色", 1), (" A ", 0)])
def test_answers_as_letter_index_or_text(tmp_path: Path, answer: object, index: int) -> None:
    path = tmp_path / "q.jsonl"
    row = {"question": "天空是什么颜色？", "choices": ["蓝色", "绿色"], "answer": answer}
    path.write_text(json.dumps(row) + "\n\n", encoding="utf-8")
    assert choices.read(path)[0].answer == index


def test_a_text_goes_before_an_index(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text('question,choices,answer\n1+1?,"[""2"", ""0"", ""1""]",1\n', encoding="utf-8")
    assert choices.read(path)[0].answer == 2


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"choices": ["a", "b"], "answer": 0}, ":1: the field question"),
        ({"question": "q", "answer": 0}, ":1: there are not two choices"),
        ({"question": "q", "choices": ["a", ""], "answer": 0}, "or one is empty"),
        ({"question": "q", "choices": "a", "answer": 0}, "not a JSON list"),
        ({"question": "q", "choices": ["a", "b"]}, "the answer '' is none of the 2"),
        ({"question": "q", "choices": ["a", "b"], "answer": "C"}, "the answer 'C'"),
        ({"question": "q", "choices": ["a", "b"], "answer": 2}, "index \\(0 to 1\\)"),
        (["q"], "not a JSON object"),
    ],
)
def test_errors_name_the_line_and_field(tmp_path: Path, row: object, told: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(UserError, match=told):
        choices.read(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    broken = [
        ("q.xml", b"", "neither"),
        ("q.jsonl", b"{", ":1 is not JSON"),
        ("q.csv", b"", "no question"),
        ("r.csv", "question,A\n天".encode("gbk"), "not UTF-8"),
    ]
    for name, content, told in broken:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=told):
            choices.read(tmp_path / name)
    with pytest.raises(UserError, match="no file"):
        choices.read(tmp_path / "nowhere.csv")


# -- scoring --------------------------------------------------------------------------------------------------------


def test_both_ways_of_scoring() -> None:
    """Each byte costs 1 but for `好`, whose three cost 1.5 together: cheap for its length, dear in all."""
    items = [
        choices.Item(id="1", question="q", choices=("好好好好", "b", "cc"), answer=1),
        choices.Item(id="2", question="r", choices=("b", "cc"), answer=1),
    ]
    seen: list[list[int]] = []

    def logprob(prompts: list[list[int]], answers: list[list[int]]) -> list[float]:
        seen.extend(prompts)
        return [-6.0 if len(answer) > 3 else -float(2 * len(answer)) for answer in answers]

    scores = choices.score(items, by_bytes(), logprob)
    assert (scores.predicted, scores.predicted_per_char) == ((1, 0), (0, 0))
    assert (scores.accuracy, scores.accuracy_per_char, scores.n) == (0.5, 0.0, 2)
    assert scores.guess == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert seen == [by_bytes().encode("q\n")] * 3 + [by_bytes().encode("r\n")] * 2
    own = choices.score(items, by_bytes(), logprob, prompt=lambda item: [256])
    assert own.accuracy == 0.5
    assert seen[5:] == [[256]] * 5


@torch.inference_mode()
def slow(model, prompt: list[int], answer: list[int]) -> float:
    """One row at a time, every token's logits."""
    ids = torch.tensor([[*prompt, *answer]])
    table = model(ids[:, :-1])[0].log_softmax(-1)
    return sum(float(table[place - 1, ids[0, place]]) for place in range(len(prompt), ids.shape[1]))


def test_answers_in_batches_equal_one_by_one() -> None:
    model = network()
    prompts = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [1, 2, 3], [7]]
    answers = [[10], [11, 12, 13], [14, 15], [16, 17, 18, 19, 20], [200]]
    found = answer_log_probabilities(model, prompts, answers, batch=2)
    for value, prompt, answer in zip(found, prompts, answers, strict=True):
        assert value == pytest.approx(slow(model, prompt, answer), abs=1e-4)
    assert answer_log_probabilities(model, [], []) == []
    long = answer_log_probabilities(model, [list(range(40))], [[3, 4]])[0]
    assert long == pytest.approx(slow(model, list(range(25, 40)), [3, 4]), abs=1e-4)


def test_a_model_that_learnt_the_answer_finds_it() -> None:
    """The whole way, from text to accuracy."""
    torch.manual_seed(0)
    model, tokenizer = network(32), by_bytes()
    ids = torch.tensor([tokenizer.encode("sky?\nblue")])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(30):
        logits = model(ids[:, :-1])
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits[0], ids[0, 1:]).backward()
        optimiser.step()
    items = [choices.Item(id="1", question="sky?", choices=("green", "blue", "red"), answer=1)]
    scores = choices.score(items, tokenizer, lambda prompts, answers: answer_log_probabilities(model, prompts, answers))
    assert (scores.accuracy, scores.accuracy_per_char) == (1.0, 1.0)


# -- perplexity -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "stride"), [(None, None), (16, 16), (16, 1), (8, 3), (5, 5), (100, 100)])
def test_perplexity_scores_each_token_once(length: int | None, stride: int | None) -> None:
    model, tokenizer, text = network(), by_bytes(), "今天天气很好, it is fine."
    found = perplexity(model, tokenizer, text, length, stride)
    ids = [256, *tokenizer.encode(text)]
    window = min(length or 16, 16)
    step = min(stride or window // 2, window)
    nats, done = 0.0, 1
    while done < len(ids):  # ids[done:end] are scored, after as much before them as fits into the window
        end = min(len(ids), window + 1 if done == 1 else done + step)
        nats -= slow(model, ids[max(0, end - 1 - window) : done], ids[done:end])
        done = end
    assert (found["tokens"], found["characters"]) == (len(ids) - 1, len(text))
    assert found["perplexity"] == pytest.approx(math.exp(nats / found["tokens"]), rel=1e-4)
    assert found["bits_per_char"] == pytest.approx(nats / math.log(2) / len(text), rel=1e-4)


def test_perplexity_of_nothing() -> None:
    found = perplexity(network(), by_bytes(), "")
    assert math.isnan(found["perplexity"])
    assert found["tokens"] == 0


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    with torch.inference_mode():
        hidden, targets = model.hidden(torch.arange(12)[None])[0], torch.arange(12) * 3
        whole = token_log_probabilities(model, hidden, targets)
        monkeypatch.setattr("tsuite.domains.text.likelihood.CHUNK", 5)
        torch.testing.assert_close(token_log_probabilities(model, hidden, targets), whole)
