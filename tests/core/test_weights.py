"""Tables of foreign names: every key and shape accounted for, and nothing copied where one is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from tsuite.core.decoder import Decoder
from tsuite.core.embed import TokenEmbedding
from tsuite.core.encoder import Encoder
from tsuite.core.errors import UserError
from tsuite.core.heads import LanguageHead
from tsuite.core.layers import RMSNorm
from tsuite.core.positions import Alibi, Rotary
from tsuite.core.weights import KeyTable, Lazy, Row, best_table, count_parameters, load_into

TABLE = KeyTable(
    Row("embed.weight", "wte"),
    Row("blocks.{}.qkv", ("h.{}.q", "h.{}.k", "h.{}.v"), sizes=(4, 2, 2)),
    Row("blocks.{}.up", "h.{}.fc.w", transpose=True),
    Row("blocks.{}.extra", "h.{}.extra", optional=True),
    Row("scale", "scale", optional=True),
    drops=("mask_token", "h.{}.attn.bias"),
)


def theirs(layers: int = 2) -> dict[str, Tensor]:
    tensors = {"wte": torch.randn(5, 3)}
    for i in range(layers):
        tensors |= {f"h.{i}.q": torch.randn(4, 3), f"h.{i}.k": torch.randn(2, 3), f"h.{i}.v": torch.randn(2, 3)}
        tensors |= {f"h.{i}.fc.w": torch.randn(3, 12)}
    return tensors


def assert_same(mine: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert mine.keys() == other.keys()
    for key, value in mine.items():
        assert torch.equal(value, other[key]), key


def test_names_are_mapped_joined_and_transposed() -> None:
    given = theirs()
    ours = TABLE.to_ours(given)
    assert sorted(ours) == ["blocks.0.qkv", "blocks.0.up", "blocks.1.qkv", "blocks.1.up", "embed.weight"]
    assert torch.equal(ours["blocks.1.qkv"], torch.cat([given["h.1.q"], given["h.1.k"], given["h.1.v"]]))
    assert torch.equal(ours["blocks.0.up"], given["h.0.fc.w"].T)


@pytest.mark.parametrize("layers", [1, 2, 12])
def test_there_and_back(layers: int) -> None:
    given = theirs(layers)
    ours = TABLE.to_ours(given)
    assert_same(TABLE.to_theirs(ours), given)
    assert_same(TABLE.to_ours(TABLE.to_theirs(ours)), ours)
    assert all(value.is_contiguous() for value in TABLE.to_theirs(ours).values())  # as safetensors demands


def test_optional_tensors_may_be_there_for_some_layers() -> None:
    given = theirs() | {"h.1.extra": torch.randn(2), "scale": torch.randn(1)}
    ours = TABLE.to_ours(given)
    assert torch.equal(ours["blocks.1.extra"], given["h.1.extra"])
    assert "blocks.0.extra" not in ours
    assert_same(TABLE.to_theirs(ours), given)


def test_known_but_unneeded_tensors_are_dropped() -> None:
    given = theirs()
    known = {"mask_token": torch.zeros(1), "h.0.attn.bias": torch.zeros(1), "h.11.attn.bias": torch.zeros(1)}
    assert_same(TABLE.to_ours(given | known), TABLE.to_ours(given))


@pytest.mark.parametrize("key", ["wte", "h.1.q", "h.1.k"])
def test_a_missing_tensor_is_named(key: str) -> None:
    given = theirs()
    given.pop(key)
    with pytest.raises(UserError, match=f"weights.bin lacks '{key}'"):
        TABLE.to_ours(given, source="weights.bin")


def test_a_missing_spelling_shows_the_near_one() -> None:
    given = theirs()
    given["h.0.key"] = given.pop("h.0.k")
    with pytest.raises(UserError, match=r"lacks 'h\.0\.k'\. Did you mean h\.0\.key"):
        TABLE.to_ours(given)


@pytest.mark.parametrize("key", ["h.0.lora", "h.x.q", "wte.weight", "h.7.attn.biases", "Xmask_token"])
def test_a_leftover_tensor_is_named(key: str) -> None:
    with pytest.raises(UserError, match=f"no place for: {key}"):
        TABLE.to_ours(theirs() | {key: torch.zeros(1)})


def test_one_of_ours_without_a_foreign_name() -> None:
    ours = TABLE.to_ours(theirs()) | {"head.weight": torch.zeros(1)}
    with pytest.raises(UserError, match=r"no name in the other format: head\.weight"):
        TABLE.to_theirs(ours)


def test_best_table() -> None:
    tables = {"a": TABLE, "b": KeyTable(Row("x", "wte"), Row("y", "other.{}"))}
    assert best_table(tables, theirs()) == ("a", TABLE)
    assert best_table(tables, ["wte", "other.0", "other.1"])[0] == "b"
    assert best_table(tables, iter(["other.3"]))[0] == "b"
    assert TABLE.matches(["wte", "h.3.q", "h.3.v", "unknown"]) == 3
    with pytest.raises(UserError, match=r"no known family \(a, b\): nothing"):
        best_table(tables, ["nothing"])


def encoder() -> Encoder:
    return Encoder(dim=8, depth=2, heads=2)


def state(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


@pytest.mark.parametrize("meta", [False, True])
def test_loading_is_bit_equal(meta: bool) -> None:
    given = state(encoder())
    with torch.device("meta" if meta else "cpu"):
        network = encoder()
    load_into(network, given)
    assert_same(state(network), given)
    assert all(value.requires_grad for value in network.parameters())


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda given: given.pop("blocks.1.mlp.up.bias"), r"1 missing: blocks\.1\.mlp\.up\.bias"),
        (lambda given: given.update(stranger=torch.zeros(1)), "1 too many: stranger"),
        (
            lambda given: given.update({"norm.weight": torch.zeros(9)}),
            r"norm\.weight is \(9,\), not \(8,\)",
        ),
        (
            lambda given: given.update({"blocks.0.mlp.up.weight": torch.zeros(8, 32)}),
            r"blocks\.0\.mlp\.up\.weight is \(8, 32\), not \(32, 8\)",
        ),
    ],
    ids=["missing", "leftover", "shape", "transposed"],
)
@pytest.mark.parametrize("meta", [False, True])
def test_nothing_is_copied_where_something_is_wrong(
    meta: bool, break_it: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    given = state(encoder())
    break_it(given)
    with torch.device("meta" if meta else "cpu"):
        network = encoder()
    before = state(network)
    with pytest.raises(UserError, match=f"my.safetensors is of another model.*{message}"):
        load_into(network, given, source="my.safetensors")
    if meta:
        assert all(value.is_meta for value in network.parameters())
    else:
        assert_same(state(network), before)


class Language(nn.Module):
    """Everything that a checkpoint does not hold: tied weights and computed tables."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = TokenEmbedding(11, 8)
        self.decoder = Decoder(
            dim=8, depth=2, heads=2, norm=RMSNorm, rotary=Rotary(head_dim=4), position_bias=Alibi(heads=2)
        )
        self.head = LanguageHead(dim=8, vocabulary=11, embedding=self.tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.decoder(self.tokens(tokens)))


def test_a_meta_network_is_whole_after_loading() -> None:
    ours = Language()
    with torch.device("meta"):
        late = Language()
    load_into(late, state(ours))
    assert late.head.projection.weight is late.tokens.weight
    assert count_parameters(late) == count_parameters(ours)
    tokens = torch.tensor([[1, 5, 2]])
    assert torch.equal(late(tokens), ours(tokens))
    late(tokens).sum().backward()
    assert late.tokens.weight.grad is not None


def test_a_table_that_nobody_fills_is_not_passed_over() -> None:
    with torch.device("meta"):
        network = encoder()
        network.register_buffer("own_table", torch.zeros(3), persistent=False)
    with pytest.raises(NotImplementedError, match="own_table has no values"):
        load_into(network, state(encoder()))


def test_count_parameters() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    assert count_parameters(network) == 16 + 25
    network[0].requires_grad_(False)
    assert count_parameters(network, trainable=True) == 25
    network[1] = network[0]
    assert count_parameters(network) == 16


def test_theirs_are_read_when_ours_are_asked_for() -> None:
    given, asked = theirs(), []

    def maker(name: str) -> Callable[[], Tensor]:
        def make() -> Tensor:
            asked.append(name)
            return given[name]

        return make

    lazy = TABLE.lazily(Lazy({name: maker(name) for name in given}))
    whole = TABLE.to_ours(given)
    assert lazy.keys() == whole.keys()
    assert not asked
    assert torch.equal(lazy["blocks.1.qkv"], whole["blocks.1.qkv"])
    assert asked == ["h.1.q", "h.1.k", "h.1.v"]
    assert all(torch.equal(value, whole[name]) for name, value in lazy.all().items())
    tied = Lazy({"a": lazy.makers["embed.weight"], "b": lazy.makers["embed.weight"]}).all()
    assert tied["a"] is tied["b"]
