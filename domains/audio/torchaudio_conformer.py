"""Weights of torchaudio's Conformer (`torchaudio.models.Conformer`), by table, in both directions.

The same network but for padding: theirs lets it into the convolutions, ours does not. It has no positions, no
subsampling and no head; its convolutions look both ways, so it cannot stream.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ...core.conformer import Conformer
from ...core.errors import UserError
from ...core.layers import FrameBatchNorm
from ...core.weights import KeyTable, Row, load_into, without_weights

_LAYER = "conformer_layers.{}"
_NAMES = {
    "first_norm": "ffn1.sequential.0",
    "first_mlp.up": "ffn1.sequential.1",
    "first_mlp.down": "ffn1.sequential.4",
    "attention_norm": "self_attn_layer_norm",
    "attention.out": "self_attn.out_proj",
    "convolution.input_norm": "conv_module.layer_norm",
    "convolution.expand": "conv_module.sequential.0",
    "convolution.depthwise": "conv_module.sequential.2",
    "convolution.norm": "conv_module.sequential.3",
    "convolution.project": "conv_module.sequential.5",
    "second_norm": "ffn2.sequential.0",
    "second_mlp.up": "ffn2.sequential.1",
    "second_mlp.down": "ffn2.sequential.4",
    "norm": "final_layer_norm",
}
_POINTWISE = ("conv_module.sequential.0.weight", "conv_module.sequential.5.weight")
"""Convolutions of kernel 1 [out, in, 1], which are matrices here."""

TABLE = KeyTable(
    *(
        Row(f"blocks.{{}}.{ours}.{leaf}", f"{_LAYER}.{theirs}.{leaf}")
        for ours, theirs in _NAMES.items()
        for leaf in ("weight", "bias")
    ),
    *(
        Row(f"blocks.{{}}.attention.qkv.{leaf}", f"{_LAYER}.self_attn.in_proj_{leaf}")  # in their one matrix already
        for leaf in ("weight", "bias")
    ),
    *(
        Row(f"blocks.{{}}.convolution.norm.{leaf}", f"{_LAYER}.conv_module.sequential.3.{leaf}")
        for leaf in ("running_mean", "running_var", "num_batches_tracked")
    ),
)


def load(
    theirs: Mapping[str, Tensor], *, heads: int, convolution_first: bool = False, source: str = "the checkpoint"
) -> Conformer:
    """The Conformer with these weights. All sizes are read from them but for what leaves no trace in their shapes: how
    many heads there are, and whether the convolution comes first.

    Raises UserError where they are another network's, or one with group norm (`use_group_norm`), which reads the
    whole utterance at each frame.
    """
    up, depthwise = (
        f"{_LAYER}.ffn1.sequential.1.weight".format(0),
        f"{_LAYER}.conv_module.sequential.2.weight".format(0),
    )
    if up not in theirs or depthwise not in theirs:
        raise UserError(f"{source} holds no torchaudio Conformer: it lacks {up!r}.")
    if f"{_LAYER}.conv_module.sequential.3.running_mean".format(0) not in theirs:
        raise UserError(f"{source} is a Conformer with group norm, which is not supported.")
    hidden, dim = theirs[up].shape
    if dim % heads:
        raise UserError(f"The width of {source}, {dim}, does not divide into {heads} heads.")
    with without_weights():
        network = Conformer(
            dim=dim,
            depth=1 + max(int(name.split(".")[1]) for name in theirs if name.startswith("conformer_layers.")),
            heads=heads,
            kernel=theirs[depthwise].shape[-1],
            hidden=hidden,
            rotary=False,
            convolution_norm=FrameBatchNorm,
            convolution_first=convolution_first,
        )
    flat = {name: value.squeeze(-1) if name.endswith(_POINTWISE) else value for name, value in theirs.items()}
    load_into(network, TABLE.to_ours(flat, source=source), source=source)
    return network.eval()


def to_torchaudio(conformer: Conformer) -> dict[str, Tensor]:
    """The weights under torchaudio's names. Raises UserError for a network that torchaudio's cannot be."""
    theirs = TABLE.to_theirs(conformer.state_dict())
    return {name: value[..., None] if name.endswith(_POINTWISE) else value for name, value in theirs.items()}
