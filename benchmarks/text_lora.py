"""A LoRA training step of SmolLM2-135M beside transformers + peft: same weights, same layers, same threads, in one run.

    python benchmarks/text_lora.py --threads 2

Batch 8 x 128 tokens, float32, rank 16 beside every linear layer, AdamW, the same plain loop around both. The two are
timed in turn, A B A B …, so that a machine that slows down slows both. Printed as JSON: median milliseconds of each
step, the median of the ratios pair by pair (above 1: ours is faster), how far the losses
differ at first, and the peak memory of each side alone, in a process of its own.
Needs peft and transformers: pip install -e '.[text]' -c constraints.txt
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tsuite.core import runtime
from tsuite.core.adapters import Method, apply, language_loss
from tsuite.core.language import LanguageModel
from tsuite.core.weights import load_into, without_weights
from tsuite.domains.text import families

SMOLLM2 = {
    "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "intermediate_size": 1536, "max_position_embeddings": 2048, "tie_word_embeddings": True,
    "rms_norm_eps": 1e-5, "rope_theta": 100000.0,
}  # fmt: skip
BATCH, LENGTH, RANK = 8, 128, 16
LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def original() -> Any:
    """transformers' model with random weights."""
    import transformers

    torch.manual_seed(0)
    settings = {key: value for key, value in SMOLLM2.items() if key != "model_type"}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings))  # type: ignore[arg-type]


def ours(weights: dict[str, Tensor] | None = None) -> LanguageModel:
    """Our model with LoRA, holding `weights` of transformers' or random ones."""
    config = families.from_hf(SMOLLM2)
    if weights is None:
        network = config.network()
    else:
        with without_weights():
            network = config.network()
        load_into(network, config.read_hf(weights))
    return apply(network, Method(kind="lora", rank=RANK)).train()


def theirs(model: Any) -> nn.Module:
    """transformers' model with peft's LoRA beside the same layers."""
    import peft

    settings = peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=LAYERS, task_type="CAUSAL_LM")
    return peft.get_peft_model(model, settings).train()


def tokens() -> Tensor:
    return torch.randint(SMOLLM2["vocab_size"], (BATCH, LENGTH), generator=torch.Generator().manual_seed(1))  # type: ignore[call-overload]


def our_loss(network: LanguageModel, ids: Tensor) -> Tensor:
    hidden = network.hidden(ids[:, :-1]).flatten(0, 1)
    return language_loss(network, hidden, ids[:, 1:].flatten()) / hidden.shape[0]


def their_loss(network: Any, ids: Tensor) -> Tensor:
    return network(input_ids=ids, labels=ids).loss


def step_of(network: Any, loss_of: Callable[[Any, Tensor], Tensor]) -> Callable[[], float]:
    """Forward, loss, backward, clip, AdamW."""
    learning = [value for value in network.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=1e-4)
    ids = tokens()

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(network, ids)
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        return float(loss.detach())

    return step


def in_turn(seconds: float) -> dict[str, Any]:
    """Time both alternately for about `seconds`, at least five pairs; the order within a pair alternates too."""
    model = original()
    network = ours(model.state_dict())
    other = theirs(model)
    ids = tokens()
    with torch.no_grad():
        losses = float(our_loss(network, ids)), float(their_loss(other, ids))
    works = {"ours": step_of(network, our_loss), "theirs": step_of(other, their_loss)}
    for _ in range(2):
        for work in works.values():
            work()
    times: dict[str, list[float]] = {name: [] for name in works}
    end = time.perf_counter() + seconds
    while len(times["ours"]) < 5 or time.perf_counter() < end:
        names = list(works) if len(times["ours"]) % 2 else list(reversed(works))
        for name in names:
            start = time.perf_counter()
            works[name]()
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = [slow / fast for fast, slow in zip(times["ours"], times["theirs"], strict=True)]
    return {
        "difference_of_first_losses": abs(losses[0] - losses[1]),
        **{f"{name}_ms": round(1e3 * value, 1) for name, value in medians.items()},
        "ratio": round(statistics.median(ratios), 3),
        "pairs": len(ratios),
        "our_tokens_per_second": round(BATCH * LENGTH / medians["ours"], 1),
        "learning": {name: learning_of(value) for name, value in (("ours", network), ("theirs", other))},
    }


def learning_of(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters() if value.requires_grad)


def one_side(name: str) -> dict[str, float]:
    """Three steps of one side; what the process came to hold, in MB."""
    step = step_of(ours(), our_loss) if name == "ours" else step_of(theirs(original()), their_loss)
    before = _peak()
    for _ in range(3):
        step()
    return {"peak_mb": round(_peak(), 1), "before_steps_mb": round(before, 1)}


def _peak() -> float:
    """The most memory that this program held, in MB; getrusage would count that of the process it was started from."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def alone(name: str, threads: int) -> dict[str, float]:
    """`one_side` in a process of its own."""
    command = [sys.executable, __file__, "--side", name, "--threads", str(threads)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads (default: measured)")
    parser.add_argument("--seconds", type=float, default=60.0, help="seconds of timing")
    parser.add_argument("--side", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    threads = runtime.set_threads(options.threads)
    if options.side:
        print(json.dumps(one_side(options.side)))
        return
    import peft
    import transformers

    print(json.dumps({
        "machine": f"{runtime.cpu_name()}, {runtime.available_cores()} cores, load {os.getloadavg()[0]:.2f}",
        "threads": threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        f"LoRA step, rank {RANK}, {BATCH} x {LENGTH}": in_turn(options.seconds),
        "memory": {name: alone(name, threads) for name in ("ours", "theirs")},
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
