"""Conformer and chunks: the mask by hand, padding that never counts, a stream that equals the whole."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from tsuite.core.chunks import ChunkedEncoder, ChunkedStack, chunk_mask
from tsuite.core.conformer import Conformer, ConvolutionModule
from tsuite.core.encoder import Encoder
from tsuite.core.layers import FrameBatchNorm
from tsuite.core.masks import key_mask, padding_mask
from tsuite.core.positions import Rotary

from .families import scramble

conformer = partial(Conformer, dim=16, depth=3, heads=2, kernel=5, hidden=24)
encoder = partial(ChunkedEncoder, dim=16, depth=3, heads=2)
STACKS = {
    "conformer": conformer,
    "batch norm": partial(conformer, convolution_norm=FrameBatchNorm, convolution_first=True),
    "without positions": partial(conformer, rotary=False),
    "transformer": encoder,
}


def make(name: str, **options: int | None) -> ChunkedStack:
    torch.manual_seed(0)
    network = STACKS[name](**options).eval()
    scramble(network)
    for module in network.modules():
        if isinstance(module, FrameBatchNorm):
            module.running_mean, module.running_var = 0.3 * torch.randn(16), torch.rand(16) + 0.5
    return network


def test_chunk_mask_by_hand() -> None:
    drawn = """
    1 1 . . .
    1 1 . . .
    . 1 1 1 .
    . 1 1 1 .
    . . . 1 1
    """
    expected = torch.tensor([[mark == "1" for mark in line.split()] for line in drawn.split("\n") if line.strip()])
    assert_close(chunk_mask(5, chunk=2, left=1), expected)


@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("name", STACKS)
@torch.inference_mode()
def test_padding_changes_nothing(name: str, chunk: int | None) -> None:
    network = make(name, chunk=chunk, left=2)
    x, lengths = torch.randn(4, 11, 16), torch.tensor([1, 4, 7, 11])
    batched = network(x, real=padding_mask(lengths, 11))
    for row, length in enumerate(lengths.tolist()):
        alone = network(x[row : row + 1, :length])
        assert_close(batched[row : row + 1, :length], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("left", [0, 2, 3, 7])
@pytest.mark.parametrize("chunk", [1, 3, 4, 20])
@pytest.mark.parametrize("name", STACKS)
@torch.inference_mode()
def test_stream_equals_the_whole(name: str, chunk: int, left: int) -> None:
    network = make(name, chunk=chunk, left=left)
    x = torch.randn(2, 14, 16)
    state = network.new_state()
    streamed = torch.cat([network.step(part, state) for part in x.split(chunk, dim=1)], dim=1)
    assert_close(streamed, network(x), rtol=0, atol=1e-4)


@torch.inference_mode()
def test_a_stream_keeps_its_precision_and_its_size() -> None:
    """After hundreds of chunks of anything, the same recent frames give the same answer."""
    network, sound = make("conformer", chunk=2, left=4), torch.randn(1, 40, 16)
    fresh, old = network.new_state(), network.new_state()
    for _ in range(300):
        network.step(sound[:, :2], old)
    results = [torch.cat([network.step(part, state) for part in sound.split(2, 1)], 1) for state in (fresh, old)]
    assert_close(results[0][:, 26:], results[1][:, 26:], rtol=0, atol=1e-4)  # three layers reach 24 back
    assert all(layer.context.length == 4 for layer in old)


@pytest.mark.parametrize("name", STACKS)
@torch.inference_mode()
def test_a_chunk_sees_no_later_one(name: str) -> None:
    network, x = make(name, chunk=4, left=4), torch.randn(1, 12, 16)
    changed = x.clone()
    changed[:, 8:] = 0.0
    before, after = network(x), network(changed)
    assert_close(before[:, :8], after[:, :8], rtol=0, atol=1e-6)
    changed[:, 7] = 0.0
    assert (network(changed)[:, 4] - before[:, 4]).abs().max() > 1e-3  # the end of a chunk reaches its beginning


@torch.inference_mode()
def test_chunked_encoder_is_the_encoder() -> None:
    ours = make("transformer")
    plain = Encoder(dim=16, depth=3, heads=2, rotary=Rotary(head_dim=8))
    plain.load_state_dict(ours.state_dict())
    x, real = torch.randn(2, 6, 16), padding_mask([4, 6])
    assert_close(ours(x, real=real)[real], plain(x, mask=key_mask(real))[real], rtol=1e-5, atol=1e-5)


def test_batch_norm_learns_from_real_frames_only() -> None:
    modules = [ConvolutionModule(dim=8, kernel=3, norm=FrameBatchNorm) for _ in range(2)]
    modules[1].load_state_dict(modules[0].state_dict())
    x = torch.randn(1, 5, 8)
    alone = modules[0](x)
    padded = modules[1](torch.cat([x, torch.randn(1, 4, 8)], 1), padding_mask([5], 9))
    assert_close(padded[:, :5], alone, rtol=1e-5, atol=1e-5)
    assert_close(modules[1].state_dict(), modules[0].state_dict())


def test_depthwise_convolution_is_torchs() -> None:
    module = ConvolutionModule(dim=8, kernel=5)
    x = torch.randn(2, 9, 8)
    expected = nn.functional.conv1d(
        x.transpose(1, 2), module.depthwise.weight, module.depthwise.bias, padding=2, groups=8
    )
    assert_close(module._convolved(x, None), expected.transpose(1, 2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", STACKS)
def test_every_parameter_learns(name: str) -> None:
    network = make(name, chunk=3, left=3).train()
    network(torch.randn(2, 7, 16), real=padding_mask([5, 7])).square().sum().backward()
    assert all(value.grad is not None and bool(value.grad.isfinite().all()) for value in network.parameters())


def test_after_feeds_the_next_layer() -> None:
    network, x = make("conformer"), torch.randn(1, 4, 16)
    seen: list[int] = []

    def nothing(number: int, value: Tensor) -> Tensor:
        seen.append(number)
        return value * 0

    assert_close(network(x, after=nothing), torch.zeros(1, 4, 16))
    assert seen == [0, 1, 2]


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="not 4"):
        conformer(kernel=4)
    with pytest.raises(ValueError, match="not 0"):
        conformer(chunk=0)
    with pytest.raises(ValueError, match="-1"):
        conformer(left=-1)
    with pytest.raises(ValueError, match="cannot stream"):
        conformer().new_state()
    late = conformer()
    late.chunk = 2
    with pytest.raises(ValueError, match="looks both ways cannot stream"):
        late.step(torch.zeros(1, 2, 16), late.new_state())
    network = conformer(chunk=2)
    with pytest.raises(ValueError, match="3 frames are no chunk of 2"):
        network.step(torch.zeros(1, 3, 16), network.new_state())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("chunk", [None, 4])
def test_export_with_any_size(chunk: int | None) -> None:
    network = make("conformer", chunk=chunk, left=4)
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time", min=2)
    real = padding_mask([5, 9])
    program = torch.export.export(
        network,
        (torch.randn(2, 9, 16),),
        {"real": real},
        dynamic_shapes={"x": {0: batch, 1: time}, "real": {0: batch, 1: time}},
    )
    x, real = torch.randn(3, 21, 16), padding_mask([21, 2, 13])
    assert_close(program.module()(x, real=real)[real], network(x, real=real)[real], rtol=1e-5, atol=1e-5)
