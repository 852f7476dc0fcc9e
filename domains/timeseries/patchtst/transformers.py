"""PatchTST checkpoints of transformers (`PatchTSTForPrediction`), with equal outputs where nothing is missing.

Theirs keep q, k and v apart and number their norms by sublayer; two of three norms are used without attention across
channels. Its input has all channels of a set; every channel is a series here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core import pretrained
from ....core.errors import UserError
from ....core.pretrained import Located
from ....core.weights import KeyTable, Row, load_into, without_weights
from ..covariates import Told
from ..frequency import Frequency
from ..windows import Scaling
from .checkpoints import Surroundings
from .config import PatchTSTConfig
from .model import PatchTST

LAYER, OURS = "model.encoder.layers.{}", "encoder.blocks.{}"


def _both(ours: str, theirs: str) -> tuple[Row, Row]:
    return Row(f"{ours}.weight", f"{theirs}.weight"), Row(f"{ours}.bias", f"{theirs}.bias")


def _norm(ours: str, theirs: str, kind: str) -> tuple[Row, ...]:
    rows = _both(f"{OURS}.{ours}", f"{LAYER}.{theirs}" + (".batchnorm" if kind == "batch" else ""))
    if kind == "layer":
        return rows
    counted = ("running_mean", "running_var", "num_batches_tracked")
    return (*rows, *(Row(f"{OURS}.{ours}.{name}", f"{LAYER}.{theirs}.batchnorm.{name}") for name in counted))


def key_table(config: PatchTSTConfig) -> KeyTable:
    """Their names for a network of that shape."""
    first = (Row("first", "model.encoder.positional_encoder.cls_token"),) if config.decode == "first" else ()
    stacked = tuple(
        Row(f"{OURS}.attention.qkv.{part}", tuple(f"{LAYER}.self_attn.{name}_proj.{part}" for name in "qkv"))
        for part in ("weight", "bias")
    )
    return KeyTable(
        *_both("embed", "model.encoder.embedder.input_embedding"),
        Row("positions", "model.encoder.positional_encoder.position_enc"),
        *first,
        *stacked,
        *_both(f"{OURS}.attention.out", f"{LAYER}.self_attn.out_proj"),
        *_norm("attention_norm", "norm_sublayer1", config.norm),
        *_both(f"{OURS}.mlp.up", f"{LAYER}.ff.0"),
        *_both(f"{OURS}.mlp.down", f"{LAYER}.ff.3"),
        *_norm("mlp_norm", "norm_sublayer3", config.norm),
        *_both("out", "head.projection"),
    )


def config_of(theirs: Mapping[str, Any]) -> PatchTSTConfig:
    """Their configuration as ours. Raises UserError for what has no counterpart here."""
    refused = {
        "channel_attention": "attends across channels",
        "unshared": "has weights of its own for each channel",
        "distribution": f"gives a distribution ({theirs.get('distribution_output')})",
        "scaling": f"scales by {theirs.get('scaling')}",
        "pooling_type": "pools by the maximum",
        "bias": "has maps without bias",
    }
    found = {
        "channel_attention": bool(theirs.get("channel_attention", False)),
        "unshared": not (theirs.get("share_embedding", True) and theirs.get("share_projection", True)),
        "distribution": theirs.get("loss", "mse") != "mse",
        "scaling": theirs.get("scaling", "std") not in ("std", None, False),
        "pooling_type": theirs.get("pooling_type", "mean") == "max" and not theirs.get("use_cls_token"),
        "bias": not theirs.get("bias", True),
    }
    for name, refuses in found.items():
        if refuses:
            raise UserError(f"This PatchTST {refused[name]}, for which there is no counterpart here.")
    pooled = theirs.get("pooling_type", "mean")
    try:
        return PatchTSTConfig(
            lookback=theirs["context_length"],
            horizon=theirs.get("prediction_length", 24),
            patch=theirs.get("patch_length", 1),
            stride=theirs.get("patch_stride", 1),
            pad=False,
            dim=theirs.get("d_model", 128),
            depth=theirs.get("num_hidden_layers", 3),
            heads=theirs.get("num_attention_heads", 4),
            hidden=theirs.get("ffn_dim", 512),
            norm="batch" if theirs.get("norm_type", "batchnorm") == "batchnorm" else "layer",
            norm_epsilon=theirs.get("norm_eps", 1e-5),
            post_norm=not theirs.get("pre_norm", True),
            decode="first" if theirs.get("use_cls_token") else "mean" if pooled == "mean" else "flatten",
            activation=theirs.get("activation_function", "gelu"),
            dropout=theirs.get("ff_dropout", 0.0),
            attention_dropout=theirs.get("attention_dropout", 0.0),
            head_dropout=theirs.get("head_dropout", 0.0),
            head="point",
            revin=theirs.get("scaling", "std") == "std",
            linear=False,
            masked=False,
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"The configuration of this PatchTST is incomplete: {error}.") from None


def load(located: Located) -> tuple[PatchTST, Surroundings]:
    """A network with their weights; its series and their frequency are not known to it."""
    theirs = pretrained.read_config(located.path)
    if theirs.get("model_type") != "patchtst":
        raise UserError(
            f"{located.source} is a {theirs.get('model_type', 'checkpoint of another kind')}, not a PatchTST.",
            "Give a checkpoint of tsuite, or a PatchTSTForPrediction of transformers.",
        )
    config = config_of(theirs)
    tensors = pretrained.read_foreign_tensors(located.path)
    if "head.projection.weight" not in tensors:
        raise UserError(f"{located.source} holds no forecasting head.", "Give a PatchTSTForPrediction.")
    table = key_table(config)
    with without_weights():
        network = PatchTST(config)
    load_into(network, table.to_ours(tensors, source=located.source), source=located.source)
    around = Surroundings(
        scaling=Scaling(series={}), told=Told(), frequency=Frequency(alias=""), season=1, calendar=False
    )
    return network.eval(), around
