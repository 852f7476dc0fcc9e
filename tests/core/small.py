"""Language models small enough to make on the spot, and prompts for them."""

from __future__ import annotations

from functools import partial

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from tsuite.core.decoder import Decoder
from tsuite.core.language import LanguageModel
from tsuite.core.layers import MLP, GatedMLP, RMSNorm, gelu_tanh
from tsuite.core.positions import Rotary
from tsuite.core.weights import load_into

from .families import llama_table, scramble

VOCABULARY, LENGTH = 60, 40
PROMPTS = [[3, 14, 15, 9, 26, 5, 35], [8, 9, 7], [2, 38, 4, 6, 26]]


def llama(*, tied: bool = False, dim: int = 32, hidden: int = 56, vocabulary: int = VOCABULARY) -> LanguageModel:
    """Two layers of Llama with 4 heads over 2 key/value heads."""
    decoder = Decoder(
        dim=dim,
        depth=2,
        heads=4,
        kv_heads=2,
        norm=RMSNorm,
        mlp=partial(GatedMLP, hidden=hidden),
        bias=False,
        rotary=Rotary(head_dim=dim // 4),
    )
    model = LanguageModel(vocabulary=vocabulary, decoder=decoder, length=LENGTH, tied=tied)
    return model.eval()


def pair(seed: int = 0, std: float = 0.2) -> tuple[LanguageModel, LlamaForCausalLM]:
    """Our tiny Llama and transformers', with the same random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=56,
        max_position_embeddings=LENGTH,
    )
    theirs = LlamaForCausalLM(config).eval()
    scramble(theirs, seed, std)
    ours = llama()
    load_into(ours, llama_table((32, 16, 16)).to_ours(theirs.state_dict()))
    return ours, theirs


def gpt2() -> LanguageModel:
    """Two layers of GPT-2, with learned positions."""
    decoder = Decoder(dim=32, depth=2, heads=4, mlp=partial(MLP, activation=gelu_tanh))
    model = LanguageModel(vocabulary=VOCABULARY, decoder=decoder, length=LENGTH, learned=True, tied=True).eval()
    scramble(model)
    return model
