"""The names that others give to Whisper's weights: transformers, OpenAI, CTranslate2.

The key projection has no bias, for a bias would move all scores of a query alike and softmax would not see it. Ours,
like CTranslate2's, stands in one matrix with query and value, and has zeros there.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ....core.errors import UserError
from ....core.weights import KeyTable, Row, best_table

HEAD, TOKENS = "text.head.projection.weight", "text.tokens.weight"
"""One and the same tensor in our network."""


def _pair(ours: str, *theirs: str) -> list[Row]:
    """The weight and the bias of one layer."""
    return [Row(f"{ours}.{leaf}", tuple(f"{name}.{leaf}" for name in theirs)) for leaf in ("weight", "bias")]


def _norm(ours: str, theirs: str) -> list[Row]:
    """A norm as CTranslate2 calls its parts."""
    return [Row(f"{ours}.weight", f"{theirs}/gamma"), Row(f"{ours}.bias", f"{theirs}/beta")]


def _dense(ours: str, theirs: str) -> list[Row]:
    """A layer as CTranslate2 calls its parts."""
    return [Row(f"{ours}.weight", f"{theirs}/weight"), Row(f"{ours}.bias", f"{theirs}/bias")]


def _hf_layer(ours: str, theirs: str) -> list[Row]:
    own = f"{theirs}.self_attn"
    return [
        *_pair(f"{ours}.attention_norm", f"{theirs}.self_attn_layer_norm"),
        *_pair(f"{ours}.attention.qkv", f"{own}.q_proj", f"{own}.k_proj", f"{own}.v_proj"),
        *_pair(f"{ours}.attention.out", f"{own}.out_proj"),
        *_pair(f"{ours}.mlp_norm", f"{theirs}.final_layer_norm"),
        *_pair(f"{ours}.mlp.up", f"{theirs}.fc1"),
        *_pair(f"{ours}.mlp.down", f"{theirs}.fc2"),
    ]


def _openai_layer(ours: str, theirs: str) -> list[Row]:
    own = f"{theirs}.attn"
    return [
        *_pair(f"{ours}.attention_norm", f"{theirs}.attn_ln"),
        *_pair(f"{ours}.attention.qkv", f"{own}.query", f"{own}.key", f"{own}.value"),
        *_pair(f"{ours}.attention.out", f"{own}.out"),
        *_pair(f"{ours}.mlp_norm", f"{theirs}.mlp_ln"),
        *_pair(f"{ours}.mlp.up", f"{theirs}.mlp.0"),
        *_pair(f"{ours}.mlp.down", f"{theirs}.mlp.2"),
    ]


def _ct2_layer(ours: str, theirs: str) -> list[Row]:
    return [
        *_norm(f"{ours}.attention_norm", f"{theirs}/self_attention/layer_norm"),
        *_dense(f"{ours}.attention.qkv", f"{theirs}/self_attention/linear_0"),
        *_dense(f"{ours}.attention.out", f"{theirs}/self_attention/linear_1"),
        *_norm(f"{ours}.mlp_norm", f"{theirs}/ffn/layer_norm"),
        *_dense(f"{ours}.mlp.up", f"{theirs}/ffn/linear_0"),
        *_dense(f"{ours}.mlp.down", f"{theirs}/ffn/linear_1"),
    ]


_HEARS, _SAYS = "encoder.blocks.{}", "text.decoder.blocks.{}"
_CROSS = f"{_SAYS}.cross_attention"

HF = KeyTable(
    *_pair("frames.layers.0", "encoder.conv1"),
    *_pair("frames.layers.1", "encoder.conv2"),
    Row("positions", "encoder.embed_positions.weight"),
    *_hf_layer(_HEARS, "encoder.layers.{}"),
    *_pair("encoder.norm", "encoder.layer_norm"),
    Row(TOKENS, "decoder.embed_tokens.weight"),
    Row("text.positions.weight", "decoder.embed_positions.weight"),
    *_hf_layer(_SAYS, "decoder.layers.{}"),
    *_pair(f"{_SAYS}.cross_norm", "decoder.layers.{}.encoder_attn_layer_norm"),
    *_pair(f"{_CROSS}.query", "decoder.layers.{}.encoder_attn.q_proj"),
    *_pair(f"{_CROSS}.key_value", "decoder.layers.{}.encoder_attn.k_proj", "decoder.layers.{}.encoder_attn.v_proj"),
    *_pair(f"{_CROSS}.out", "decoder.layers.{}.encoder_attn.out_proj"),
    *_pair("text.decoder.norm", "decoder.layer_norm"),
    drops=("proj_out.weight",),
)

OPENAI = KeyTable(
    *_pair("frames.layers.0", "encoder.conv1"),
    *_pair("frames.layers.1", "encoder.conv2"),
    Row("positions", "encoder.positional_embedding"),
    *_openai_layer(_HEARS, "encoder.blocks.{}"),
    *_pair("encoder.norm", "encoder.ln_post"),
    Row(TOKENS, "decoder.token_embedding.weight"),
    Row("text.positions.weight", "decoder.positional_embedding"),
    *_openai_layer(_SAYS, "decoder.blocks.{}"),
    *_pair(f"{_SAYS}.cross_norm", "decoder.blocks.{}.cross_attn_ln"),
    *_pair(f"{_CROSS}.query", "decoder.blocks.{}.cross_attn.query"),
    *_pair(f"{_CROSS}.key_value", "decoder.blocks.{}.cross_attn.key", "decoder.blocks.{}.cross_attn.value"),
    *_pair(f"{_CROSS}.out", "decoder.blocks.{}.cross_attn.out"),
    *_pair("text.decoder.norm", "decoder.ln"),
    drops=("alignment_heads",),
)

CTRANSLATE2 = KeyTable(
    *_dense("frames.layers.0", "encoder/conv1"),
    *_dense("frames.layers.1", "encoder/conv2"),
    Row("positions", "encoder/position_encodings/encodings"),
    *_ct2_layer(_HEARS, "encoder/layer_{}"),
    *_norm("encoder.norm", "encoder/layer_norm"),
    Row(TOKENS, "decoder/embeddings/weight"),
    Row("text.positions.weight", "decoder/position_encodings/encodings"),
    *_ct2_layer(_SAYS, "decoder/layer_{}"),
    *_norm(f"{_SAYS}.cross_norm", "decoder/layer_{}/attention/layer_norm"),
    *_dense(f"{_CROSS}.query", "decoder/layer_{}/attention/linear_0"),
    *_dense(f"{_CROSS}.key_value", "decoder/layer_{}/attention/linear_1"),
    *_dense(f"{_CROSS}.out", "decoder/layer_{}/attention/linear_2"),
    *_norm("text.decoder.norm", "decoder/layer_norm"),
    drops=("decoder/projection/weight",),
)

TABLES = {"transformers": HF, "openai": OPENAI, "CTranslate2": CTRANSLATE2}


def to_ours(theirs: Mapping[str, Tensor], *, source: str) -> dict[str, Tensor]:
    """Tensors of any of the three under our names. UserError for anything missing, left over, or of no known family."""
    named = {key.removeprefix("model."): tensor for key, tensor in theirs.items()}
    name, table = best_table(TABLES, named)
    ours = table.to_ours(named | _key_biases(named, name), source=source)
    return ours | {HEAD: ours[TOKENS]} if TOKENS in ours else _lacking(source)


def to_hf(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors as transformers' WhisperForConditionalGeneration names them, `proj_out` left to be tied."""
    theirs = HF.to_theirs({key: tensor for key, tensor in ours.items() if key != HEAD})
    return {f"model.{key}": tensor for key, tensor in theirs.items() if not key.endswith("k_proj.bias")}


def _key_biases(tensors: Mapping[str, Tensor], family: str) -> dict[str, Tensor]:
    """Zeros for the biases that their key projections do not have."""
    if family == "CTranslate2":
        return {}
    end = ".k_proj.weight" if family == "transformers" else ".key.weight"
    keys = {key.removesuffix("weight") + "bias": tensor for key, tensor in tensors.items() if key.endswith(end)}
    return {key: torch.zeros(len(weight), dtype=weight.dtype) for key, weight in keys.items() if key not in tensors}


def _lacking(source: str) -> dict[str, Tensor]:
    raise UserError(f"{source} is no whole Whisper model: it has no token embedding.")
