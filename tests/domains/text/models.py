"""Tiny originals of each family with random weights, and tiny tokenizers, made on the spot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from tsuite.core.language import LanguageModel
from tsuite.core.weights import load_into, without_weights
from tsuite.domains.text.families import FamilyConfig
from tsuite.domains.text.tokenizer_gguf import REGEXES

VOCABULARY = 400
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXTS = (
    "The quick brown fox jumps over the lazy dog. The dog sleeps, and the fox is gone by 10:45.",
    "今天天气怎么样？今天晴朗，适合散步。",
    "def main():\n    return {'a': 1234, 'b': \"naïve café\"}\n\n\n    print( 'x'   )",
    "  two spaces,\ttabs\r\nand 🦊 emoji 👨‍👩‍👧 — don't we'll I'M",
)

_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
_GROUPED = {**_SIZES, "num_key_value_heads": 2}
_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}

CONFIGS: Mapping[str, Callable[[], transformers.PretrainedConfig]] = {
    "phi": lambda: transformers.PhiConfig(**_SIZES),
    "phi, turning less": lambda: transformers.PhiConfig(**{**_SIZES, "partial_rotary_factor": 0.25}),
    "llama": lambda: transformers.LlamaConfig(**_SIZES),
    "llama, grouped and tied": lambda: transformers.LlamaConfig(**_GROUPED, tie_word_embeddings=True),
    "llama, biases": lambda: transformers.LlamaConfig(**_GROUPED, attention_bias=True),
    "llama, wide heads": lambda: transformers.LlamaConfig(**_GROUPED, head_dim=16, rms_norm_eps=1e-3),
    "llama 3": lambda: transformers.LlamaConfig(
        **_GROUPED, head_dim=32, rope_parameters={"rope_theta": 500000.0, **_LLAMA3}
    ),
    "llama, stretched": lambda: transformers.LlamaConfig(
        **_GROUPED, rope_parameters={"rope_theta": 10000.0, "rope_type": "linear", "factor": 4.0}
    ),
    "mistral": lambda: transformers.MistralConfig(**_GROUPED, sliding_window=None),
    "qwen2": lambda: transformers.Qwen2Config(
        **_GROUPED, tie_word_embeddings=True, rope_parameters={"rope_theta": 1000000.0, "rope_type": "default"}
    ),
    "qwen3": lambda: transformers.Qwen3Config(**_GROUPED, head_dim=16, tie_word_embeddings=True),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=None, eos_token_id=None
    ),
}


def original(name: str, seed: int = 0) -> transformers.PreTrainedModel:
    """The family's model as transformers builds it, with random values in every parameter, biases and norms too."""
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[name]()).eval()
    generator = torch.Generator().manual_seed(seed)
    for value in model.parameters():
        noise = torch.randn(value.shape, generator=generator) * 0.2
        value.data = noise + 1 if value.ndim == 1 and bool((value == 1).all()) else noise
    return model


def build(config: FamilyConfig, tensors: Mapping[str, Tensor]) -> LanguageModel:
    """Our network with these weights."""
    with without_weights():
        network = config.network()
    load_into(network, tensors)
    return network.eval()


def logits(network: nn.Module, ids: Tensor, **options: Any) -> Tensor:
    """What ours, or transformers', says of ids [B, T]."""
    with torch.no_grad():
        answer = network(ids, **options)
    return answer if isinstance(answer, Tensor) else answer.logits


def token_ids(batch: int = 2, steps: int = 9, seed: int = 1) -> Tensor:
    return torch.randint(VOCABULARY, (batch, steps), generator=torch.Generator().manual_seed(seed))


# -- tokenizers -------------------------------------------------------------------------------------------------------


def byte_level(rule: str = "gpt-2", size: int = 350) -> Tokenizer:
    """A byte-level BPE trained on the texts above, cut as one of the known models does, with ChatML's tokens."""
    backend = Tokenizer(models.BPE(ignore_merges=rule == "llama-bpe"))
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=rule not in REGEXES)
    before = {
        "gpt-2": [],
        "smollm": [pre_tokenizers.Digits(individual_digits=True)],
        "qwen2": [pre_tokenizers.Split(Regex(REGEXES["qwen2"]), "isolated")],
        "llama-bpe": [pre_tokenizers.Split(Regex(REGEXES["llama-bpe"]), "isolated")],
    }[rule]
    backend.pre_tokenizer = pre_tokenizers.Sequence([*before, bytes_of]) if before else bytes_of
    backend.decoder = decoders.ByteLevel()
    if rule == "qwen2":
        backend.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS, trainer)
    return backend


def sentencepiece() -> Tokenizer:
    """A BPE with byte fallback in the manner of Llama 2."""
    pieces = [*["<unk>", "<s>", "</s>"], *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["▁", *dict.fromkeys("".join(TEXTS[:1]).replace(" ", ""))]
    words = ["▁T", "▁Th", "▁The", "th", "▁th", "▁the", "og", "▁d", "▁dog", "▁fox", "fo", "fox", "er", "ee"]
    pieces += words
    vocabulary = {piece: id for id, piece in enumerate(dict.fromkeys(pieces))}
    merges = [
        (word[:cut], word[cut:])
        for word in words
        for cut in range(1, len(word))
        if word[:cut] in vocabulary and word[cut:] in vocabulary
    ]
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in ("<unk>", "<s>", "</s>")])
    return backend


def save_tokenizer(folder: Path, backend: Tokenizer, *, end: str = "<|im_end|>", **settings: Any) -> Path:
    """A folder with tokenizer.json and tokenizer_config.json, as repositories have them."""
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=end, **settings)
    if end == "<|im_end|>":
        fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return folder


def save_all(folder: Path, name: str, backend: Tokenizer | None = None) -> transformers.PreTrainedModel:
    """A whole repository: an original's weights and configuration, and a tokenizer.

    Whatever the file says, transformers cuts text for the model type qwen2 as Qwen does.
    """
    model = original(name)
    model.save_pretrained(folder)
    save_tokenizer(folder, backend or byte_level("qwen2" if name.startswith("qwen") else "gpt-2"))
    return model
