"""Adapters of ours answer alike in peft over transformers, and those that peft wrote answer alike here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from tsuite.core.adapters import Method, adapter_tensors, apply, learn_rows, load_adapter, merged
from tsuite.core.errors import UserError
from tsuite.domains.text import families
from tsuite.domains.text.peft_folder import CONFIG, WEIGHTS, read_peft, write_peft
from tsuite.domains.text.peft_places import places

from .models import CONFIGS, build, logits, original, token_ids

pytestmark = [
    pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning"),  # peft, of its prefixes
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning"),
]

KNOWN = ("lora", "dora", "ia3", "prompt", "prefix")
PLAIN = ("phi", "llama, grouped and tied", "qwen3", "gpt2")
FAMILIES = pytest.mark.parametrize("name", CONFIGS)


def pair(name: str) -> tuple[Any, Any, Any]:
    """Their model, ours with the same weights, and our configuration."""
    theirs = original(name)
    config = families.from_hf(theirs.config.to_dict())
    return theirs, build(config, config.read_hf(theirs.state_dict())), config


def disturb(tensors: Any) -> None:
    """As if something had been learnt."""
    torch.manual_seed(5)
    with torch.no_grad():
        for value in tensors:
            value.add_(0.1 * torch.randn_like(value))


def edit(folder: Path, **values: Any) -> None:
    told = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(told | values))


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in CONFIGS for kind in KNOWN if kind == "lora" or name in PLAIN]
)
def test_peft_answers_alike(name: str, kind: str, tmp_path: Path) -> None:
    theirs, network, config = pair(name)
    method = Method(kind=kind, rank=3, alpha=5.0, tokens=4)
    apply(network, method)
    before = logits(network, token_ids())
    disturb(adapter_tensors(network).values())
    assert (logits(network, token_ids()) - before).abs().max() > 1e-3
    write_peft(tmp_path, network, config, method, "tiny/base")
    loaded = peft.PeftModel.from_pretrained(theirs, str(tmp_path)).eval()
    found = logits(loaded, token_ids())
    expected = logits(network, token_ids())
    assert_close(found[:, -expected.shape[1] :], expected, rtol=0, atol=1e-5)

    again, tensors, _ = read_peft(tmp_path, config)
    assert again.kind == kind
    fresh = load_adapter(pair(name)[1], again, tensors)
    assert_close(logits(fresh, token_ids()), expected, rtol=0, atol=1e-6)
    if kind in ("lora", "dora"):
        assert again.scale == method.scale
        assert {name: value.shape for name, value in tensors.items()} == {
            name: value.shape for name, value in adapter_tensors(network).items()
        }


def foreign(theirs: Any, config: peft.PeftConfig, folder: Path) -> Any:
    """An adapter that peft made and wrote; the model that holds it."""
    wrapped = peft.get_peft_model(theirs, config)
    disturb(value for value in wrapped.parameters() if value.requires_grad)
    wrapped.save_pretrained(str(folder))
    return wrapped.eval()


def assert_read(wrapped: Any, name: str, folder: Path) -> Method:
    """Ours with the adapter that `wrapped` wrote answers as `wrapped` does, merged or not."""
    _, network, config = pair(name)
    method, tensors, _ = read_peft(folder, config)
    load_adapter(network, method, tensors)
    expected = logits(wrapped, token_ids())
    found = logits(network, token_ids())
    assert_close(found, expected[:, -found.shape[1] :], rtol=1e-5, atol=1e-5)
    if method.kind in ("lora", "dora", "ia3"):
        assert_close(logits(merged(network), token_ids()), found, rtol=1e-5, atol=1e-5)
    return method


@FAMILIES
def test_reading_lora(name: str, tmp_path: Path) -> None:
    """All layers, each with an A of its own."""
    settings = peft.LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", task_type="CAUSAL_LM")
    method = assert_read(foreign(original(name), settings, tmp_path), name, tmp_path)
    assert method.kind == "lora"
    assert method.rank == 4


def test_reading_some_modules_with_patterns(tmp_path: Path) -> None:
    settings = peft.LoraConfig(
        r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], use_rslora=True, task_type="CAUSAL_LM",
        rank_pattern={"v_proj": 2}, alpha_pattern={"layers.0.self_attn.q_proj": 9},
    )  # fmt: skip
    assert assert_read(foreign(original("llama"), settings, tmp_path), "llama", tmp_path).root
    written = tmp_path / "again"
    _, network, config = pair("llama")
    method, tensors, _ = read_peft(tmp_path, config)
    load_adapter(network, method, tensors)
    assert len(tensors["decoder.blocks.0.attention.qkv.lora_a"]) == 6
    write_peft(written, network, config, method, "tiny/base")  # ranks of their own go out as patterns
    loaded = peft.PeftModel.from_pretrained(original("llama"), str(written)).eval()
    assert_close(logits(loaded, token_ids()), logits(network, token_ids()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama", "phi"])
def test_reading_dora_and_ia3(name: str, tmp_path: Path) -> None:
    dora = peft.LoraConfig(r=4, target_modules="all-linear", use_dora=True, task_type="CAUSAL_LM")
    assert assert_read(foreign(original(name), dora, tmp_path / "dora"), name, tmp_path / "dora").kind == "dora"
    ia3 = peft.IA3Config(task_type="CAUSAL_LM")
    if name == "phi":  # peft has no defaults for it
        ia3 = peft.IA3Config(
            target_modules=["q_proj", "v_proj", "fc2"], feedforward_modules=["fc2"], task_type="CAUSAL_LM"
        )
    assert assert_read(foreign(original(name), ia3, tmp_path / "ia3"), name, tmp_path / "ia3").kind == "ia3"


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_reading_prompts(name: str, tmp_path: Path) -> None:
    prompt = peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    assert_read(foreign(original(name), prompt, tmp_path / "prompt"), name, tmp_path / "prompt")
    prefix = peft.PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    assert_read(foreign(original(name), prefix, tmp_path / "prefix"), name, tmp_path / "prefix")


@FAMILIES
def test_every_layer_has_its_place(name: str) -> None:
    theirs, network, config = pair(name)
    found = places(config)
    assert len(found) == sum(isinstance(module, torch.nn.Linear) for module in network.modules()) - 1  # the head
    modules = dict(theirs.named_modules())
    for place in found:
        assert network.get_submodule(place.ours).weight.shape == (sum(place.sizes), place.width)
        assert all(module in modules for module in place.theirs)


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _, network, config = pair("llama")
    method = Method(rank=2)
    write_peft(tmp_path, apply(network, method), config, method, "org/base", base_sha256="ab" * 32)
    return tmp_path


def test_what_peft_does_not_know(tmp_path: Path) -> None:
    _, network, config = pair("llama")
    with pytest.raises(UserError, match=r"no counterpart .*'bottleneck'"):
        write_peft(tmp_path, network, config, Method(kind="bottleneck"), "base")
    apply(network, Method(kind="ia3"))
    learn_rows(network, torch.arange(20, network.vocabulary))
    with pytest.raises(UserError, match=r"not beside ia3.*merged"):
        write_peft(tmp_path, network, config, Method(kind="ia3"), "base")
    assert not list(tmp_path.iterdir())


def test_another_base(folder: Path) -> None:
    with pytest.raises(UserError, match=r"is for org/base, not for this gpt2 .*no place for 'base_model"):
        read_peft(folder, pair("gpt2")[2])
    config = pair("llama")[2]
    read_peft(folder, config, base_name="org/base", base_sha256="ab" * 32)
    with pytest.raises(UserError, match=r"learnt on org/base \(sha256 abab.*the base here is org/other \(sha256 cdcd"):
        read_peft(folder, config, base_name="org/other", base_sha256="cd" * 32)
    tensors = load_file(folder / WEIGHTS)
    name = next(name for name in tensors if "q_proj.lora_A" in name)
    save_file(tensors | {name: torch.zeros(2, 5)}, folder / WEIGHTS)
    with pytest.raises(UserError, match=r"for org/base.*lora_A of model.*is \(2, 5\), not \(2, "):
        read_peft(folder, config)
    save_file({key: value for key, value in tensors.items() if key != name}, folder / WEIGHTS)
    with pytest.raises(UserError, match="incomplete at model"):
        read_peft(folder, config)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"peft_type": "LOHA"}, "type 'LOHA'.*LORA"),
        ({"bias": "all"}, "bias to 'all'"),
        ({"modules_to_save": ["lm_head"]}, "incomplete.*lm_head"),
        ({"modules_to_save": ["score"]}, "modules_to_save"),
        ({"init_lora_weights": "pissa_niter_4"}, "pissa"),
        ({"r": 7}, "rank 7, and its tensors have 2"),
        ({"use_dora": True}, "incomplete"),
    ],
)
def test_settings_that_we_do_not_know(folder: Path, values: dict[str, Any], what: str) -> None:
    edit(folder, **values)
    with pytest.raises(UserError, match=what):
        read_peft(folder, pair("llama")[2])


def test_only_safetensors(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(UserError, match=r"holds no adapter_model\.safetensors"):
        read_peft(folder, pair("llama")[2])
    (folder / CONFIG).unlink()
    with pytest.raises(UserError, match=r"holds no adapter_config\.json"):
        read_peft(folder, pair("llama")[2])


def test_dora_that_leaves_rows_alone(tmp_path: Path) -> None:
    settings = peft.LoraConfig(r=2, target_modules=["q_proj"], use_dora=True, task_type="CAUSAL_LM")
    foreign(original("llama"), settings, tmp_path)
    with pytest.raises(UserError, match=r"q_proj and not .*k_proj"):
        read_peft(tmp_path, pair("llama")[2])
