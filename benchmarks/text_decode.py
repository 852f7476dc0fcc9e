"""Greedy decoding of SmolLM2-135M beside transformers' generate: same weights, same prompts, same threads, in one run.

    python benchmarks/text_decode.py --threads 2
    python benchmarks/text_decode.py --threads 2 --checkpoint SmolLM2-135M-Instruct.gguf

Without a checkpoint the weights are random in the same shape, which is as fast. All contestants are timed in turn,
again and again, so that a machine that slows down slows all. Printed as JSON: for each contestant the median tokens per
second and the best, the median of the ratios to transformers round by round (above 1: ours is faster; the peer is its
better cache, dynamic or static), the share of the memory bandwidth that reading the weights once a step reaches
(bandwidth: a sum over 400 MB with the same threads, in the same run), and how many of the greedy tokens agree.
Needs transformers: pip install -e '.[text]'
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from tsuite.core import runtime
from tsuite.core.generate import generate
from tsuite.core.language import LanguageModel
from tsuite.core.quantize import quantize
from tsuite.core.sampling import Sampling
from tsuite.core.weights import load_into
from tsuite.domains.text import pretrained
from tsuite.domains.text.families import FamilyConfig, LlamaConfig, Rope

SMOLLM2 = LlamaConfig(
    vocabulary=49152,
    dim=576,
    depth=30,
    heads=9,
    kv_heads=3,
    head_dim=64,
    hidden=1536,
    length=8192,
    activation="silu",
    tied=True,
    rope=Rope(base=100000.0),
)
PROMPT = 32
PEERS = ("transformers, dynamic cache", "transformers, static cache")

Contestant = Callable[[list[list[int]], int], list[list[int]]]
"""(prompts of equal length, new tokens) -> the new tokens of each."""


def load(checkpoint: Path | None) -> tuple[LanguageModel, FamilyConfig]:
    """The network of a checkpoint, or one of SmolLM2's shape with random weights."""
    torch.manual_seed(0)
    if checkpoint is None:
        network, config = SMOLLM2.network(), SMOLLM2
        for value in network.parameters():
            if value.ndim > 1:
                nn.init.normal_(value, std=0.1)
    else:
        found = pretrained.load(checkpoint, source=str(checkpoint), dtype=torch.float32)
        network, config = found.config.network(), found.config
        load_into(network, found.tensors)
    return network.eval(), config


def peer_of(network: LanguageModel, config: FamilyConfig) -> Any:
    """transformers' model with the same weights."""
    settings = config.to_hf()
    settings = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    peer: Any = transformers.AutoModelForCausalLM.from_config(settings, dtype=torch.float32).eval()
    missing = peer.load_state_dict(config.table().to_theirs(network.state_dict()), strict=False).missing_keys
    assert not [key for key in missing if not (config.tied and key == "lm_head.weight")], missing
    peer.tie_weights()
    peer.generation_config.eos_token_id = None
    return peer


def contestants(network: LanguageModel, narrow: LanguageModel, config: FamilyConfig) -> dict[str, Contestant]:
    """Whom we time, by name; `narrow` is the network with int8 weights."""
    peer = peer_of(network, config)

    def ours(model: LanguageModel) -> Contestant:
        return lambda prompts, new: [reply.ids for reply in generate(model, prompts, Sampling(max_new=new))]

    def theirs(**cache: Any) -> Contestant:
        def run(prompts: list[list[int]], new: int) -> list[list[int]]:
            ids = torch.tensor(prompts)
            options = {"max_new_tokens": new, "do_sample": False, "pad_token_id": 0, **cache}
            found = peer.generate(ids, attention_mask=torch.ones_like(ids), **options)
            return found[:, ids.shape[1] :].tolist()

        return run

    return {
        "ours, float32": ours(network),
        "ours, int8": ours(narrow),
        PEERS[0]: theirs(),
        PEERS[1]: theirs(cache_implementation="static", disable_compile=True),
    }


def bandwidth(rounds: int = 10) -> float:
    """Bytes per second at which these threads read memory: a sum over 400 MB, the best of some."""
    big, times = torch.ones(100_000_000), []
    for _ in range(rounds):
        start = time.perf_counter()
        big.sum()
        times.append(time.perf_counter() - start)
    return big.nbytes / min(times)


def bytes_per_step(network: nn.Module) -> int:
    """Weights that a step of decoding reads: all of the layers' and the head's (of the embedding, one row)."""
    parts = [part for name, part in network.named_children() if name not in {"tokens", "positions"}]
    return sum(value.nbytes for part in parts for value in part.state_dict(keep_vars=True).values())


def compare(who: dict[str, Contestant], *, batch: int, new: int, rounds: int) -> dict[str, Any]:
    """Time all in turn, the order turning too."""
    prompts = torch.randint(5, 40000, (batch, PROMPT), generator=torch.Generator().manual_seed(batch)).tolist()
    said = {name: run(prompts, new) for name, run in who.items()}
    times: dict[str, list[float]] = {name: [] for name in who}
    names = list(who)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.perf_counter()
            who[name](prompts, new)
            times[name].append(time.perf_counter() - start)
    peers = [min(pair) for pair in zip(*(times[name] for name in PEERS), strict=True)]
    results: dict[str, Any] = {}
    for name, own in times.items():
        speeds: dict[str, Any] = {
            "tokens_per_second": round(batch * new / statistics.median(own), 1),
            "best": round(batch * new / min(own), 1),
            "ms_per_step": round(1e3 * statistics.median(own) / new, 2),
        }
        if name not in PEERS:
            pairs = [(a, b) for x, y in zip(said[name], said[PEERS[0]], strict=True) for a, b in zip(x, y, strict=True)]
            speeds["times_transformers"] = round(statistics.median(b / a for a, b in zip(own, peers, strict=True)), 2)
            speeds["same_tokens"] = f"{sum(a == b for a, b in pairs)} of {len(pairs)}"
        results[name] = speeds
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: measured)")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens of each reply")
    parser.add_argument("--rounds", type=int, default=6, help="measurements of each contestant")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="prompts side by side")
    parser.add_argument("--checkpoint", type=Path, default=None, help="a GGUF file or folder (default: random weights)")
    options = parser.parse_args()
    threads = runtime.set_threads(options.threads)
    transformers.logging.set_verbosity_error()
    network, config = load(options.checkpoint)
    narrow = copy.deepcopy(network)
    quantize(narrow, "int8")
    who = contestants(network, narrow, config)
    speed = bandwidth()
    results: dict[str, Any] = {
        "machine": f"{runtime.cpu_name()}, {runtime.available_cores()} cores",
        "threads": threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "weights": str(options.checkpoint or "random, the shape of SmolLM2-135M"),
        "memory_gb_per_second": round(speed / 1e9, 1),
    }
    sizes = {"ours, float32": bytes_per_step(network), "ours, int8": bytes_per_step(narrow)}
    for batch in options.batch:
        found = compare(who, batch=batch, new=options.tokens, rounds=options.rounds)
        for name, size in sizes.items():
            steps = found[name]["tokens_per_second"] / batch
            found[name]["share_of_bandwidth"] = round(size * steps / speed, 2)
        results[f"batch {batch}, {PROMPT} + {options.tokens} tokens"] = found
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
