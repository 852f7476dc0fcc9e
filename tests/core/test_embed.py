"""From raw input to vectors, and from vectors to an answer."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder
from tsuite.core.embed import FrameEmbedding, PatchEmbedding, TokenEmbedding
from tsuite.core.heads import FirstAndMeanTokens, LanguageHead, MeanTokens, first_token
from tsuite.core.positions import sinusoidal


def test_tokens_are_scaled() -> None:
    tokens = TokenEmbedding(7, 4, scale=2.0)
    ids = torch.tensor([[1, 6]])
    assert torch.equal(tokens(ids), tokens.weight[ids] * 2)
    plain = TokenEmbedding(7, 4)
    assert torch.equal(plain(ids), plain.weight[ids])


@pytest.mark.parametrize("size", [(12, 12), (8, 20)])
def test_patches_equal_the_convolution(size: tuple[int, int]) -> None:
    """The matrix product over cut-out patches is the strided convolution, row by row."""
    patches = PatchEmbedding(patch=4, channels=3, dim=8)
    pixels = torch.randn(2, 3, *size)
    expected = patches.projection(pixels).flatten(2).transpose(1, 2)
    assert_close(patches(pixels), expected, rtol=1e-5, atol=1e-5)
    assert patches.grid(*size) == (size[0] // 4, size[1] // 4)


def test_patches_without_bias() -> None:
    patches = PatchEmbedding(patch=2, channels=1, dim=4, bias=False)
    assert torch.equal(patches(torch.zeros(1, 1, 4, 4)), torch.zeros(1, 4, 4))


def test_patches_must_fit() -> None:
    with pytest.raises(ValueError, match="10 x 8 does not divide into patches of 4"):
        PatchEmbedding(patch=4, channels=3, dim=8)(torch.zeros(1, 3, 10, 8))


def test_patches_export_as_the_convolution() -> None:
    patches = PatchEmbedding(patch=4, channels=3, dim=8)
    pixels = torch.randn(1, 3, 8, 8)
    program = torch.export.export(patches, (pixels,))
    assert any("conv2d" in str(node.target) for node in program.graph.nodes)
    assert_close(program.module()(pixels), patches(pixels))


def test_frames_equal_whispers_stem() -> None:
    """Two convolutions and the fixed positions, which is all that Whisper's encoder does before its layers."""
    config = WhisperConfig(
        d_model=8, num_mel_bins=5, encoder_layers=0, max_source_positions=6, encoder_attention_heads=2
    )
    theirs = WhisperEncoder(config).eval()
    ours = FrameEmbedding(features=5, dim=8)
    ours.layers.load_state_dict({f"0.{key}": value for key, value in theirs.conv1.state_dict().items()}, strict=False)
    ours.layers.load_state_dict({f"1.{key}": value for key, value in theirs.conv2.state_dict().items()}, strict=False)
    frames = torch.randn(2, 12, 5)
    x = ours(frames) + sinusoidal(6, 8, interleaved=False, last=True)
    norm = nn.LayerNorm(8)
    norm.load_state_dict(theirs.layer_norm.state_dict())
    assert_close(norm(x), theirs(frames.transpose(1, 2)).last_hidden_state, rtol=1e-4, atol=1e-5)


def test_frames_cut_a_series_into_patches() -> None:
    frames = FrameEmbedding(features=1, dim=4, strides=(3,), kernel=3, padding=0, activation=nn.Identity())
    series = torch.randn(2, 12, 1)
    layer = frames.layers[0]
    assert isinstance(layer, nn.Conv1d)
    assert layer.bias is not None
    expected = series.view(2, 4, 3) @ layer.weight[:, 0].T + layer.bias
    assert_close(frames(series), expected)


def test_pools() -> None:
    x = torch.arange(12.0).view(1, 3, 4)
    assert torch.equal(first_token(x), x[:, 0])
    assert torch.equal(MeanTokens()(x), x.mean(1))
    assert torch.equal(MeanTokens(skip=1)(x), x[:, 1:].mean(1))
    assert torch.equal(FirstAndMeanTokens()(x), torch.cat([x[:, 0], x[:, 1:].mean(1)], dim=1))


def test_tied_head_shares_the_embedding() -> None:
    tokens = TokenEmbedding(7, 4)
    head = LanguageHead(dim=4, vocabulary=7, embedding=tokens)
    x = torch.randn(1, 2, 4)
    assert_close(head(x), x @ tokens.weight.T)
    assert head.projection.weight is tokens.weight
    assert LanguageHead(dim=4, vocabulary=7, bias=True).projection.bias is not None
