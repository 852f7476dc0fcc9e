"""Drawing, beam search and prompt lookup."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TopKLogitsWarper, TopPLogitsWarper
from tsuite.core import sampling as functions
from tsuite.core.errors import UserError
from tsuite.core.generate import generate, stream
from tsuite.core.lookup import NgramIndex
from tsuite.core.prompts import PromptBatch
from tsuite.core.sampling import Sampling

from .small import LENGTH, PROMPTS, llama, pair
from .test_generate import ids, theirs

HOT = Sampling(temperature=1.5, seed=4, max_new=10)


def logits(rows: int = 4) -> Tensor:
    return torch.randn(rows, 30, generator=torch.Generator().manual_seed(0)) * 3


def test_filters_equal_transformers() -> None:
    seen: Any = torch.randint(30, (4, 6))
    unused: Any = torch.zeros(4, 0, dtype=torch.long)
    x: Any = logits()
    assert torch.equal(functions.keep_top_k(x, 5), TopKLogitsWarper(5)(unused, x.clone()))
    assert torch.equal(functions.keep_top_k(x, 99), x)
    assert torch.equal(functions.keep_top_p(x, 0.7), TopPLogitsWarper(0.7)(unused, x.clone()))
    assert torch.equal(functions.keep_min_p(x, 0.2), MinPLogitsWarper(0.2)(unused, x.clone()))
    expected = RepetitionPenaltyLogitsProcessor(1.7)(seen, x.clone())
    assert torch.equal(functions.penalise_repetition(x, seen.tolist(), 1.7), expected)


def test_draws_follow_the_distribution_and_never_what_is_forbidden() -> None:
    x = torch.tensor([[0.1, 0.0, 0.6, 0.3, 0.0]]).log()
    noise = torch.linspace(0, 1, 10_001)[:-1]
    counts = functions.draw(x.expand(10_000, -1), noise).bincount(minlength=5)
    assert_close(counts / 10_000, x.exp()[0], atol=2e-4, rtol=0)
    edges = torch.tensor([0.0, 1 - 2**-24])
    assert functions.draw(x.expand(2, -1), edges).tolist() == [0, 3]


def test_filters_join() -> None:
    """With top_k 3 and a noise that sweeps [0, 1), the three most likely tokens come, at their renormalised shares."""
    x = logits(1).expand(3000, -1)
    noise = torch.arange(3000) / 3000
    found = functions.choose(x, Sampling(temperature=2.0, top_k=3), noise).bincount(minlength=30)
    values, places = (x[0] / 2).topk(3)
    expected = torch.zeros(30).index_put((places,), values.softmax(0))
    assert_close(found / 3000, expected, atol=2e-3, rtol=0)
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}):
        chosen = functions.choose(x, Sampling(temperature=2.0, **narrow), noise)  # type: ignore[arg-type]
        assert torch.equal(chosen, x.argmax(-1))


def test_a_seed_repeats_itself_and_rows_do_not_depend_on_who_has_ended() -> None:
    model = pair()[0]
    answer = ids(model, PROMPTS, HOT)
    assert ids(model, PROMPTS, HOT) == answer
    assert ids(model, PROMPTS, replace(HOT, seed=5)) != answer
    early = ids(model, PROMPTS, HOT, stop=lambda row, reply: row == 0 and len(reply) == 2)
    assert early == [answer[0][:2], *answer[1:]]
    assert len({tuple(ids(model, PROMPTS[:1], replace(HOT, seed=None))[0]) for _ in range(4)}) > 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"top_p": 0},
        {"top_p": 1.5},
        {"min_p": 2},
        {"top_k": -1},
        {"beams": 0},
        {"max_new": 0},
        {"repetition_penalty": 0},
        {"lookup": -1},
        {"beams": 2, "temperature": 1.0},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong)).replace("beams", "beam")):
        Sampling(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ends", [(), (11,), (11, 29, 40)])
@pytest.mark.parametrize("beams", [2, 4])
def test_beams_equal_transformers(seed: int, ends: tuple[int, ...], beams: int) -> None:
    ours, reference = pair(seed, std=0.12)
    answer = ids(ours, PROMPTS, Sampling(max_new=9, beams=beams), stop_ids=frozenset(ends))
    expected = theirs(reference, PROMPTS, max_new_tokens=9, num_beams=beams, eos_token_id=list(ends) or None)
    assert answer == expected


def test_beams_find_likelier_replies_and_tell_their_probabilities() -> None:
    model = pair(1)[0]

    def likelihood(sampling: Sampling) -> Tensor:
        replies = generate(model, PROMPTS, sampling)
        return torch.tensor([reply.probabilities for reply in replies]).log().sum(1)

    greedy, searched = likelihood(Sampling(max_new=6)), likelihood(Sampling(max_new=6, beams=8))
    assert (searched >= greedy - 1e-5).all()
    assert (searched > greedy + 1e-3).any()
    first = next(stream(model, PROMPTS, Sampling(max_new=6, beams=3), others=2))
    assert [len(step.others) for step in first] == [2, 2, 2]


def test_beams_with_penalty_equal_transformers() -> None:
    ours, reference = pair(2)
    answer = ids(ours, PROMPTS[:1], Sampling(max_new=8, beams=3, repetition_penalty=1.5))
    options = {"max_new_tokens": 8, "num_beams": 3, "repetition_penalty": 1.5, "eos_token_id": None}
    assert answer == theirs(reference, PROMPTS[:1], **options)


def test_a_callback_ends_beams() -> None:
    model = pair(1)[0]
    replies = generate(model, PROMPTS, Sampling(max_new=8, beams=3), stop=lambda _, reply: len(reply) == 4)
    assert [(len(reply.ids), reply.finished) for reply in replies] == [(4, "string")] * 3


@pytest.mark.parametrize("lookup", [1, 3, 10])
@pytest.mark.parametrize("seed", range(6))
def test_lookup_never_changes_the_reply(seed: int, lookup: int) -> None:
    model = pair(seed)[0]
    prompt = [5, 6, 7, 8, 5, 6, 7] + PROMPTS[seed % 3]
    for length in (8, 60):  # 60: to the end of the context
        plain = generate(model, [prompt], Sampling(max_new=length))[0]
        drafted = generate(model, [prompt], Sampling(max_new=length, lookup=lookup))[0]
        assert drafted.ids == plain.ids
        assert drafted.probabilities == pytest.approx(plain.probabilities, rel=1e-4)
        end = frozenset(plain.ids[-3:-2])
        assert ids(model, [prompt], Sampling(lookup=lookup), stop_ids=end) == ids(
            model, [prompt], Sampling(), stop_ids=end
        )


def test_lookup_takes_fewer_passes_over_a_text_that_repeats_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    model, passes = llama(), []
    with torch.no_grad():  # says 17 whatever stands before
        model.head.projection.weight.zero_()
        model.head.projection.bias = torch.nn.Parameter(torch.zeros(60).index_fill(0, torch.tensor([17]), 1.0))
    feed = PromptBatch.feed
    monkeypatch.setattr(PromptBatch, "feed", lambda *a, **k: (passes.append(1), feed(*a, **k))[1])
    assert ids(model, [[17, 17, 17]], Sampling(max_new=30)) == [[17] * 30]
    assert len(passes) == 30
    passes.clear()
    assert ids(model, [[17, 17, 17]], Sampling(max_new=30, lookup=8)) == [[17] * 30]
    assert len(passes) <= 5  # the prompt, one for 9 tokens three times, and the rest


def test_lookup_falls_back_for_batches_and_draws() -> None:
    model = pair()[0]
    assert ids(model, PROMPTS, Sampling(max_new=8, lookup=4)) == ids(model, PROMPTS, Sampling(max_new=8))
    assert ids(model, PROMPTS[:1], replace(HOT, lookup=4)) == ids(model, PROMPTS[:1], HOT)


def test_an_index_drafts_what_followed_last() -> None:
    index = NgramIndex([1, 2, 3, 4, 2, 3])
    assert index.draft(3) == [4, 2, 3]
    assert index.draft(5) == [4, 2, 3, 4, 2]
    index.extend([9, 2, 3])
    assert index.draft(2) == [9, 2]  # the later match
    assert NgramIndex([1, 2, 3]).draft(4) == []
    assert index.draft(0) == []


def test_the_cache_is_sized_to_need() -> None:
    model = llama()
    assert PromptBatch(model, [[1, 2], [1, 2, 3]], room=5).capacity == 7
    assert PromptBatch(model, [[1, 2, 3]], room=500).capacity == LENGTH
