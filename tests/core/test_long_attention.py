"""Long attention by blocks of products equals the written-out form, and is left where it does not serve."""

from __future__ import annotations

import pytest
import torch
from tsuite.core import long_attention
from tsuite.core.attention import attend, attend_reference

needs_onednn = pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="torch without oneDNN")


def tensors(queries: int, keys: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, queries, 3, 16), (2, keys, 3, 16), (2, keys, 3, 16)]
    query, key, value = (torch.randn(shape, generator=generator).transpose(1, 2) for shape in shapes)
    return query, key, value


@needs_onednn
@pytest.mark.parametrize(("queries", "keys"), [(256, 256), (400, 300), (300, 770)])
def test_blocks_of_products_equal_the_written_out_form(queries: int, keys: int) -> None:
    query, key, value = tensors(queries, keys)
    expected = attend_reference(query, key, value, scale=0.3)[0]
    torch.testing.assert_close(long_attention.attend_long(query, key, value, 0.3), expected, rtol=1e-4, atol=1e-5)


def test_attend_agrees_whichever_way_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = tensors(300, 300)
    taken = attend(query, key, value)
    monkeypatch.setattr(long_attention, "suits", lambda *_: False)
    torch.testing.assert_close(taken, attend(query, key, value), rtol=1e-4, atol=1e-5)


def test_it_is_left_where_it_does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = tensors(300, 300)
    monkeypatch.setattr(long_attention, "onednn_suits", lambda *_: True)
    assert long_attention.suits(query, key, value)
    assert not long_attention.suits(query[:, :, :9], key, value), "few queries"
    assert not long_attention.suits(query, key[:, :1], value[:, :1]), "shared heads"
    assert not long_attention.suits(query, key, value.double())
    query.requires_grad_()
    assert not long_attention.suits(query, key, value), "a gradient is wanted"
    with torch.no_grad():
        assert long_attention.suits(query, key, value)
