"""molecules.smiles_gpt: a language model of SMILES that generates, conditions and optimises.

from tsuite.domains.molecules.smiles_gpt import SmilesGPT, SmilesGPTConfig, SmilesTask, optimise
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....core.lazy import lazy_names

if TYPE_CHECKING:
    from .config import SmilesGPTConfig
    from .model import SmilesGPT
    from .optimising.reinforce import AgentSettings, Optimised, optimise
    from .task import SmilesTask

_HOME = {
    "AgentSettings": "optimising.reinforce",
    "Optimised": "optimising.reinforce",
    "SmilesGPT": "model",
    "SmilesGPTConfig": "config",
    "SmilesTask": "task",
    "optimise": "optimising.reinforce",
}

__getattr__ = lazy_names(__name__, _HOME)
