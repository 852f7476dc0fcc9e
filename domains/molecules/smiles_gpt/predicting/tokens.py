"""Atoms that a language model was never shown: rows for them in its embedding and in its head.

A new token begins as what the model knows of its element: [C@@H] as C, [N+] as N, [nH+] as n, and [Sn] as the mean of
all tokens; what tells it from them is learnt.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ...notation import splitter
from ...smiles import randomised
from ...tokenizer import SPECIAL, SmilesTokenizer
from ..model import SmilesGPT

ATOM = re.compile(r"\[\d*([A-Z][a-z]?|[a-z]{1,2})")
SPELLINGS = 8
"""Ways to write each molecule that are looked at for tokens: others open more rings or turn a centre round."""
RESPELT = 5_000
"""Molecules that are written in other ways for that."""
NAMED = 12
"""New tokens that a notice repeats."""


@dataclass(frozen=True, kw_only=True)
class New:
    """Tokens that a vocabulary lacks. tokens: in the order of the alphabet; first: a molecule that holds each; held: in
    how many molecules it is, as they are written canonically; beginning: they begin as something that is known."""

    tokens: tuple[str, ...]
    first: Mapping[str, str]
    held: Mapping[str, int]
    beginning: bool = True

    def notices(self) -> list[str]:
        """What a person should know of it."""
        if not self.tokens or not self.beginning:
            return []
        ordered = sorted(self.tokens, key=lambda token: -self.held.get(token, 0))
        told = [f"{token} {self._where(token)}" for token in ordered]
        more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
        return [f"New to the language model, and learnt from now on: {', '.join(told[:NAMED])}{more}."]

    def _where(self, token: str) -> str:
        count = self.held.get(token, 0)
        return f"(in {count:,}, first {self.first[token]})" if count else f"(in other spellings of {self.first[token]})"


def new_tokens(smiles: Sequence[str], tokenizer: SmilesTokenizer) -> New:
    """Tokens of these molecules, however they are written, that the vocabulary lacks."""
    known, cut = set(tokenizer.tokens), splitter(tokenizer.notation)
    found: dict[str, str] = {}
    for number, one in enumerate(smiles):
        ways = [one, *(randomised(one, seed) for seed in range(SPELLINGS if number < RESPELT else 0))]
        for token in (token for way in ways for token in cut(tokenizer.text(way))):
            if token not in known:
                found.setdefault(token, one)
    held = Counter(token for one in smiles for token in tokenizer.strange(one))
    return New(tokens=tuple(sorted(found)), first=found, held=held)


def widened(
    network: SmilesGPT, tokenizer: SmilesTokenizer, tokens: Sequence[str], *, length: int, dropout: float
) -> tuple[SmilesGPT, SmilesTokenizer]:
    """A copy of both with rows for `tokens` behind those that are there, made for `length` tokens at least (learned
    positions cannot grow), with other dropout. What it makes of molecules without them does not change."""
    wide = SmilesTokenizer((*tokenizer.tokens, *tokens), tokenizer.notation)
    longest = network.config.length if network.config.learned else max(length, network.config.length)
    config = replace(network.config, vocabulary=len(wide), length=longest, dropout=dropout)
    weights = dict(network.state_dict())
    for name in ("tokens.weight", "head.projection.weight"):
        old = weights[name]
        weights[name] = torch.cat([old, *(_begin(old, token, tokenizer) for token in tokens)])
    fresh = SmilesGPT(config)
    fresh.load_state_dict(weights)
    return fresh, wide


def _begin(rows: torch.Tensor, token: str, tokenizer: SmilesTokenizer) -> torch.Tensor:
    """The row [1, C] that a new token begins with."""
    symbol = ATOM.match(token)
    place = {one: n for n, one in enumerate(tokenizer.tokens)}
    near = [place[name] for name in ([symbol[1]] if symbol else []) if name in place]
    if token.strip("%").isdigit():  # another ring
        near = [number for name, number in place.items() if name.strip("%").isdigit()]
    if not near and len(rows) > len(SPECIAL):
        near = [*range(len(SPECIAL), len(rows))]
    return rows[near].mean(dim=0, keepdim=True) if near else torch.randn_like(rows[:1]) * 0.02
