"""The policy as graphs: the decoder's step, by which tsuite plays, and for other programs the whole policy in one.

Axes: B episodes, K steps, A numbers of an action, H actions ahead, O outputs of an action.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ....core.export.graph import WHOLE, Graph
from ....core.export.steps import decoder_graph
from ....core.masks import key_mask
from .model import DecisionTransformer
from .windows import TrajectoryBatch


class Policy(nn.Module):
    """What the network does after each of some steps."""

    def __init__(self, network: DecisionTransformer) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, returns: Tensor, observations: Tensor, actions: Tensor, steps: Tensor, mask: Tensor
    ) -> tuple[Tensor, ...]:
        """returns, steps, mask [B, K], observations [B, K, *shape], actions [B, K, A] -> likeliest actions
        [B, K, H, A], raw [B, K, H, O], and the return to come [B, K] where the network says it."""
        tokens = self.network.embed(returns, observations, actions, steps)  # [B, K, n, C]
        keep = key_mask(mask[..., None].expand(tokens.shape[:3]).flatten(1))
        x = self.network.decoder(tokens.flatten(1, 2), mask=keep)
        said = self.network.say(x.unflatten(1, tokens.shape[1:3])[:, :, -2])
        found = (self.network.head.decode(said.raw), said.raw)
        return found if said.value is None else (*found, said.value * self.network.config.return_scale)


def graphs(network: DecisionTransformer, batch: TrajectoryBatch) -> list[Graph]:
    """The decoder, and the whole policy where it decides step by step (on maps it plans). batch: an example."""
    decoder, config = decoder_graph("network.decoder", network.decoder), network.config
    if config.rounds:
        return [decoder]
    context = config.context
    actions = batch.actions[:, :context]
    inputs = {
        "returns": batch.returns, "observations": batch.observations,
        "actions": actions.float() if config.action.kind == "box" else actions, "steps": batch.steps,
        "mask": batch.mask,
    }  # fmt: skip
    about = {
        "returns": "[B, K]: the return that is still asked for at each step (left out of the sum where it is not told)",
        "observations": "[B, K, ...]: as the environment gives them; their mean and deviation are in the graph",
        "actions": "[B, K, A]: what was done; the last row, which is not known yet, may hold any action",
        "steps": "[B, K]: number of each step in its episode, from 0 on",
        "mask": "[B, K]: False for rows before the episode's beginning, which come first",
        "likeliest": "[B, K, H, A]: what to do at each step and the H - 1 after it: take row K - 1, place 0",
        "raw": "[B, K, H, O]: logits of choices side by side, or numbers before they are scaled",
        "value": "[B, K]: the return that is to come",
    }
    outputs = ("likeliest", "raw", *(("value",) if config.value else ()))
    free = dict.fromkeys(inputs, (0, 1))
    policy = Graph(name="policy", owner="network", method="forward", module=Policy(network), inputs=inputs, free=free,
                   outputs=outputs, kind=WHOLE, about={name: about[name] for name in (*inputs, *outputs)})  # fmt: skip
    return [decoder, policy]


def use(network: DecisionTransformer) -> dict[str, Any]:
    """See `Exportable.use`."""
    if network.config.rounds:
        return {"output": "On maps tsuite plans: the graph `decoder` is a part of that, of no use alone."}
    return {
        "input": f"Run `policy` on the last {network.config.context} steps; config.target is the return to ask for at "
                 "the beginning, from which each reward is taken off.",
        "output": "likeliest[:, -1, 0] is the action. `decoder` is the Transformer alone, with its cache outside.",
    }  # fmt: skip
