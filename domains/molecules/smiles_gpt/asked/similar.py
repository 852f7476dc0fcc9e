"""Molecules like a given one: the model goes on from beginnings of the molecule itself, and what is most alike is kept.

The molecule is written from each of its atoms in turn (and in random ways); of these spellings those that the model
finds likely are cut off at a random place and finished by the model. The longer the beginning, the more of the molecule
stays; random places give the near ones and the farther ones. Nothing is trained, and all the model knows of how
molecules go on is used. Finetuning on one molecule would take longer and give back that molecule; a condition on a
fingerprint would have to be learnt beforehand.

Alike is Tanimoto's similarity of Morgan fingerprints of radius 2 (Rogers and Hahn 2010, doi 10.1021/ci100050t), 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .....core.errors import UserError
from ...chem import Chem
from ...fingerprints import nearest, packed
from ...smiles import clean, parse, why_not
from ...tokenizer import SmilesTokenizer
from ..model import SmilesBatch, SmilesGPT
from .cleaned import TAKEN, notice, unknown, without_stereo

FACTOR = 4
"""So many are drawn for each that is kept."""
SPELLINGS, RANDOM = 16, 64
"""Spellings that are gone on from, and random ones among which they are chosen."""
SHORTEST, LONGEST = 0.2, 0.9
"""How much of a spelling is given, at least and at most, of its tokens."""


class Likeness:
    """How similar molecules are to the one it is made for."""

    def __init__(self, smiles: str) -> None:
        self._own = packed([smiles])

    def of(self, smiles: Sequence[str]) -> np.ndarray:
        """Similarities [N], 0 for what is no molecule."""
        return nearest(packed(smiles), self._own)


def read(text: str, tokenizer: SmilesTokenizer, length: int) -> tuple[str, list[str]]:
    """The canonical SMILES of the molecule, cleaned as the training molecules were, and sentences on what was taken
    off. UserError for what is no molecule, or none that the model can write (`length` tokens, begin and end among
    them)."""
    mol = parse(text)
    if mol is None:
        raise UserError(f"--similar-to {text} is no molecule: {why_not(text)}.", "Such as 'CC(=O)Nc1ccc(O)cc1'.")
    if any(not atom.GetAtomicNum() for atom in mol.GetAtoms()):
        raise UserError(f"--similar-to {text} holds an attachment point (*).", "For that there is --scaffold.")
    made = clean(mol)
    if made.reason:
        raise UserError(f"--similar-to {text} cannot be used: {made.reason}.", "Such as 'CC(=O)Nc1ccc(O)cc1'.")
    flat, stereo = without_stereo(parse(made.smiles), tokenizer)
    smiles = Chem.MolToSmiles(flat)
    if strange := unknown(text, smiles, tokenizer):
        raise UserError(
            f"--similar-to {text} holds {strange}, which this model does not know.",
            "Finetune one on molecules that have it.",
        )
    if (count := len(tokenizer.encode(smiles))) > length:
        raise UserError(
            f"--similar-to {text} takes {count - 2} tokens; this model's molecules have {length - 2} at most.",
            "Give a smaller molecule, or a part of this one.",
        )
    return smiles, notice("--similar-to", smiles, [*(TAKEN[one] for one in made.taken), *stereo])


def spellings(network: SmilesGPT, tokenizer: SmilesTokenizer, smiles: str, *, seed: int = 0) -> list[list[int]]:
    """The likeliest ways to write a molecule, as ids with begin and end, the best first."""
    import torch

    from ..rows import Row, batch_of

    mol: Any = parse(smiles)
    rooted = [Chem.MolToSmiles(mol, rootedAtAtom=atom) for atom in range(mol.GetNumAtoms())]
    written = [*rooted, *Chem.MolToRandomSmilesVect(mol, RANDOM, randomSeed=seed % (2**31 - 1) + 1)]
    texts = [one for one in dict.fromkeys(written) if not tokenizer.strange(one)]
    rows = [tokenizer.encode(one) for one in texts]
    rows = [row for row in rows if len(row) <= network.config.length]
    batch: SmilesBatch = batch_of([Row(id="", ids=np.asarray(row)) for row in rows])
    with torch.inference_mode():
        nats = network.nats(batch.to(network.tokens.weight.device)).tolist()
    return [row for _, row in sorted(zip(nats, rows, strict=True))][:SPELLINGS]


def beginnings(ways: Sequence[Sequence[int]], count: int, random: np.random.Generator) -> list[list[int]]:
    """So many prompts (ids with begin, without end): a random share of a random one of these spellings each."""
    prompts = []
    for way in random.integers(len(ways), size=count):
        tokens = len(ways[way]) - 2
        kept = max(1, round(tokens * random.uniform(SHORTEST, LONGEST)))
        prompts.append(list(ways[way][: 1 + min(kept, tokens)]))
    return prompts
