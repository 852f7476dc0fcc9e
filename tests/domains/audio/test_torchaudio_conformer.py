"""torchaudio's Conformer and ours with its weights."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from torchaudio.models import Conformer
from tsuite.core.errors import UserError
from tsuite.core.masks import padding_mask
from tsuite.domains.audio.torchaudio_conformer import load, to_torchaudio


def original(*, convolution_first: bool = False, use_group_norm: bool = False) -> Conformer:
    """A tiny random one, whose batch norms have seen something."""
    torch.manual_seed(0)
    model = Conformer(16, 2, 24, 3, 5, convolution_first=convolution_first, use_group_norm=use_group_norm).eval()
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.add_(0.2 * torch.rand_like(value))
    return model


@pytest.mark.parametrize("convolution_first", [False, True])
@torch.inference_mode()
def test_equals_torchaudio(convolution_first: bool) -> None:
    theirs = original(convolution_first=convolution_first)
    ours = load(theirs.state_dict(), heads=2, convolution_first=convolution_first)
    x = torch.randn(3, 9, 16)
    expected, _ = theirs(x, torch.tensor([9, 9, 9]))
    assert_close(ours(x), expected, rtol=0, atol=1e-4)
    batched = ours(x, real=padding_mask([9, 4, 6]))
    for row, length in enumerate([9, 4, 6]):
        alone, _ = theirs(x[row : row + 1, :length], torch.tensor([length]))
        assert_close(batched[row : row + 1, :length], alone, rtol=0, atol=1e-4)
    padded, _ = theirs(x, torch.tensor([9, 4, 6]))
    assert (padded[1, :4] - batched[1, :4]).abs().max() > 0.01  # where theirs reads the padding


def test_there_and_back() -> None:
    theirs = original().state_dict()
    back = to_torchaudio(load(theirs, heads=2))
    assert_close(back, dict(theirs))


def test_other_networks_are_named() -> None:
    with pytest.raises(UserError, match="no torchaudio Conformer"):
        load({"encoder.weight": torch.zeros(1)}, heads=2)
    with pytest.raises(UserError, match="group norm"):
        load(original(use_group_norm=True).state_dict(), heads=2)
    with pytest.raises(UserError, match="3 heads"):
        load(original().state_dict(), heads=3)
    damaged = original().state_dict()
    del damaged["conformer_layers.1.final_layer_norm.bias"]
    with pytest.raises(UserError, match=r"blocks\.1\.norm\.bias"):
        load(damaged, heads=2)
