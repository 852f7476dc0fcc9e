"""Ways to write a molecule so that the model can go on from one of its atoms.

Its dummy atom (*) stands where it is to go on; the spelling ends there, and the prompt is what comes before:

    c1ccc(*)cc1C    ->    c1cc(C)ccc1*    ->    c1cc(C)ccc1     and the next token grows at the right atom

after PromptSMILES (Thomas et al. 2024, doi 10.1186/s13321-024-00866-5). Rings and branches of such a prompt are all
closed, because rdkit wrote it whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...chem import Chem
from ...smiles import parse
from ...tokenizer import SmilesTokenizer
from ..model import PAD, SmilesGPT
from ..rows import padded

TRIES, EACH = 250, 12
"""Random spellings of a molecule that are looked at together, at most, and for each that is wanted; a tenth to a third
of them end at the dummy."""
MOST = 2_000
"""Looked at in all, where none ends there."""
BRACKETED = re.compile(r"\[(B|P|S)H[0-9]?\]")
"""What rdkit writes of an atom whose hydrogen a reader counts otherwise than by its lowest valence."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A spelling up to its dummy, its ids (begin included, no end), and for each atom of the molecule (the dummy left
    out) its place in the spelling."""

    text: str
    ids: tuple[int, ...]
    places: tuple[int, ...]


def prompts(mol: Any, tokenizer: SmilesTokenizer, *, most: int, seed: int) -> list[Prompt]:
    """At most so many spellings of a molecule whose last atom is its one dummy, all different, in words that the
    tokenizer has; drawn by `seed`. None where there are none."""
    found: dict[str, Prompt] = {}
    together = min(TRIES, EACH * most)
    for again in range(MOST // together):
        for written in Chem.MolToRandomSmilesVect(mol, together, randomSeed=(seed * 256 + again) % (2**31 - 1) + 1):
            if not written.endswith("*"):
                continue
            text = plain(written, tokenizer)
            if text not in found and not tokenizer.strange(text[:-1]):
                places = _places(mol, text)
                if places:
                    found[text] = Prompt(text=text[:-1], ids=tuple(tokenizer.encode(text[:-1])[:-1]), places=places)
            if len(found) == most:
                return list(found.values())
        if found:
            break
    return list(found.values())


def plain(text: str, tokenizer: SmilesTokenizer) -> str:
    """The same molecule without brackets that the tokenizer has no token for, where they only count hydrogen that a
    reader adds anyway: O=[SH](=O)N as O=S(=O)N, which the rest of a sulfonamide can still be written behind."""
    if not any(match[0] in tokenizer.strange(text) for match in BRACKETED.finditer(text)):
        return text
    shorter = BRACKETED.sub(r"\1", text)
    same = parse(shorter), parse(text)
    alike = same[0] is not None and Chem.MolToSmiles(same[0]) == Chem.MolToSmiles(same[1])
    return shorter if alike else text


def _places(mol: Any, text: str) -> tuple[int, ...]:
    """Where each atom of the molecule stands in a spelling of it. Symmetric atoms may be taken for each other."""
    spelt = parse(text)
    if spelt is None:
        return ()
    last = mol.GetNumAtoms() - 1
    for match in spelt.GetSubstructMatches(mol, uniquify=False, maxMatches=1000):
        if match[last] == last:
            return match[:last]
    return ()


@torch.inference_mode()
def likelihoods(network: SmilesGPT, rows: Sequence[Sequence[int]], allowed: Tensor) -> Tensor:
    """The log-probability of each prompt and of any `allowed` [V] bool token behind it, [B]: how much at home the model
    is there."""
    device = network.tokens.weight.device
    lengths = torch.tensor([len(row) for row in rows], device=device)
    ids = padded(rows).to(device)
    logs = network.logits(ids).float().log_softmax(dim=-1)  # [B, T, V]
    said = logs[:, :-1].gather(2, ids[:, 1:, None])[..., 0].masked_fill(ids[:, 1:] == PAD, 0.0).sum(dim=1)
    ahead = logs[torch.arange(len(rows), device=device), lengths - 1]  # [B, V]
    return said + ahead.masked_fill(~allowed.to(device), -torch.inf).logsumexp(dim=-1)
