"""Each family answers as transformers does, with every spelling of its settings, and is as large as published."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from tsuite.core.errors import UserError
from tsuite.core.masks import key_mask
from tsuite.core.weights import count_parameters, without_weights
from tsuite.domains.text import families
from tsuite.domains.text.families import FAMILIES, FamilyConfig

from .models import CONFIGS, build, logits, original, token_ids

OURS = {name: families.from_hf(config().to_dict()) for name, config in CONFIGS.items()}

PHI = {"model_type": "phi", "vocab_size": 51200, "hidden_size": 2048, "num_hidden_layers": 24}
PHI |= {"num_attention_heads": 32, "intermediate_size": 8192, "max_position_embeddings": 2048}
SMOLLM = {"model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "num_hidden_layers": 30}
SMOLLM |= {"num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536}
SMOLLM |= {"max_position_embeddings": 8192, "tie_word_embeddings": True}
TINYLLAMA = {"model_type": "llama", "vocab_size": 32000, "hidden_size": 2048, "num_hidden_layers": 22}
TINYLLAMA |= {"num_attention_heads": 32, "num_key_value_heads": 4, "intermediate_size": 5632}
TINYLLAMA |= {"max_position_embeddings": 2048}
QWEN2 = {"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "num_hidden_layers": 24}
QWEN2 |= {"num_attention_heads": 14, "num_key_value_heads": 2, "intermediate_size": 4864}
QWEN2 |= {"max_position_embeddings": 32768, "tie_word_embeddings": True}
QWEN3 = {"model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024, "num_hidden_layers": 28, "head_dim": 128}
QWEN3 |= {"num_attention_heads": 16, "num_key_value_heads": 8, "intermediate_size": 3072}
QWEN3 |= {"max_position_embeddings": 40960, "tie_word_embeddings": True}
GPT2 = {"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024}

PUBLISHED: list[tuple[str, dict[str, Any], int]] = [
    ("phi-1.5", PHI, 1_418_270_720),
    ("SmolLM2-135M", SMOLLM, 134_515_008),
    ("TinyLlama-1.1B", TINYLLAMA, 1_100_048_384),
    ("Qwen2.5-0.5B", QWEN2, 494_032_768),
    ("Qwen3-0.6B", QWEN3, 596_049_920),
    ("gpt2", GPT2, 124_439_808),
]


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_equal_the_original(name: str) -> None:
    theirs, config = original(name), OURS[name]
    ours = build(config, config.read_hf(theirs.state_dict()))
    ids = token_ids(steps=40)
    expected = logits(theirs, ids)
    assert expected.std() > 0.1, "the comparison would say little"
    assert_close(logits(ours, ids), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_cached_logits_equal_the_original(name: str) -> None:
    theirs, config = original(name), OURS[name]
    ours = build(config, config.read_hf(theirs.state_dict()))
    ids = token_ids()
    cache = ours.new_cache(9)
    steps = [logits(ours, ids[:, :4], cache=cache)]
    steps += [logits(ours, ids[:, step : step + 1], cache=cache) for step in range(4, 9)]
    assert_close(torch.cat(steps, dim=1), logits(theirs, ids), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_left_padding_equals_the_original(name: str) -> None:
    theirs, config = original(name), OURS[name]
    ours = build(config, config.read_hf(theirs.state_dict()))
    ids, keep = token_ids(), torch.ones(2, 9, dtype=torch.bool)
    keep[1, :4] = False
    positions = (keep.long().cumsum(1) - 1).clamp(min=0)
    answer = logits(ours, ids, mask=key_mask(keep), positions=positions)
    expected = logits(theirs, ids, attention_mask=keep.long(), position_ids=positions)
    assert_close(answer[keep], expected[keep], rtol=1e-4, atol=1e-4)
    alone = logits(ours, ids[1:, 4:])
    assert_close(answer[1:, 4:], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_names_there_and_back_are_bit_equal(name: str) -> None:
    theirs, config = original(name).state_dict(), OURS[name]
    ours = config.read_hf(theirs)
    for written, read in ((config.write_hf, config.read_hf), (config.write_gguf, config.read_gguf)):
        back = read(written(ours))
        assert back.keys() == ours.keys()
        assert all(torch.equal(back[key], value) for key, value in ours.items())
    outward = config.write_hf(ours)
    assert set(theirs) - set(outward) == ({"lm_head.weight"} if config.tied else set())
    assert all(torch.equal(value, theirs[key]) for key, value in outward.items())


@pytest.mark.parametrize("name", CONFIGS)
def test_configuration_there_and_back(name: str) -> None:
    config = OURS[name]
    assert families.from_hf(config.to_hf()) == config
    assert families.build(config.family, json.loads(json.dumps(config.fields()))) == config
    theirs = CONFIGS[name]()
    if theirs.model_type == "mistral":  # written as the Llama that it is
        return
    again = type(theirs).from_dict(config.to_hf()).to_dict()
    for key, value in theirs.to_dict().get("rope_parameters", {}).items():
        assert again["rope_parameters"][key] == value, key


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "gpt2"])
def test_either_spelling_of_the_rotary_settings(name: str) -> None:
    """transformers 4 wrote them at the top, 5 writes one dict; files of either kind are about."""
    both = OURS[name].to_hf()
    spelt = ("rope_theta", "rope_scaling", "partial_rotary_factor")
    new = {key: value for key, value in both.items() if key not in spelt}
    old = {key: value for key, value in both.items() if key != "rope_parameters"}
    assert families.from_hf(new) == families.from_hf(old) == OURS[name]
    older = {**old, "rope_scaling": old["rope_scaling"] and {**old["rope_scaling"]}}
    if older["rope_scaling"]:
        del older["rope_scaling"]["rope_type"]
        assert families.from_hf(older) == OURS[name]


def test_every_family_is_compared() -> None:
    assert {config.family for config in OURS.values()} == set(FAMILIES)
    known = {name for family in FAMILIES.values() for name in family.model_types}
    assert {config().model_type for config in CONFIGS.values()} == known


@pytest.mark.parametrize(("name", "config", "published"), PUBLISHED, ids=[name for name, *_ in PUBLISHED])
def test_published_sizes(name: str, config: dict[str, Any], published: int) -> None:
    with without_weights():
        network = families.from_hf(config).network()
    assert count_parameters(network) == published


def test_gpt2_files_without_their_prefix() -> None:
    """The file on the hub is of the backbone alone, and holds a causal mask in every layer."""
    config = OURS["gpt2"]
    theirs = original("gpt2").state_dict()
    bare = {key.removeprefix("transformer."): value for key, value in theirs.items() if key != "lm_head.weight"}
    bare["h.0.attn.bias"] = torch.ones(1, 1, 64, 64).tril()
    ours, expected = config.read_hf(bare), config.read_hf(theirs)
    assert ours.keys() == expected.keys()


UNSUPPORTED = [
    ({"model_type": "phi", "qk_layernorm": True}, "qk_layernorm"),
    ({"model_type": "llama", "rope_scaling": {"type": "yarn", "factor": 4.0}}, "yarn"),
    ({"model_type": "llama", "rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "dynamic"),
    ({"model_type": "llama", "mlp_bias": True}, "mlp_bias"),
    ({"model_type": "llama", "hidden_act": "xielu"}, "xielu"),
    ({"model_type": "mistral", "sliding_window": 16}, "sliding_window"),
    ({"model_type": "qwen2", "use_sliding_window": True}, "use_sliding_window"),
    ({"model_type": "llama", "num_key_value_heads": 3}, "3 key/value heads"),
    ({"model_type": "llama", "hidden_size": -1}, "hidden_size"),
    ({"model_type": "llama", "hidden_size": 32.5}, "dim"),
    ({"model_type": "llama", "num_attention_heads": 0}, "num_attention_heads"),
    ({"model_type": "llama", "rope_parameters": {"rope_type": "linear"}}, "'factor'"),
    ({"model_type": "llama", "rope_parameters": {"full_attention": {"rope_theta": 1.0}}}, "full_attention"),
    ({"model_type": "llama", "vocab_size": None}, "vocab_size"),
    ({"model_type": "qwen3_moe"}, "qwen3_moe"),
    ({"model_type": None}, "model_type"),
]


@pytest.mark.parametrize(("change", "named"), UNSUPPORTED, ids=[named for _, named in UNSUPPORTED])
def test_what_is_not_supported_is_named(change: dict[str, Any], named: str) -> None:
    sizes = CONFIGS["llama"]().to_dict()
    del sizes["rope_parameters"]
    with pytest.raises(UserError, match=named):
        families.from_hf(sizes | change)


def test_a_saved_configuration_of_another_kind_is_refused() -> None:
    fields = OURS["phi"].fields()
    with pytest.raises(UserError, match="mamba"):
        families.build("mamba", fields)
    with pytest.raises(UserError, match="saved configuration"):
        families.build("gpt2", fields)


def test_a_checkpoint_that_lacks_a_tensor_names_it() -> None:
    config: FamilyConfig = OURS["phi"]
    theirs = dict(original("phi").state_dict())
    del theirs["lm_head.bias"]
    with pytest.raises(UserError, match=r"lm_head\.bias"):
        config.read_hf(theirs, source="here")
