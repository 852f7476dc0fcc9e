"""What `run` and `finetune` may be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ....core.options import ExportOptions as CoreExportOptions
from ....core.options import RunOptions as CoreRunOptions
from ....core.options import TrainOptions, option

METHODS = ("lora", "full", "freeze", "dora", "qlora", "ia3", "bottleneck", "prompt", "prefix")


@dataclass(frozen=True, kw_only=True)
class RunOptions(CoreRunOptions):
    """Options of `tsuite run text.phi15_zh` and of a loaded model's call."""

    batch: int = option(8, "prompts that are answered together")
    input: str = option("", "file of prompts to answer in batches: JSONL, JSON, CSV or text, a prompt a line")
    system: str = option("", "what the model is told before the first turn")
    max_new: int = option(1024, "most tokens in a reply")
    temperature: float = option(0.0, "0 takes the likeliest token (greedy); 1 draws from the model's own distribution")
    top_k: int = option(0, "draw from the k likeliest tokens (0: all)")
    top_p: float = option(1.0, "draw from the likeliest tokens that hold this share of the probability")
    min_p: float = option(0.0, "draw from tokens at least this share as likely as the likeliest")
    repetition_penalty: float = option(1.05, "makes tokens that were said less likely (1: does not)")
    no_repeat_ngram: int = option(
        24, "so many tokens in a row never come twice in a reply, against loops (0: they may)"
    )
    beams: int = option(1, "beams of a beam search (1: none)")
    lookup: int = option(0, "tokens drafted from earlier text and checked in one pass; greedy text stays the same")
    stop: str = option("", "text that ends a reply; several are separated by |")
    seed: int = option(-1, "seed of what is drawn (-1: another each time)")
    show_probs: bool = option(False, "print each token with its probability and the runners-up")
    strict: bool = option(False, "refuse a conversation longer than the context, rather than drop its oldest turns")
    weights: str = option("float32", "arithmetic of the weights", choices=("float32", "bfloat16"))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.max_new > 0, f"--max-new must be at least 1, not {self.max_new}.")
        self.require_not_negative("temperature")
        self.require(0 < self.top_p <= 1, f"--top-p is a share above 0, up to 1, not {self.top_p}.")
        self.require(0 <= self.min_p <= 1, f"--min-p is a share from 0 to 1, not {self.min_p}.")
        self.require(self.repetition_penalty > 0, f"--repetition-penalty is above 0, not {self.repetition_penalty}.")
        self.require(self.beams > 0, f"--beams must be at least 1, not {self.beams}.")
        counts = (self.top_k, self.lookup, self.no_repeat_ngram)
        self.require(min(counts) >= 0, "--top-k, --lookup and --no-repeat-ngram cannot be negative.")
        repels = self.repetition_penalty != 1 or self.no_repeat_ngram
        self.require(
            not (self.lookup and repels),
            "--lookup drafts for plain greedy decoding alone: add --repetition-penalty 1 --no-repeat-ngram 0.",
        )
        self.require(not (self.beams > 1 and self.temperature), "--beams and --temperature exclude each other.")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(RunOptions):
    """Options of `tsuite evaluate text.phi15_zh`, beside those of `run`."""

    text: str = option("", "also the perplexity of a plain text file")
    choices: str = option("", "also the accuracy on a CSV of questions, choices and answers")


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainOptions):
    """Options of `tsuite finetune text.phi15_zh`."""

    base: str = option(
        "", "what is fine-tuned: a path, hf://org/name, org/name, a GGUF (default: phi-1.5 if reachable)"
    )
    method: str = option("lora", "which weights learn", choices=METHODS)
    rank: int = option(16, "rank of LoRA, DoRA and QLoRA")
    alpha: float = option(0.0, "scale of LoRA's change (0: twice the rank)")
    targets: str = option("all", "linear layers that get an adapter: all, or names as qkv,out,gate_up,up,down")
    layers: int = option(0, "last layers that learn (0: all; for --method freeze: 2)")
    tokens: int = option(16, "virtual tokens of --method prompt and prefix")
    rows: int = option(
        -1, "new vocabulary rows for the data's language (0: none; -1: spare ones, if the data are many)"
    )
    vocabulary: str = option(
        "auto",
        "rows that learn beside an adapter: new ones, or also those of the data's tokens outside ASCII",
        choices=("auto", "new", "data"),
    )
    replay: float = option(
        -1.0, "English examples mixed in, as a share of the data, against forgetting (-1: what suits)"
    )
    objective: str = option(
        "chat", "chat: replies; text: every token of plain text; dpo: preferences", choices=("chat", "text", "dpo")
    )
    beta: float = option(0.1, "how strongly DPO holds to the model it began with")
    length: int = option(0, "tokens in one row (0: what suits)")
    packing: str = option(
        "auto",
        "on: several examples in a row, which never see each other; off: batches of examples of about the same length",
        choices=("auto", "on", "off"),
    )
    checkpointing: bool = option(False, "compute activations again in the backward pass, to save memory")
    report: bool = option(True, "compare base and result on held-out text when done")
    batch_size: int = option(4, "rows (or examples) in one optimiser step, over all processes and accumulated parts")
    weight_decay: float = option(0.0, "AdamW's decay of matrices")
    precision: str = option("auto", "arithmetic of the forward pass", choices=("auto", "fp32", "bf16", "fp16"))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.rank > 0, f"--rank must be at least 1, not {self.rank}.")
        self.require(min(self.layers, self.length) >= 0, "--layers and --length cannot be negative.")
        self.require(self.tokens > 0, f"--tokens must be at least 1, not {self.tokens}.")
        self.require(self.beta > 0, f"--beta must be above 0, not {self.beta}.")
        self.require(self.rows >= -1, f"--rows is a count, 0 or -1, not {self.rows}.")
        self.require(self.replay == -1 or 0 <= self.replay <= 10, f"--replay is a share, not {self.replay}.")


@dataclass(frozen=True, kw_only=True)
class ExportOptions(CoreExportOptions):
    """Options of `tsuite export text.phi15_zh`."""

    format: str = option(
        "hf",
        "hf: a merged Hugging Face folder; peft: the adapter alone; gguf: one file for llama.cpp; onnx, torch: graphs",
        choices=("hf", "peft", "gguf", "onnx", "torch"),
    )
    precision: str = option(
        "auto",
        "of the weights (auto: float16; for gguf also q8_0, q4_0)",
        choices=("auto", "float32", "float16", "bfloat16", "q8_0", "q4_0"),
    )
