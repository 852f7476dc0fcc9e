"""The decoder of a policy for the few tokens of one step, where a call costs more than the sums in it.

The same sums as `core.decoder` over the same cache, with what does not change from step to step done beforehand:
matrices turned (a product of three rows by a turned one takes a third of the time), masks made, the last layer asked
for the one position that is read. Equal to the decoder within rounding, which the tests hold it to.

Axes: N rows, T new positions, S positions so far, H heads, D width of one, C width of the model, F features, A numbers
of an action or of a state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ....core.blocks import PreNormBlock
from ....core.cache import Cache
from ....core.decoder import Decoder
from ....core.layers import MLP, Activation, LayerNorm
from ....core.masks import causal_mask
from .heads import ActionHead, ChoiceHead, Choices, NumberHead, Scaled
from .model import DecisionTransformer
from .states import ChoiceStates, NumberStates


@dataclass(frozen=True)
class _Norm:
    """A layer norm as a function of x [R, C]."""

    shape: tuple[int, ...]
    weight: Tensor
    bias: Tensor
    eps: float

    @classmethod
    def of(cls, norm: LayerNorm) -> _Norm:
        return cls(tuple(norm.normalized_shape), norm.weight.detach(), norm.bias.detach(), norm.eps)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.layer_norm(x, self.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class _Product:
    """A linear map as a function of x [R, I], its matrix turned to [I, O]."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, linear: torch.nn.Linear) -> _Product:
        return cls(linear.weight.detach().t().contiguous(), linear.bias.detach())

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


@dataclass(frozen=True)
class _Layer:
    """What one block is made of."""

    attention_norm: _Norm
    qkv: _Product
    out: _Product
    mlp_norm: _Norm
    up: _Product
    activation: Activation
    down: _Product

    @classmethod
    def of(cls, block: PreNormBlock) -> _Layer:
        mlp, attention = cast(MLP, block.mlp), block.attention
        return cls(
            attention_norm=_Norm.of(cast(LayerNorm, block.attention_norm)),
            qkv=_Product.of(attention.qkv),
            out=_Product.of(attention.out),
            mlp_norm=_Norm.of(cast(LayerNorm, block.mlp_norm)),
            up=_Product.of(mlp.up),
            activation=mlp.activation,
            down=_Product.of(mlp.down),
        )


class QuickDecoder:
    """A `Decoder` of pre-norm layers, frozen as it is now: what it learns afterwards does not reach this one."""

    def __init__(self, decoder: Decoder) -> None:
        self.layers = [_Layer.of(cast(PreNormBlock, block)) for block in decoder.blocks]
        self.norm = _Norm.of(cast(LayerNorm, decoder.norm))
        attention = cast(PreNormBlock, decoder.blocks[0]).attention
        self.heads, self.head_dim, self.scale = attention.heads, attention.head_dim, attention.scale
        self._masks: dict[tuple[int, int], Tensor] = {}

    def __call__(self, tokens: Tensor, cache: Cache) -> Tensor:
        """tokens [N, T, C] go into the cache -> what the decoder says at the last of them [N, C]."""
        rows, steps, _ = tokens.shape
        mask = self._mask(steps, cache.length + steps, tokens.device)
        x, last = tokens.flatten(0, 1), self.layers[-1]
        for layer, own in zip(self.layers, cache.own, strict=True):
            # [R, 3 C] -> three of [N, H, T, D]
            qkv = layer.qkv(layer.attention_norm(x)).view(rows, steps, 3, self.heads, self.head_dim)
            query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            key, value = own.append(key, value)
            if layer is last:  # of which nothing else is read
                query, mask, x = query[:, :, -1:], None, x.view(rows, steps, -1)[:, -1]
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=self.scale)
            x = layer.out(mixed.transpose(1, 2).flatten(2).flatten(0, 1)).add_(x)
            x = layer.down(layer.activation(layer.up(layer.mlp_norm(x)))).add_(x)
        return self.norm(x)

    def _mask(self, steps: int, length: int, device: torch.device) -> Tensor | None:
        """Zero where one of the last `steps` of `length` positions may attend, minus infinity elsewhere; added, which
        is quicker than chosen by."""
        if steps == 1:
            return None
        found = self._masks.get((steps, length))
        if found is None or found.device != device:
            hidden = ~causal_mask(steps, length, device=device)
            found = torch.zeros(steps, length, device=device).masked_fill_(hidden, float("-inf"))
            self._masks[steps, length] = found
        return found


class QuickTokens:
    """The tokens of one step of a network whose states are numbers or choices: one product for all of them.

    action    | features |        |          |
    return    |          | return |          |   times one matrix [F, C]
    state     |          |        | features |
    """

    def __init__(self, network: DecisionTransformer) -> None:
        config, states = network.config, network.states
        assert isinstance(states, NumberStates | ChoiceStates)
        told = [] if network.returns is None else [network.returns]
        maps = [network.actions, *told, states.map]
        self.action, self.state = _Features.of(network.head), _Features.of(states)
        self.weight = torch.cat([linear.weight.detach().t() for linear in maps]).contiguous()
        self.kinds = torch.stack([linear.bias.detach() for linear in maps])  # [T, C]
        self.times, self.norm = network.times.weight.detach(), _Norm.of(network.norm)
        self.scale, self.conditioned = 1 / config.return_scale, config.conditioned
        self.device = self.weight.device

    def __call__(self, step: int, action: np.ndarray | None, returns: np.ndarray, state: np.ndarray) -> Tensor:
        """The action before [N, A], returns [N] and state [N, A] of `step` -> tokens [N, T, C]."""
        rows, kinds = len(state), len(self.kinds)
        features = np.zeros((rows, kinds, len(self.weight)), np.float32)
        if action is not None:
            self.action.write(action, features[:, 0, : self.action.count])
        if self.conditioned:
            features[:, 1, self.action.count] = returns * self.scale
        self.state.write(state, features[:, -1, -self.state.count :])
        last = len(self.times) - 1
        base = self.kinds + self.times[min(step, last)]
        if action is None:
            features, base = features[:, 1:], base[1:]
        else:
            base[0] = self.kinds[0] + self.times[min(step - 1, last)]
        given = torch.from_numpy(features).to(self.device)
        return self.norm(torch.matmul(given, self.weight).add_(base))


@dataclass(frozen=True)
class _Features:
    """What `encode` of a head or the first half of a state embedding does, by numpy and in place."""

    count: int
    mean: np.ndarray | float = 0.0
    inverse: np.ndarray | float = 1.0
    choices: Choices | None = None

    @classmethod
    def of(cls, module: ActionHead | NumberStates | ChoiceStates) -> _Features:
        if isinstance(module, NumberHead | NumberStates):
            scaled: Scaled = module.scaled
            mean, std = scaled.mean.cpu().numpy(), scaled.std.cpu().numpy()
            return cls(count=mean.size, mean=mean.ravel(), inverse=1 / std.ravel())
        assert isinstance(module, ChoiceHead | ChoiceStates)
        return cls(count=module.choices.features, choices=module.choices)

    def write(self, values: np.ndarray, out: np.ndarray) -> None:
        """values [N, A] -> out [N, F], which holds zeros."""
        if self.choices is None:
            out += values  # it holds zeros; so whatever the type of the values is, it is cast on the way
            out -= self.mean
            out *= self.inverse
        else:
            places = values.astype(np.int64) + (np.asarray(self.choices.first) - self.choices.start)
            np.put_along_axis(out, np.clip(places, 0, self.count - 1), 1.0, axis=-1)
