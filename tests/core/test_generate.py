"""Generation against transformers' and against the plain loop without a cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from tsuite.core.errors import UserError
from tsuite.core.generate import Step, generate, stream
from tsuite.core.language import LanguageModel
from tsuite.core.sampling import Sampling

from .small import PROMPTS, VOCABULARY, gpt2, pair

LONG = Sampling(max_new=12)


@pytest.fixture(scope="module")
def both() -> tuple[LanguageModel, Any]:
    return pair()


def theirs(model: Any, prompts: Sequence[Sequence[int]], **options: Any) -> list[list[int]]:
    """What transformers adds to each prompt, up to and with the end."""
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    found = model.generate(ids, attention_mask=mask, pad_token_id=0, **{"do_sample": False, **options})
    ends = set(options.get("eos_token_id") or ())
    replies = []
    for row in found[:, longest:].tolist():
        stop = next((place + 1 for place, token in enumerate(row) if token in ends), len(row))
        replies.append(row[:stop])
    return replies


def ids(model: LanguageModel, prompts: Sequence[Sequence[int]], sampling: Sampling, **options: Any) -> list[list[int]]:
    return [reply.ids for reply in generate(model, prompts, sampling, **options)]


def plain(model: LanguageModel, prompt: Sequence[int], steps: int) -> list[int]:
    """The most likely token, over and over, without a cache."""
    text = list(prompt)
    with torch.no_grad():
        for _ in range(steps):
            text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
    return text[len(prompt) :]


@pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS, PROMPTS[:1] * 3], ids=["one", "unequal", "equal"])
def test_greedy_equals_transformers_and_the_plain_loop(both: tuple, prompts: list[list[int]]) -> None:
    ours, reference = both
    answer = ids(ours, prompts, LONG)
    assert answer == [plain(ours, prompt, 12) for prompt in prompts]
    assert answer == theirs(reference, prompts, max_new_tokens=12, eos_token_id=None)


def test_greedy_with_learned_positions_equals_the_plain_loop() -> None:
    model = gpt2()
    assert ids(model, PROMPTS, LONG) == [plain(model, prompt, 12) for prompt in PROMPTS]


def test_rows_that_end_leave_the_batch(both: tuple) -> None:
    """Every row has another end; what the others say does not change."""
    ours, reference = both
    whole = ids(ours, PROMPTS, LONG)
    ends = frozenset(reply[place] for reply, place in zip(whole, (2, 7, 5), strict=True))
    answer = generate(ours, PROMPTS, LONG, stop_ids=ends)
    assert [reply.ids for reply in answer] == theirs(reference, PROMPTS, max_new_tokens=12, eos_token_id=list(ends))
    lengths = [len(reply.ids) for reply in answer]
    assert len(set(lengths)) > 1
    assert {reply.finished for reply in answer if len(reply.ids) < 12} == {"stop"}
    running = [len(steps) for steps in stream(ours, PROMPTS, LONG, stop_ids=ends)]
    assert running == [sum(length > step for length in lengths) for step in range(max(lengths))]


def test_a_callback_ends_a_reply(both: tuple) -> None:
    def stop(row: int, reply: list[int]) -> bool:
        return row == 1 and len(reply) == 3

    answer = generate(both[0], PROMPTS, LONG, stop=stop)
    assert [(len(reply.ids), reply.finished) for reply in answer] == [(12, "length"), (3, "string"), (12, "length")]


@pytest.mark.parametrize("penalty", [1.3, 5.0, 0.7])
def test_repetition_penalty_equals_transformers(both: tuple, penalty: float) -> None:
    ours, reference = both
    prompt = PROMPTS[:1]
    answer = ids(ours, prompt, Sampling(max_new=12, repetition_penalty=penalty))
    assert answer == theirs(reference, prompt, max_new_tokens=12, repetition_penalty=penalty, eos_token_id=None)


def test_the_context_ends_a_reply_and_a_longer_prompt_is_refused(both: tuple) -> None:
    ours = both[0]
    reply = generate(ours, [[1] * (ours.length - 2)], LONG)[0]
    assert (len(reply.ids), reply.finished) == (3, "length")
    assert len(generate(ours, [[1] * ours.length], LONG)[0].ids) == 1
    with pytest.raises(UserError, match=f"{ours.length + 1} tokens"):
        generate(ours, [[1] * (ours.length + 1)], LONG)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_no_repeated_ngram_equals_transformers(both: tuple, size: int) -> None:
    """transformers counts the prompt too, so that it is of one token here."""
    ours, reference = both
    prompt = [7]
    for beams in (1, 3):
        answer = ids(ours, [prompt], Sampling(max_new=20, no_repeat_ngram=size, beams=beams))
        assert answer == theirs(
            reference, [prompt], max_new_tokens=20, no_repeat_ngram_size=size, num_beams=beams, eos_token_id=None
        )


@pytest.mark.parametrize(("prompt", "words"), [([], "empty"), ([1, VOCABULARY], f"the id {VOCABULARY}"), ([-1], "-1")])
def test_prompts_that_cannot_be_read(both: tuple, prompt: list[int], words: str) -> None:
    with pytest.raises(UserError, match=words):
        generate(both[0], [[1], prompt], LONG)
    assert generate(both[0], [], LONG) == []


def test_probabilities_and_runners_up_are_the_models(both: tuple) -> None:
    ours, prompt = both[0], PROMPTS[1]
    steps = [together[0] for together in stream(ours, [prompt], LONG, others=4)]
    text = [*prompt, *[step.token for step in steps]]
    with torch.no_grad():
        expected = ours(torch.tensor([text[:-1]]))[0, len(prompt) - 1 :].softmax(-1)
    for step, row in zip(steps, expected, strict=True):
        values, places = row.topk(5)
        assert [step.token, *[token for token, _ in step.others]] == places.tolist()
        found = [step.probability, *[value for _, value in step.others]]
        assert found == pytest.approx(values.tolist(), rel=1e-4)


def test_others_leave_out_the_token_that_was_drawn(both: tuple) -> None:
    hot = Sampling(temperature=5.0, seed=3, max_new=20)
    steps = [together[0] for together in stream(both[0], PROMPTS[:1], hot, others=3)]
    assert all(len(step.others) == 3 and step.token not in dict(step.others) for step in steps)
    assert any(step.probability < step.others[0][1] for step in steps)


def test_processors_forbid_tokens(both: tuple) -> None:
    seen: list[tuple[list[int], list[list[int]]]] = []

    def even_only(rows: list[int], texts: list[list[int]], logits: Tensor) -> Tensor:
        seen.append((list(rows), [list(text) for text in texts]))
        return logits.masked_fill(torch.arange(VOCABULARY) % 2 == 1, float("-inf"))

    answer = ids(both[0], PROMPTS, Sampling(max_new=6), processors=[even_only])
    assert all(token % 2 == 0 for reply in answer for token in reply)
    assert seen[-1] == ([0, 1, 2], [[*prompt, *reply[:5]] for prompt, reply in zip(PROMPTS, answer, strict=True)])


@pytest.mark.parametrize("prompts", [PROMPTS[:1], PROMPTS], ids=["one", "unequal"])
def test_a_given_past_goes_before_every_prompt(both: tuple, prompts: list[list[int]]) -> None:
    ours = both[0]
    prefix = [9, 8, 7]
    past = ours.new_cache(3)
    with torch.no_grad():
        ours(torch.tensor([prefix]), cache=past)
    keys = past.own[0].read()[0].clone()
    expected = ids(ours, [[*prefix, *prompt] for prompt in prompts], LONG)
    assert ids(ours, prompts, LONG, past=past) == expected
    beams = Sampling(max_new=6, beams=3)
    assert ids(ours, prompts, beams, past=past) == ids(ours, [[*prefix, *prompt] for prompt in prompts], beams)
    assert past.length == 3
    assert torch.equal(past.own[0].read()[0], keys)


# From Python 3.12 on, torch itself throws into a generator in the old way.
@pytest.mark.filterwarnings("ignore:the .type, exc, tb. signature of throw:DeprecationWarning")
def test_a_stream_may_be_left_and_changes_no_mode(both: tuple) -> None:
    """The caller's mode is its own between steps, and a model that was training goes on training."""
    ours = both[0]
    ours.train()
    ours.decoder.blocks[0].eval()
    flags = [module.training for module in ours.modules()]
    steps: Any = stream(ours, PROMPTS, LONG)
    assert [step.row for step in next(steps)] == [0, 1, 2]
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt)
    assert [module.training for module in ours.modules()] == flags
    ours(torch.tensor(PROMPTS[:1])).sum().backward()  # nothing made while generating is in the way
    ours.zero_grad()
    ours.eval()
    assert ids(ours, PROMPTS[:1], LONG) == [plain(ours, PROMPTS[0], 12)]


def test_half_precision() -> None:
    model = pair()[0].bfloat16()
    reply = generate(model, PROMPTS, Sampling(max_new=4, temperature=1.0, seed=0))
    assert all(0 < probability <= 1 for each in reply for probability in each.probabilities)


def test_steps_are_plain_values(both: tuple) -> None:
    step = next(stream(both[0], PROMPTS[:1], LONG))[0]
    assert step == Step(0, step.token, step.probability, ())
    assert isinstance(step.token, int)
    assert isinstance(step.probability, float)


@pytest.mark.parametrize("with_past", [False, True])
def test_rows_of_one_prompt_are_computed_once_for_as_long_as_they_agree(
    both: tuple, with_past: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = both[0]
    past = None
    if with_past:
        past = model.new_cache(2)
        model(torch.tensor([[5, 9]]), cache=past)
    sampling = Sampling(temperature=0.5, seed=3, max_new=10)
    how: dict[str, Any] = {"past": past, "stop_ids": frozenset({7})}
    seen: list[int] = []
    forward = type(model).forward
    monkeypatch.setattr(type(model), "forward", lambda self, x, **k: (seen.append(len(x)), forward(self, x, **k))[1])
    shared = generate(model, PROMPTS[:1] * 24, sampling, **how)
    assert seen[0] == 1
    assert seen[1] < 24
    monkeypatch.setattr("tsuite.core.prompts._ALIKE", 0.0)
    alone = generate(model, PROMPTS[:1] * 24, sampling, **how)
    assert [reply.ids for reply in shared] == [reply.ids for reply in alone]
    for one, other in zip(shared, alone, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
