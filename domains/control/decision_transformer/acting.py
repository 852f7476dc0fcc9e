"""Acting with a Decision Transformer: three tokens a step, on top of what is remembered.

    step 0      R0 s0 -> a0                          the keys and values of all before lie in the cache
    step 1      a0 R1 s1 -> a1
    ...
    step K      the window is full: its newer half is read again, and grows from there

A timestep's embedding is that of the episode, so what is remembered stays right as time goes on. But a token that was
computed with the oldest step in view still carries it when that step is dropped; therefore the newer half is computed
again, and between K/2 and K steps are in view. Until the window is full, all is equal to computing it anew.

Axes: N rows (environments side by side), K steps of the context, T new tokens, n tokens of a step, H actions ahead, A
numbers of an action, C width of the model.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ....core.cache import Cache
from ....core.decoder import Decoder
from .heads import as_numbers
from .model import DecisionTransformer
from .quick import QuickDecoder, QuickTokens
from .states import ChoiceStates, NumberStates


def _last(decoder: Decoder, x: Tensor, cache: Cache) -> Tensor:
    """What the decoder says at the last of tokens x [N, T, C]: [N, C]."""
    return decoder(x, cache=cache)[:, -1]


class Player:
    """The policy of `network` in as many environments as there are rows, all at the same step of their episodes.

    target: the return asked for where `reset` is given none. bounds: the least and the most that is still asked for at
    any step, as in the training data; past them the network would be asked for what it has never seen. execute:
    actions of a chunk that are carried out before the network is asked again. temperature: 0 takes the likeliest of
    the choices, 1 draws them as the network gives them. cached False computes the window anew at each step.
    times: seconds that each call of `act` took.

    >>> player = task.player(target=500)  # doctest: +SKIP
    >>> player.reset(1)  # doctest: +SKIP
    >>> action = player.act(observation[None])[0]; player.reward(np.array([1.0]))  # doctest: +SKIP
    """

    def __init__(
        self,
        network: DecisionTransformer,
        *,
        target: float = 0.0,
        bounds: tuple[float, float] = (-np.inf, np.inf),
        execute: int = 1,
        temperature: float = 0.0,
        cached: bool = True,
    ) -> None:
        config = network.config
        if not 1 <= execute <= config.chunk:
            raise ValueError(f"of {config.chunk} actions ahead, {execute} cannot be carried out")
        self.network, self.config = network.eval(), config
        self.target, self.bounds, self.execute = target, bounds, execute
        self.temperature, self.cached = temperature, cached
        self.device = next(network.parameters()).device
        # An exported one stands in place of its own forward pass, and there is nothing to be quicker than.
        engine = "forward" in vars(network.decoder)
        self.decoder = partial(_last, network.decoder) if engine else QuickDecoder(network.decoder)
        self.quick = None if not isinstance(network.states, NumberStates | ChoiceStates) else QuickTokens(network)
        self.capacity = config.context * config.tokens - 1  # the last action of a window is what is asked for
        self.renewed = max(1, config.context // 2) * config.tokens - 1
        self.times: list[float] = []
        self.reset(1)

    def reset(self, count: int, *, targets: np.ndarray | Sequence[float] | None = None, seed: int = 0) -> None:
        """Begin `count` episodes; targets [N]: the return asked of each; `seed` + row is that of what it draws."""
        asked = np.full(count, self.target) if targets is None else np.asarray(targets, dtype=np.float64)
        if asked.shape != (count,):
            raise ValueError(f"{count} episodes need as many targets, not {asked.shape}")
        self.step, self.asked, self.ahead = 0, asked.copy(), 0
        self.chunk = np.zeros((count, 0, self.config.action.numbers))
        self.randoms = [np.random.default_rng([seed + row, 1]) for row in range(count)]
        self.cache = self.network.decoder.new_cache(self.capacity)
        with torch.inference_mode():
            self.tokens = torch.empty(count, self.capacity, self.config.dim, device=self.device)
        self.length = 0  # tokens of the window that are filled
        self.unread = 0  # the last of them, which the cache does not hold yet
        self.action: np.ndarray | None = None

    @torch.inference_mode()
    def act(self, observations: np.ndarray) -> np.ndarray:
        """observations [N, *shape] -> actions [N, *shape]."""
        start = time.perf_counter()
        self._take(self._embedded(observations))
        if self.ahead == self.chunk.shape[1]:
            x = self._read()[:, None]
            raw = self.network.say(x).raw[:, 0]  # [N, H, O]
            raw = raw[:, : self.execute]
            said = self.network.head.draw(raw, self.temperature, self.randoms)
            self.chunk, self.ahead = said.cpu().numpy(), 0
        action = self.chunk[:, self.ahead]
        self.ahead += 1
        self.step += 1
        self.action = action
        space = self.config.action
        shaped = action.reshape(len(action), *space.shape).astype(space.dtype)
        self.times.append(time.perf_counter() - start)
        return shaped

    def did(self, actions: np.ndarray) -> None:
        """What was really done [N, *shape], where a guard changed what `act` said: the network then sees that."""
        self.action = as_numbers(actions, self.config.action)

    def reward(self, rewards: np.ndarray) -> None:
        """What the last actions earned [N]: it is not asked for any more."""
        self.asked -= rewards

    def keep(self, rows: np.ndarray) -> None:
        """Go on with these rows only."""
        index = torch.as_tensor(rows, device=self.device)
        self.asked, self.chunk = self.asked[rows], self.chunk[rows]
        self.randoms = [self.randoms[int(row)] for row in rows]
        self.tokens = self.tokens[index]
        self.action = None if self.action is None else self.action[rows]
        if self.cache.length:
            self.cache.reorder(index)

    # -- the window -----------------------------------------------------------------------------------------------

    def _embedded(self, observations: np.ndarray) -> Tensor:
        """The tokens that are new [N, T, C]: the action before, the return still asked for, the state."""
        asked = np.clip(self.asked, *self.bounds).astype(np.float32)
        if self.quick is not None:
            return self.quick(self.step, self.action, asked, as_numbers(observations, self.config.observation))
        network = self.network
        state = network.states(self._tensor(observations)[:, None])[:, 0]  # [N, P, C]
        now = network.time(torch.tensor(self.step, device=self.device))
        parts = [state + now]
        if network.returns is not None:
            parts.insert(0, (network.returns(self._tensor(asked)[:, None] / self.config.return_scale) + now)[:, None])
        if self.action is not None:
            before = network.time(torch.tensor(self.step - 1, device=self.device))
            parts.insert(0, (network.actions(network.head.encode(self._tensor(self.action))) + before)[:, None])
        return network.norm(torch.cat(parts, dim=1))

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def _take(self, new: Tensor) -> None:
        """Put tokens [N, T, C] into the window; where they do not fit, its newer half goes on."""
        count = new.shape[1]
        if self.length + count > self.capacity:
            # Without the cache the window slides by one step, as it was trained; with it, by half.
            kept = min(self.renewed if self.cached else self.capacity, self.length + count)
            old = kept - count
            if old > 0:
                self.tokens[:, :old] = self.tokens[:, self.length - old : self.length].clone()
            new, self.length = new[:, -kept:], max(old, 0)
            count = new.shape[1]
            self.cache.truncate(0)
            self.unread = self.length
        self.tokens[:, self.length : self.length + count] = new
        self.length += count
        self.unread += count

    def _read(self) -> Tensor:
        """What the decoder says at the last token: [N, C]."""
        window = self.tokens[:, : self.length]
        if not self.cached:
            return self.network.decoder(window)[:, -1]
        said = self.decoder(window[:, self.length - self.unread :], self.cache)
        self.unread = 0
        return said
