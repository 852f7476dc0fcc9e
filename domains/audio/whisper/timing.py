"""When each word was said, read off from where the decoder listened while it wrote it.

    token    ................##    Cross-attention of the heads that follow the sound: tokens against positions of
    token    .........####.....    20 ms. The cheapest path from corner to corner that only goes right or down
    token    ..####............    (dynamic time warping) gives the time at which each token begins.
    token    ##................

As in OpenAI's code: weights normed over the tokens, smoothed by a median over 7 positions, averaged over the heads.

Axes: T tokens, U encoder positions, H heads, D width of one head, K chosen heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..subtitles import Word
from .config import SAMPLE_RATE, SAMPLES_A_POSITION
from .listening import Listener, Said
from .model import Whisper, WindowCache

SMOOTH = 7
"""Positions of the median filter: 140 ms."""


def word_times(listener: Listener, heard: WindowCache, said: Said) -> tuple[Word, ...]:
    """The words of an answer to the one window that was heard, with times from its beginning.

    Word.text holds the space before the word, so that all of them in a row are the text. confidence: the mean of its
    tokens' probabilities.
    """
    model, tokenizer = listener.model, listener.tokenizer
    begin = [tokenizer.start, *tokenizer.request(said.language, listener.options.task, timestamps=False)]
    told = [(token, sure) for token, sure in zip(said.ids, said.probabilities, strict=False) if token < tokenizer.end]
    told = told[: model.config.text_length - len(begin)]
    if not told:
        return ()
    text = [token for token, _ in told]
    positions = -(-round(said.seconds * SAMPLE_RATE) // SAMPLES_A_POSITION)  # where there is sound, at least one
    weights = cross_weights(model, heard, [*begin, *text])[:, len(begin) - 1 :, : max(1, positions)]  # [K, T + 1, U]
    starts = token_starts(weights) * (SAMPLES_A_POSITION / SAMPLE_RATE)  # [T + 1], the last is that of the end
    words, place = [], 0
    for spelled, count in tokenizer.words(text, said.language):
        sure = sum(probability for _, probability in told[place : place + count]) / count
        start, end = float(starts[place]), float(starts[place + count])
        words.append(Word(text=spelled, start=start, end=min(end, said.seconds), confidence=sure))
        place += count
    return tuple(words)


def cross_weights(model: Whisper, heard: WindowCache, tokens: Sequence[int]) -> Tensor:
    """Where the heads that follow the sound looked at each token: [K, T, U], of one window that was heard."""
    cache = model.text.new_cache(len(tokens))
    cache.copy(heard, rows=1)
    return model.text.looks(torch.tensor([list(tokens)], device=model.positions.device), cache, model.config.following)


def token_starts(weights: Tensor) -> np.ndarray:
    """weights [K, T, U] -> the position [T] at which each token begins."""
    normed = (weights - weights.mean(dim=1, keepdim=True)) / weights.std(dim=1, keepdim=True, correction=0).clamp(
        min=1e-9
    )
    return path_starts(-_median(normed).mean(dim=0).double().cpu().numpy())


def path_starts(cost: np.ndarray) -> np.ndarray:
    """cost [T, U] -> the column [T] at which the cheapest path from the first corner to the last enters each row.

    Dynamic time warping by whole rows: within one, the best way to come from the left is a running minimum of what
    entering from above costs, less the sum of the costs up to there.
    """
    rows, columns = cost.shape
    total = np.empty((rows, columns))
    total[0] = np.cumsum(cost[0])
    for row in range(1, rows):
        above = total[row - 1]
        enter = np.minimum(above, np.concatenate([[np.inf], above[:-1]]))
        sums = np.cumsum(cost[row])
        total[row] = np.minimum.accumulate(enter - (sums - cost[row])) + sums
    starts = np.zeros(rows, dtype=np.int64)
    row, column = rows - 1, columns - 1
    while row:
        left = total[row, column - 1] if column else np.inf
        diagonal = total[row - 1, column - 1] if column else np.inf
        above = total[row - 1, column]
        if left < min(diagonal, above):
            column -= 1
            continue
        starts[row] = column
        row, column = row - 1, column - (diagonal <= above)
    return starts


def _median(weights: Tensor) -> Tensor:
    """[K, T, U] smoothed along U, mirrored at the ends."""
    half = SMOOTH // 2
    if weights.shape[-1] <= half:
        return weights
    return F.pad(weights, (half, half), mode="reflect").unfold(-1, SMOOTH, 1).median(dim=-1).values
