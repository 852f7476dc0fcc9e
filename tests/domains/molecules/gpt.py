"""A model so small that it is made in no time."""

from __future__ import annotations

import torch
from tsuite.core import registry
from tsuite.core.task import Origin
from tsuite.domains.molecules.smiles_gpt import SmilesGPT, SmilesGPTConfig, SmilesTask
from tsuite.domains.molecules.smiles_gpt.checkpoints import Around
from tsuite.domains.molecules.tokenizer import SmilesTokenizer

MOLECULES = [
    *("CCO", "CCN", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "CC(C)Cc1ccc(cc1)C(C)C(=O)O"),
    *("C1CCNCC1", "Clc1ccccc1", "CS(=O)(=O)N", "FC(F)F", "CC#N", "BrC1CC1"),
]


def tiny_task(*, conditions: tuple[str, ...] = ("logp", "qed"), seed: int = 0) -> SmilesTask:
    """A task with random weights over the tokens of a few molecules."""
    torch.manual_seed(seed)
    task = registry.card("molecules.smiles_gpt").load_task()
    tokenizer = SmilesTokenizer.from_smiles(MOLECULES)
    config = SmilesGPTConfig(vocabulary=len(tokenizer), length=40, dim=32, depth=2, heads=2, conditions=conditions)
    network = SmilesGPT(config).eval()
    if network.conditions is not None:  # at first they say nothing
        torch.nn.init.normal_(network.conditions.down.weight)
    return task(network, Around(tokenizer=tokenizer), Origin())
