"""Decision Transformer (Chen et al. 2021, arXiv 2106.01345): return to go, state and action, step by step, read by a
causal Transformer that says the action at each state.

    R0  s0  a0   R1  s1  a1   R2  s2            n tokens a step: 3, or 2 without the return (behaviour cloning), and
         |            |            |            as many more as a picture has patches beyond the first
        a0?          a1?          a2?

Axes: B batch, K steps, n tokens of a step, P patches of a state, C width of the model, H actions ahead, O outputs of an
action.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ....core.decoder import Decoder
from ....core.layers import ACTIVATIONS, MLP, Dropout, LayerNorm
from ....core.linear import Linear
from ....core.masks import key_mask
from .config import DecisionTransformerConfig
from .heads import action_head
from .maps import CostHead, MapStates
from .planning import map_loss
from .states import state_embedding
from .windows import TrajectoryBatch


@dataclass(frozen=True)
class Said:
    """What the network says at each state: raw actions [B, K, H, O] (see `ActionHead`) and, where it has a head for it,
    the return to come [B, K], divided by `return_scale`."""

    raw: Tensor
    value: Tensor | None


class DecisionTransformer(nn.Module):
    """A policy as `config` describes it.

    >>> network = DecisionTransformer(config)  # doctest: +SKIP
    >>> network(batch_of(windows, context=20)).raw.shape  # doctest: +SKIP
    torch.Size([64, 20, 1, 2])
    """

    def __init__(self, config: DecisionTransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim, activation = config.dim, ACTIVATIONS[config.activation]
        self.times = nn.Embedding(config.max_steps, dim)
        self.returns = Linear(1, dim) if config.conditioned else None
        self.states = state_embedding(config)
        self.head = action_head(config.action, squash=config.squash)
        self.actions = Linear(self.head.features, dim)
        self.norm = LayerNorm(dim)
        self.dropout = Dropout(config.dropout)
        self.decoder = Decoder(
            dim=dim,
            depth=config.depth,
            heads=config.heads,
            scale=config.attention_scale,
            norm=partial(LayerNorm, eps=config.norm_epsilon),
            mlp=partial(MLP, hidden=config.hidden, activation=activation),
            dropout=config.dropout,
        )
        self.answer = Linear(dim, config.chunk * self.head.outputs)
        self.value: nn.Module | None = None
        if config.value:
            self.value = CostHead(config) if config.rounds else Linear(dim, 1)
        self.apply(_initialise)

    # -- tokens ---------------------------------------------------------------------------------------------------

    def time(self, steps: Tensor) -> Tensor:
        """steps [...] of an episode -> [..., C]; those beyond the last that was learnt share its embedding."""
        return self.times(steps.clamp(max=self.config.max_steps - 1))

    def embed(self, returns: Tensor, observations: Tensor, actions: Tensor, steps: Tensor) -> Tensor:
        """returns, steps [B, K], observations [B, K, *shape], actions [B, K, A] -> tokens [B, K, n, C], normed."""
        parts = [self.states(observations), self.actions(self.head.encode(actions))[:, :, None]]
        if self.returns is not None:
            parts.insert(0, self.returns(returns[..., None] / self.config.return_scale)[:, :, None])
        return self.norm(torch.cat(parts, dim=2) + self.time(steps)[:, :, None])

    def forward(self, batch: TrajectoryBatch) -> Said:
        """What it says at each state of the batch, which sees what came before it."""
        context = batch.mask.shape[1]
        tokens = self.embed(batch.returns, batch.observations, batch.actions[:, :context], batch.steps)
        shape = tokens.shape[:3]  # [B, K, n]
        mask = None if bool(batch.mask.all()) else key_mask(batch.mask.repeat_interleave(shape[2], dim=1))
        x = self.decoder(self.dropout(tokens).flatten(1, 2), mask=mask)
        return self.say(x.unflatten(1, shape[1:])[:, :, -2])  # the last token of each state

    def say(self, x: Tensor) -> Said:
        """x [B, K, C] at the last token of each state."""
        raw = self.answer(x).unflatten(-1, (self.config.chunk, self.head.outputs))
        return Said(raw, None if self.value is None else self.value(x)[..., 0])

    # -- learning -------------------------------------------------------------------------------------------------

    def loss(self, batch: TrajectoryBatch) -> Tensor:
        """The loss summed over the actions that `weight` counts."""
        if isinstance(self.states, MapStates):
            return map_loss(self, batch.observations[:, -1]) * self.weight(batch)
        said, chunk = self(batch), self.config.chunk
        targets = batch.actions.unfold(1, chunk, 1).transpose(2, 3)  # [B, K, H, A]
        counted = self.counted(batch)
        loss = self.head.losses(said.raw[counted], targets[counted]).sum()
        if said.value is not None:
            errors = (said.value - batch.returns / self.config.return_scale)[batch.scored]
            loss = loss + errors.square().mean() * counted.sum()
        return loss

    def counted(self, batch: TrajectoryBatch) -> Tensor:
        """Which actions count: [B, K, H], those that were taken, at the steps that are scored."""
        return batch.known.unfold(1, self.config.chunk, 1) & batch.scored[..., None]

    def weight(self, batch: TrajectoryBatch) -> float:
        """How many actions `loss` sums over."""
        return float(self.counted(batch).sum())

    @torch.inference_mode()
    def values(self, observations: Tensor, returns: Tensor | None = None) -> Tensor:
        """The return to come from each of observations [B, *shape] as the first state of an episode: [B], in units of
        reward. Raises ValueError for a network without a value head."""
        if self.value is None:
            raise ValueError("this network was made without a value head")
        zero = torch.zeros(len(observations), 1, device=observations.device)
        actions = zero.new_zeros(len(observations), 1, self.config.action.numbers)
        returns = zero if returns is None else returns[:, None]
        tokens = self.embed(returns, observations[:, None], actions + self.config.action.start, zero.long())[:, 0]
        said = self.say(self.decoder(tokens[:, :-1])[:, -1:])
        assert said.value is not None
        return said.value[:, 0] * self.config.return_scale


def _initialise(module: nn.Module) -> None:
    """As GPT-2: small normal weights, no bias."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
