"""Some rows of the vocabulary learn, the others stay; a prompt or prefix stands in front of every text."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from tsuite.core.adapters import (
    Method,
    apply,
    language_loss,
    learn_rows,
    load_rows,
    merge_rows,
    merged,
    row_tensors,
)
from tsuite.core.errors import UserError
from tsuite.core.losses import IGNORED
from tsuite.core.masks import key_mask

from .test_adapters import VOCABULARY, learn, method, model, tokens

TAIL, SCATTERED = torch.arange(30, VOCABULARY), torch.tensor([0, 3, 4, 17, 29, 39])

TIED = pytest.mark.parametrize("tied", [True, False])
CHOSEN = pytest.mark.parametrize("ids", [TAIL, SCATTERED], ids=["tail", "scattered"])


def logits_loss(network, targets):
    return F.cross_entropy(network(tokens()).flatten(0, 1), targets, reduction="sum")


@TIED
@CHOSEN
def test_loss_and_gradients_equal_the_whole_tables(tied, ids):
    network = model(tied=tied)
    whole = copy.deepcopy(network)
    targets = torch.arange(14) % VOCABULARY + 20
    network.requires_grad_(False)
    learn_rows(network, ids.flip(0))
    torch.testing.assert_close(network(tokens()), whole(tokens()))
    targets = targets % VOCABULARY
    loss = language_loss(network, network.hidden(tokens()).flatten(0, 1), targets, chunk=5)
    torch.testing.assert_close(loss, logits_loss(whole, targets))
    loss.backward()
    logits_loss(whole, targets).backward()
    new = [value for value in network.parameters() if value.requires_grad]
    count = len(ids)
    assert sum(value.numel() for value in new) == count * 16 * (1 if tied else 2) + (0 if tied else count)
    assert whole.tokens.weight.grad is not None
    torch.testing.assert_close(network.tokens.rows.new.grad, whole.tokens.weight.grad[ids])
    if not tied:
        projection = whole.head.projection
        assert projection.weight.grad is not None
        assert projection.bias.grad is not None
        torch.testing.assert_close(network.head.projection.rows.new.grad, projection.weight.grad[ids])
        torch.testing.assert_close(network.head.projection.biases.new.grad, projection.bias.grad[ids])


def test_ignored_targets_cost_nothing():
    network, targets = model(), torch.tensor([3, IGNORED, 17, IGNORED] * 3 + [5, 6])
    whole = copy.deepcopy(network)
    learn_rows(network, SCATTERED)
    loss = language_loss(network, network.hidden(tokens()).flatten(0, 1), targets)
    torch.testing.assert_close(loss, logits_loss(whole, targets))


@TIED
@CHOSEN
def test_other_rows_stay(tied, ids):
    network = apply(model(tied=tied), Method(rank=2))
    learn_rows(network, ids)
    others = [id for id in range(VOCABULARY) if id not in ids]
    old = network.tokens.weight[others].clone()
    learn(network)
    expected, rows = network(tokens()), row_tensors(network)
    plain = merged(network)
    assert plain.tied == tied
    assert type(plain.tokens) is type(model().tokens)
    assert torch.equal(plain.tokens.weight[others], old)
    assert not torch.equal(plain.tokens.weight[ids], model(tied=tied).tokens.weight[ids])
    torch.testing.assert_close(plain(tokens()), expected, atol=1e-5, rtol=1e-5)
    assert set(rows) == ({"ids", "tokens"} if tied else {"ids", "tokens", "head", "head.bias"})
    assert torch.equal(rows["ids"], ids)
    fresh = model(tied=tied)
    load_rows(fresh, rows)
    assert torch.equal(fresh.tokens.weight, plain.tokens.weight)
    assert torch.equal(fresh.head.projection.weight, plain.head.projection.weight)


def test_rows_alone_are_merged():
    network = model()
    assert not merge_rows(network)
    assert row_tensors(network) == {}
    keys = set(network.state_dict())
    learn_rows(network, TAIL)
    assert merge_rows(network)
    assert set(network.state_dict()) == keys


def test_mistakes():
    network = model()
    for ids in ([], [-1, 3], [VOCABULARY]):
        with pytest.raises(UserError, match="no such rows"):
            learn_rows(network, torch.tensor(ids, dtype=torch.long))
    with pytest.raises(UserError, match="All 40 rows"):
        learn_rows(network, torch.arange(VOCABULARY))
    learn_rows(network, TAIL)
    with pytest.raises(UserError, match="already"):
        learn_rows(network, TAIL)
    rows = row_tensors(network)
    with pytest.raises(UserError, match=r"tokens are \(10, 16\); this model needs \(9, 16\)"):
        load_rows(model(), {**rows, "ids": rows["ids"][1:]})
    with pytest.raises(UserError, match="go beyond this model's 40"):
        load_rows(model(), {**rows, "ids": rows["ids"] + 1})
    with pytest.raises(UserError, match=r"needs head, head\.bias, ids, tokens"):
        load_rows(model(tied=False), rows)


# -- in front of the text ----------------------------------------------------------------------------------------------

PROMPTED = pytest.mark.parametrize("kind", ["prompt", "prefix"])


@PROMPTED
@pytest.mark.parametrize("learned", [True, False])
def test_as_if_the_vectors_were_tokens(kind, learned):
    """At first the vectors are those of tokens: the model answers as if these stood in front."""
    network = apply(model(learned=learned), method(kind))
    torch.manual_seed(3)
    plain = model(learned=learned)
    ids = torch.randint(VOCABULARY, (4,), generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        if kind == "prompt":
            network.prompt.copy_(plain.tokens(ids))
        else:
            cache = plain.new_cache(4)
            plain.hidden(ids[None], cache=cache)
            for block, layer in zip(network.decoder.blocks, cache.own, strict=True):
                block.attention.prefix.copy_(torch.cat(layer.read()))
    expected = plain(torch.cat([ids.expand(2, -1), tokens()], dim=1))[:, 4:]
    torch.testing.assert_close(network(tokens()), expected, atol=1e-5, rtol=1e-5)
    assert network.length == plain.length - 4


@PROMPTED
@pytest.mark.parametrize("learned", [True, False])
def test_cache_and_padding(kind, learned):
    network = apply(model(learned=learned), method(kind))
    expected = network(tokens())
    cache = network.new_cache(7)
    assert cache.length == 0
    first = network(tokens()[:, :4], cache=cache)
    assert cache.length == 4
    network(tokens()[:, :2], cache=cache)
    cache.truncate(4)
    rest = [network(tokens()[:, place : place + 1], cache=cache) for place in range(4, 7)]
    torch.testing.assert_close(torch.cat([first, *rest], dim=1), expected, atol=1e-5, rtol=1e-5)
    cache.truncate(0)
    torch.testing.assert_close(network(tokens(), cache=cache), expected, atol=1e-5, rtol=1e-5)

    keep = torch.tensor([[False, False, True, True, True, True, True], [True] * 7])
    padded = torch.stack([torch.cat([torch.tensor([0, 0]), tokens()[0, :5]]), tokens()[1]])
    positions = torch.stack([torch.tensor([0, 0, 0, 1, 2, 3, 4]), torch.arange(7)])
    found = network(padded, mask=key_mask(keep), positions=positions)
    torch.testing.assert_close(found[0, 2:], network(tokens()[:1, :5])[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[1], expected[1], atol=1e-5, rtol=1e-5)


@PROMPTED
def test_packed_texts_see_the_vectors_and_not_each_other(kind):
    network = apply(model(), method(kind))
    one, two = tokens()[:1, :3], tokens()[1:, :4]
    text = torch.tensor([0, 0, 0, 1, 1, 1, 1])
    mask = (text[:, None] == text[None])[None, None]
    packed = network(torch.cat([one, two], dim=1), mask=mask, positions=torch.tensor([0, 1, 2, 0, 1, 2, 3]))
    torch.testing.assert_close(packed[:, :3], network(one), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(packed[:, 3:], network(two), atol=1e-5, rtol=1e-5)


@PROMPTED
def test_only_its_own_cache(kind):
    network = apply(model(), method(kind))
    with pytest.raises(TypeError, match="new_cache"):
        network(tokens(), cache=model().new_cache(9))
