"""The network: what counts in the loss, conditions in front, the cache."""

from __future__ import annotations

import pytest
import torch
from tsuite.core.errors import UserError
from tsuite.domains.molecules.smiles_gpt import SmilesGPT, SmilesGPTConfig
from tsuite.domains.molecules.smiles_gpt.model import SmilesBatch

NAN = float("nan")


def network(**settings) -> SmilesGPT:
    torch.manual_seed(0)
    shape = {"vocabulary": 12, "length": 16, "dim": 16, "depth": 2, "heads": 2, **settings}
    model = SmilesGPT(SmilesGPTConfig(**shape)).eval().requires_grad_(False)
    if model.conditions is not None:  # at first they say nothing
        torch.nn.init.normal_(model.conditions.down.weight)
    return model


TOKENS = torch.tensor([[1, 5, 6, 7, 2], [1, 8, 2, 0, 0]])


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("conditions", [(), ("qed", "logp")])
def test_padding_never_counts(learned: bool, conditions: tuple[str, ...]) -> None:
    model = network(learned=learned, conditions=conditions)
    both = model.nats(SmilesBatch(tokens=TOKENS))
    alone = model.nats(SmilesBatch(tokens=TOKENS[1:, :3]))
    assert torch.allclose(both[1], alone[0], atol=1e-5)
    assert SmilesBatch(tokens=TOKENS).counted.sum(dim=1).tolist() == [4, 2]  # the end is learnt, the padding is not
    assert model.loss(SmilesBatch(tokens=TOKENS)) == pytest.approx(float(both.sum()))


def test_the_loss_is_minus_the_log_probability_of_each_token() -> None:
    model = network()
    logits = model.logits(TOKENS[:1])
    told = logits.log_softmax(dim=-1)[0]
    expected = -sum(float(told[place, token]) for place, token in enumerate([5, 6, 7, 2]))
    assert float(model.nats(SmilesBatch(tokens=TOKENS[:1]))[0]) == pytest.approx(expected, rel=1e-5)


def test_what_is_not_told_does_not_matter() -> None:
    model = network(conditions=("qed", "logp"))
    nothing = model.logits(TOKENS)
    assert torch.allclose(model.logits(TOKENS, torch.full((2, 2), NAN)), nothing, atol=1e-5)
    told = model.logits(TOKENS, torch.tensor([[0.9, NAN], [NAN, NAN]]))
    assert not torch.allclose(told[0], nothing[0])
    assert torch.allclose(told[1], nothing[1], atol=1e-5)
    zero = model.logits(TOKENS, torch.tensor([[0.0, NAN], [NAN, NAN]]))  # a zero that is told is not silence
    assert not torch.allclose(zero[0], nothing[0])


@pytest.mark.parametrize("conditions", [(), ("qed",)])
def test_the_cache_changes_nothing(conditions: tuple[str, ...]) -> None:
    model = network(conditions=conditions)
    told = torch.tensor([[0.7], [NAN]]) if conditions else None
    whole = model.logits(TOKENS, told)
    cache = model.new_cache(8)
    if (past := model.told(told)) is not None:
        cache.copy(past, rows=2)
    steps = [model(TOKENS[:, place : place + 1], cache=cache) for place in range(TOKENS.shape[1])]
    assert torch.allclose(torch.cat(steps, dim=1), whole, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dim": 15}, "does not divide"),
        ({"dim": 6, "heads": 2}, "even width"),
        ({"length": 2}, "at least 3"),
        ({"dropout": 1.0}, "share"),
        ({"depth": 0}, "at least 1"),
        ({"hidden": -1}, "negative"),
    ],
)
def test_shapes_that_are_none(settings: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        network(**settings)


def test_the_shape_survives_json() -> None:
    config = SmilesGPTConfig(vocabulary=9, conditions=("sa",), learned=True)
    assert SmilesGPTConfig.from_json(config.to_json()) == config
