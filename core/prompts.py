"""Prompts of unequal length decoded side by side: padded on the left, with one key/value cache.

    row 0   . . . a b c | d e        . padding, hidden by the mask and not counted in the positions
    row 1   p q r s t u | v w        | prompts end here: all rows append at the same place of the cache

Many rows of one prompt are computed once for as long as they say the same; where they part, the cache parts:

    prompt - C - C ( = O      4 lanes for 256 rows after the second token, and so on,
              \\- N              until hardly any two rows are alike
           \\- O - C

Axes: B rows, T new tokens of each row, S places of the cache so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .cache import Cache
from .errors import UserError
from .language import LanguageModel
from .masks import key_mask, padding_mask

_ALIKE = 0.5
"""The share of rows that differ from all others from which on each is computed for itself: parting costs, too."""


class PromptBatch:
    """A model, the rows it continues, and what it remembers of them.

    room: tokens to come after the prompts; the cache is made for as many as fit into the model's length. past: what
    precedes every prompt (one row, or as many as there are prompts); it is copied, not changed.
    Raises UserError for an empty prompt, one that does not fit, and ids the model does not know.
    """

    def __init__(
        self, model: LanguageModel, prompts: Sequence[Sequence[int]], *, room: int, past: Cache | None = None
    ) -> None:
        self.model = model
        self.device = model.tokens.weight.device
        self.prompts = prompts
        before = 0 if past is None else past.length
        lengths = [len(prompt) for prompt in prompts]
        _check(model, prompts, before)
        self.room = min(room, model.length - before - max(lengths) + 1)  # the last token is not fed to the model
        self.capacity = before + max(lengths) + self.room - 1
        self.cache = model.new_cache(self.capacity)
        alike = (
            len(prompts) > 1 and all(prompt == prompts[0] for prompt in prompts) and (past is None or past.batch == 1)
        )
        self.lanes = torch.zeros(len(prompts), dtype=torch.long, device=self.device) if alike else None  # [B]
        if past is not None:
            self.cache.copy(past, rows=1 if alike else len(prompts))
        self.padding = max(lengths) - torch.tensor(lengths, device=self.device)  # [B]
        self.keep: Tensor | None = None
        if min(lengths) < max(lengths):
            real = padding_mask(lengths, left=True).to(self.device)
            around = torch.ones(len(prompts), self.capacity, dtype=torch.bool, device=self.device)
            around[:, before : before + max(lengths)] = real
            self.keep, self.before = around, before

    def start(self) -> Tensor:
        """Read the prompts: logits [B, V] of what follows them."""
        longest = max(len(prompt) for prompt in self.prompts)
        padded = [[0] * (longest - len(prompt)) + list(prompt) for prompt in self.prompts]
        tokens = torch.tensor(padded, device=self.device)
        if self.lanes is not None:
            return self.model(tokens[:1], cache=self.cache, last=True)[self.lanes, 0]
        return self.feed(tokens, last=True)[:, 0]

    def feed(self, tokens: Tensor, *, last: bool = False) -> Tensor:
        """Read tokens [B, T]: logits [B, T, V], or with `last` [B, 1, V] of the last alone."""
        if self.lanes is not None:
            return self._feed_alike(self.lanes, tokens)
        if self.keep is None:
            return self.model(tokens, cache=self.cache, last=last)
        start, end = self.cache.length, self.cache.length + tokens.shape[1]
        # Padding counts as the position before the prompt's first; nobody looks there.
        positions = torch.arange(start, end, device=self.device) - self.padding[:, None]
        mask = key_mask(self.keep[:, :end])
        return self.model(tokens, cache=self.cache, mask=mask, positions=positions.clamp(min=self.before), last=last)

    def _feed_alike(self, lanes: Tensor, tokens: Tensor) -> Tensor:
        """Read tokens [B, T], once for all rows that have said the same so far: logits [B, T, V]."""
        said, mine = torch.unique(torch.cat([lanes[:, None], tokens], dim=1), dim=0, return_inverse=True)
        if len(said) > _ALIKE * len(lanes):
            self.cache.reorder(lanes)
            self.lanes = None
            return self.model(tokens, cache=self.cache)
        self.cache.reorder(said[:, 0])
        self.lanes = mine
        return self.model(said[:, 1:], cache=self.cache)[mine]

    def select(self, rows: Sequence[int]) -> None:
        """Row i continues what was row rows[i]; rows that are not named leave."""
        index = torch.tensor(rows, device=self.device)
        if self.lanes is not None:
            self.lanes = self.lanes[index]
        else:
            self.cache.reorder(index)
        self.padding = self.padding[index]
        if self.keep is not None:
            self.keep = self.keep[index] if bool(self.padding.any()) else None


def _check(model: LanguageModel, prompts: Sequence[Sequence[int]], before: int) -> None:
    for number, prompt in enumerate(prompts):
        name = f"Prompt {number + 1} of {len(prompts)}"
        if not prompt:
            raise UserError(f"{name} is empty.", "Give at least one token, such as the one that begins a text.")
        if before + len(prompt) > model.length:
            raise UserError(
                f"{name} has {before + len(prompt)} tokens; the model was made for {model.length}.",
                "Shorten it, or drop what came first.",
            )
        if min(prompt) < 0 or max(prompt) >= model.vocabulary:
            wrong = next(token for token in prompt if not 0 <= token < model.vocabulary)
            raise UserError(
                f"{name} holds the id {wrong}; the model knows 0 to {model.vocabulary - 1}.",
                "Do the tokenizer and the checkpoint belong together?",
            )
