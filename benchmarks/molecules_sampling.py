"""Drawing molecules: with the key/value cache, beside MolGPT's way and beside transformers' `generate`.

    python benchmarks/molecules_sampling.py
    python benchmarks/molecules_sampling.py --molecules 2048 --batch 256 --threads 1

One GPT-2 (learned positions, biases, tied head; width, depth and heads those of the model that ships) learns MOSES for
some hundred steps, so that its molecules end where molecules end; its weights are copied into transformers'
GPT2LMHeadModel. Before anything is timed the logits of the two for the same molecules are compared, and those of the
cached steps with those of the whole sequence.

- ours: `draw`, rows that have ended leave the batch;
- recompute: what MolGPT's sampler does, with the same network: the whole sequence anew for each token, always up to the
  longest molecule (Bagal et al. 2022);
- transformers: `generate(do_sample=True)` with its cache, until the last row has ended.

They take turns, so that none has the quieter machine. Printed as JSON: molecules and tokens a second of each, and the
ratios. Needs: pip install -e '.[molecules]' transformers
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import transformers
from tsuite.core import runtime
from tsuite.core.sampling import Sampling
from tsuite.domains.molecules.data import collect
from tsuite.domains.molecules.smiles_gpt import SmilesGPT, SmilesGPTConfig
from tsuite.domains.molecules.smiles_gpt.config import SHAPES
from tsuite.domains.molecules.smiles_gpt.rows import Rows, batch_of
from tsuite.domains.molecules.smiles_gpt.sampling import DrawBatch, draw
from tsuite.domains.molecules.tokenizer import SmilesTokenizer
from tsuite.domains.molecules.tokens import tokenise, vocabulary

BEGIN, END, PAD = SmilesTokenizer.begin, SmilesTokenizer.end, SmilesTokenizer.pad


def trained(size: str, steps: int) -> SmilesGPT:
    """A GPT-2 that has learnt a little of MOSES."""
    part = collect("moses").split("train")
    tokenizer = vocabulary(part)
    rows = Rows(tokenise(part, tokenizer, length=54))
    config = SmilesGPTConfig(vocabulary=len(tokenizer), length=54, learned=True, bias=True, tied=True, **SHAPES[size])
    torch.manual_seed(0)
    network = SmilesGPT(config).train()
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    for step in range(steps):
        batch = batch_of([rows[number] for number in range(32 * step, 32 * step + 32)])
        (network.loss(batch) / float(batch.counted.sum())).backward()
        optimiser.step()
        optimiser.zero_grad()
    return network.eval().requires_grad_(False)


def theirs_of(network: SmilesGPT) -> Any:
    """transformers' GPT-2 with the same weights."""
    config = network.config
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=config.vocabulary, n_positions=config.length, n_embd=config.dim, n_layer=config.depth,
            n_head=config.heads, activation_function="gelu", bos_token_id=BEGIN, eos_token_id=END, pad_token_id=PAD,
        )
    )  # fmt: skip
    own = network.state_dict()
    found = {"transformer.wte.weight": own["tokens.weight"], "transformer.wpe.weight": own["positions.weight"]}
    for kind in ("weight", "bias"):
        found[f"transformer.ln_f.{kind}"] = own[f"decoder.norm.{kind}"]
        for layer in range(config.depth):
            here, there = f"decoder.blocks.{layer}", f"transformer.h.{layer}"
            places = {"attn.c_attn": "attention.qkv", "attn.c_proj": "attention.out", "mlp.c_fc": "mlp.up",
                      "mlp.c_proj": "mlp.down"}  # fmt: skip
            for name, place in places.items():
                value = own[f"{here}.{place}.{kind}"]
                found[f"{there}.{name}.{kind}"] = value.T if kind == "weight" else value
            for name, place in {"ln_1": "attention_norm", "ln_2": "mlp_norm"}.items():
                found[f"{there}.{name}.{kind}"] = own[f"{here}.{place}.{kind}"]
    left = theirs.load_state_dict(found, strict=False)
    assert not left.unexpected_keys
    assert set(left.missing_keys) <= {"lm_head.weight"}, left.missing_keys
    theirs.tie_weights()
    return theirs.eval()


@torch.inference_mode()
def recomputed(network: SmilesGPT, rows: int) -> list[list[int]]:
    """MolGPT's sampler: no cache, no end."""
    tokens = torch.full((rows, 1), BEGIN)
    for _ in range(network.config.length - 1):
        chances = network.logits(tokens)[:, -1].softmax(dim=-1)
        tokens = torch.cat([tokens, torch.multinomial(chances, 1)], dim=1)
    return [row[: row.index(END)] if END in row else row for row in tokens[:, 1:].tolist()]


@torch.inference_mode()
def generated(theirs: Any, rows: int) -> list[list[int]]:
    """transformers' `generate`."""
    begin = torch.full((rows, 1), BEGIN)
    transformers.logging.set_verbosity_error()
    found = theirs.generate(begin, attention_mask=torch.ones_like(begin), do_sample=True, top_k=0,
                            max_new_tokens=theirs.config.n_positions - 1)  # fmt: skip
    return [row[: row.index(END)] if END in row else row for row in found[:, 1:].tolist()]


def drawn(network: SmilesGPT, rows: int, seed: int) -> list[list[int]]:
    """Ours."""
    sampling = Sampling(temperature=1.0, seed=seed, max_new=network.config.length - 1)
    return [list(one.ids) for one in draw(network, DrawBatch(conditions=torch.empty(rows, 0), seed=seed), sampling)]


@torch.inference_mode()
def differences(network: SmilesGPT, theirs: Any) -> dict[str, float]:
    """The largest differences of logits."""
    tokens = torch.randint(4, network.config.vocabulary, (8, 40))
    tokens[:, 0] = BEGIN
    whole = network.logits(tokens)
    cache = network.new_cache(40)
    steps = torch.cat([network(tokens[:, place : place + 1], cache=cache) for place in range(40)], dim=1)
    return {
        "cached": float((steps - whole).abs().max()),
        "transformers": float((theirs(tokens).logits - whole).abs().max()),
    }


def measure(ways: dict[str, Callable[[int], list[list[int]]]], rounds: int, batch: int) -> dict[str, dict[str, Any]]:
    """Molecules and tokens a second of each way, taking turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    tokens = dict.fromkeys(ways, 0)
    for number in range(-1, rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            found = way(number + 1)
            if number >= 0:  # the first round warms up
                times[name].append(time.perf_counter() - start)
                tokens[name] += sum(len(one) + 1 for one in found)
    return {
        name: {
            "molecules_per_second": round(batch / float(np.median(seconds)), 1),
            "tokens_per_molecule": round(tokens[name] / rounds / batch, 1),
            "seconds": [round(one, 3) for one in seconds],
        }
        for name, seconds in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--size", default="base", choices=tuple(SHAPES))
    parser.add_argument("--steps", type=int, default=400, help="training steps before the measurement")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads or runtime.available_cores())
    network = trained(asked.size, asked.steps)
    theirs = theirs_of(network)
    found = measure(
        {
            "ours": lambda seed: drawn(network, asked.batch, seed),
            "transformers": lambda seed: generated(theirs, asked.batch),
            "recompute": lambda seed: recomputed(network, asked.batch),
        },
        asked.rounds,
        asked.batch,
    )
    own = found["ours"]["molecules_per_second"]
    print(
        json.dumps(
            {
                "parameters": sum(value.numel() for value in network.parameters()),
                "batch": asked.batch,
                "threads": torch.get_num_threads(),
                "cpu": runtime.cpu_name(),
                "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
                "largest_difference_of_logits": differences(network, theirs),
                **found,
                "times_recompute": round(own / found["recompute"]["molecules_per_second"], 2),
                "times_transformers": round(own / found["transformers"]["molecules_per_second"], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
