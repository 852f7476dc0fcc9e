"""Checkpoints of transformers' `DecisionTransformerModel`, with equal actions.

Its GPT-2 gives every token the position 0, whose embedding is therefore one more vector after the norm of the tokens,
and is added to that norm's bias here. Its heads for states and returns are not trained and not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from ....core import pretrained
from ....core.errors import UserError, near
from ....core.layers import ACTIVATIONS
from ....core.pretrained import Located
from ....core.weights import KeyTable, Row, load_into
from .. import environments
from ..data import check_against
from ..episodes import Setting
from ..spaces import Space
from .checkpoints import Around
from .config import DecisionTransformerConfig
from .model import DecisionTransformer
from .options import numbers

LAYER, OURS = "encoder.h.{}", "decoder.blocks.{}"
SETTINGS = ("env", "target", "return_scale", "mean", "std")
"""What such a checkpoint does not hold, and may be told."""
POSITIONS = "encoder.wpe.weight"


def _both(ours: str, theirs: str, *, transpose: bool = False) -> tuple[Row, Row]:
    return Row(f"{ours}.weight", f"{theirs}.weight", transpose=transpose), Row(f"{ours}.bias", f"{theirs}.bias")


TABLE = KeyTable(
    Row("times.weight", "embed_timestep.weight"),
    *_both("returns", "embed_return"),
    *_both("states.map", "embed_state"),
    *_both("actions", "embed_action"),
    *_both("norm", "embed_ln"),
    *_both(f"{OURS}.attention_norm", f"{LAYER}.ln_1"),
    *_both(f"{OURS}.attention.qkv", f"{LAYER}.attn.c_attn", transpose=True),
    *_both(f"{OURS}.attention.out", f"{LAYER}.attn.c_proj", transpose=True),
    *_both(f"{OURS}.mlp_norm", f"{LAYER}.ln_2"),
    *_both(f"{OURS}.mlp.up", f"{LAYER}.mlp.c_fc", transpose=True),
    *_both(f"{OURS}.mlp.down", f"{LAYER}.mlp.c_proj", transpose=True),
    *_both("decoder.norm", "encoder.ln_f"),
    *_both("answer", "predict_action.0"),
    drops=(
        "encoder.wte.weight", POSITIONS, f"{LAYER}.attn.bias", f"{LAYER}.attn.masked_bias", "predict_state.weight",
        "predict_state.bias", "predict_return.weight", "predict_return.bias",
    ),
)  # fmt: skip


def config_of(theirs: Mapping[str, Any]) -> DecisionTransformerConfig:
    """Their configuration as ours; actions between -1 and 1, as their tanh gives them. Raises UserError for what has no
    counterpart here."""
    for name, does in (
        ("scale_attn_by_inverse_layer_idx", "scales attention by the number of the layer"),
        ("add_cross_attention", "cross-attends"),
    ):
        if theirs.get(name):
            raise UserError(f"This Decision Transformer {does}, for which there is no counterpart here.")
    activation = theirs.get("activation_function", "relu")
    if activation not in ACTIVATIONS:
        raise UserError(f"There is no activation {activation!r} here.", near(activation, ACTIVATIONS))
    numbers, dim = int(theirs.get("act_dim", 4)), int(theirs.get("hidden_size", 128))
    tanh = bool(theirs.get("action_tanh", True))
    bounds: Any = ((-1.0,) * numbers, (1.0,) * numbers) if tanh else (None, None)
    return DecisionTransformerConfig(
        observation=Space(kind="box", shape=(int(theirs.get("state_dim", 17)),)),
        action=Space(kind="box", shape=(numbers,), low=bounds[0], high=bounds[1]),
        max_steps=int(theirs.get("max_ep_len", 4096)),
        squash=tanh,
        dim=dim,
        depth=int(theirs.get("n_layer", 3)),
        heads=int(theirs.get("n_head", 1)),
        hidden=int(theirs.get("n_inner") or 4 * dim),
        dropout=float(theirs.get("resid_pdrop", 0.1)),
        activation=activation,
        norm_epsilon=float(theirs.get("layer_norm_epsilon", 1e-5)),
        attention_scale=None if theirs.get("scale_attn_weights", True) else 1.0,
    )


def to_ours(theirs: Mapping[str, Tensor], *, source: str = "the checkpoint") -> dict[str, Tensor]:
    """Their tensors under our names, the position that all tokens share in the norm's bias."""
    if POSITIONS not in theirs:
        raise UserError(f"{source} lacks {POSITIONS!r}.", "Is it a DecisionTransformerModel?")
    ours = TABLE.to_ours(theirs, source=source)
    ours["norm.bias"] = ours["norm.bias"] + theirs[POSITIONS][0]
    return ours


def load(located: Located, settings: Mapping[str, Any]) -> tuple[DecisionTransformer, Around]:
    """A network with their weights, and what `settings` say of what it was trained for: env (a gymnasium id), target,
    return_scale, mean and std (of the states, separated by commas). Raises UserError for other settings, and for an
    environment of other shapes."""
    theirs = pretrained.read_config(located.path)
    if theirs.get("model_type") != "decision_transformer":
        raise UserError(
            f"{located.source} is a {theirs.get('model_type', 'checkpoint of another kind')}, "
            "not a Decision Transformer.",
            "Give a checkpoint of tsuite, or a DecisionTransformerModel of transformers.",
        )
    if unknown := [name for name in settings if name not in SETTINGS]:
        raise UserError(f"There is no setting {unknown[0]!r} of such a checkpoint.", near(unknown[0], SETTINGS))
    told = {name: numbers(str(settings[name]), f"--set {name}") for name in SETTINGS[1:] if name in settings}
    tensors = to_ours(pretrained.read_foreign_tensors(located.path), source=located.source)
    config = config_of(theirs)
    if "return_scale" in told:
        config = replace(config, return_scale=told["return_scale"][0])
    network = DecisionTransformer(config)
    buffers = {name: value for name, value in network.named_buffers() if name not in tensors}
    load_into(network, {**tensors, **buffers}, source=located.source)
    if "mean" in told or "std" in told:
        _scale(network, told)
    setting = Setting(observation=config.observation, action=config.action)
    if env := settings.get("env"):
        found = environments.setting_of(str(env))
        check_against(found, setting)
        setting = found
    return network.eval(), Around(setting=setting, target=told.get("target", (0.0,))[0])


def _scale(network: DecisionTransformer, told: Mapping[str, tuple[float, ...]]) -> None:
    """Take over mean and deviation of the states as their model card gives them."""
    count = network.config.observation.numbers
    mean, std = told.get("mean", (0.0,) * count), told.get("std", (1.0,) * count)
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != count:
            raise UserError(f"--set {name} has {len(values)} numbers where a state has {count}.")
    network.states.learn(np.asarray(mean), np.asarray(std))
