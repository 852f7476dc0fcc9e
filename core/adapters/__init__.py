"""Fine-tuning a part of a network: what learns (`Method`), putting it on, reading it off, folding it in.

method: the settings. linear: LoRA, DoRA, IA3, bottleneck. prompts: prompt and prefix. rows: new vocabulary rows.
apply: the functions for all of them.
"""

from .apply import adapter_tensors, apply, body, load_adapter, merge, merged, without_adapters
from .method import KINDS, Method
from .rows import head_parts, head_places, language_loss, learn_rows, load_rows, merge_rows, row_tensors

__all__ = [
    "KINDS",
    "Method",
    "adapter_tensors",
    "apply",
    "body",
    "head_parts",
    "head_places",
    "language_loss",
    "learn_rows",
    "load_adapter",
    "load_rows",
    "merge",
    "merge_rows",
    "merged",
    "row_tensors",
    "without_adapters",
]
