"""Greedy decoding of SmolLM2-135M: ours in float32, int8 and int4, by torch and by ONNX Runtime (after an export, which
takes minutes), beside transformers' generate and llama.cpp; same weights, same prompts, same threads, in one run.

    python benchmarks/text_decode.py --threads 2
    python benchmarks/text_decode.py --threads 2 --checkpoint SmolLM2-135M-Instruct.gguf

Without a checkpoint the one of the card is fetched (92 MB). All contestants are timed in turn, again and again, so that
a machine that slows down slows all. Printed as JSON: for each contestant the median tokens per second and the best; the
median of the ratios, round by round, to ours in float32 and to transformers (its better cache, dynamic or static) and,
for ours in few bits, to llama.cpp in as many (Q8_0, Q4_0; above 1: ours is faster); the share of the memory's bandwidth
that reading the weights once a step reaches (bandwidth: a sum over 400 MB with the same threads, in the same run); how
many greedy tokens agree with transformers'; and `nats`, what a text of 200 tokens that float32 wrote costs each, as the
weights' precision changes it. llama.cpp decodes one prompt at a time: it has no row for more.
Needs transformers, and for its rows llama-cpp-python: pip install -e '.[text]' transformers llama-cpp-python
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from torch import nn
from tsuite.core import registry, runtime
from tsuite.core.engines import onnxruntime
from tsuite.core.export.folder import attach
from tsuite.core.export.graph import write_onnx
from tsuite.core.export.narrow import narrow
from tsuite.core.export.steps import Step, language_graphs
from tsuite.core.generate import generate
from tsuite.core.language import LanguageModel
from tsuite.core.quantize import quantize
from tsuite.core.sampling import Sampling
from tsuite.domains.text import finetuned
from tsuite.domains.text.families import FamilyConfig
from tsuite.domains.text.finetuned import Chatter
from tsuite.domains.text.gguf import write_gguf

PROMPT = 32
PEERS = ("transformers, dynamic cache", "transformers, static cache")
FLOAT32, NARROW = "ours, float32", {"ours, int8": "int8", "ours, int4": "int4"}
LLAMAS = {"llama.cpp, Q8_0": "q8_0", "llama.cpp, Q4_0": "q4_0"}
EXPORTED = {"ours, ONNX float32": None, "ours, ONNX int8": "int8", "ours, ONNX int4": "int4"}
RIVALS = {**dict(zip(NARROW, LLAMAS, strict=True)), **dict(zip(list(EXPORTED)[1:], LLAMAS, strict=True))}

Contestant = Callable[[list[list[int]], int], list[list[int]]]
"""(prompts of equal length, new tokens) -> the new tokens of each."""


def load(checkpoint: str | None) -> Chatter:
    """A pretrained model, by default the card's SmolLM2."""
    return finetuned.load_base(finetuned.locate_base(registry.card("text.phi15_zh"), checkpoint or "smollm2-135m"))


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


def exported(network: LanguageModel, kind: str | None, folder: Path, threads: int) -> LanguageModel:
    """The network with ONNX Runtime in place of its layers, as `tsuite export` and `run` make it."""
    twin: Any = copy.deepcopy(network)
    graphs = language_graphs("network", twin, Step(twin))
    folder.mkdir()
    for graph in graphs:
        write_onnx(graph, folder / f"{graph.name}.onnx")
        if kind:
            narrow(folder / f"{graph.name}.onnx", kind, of=graph.kind)
    facts = {"graphs": [graph.facts() for graph in graphs]}
    runs, _ = onnxruntime.start(folder, facts, device="cpu", threads=threads)
    task: Any = SimpleNamespace(network=twin, step_extras=lambda cache, batch: (), exported=lambda: None)
    attach(task, facts, runs)
    return twin


def alone(run: Contestant, threads: int) -> Contestant:
    """With one thread of torch's: the others would take the cores from the runtime's."""

    def one(prompts: list[list[int]], new: int) -> list[list[int]]:
        torch.set_num_threads(1)
        try:
            return run(prompts, new)
        finally:
            torch.set_num_threads(threads)

    return one


def contestants(models: dict[str, LanguageModel], config: FamilyConfig, threads: int) -> dict[str, Contestant]:
    """Whom we time, by name; `models` are ours."""
    peer = peer_of(models[FLOAT32], config)

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
        **{name: alone(ours(model), threads) if name in EXPORTED else ours(model) for name, model in models.items()},
        PEERS[0]: theirs(),
        PEERS[1]: theirs(cache_implementation="static", disable_compile=True),
    }


def llamas(chatter: Chatter, folder: Path, threads: int) -> dict[str, Contestant]:
    """llama.cpp on the same weights, by name; nobody where its package is missing."""
    try:
        import llama_cpp  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        return {}

    def contestant(kind: Any) -> Contestant:
        path = folder / f"{kind}.gguf"
        write_gguf(path, chatter.config, chatter.network.state_dict(), chatter.tokenizer, kind)
        model = llama_cpp.Llama(str(path), n_ctx=1024, n_threads=threads, n_threads_batch=threads, verbose=False)

        def run(prompts: list[list[int]], new: int) -> list[list[int]]:
            return [list(islice(model.generate(ids, temp=0.0, repeat_penalty=1.0), new)) for ids in prompts]

        return run

    return {name: contestant(kind) for name, kind in LLAMAS.items()}


def nats(network: LanguageModel, text: list[int]) -> float:
    """Minus the log-probability of a token of the text after its first `PROMPT`, on average."""
    with torch.inference_mode():
        logits = network(torch.tensor([text]))[0, PROMPT - 1 : -1]
    return float(torch.nn.functional.cross_entropy(logits.float(), torch.tensor(text[PROMPT:])))


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

    def ratio(slower: list[float], own: list[float]) -> float:
        return round(statistics.median(b / a for a, b in zip(own, slower, strict=True)), 2)

    results: dict[str, Any] = {}
    for name, own in times.items():
        speeds: dict[str, Any] = {
            "tokens_per_second": round(batch * new / statistics.median(own), 1),
            "best": round(batch * new / min(own), 1),
            "ms_per_step": round(1e3 * statistics.median(own) / new, 2),
        }
        if name not in PEERS:
            pairs = [(a, b) for x, y in zip(said[name], said[PEERS[0]], strict=True) for a, b in zip(x, y, strict=True)]
            speeds["times_transformers"], speeds["times_float32"] = ratio(peers, own), ratio(times[FLOAT32], own)
            if (other := RIVALS.get(name)) in times:
                speeds["times_llama_cpp"] = ratio(times[other], own)
            speeds["same_tokens"] = f"{sum(a == b for a, b in pairs)} of {len(pairs)}"
        results[name] = speeds
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: measured)")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens of each reply")
    parser.add_argument("--rounds", type=int, default=6, help="measurements of each contestant")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="prompts side by side")
    parser.add_argument("--checkpoint", default=None, help="a GGUF file, a folder or a name of the card")
    options = parser.parse_args()
    threads = runtime.set_threads(options.threads)
    transformers.logging.set_verbosity_error()
    chatter = load(options.checkpoint)
    models: dict[str, Any] = {FLOAT32: chatter.network}
    for name, kind in NARROW.items():
        models[name] = quantize(copy.deepcopy(chatter.network), kind)
    folder = tempfile.TemporaryDirectory()
    for name, kind in EXPORTED.items():
        models[name] = exported(chatter.network, kind, Path(folder.name) / str(kind), threads)
    torch.set_num_threads(threads)
    speed = bandwidth()
    results: dict[str, Any] = {
        "machine": f"{runtime.cpu_name()}, {runtime.available_cores()} cores",
        "threads": threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "weights": chatter.source,
        "memory_gb_per_second": round(speed / 1e9, 1),
    }
    prompt = torch.randint(5, 40000, (PROMPT,), generator=torch.Generator().manual_seed(1)).tolist()
    (written,) = generate(models[FLOAT32], [prompt], Sampling(max_new=200, temperature=1.0, seed=0))
    results["nats"] = {name: round(nats(model, prompt + written.ids), 4) for name, model in models.items()}
    sizes = {name: bytes_per_step(model) for name, model in models.items() if name not in EXPORTED}
    with folder:
        who, one_only = contestants(models, chatter.config, threads), llamas(chatter, Path(folder.name), threads)
        for batch in options.batch:
            there = {**who, **one_only} if batch == 1 else who
            found = compare(there, batch=batch, new=options.tokens, rounds=options.rounds)
            for name, size in sizes.items():
                steps = found[name]["tokens_per_second"] / batch
                found[name]["share_of_bandwidth"] = round(size * steps / speed, 2)
            results[f"batch {batch}, {PROMPT} + {options.tokens} tokens"] = found
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
