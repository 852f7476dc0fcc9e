"""ChemNet (Preuer et al. 2018): two convolutions and two LSTMs that read a SMILES character by character.

Trained to predict the outcomes of bioassays; what its last layer holds after a molecule describes it, and the Fréchet
ChemNet distance compares those descriptions. The weights are those of fcd_torch (see datasets/chemnet), whose outputs
this network repeats.

Axes: B molecules, 350 characters (padded), 35 symbols, 88 steps after the convolutions, 512 activations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ....core.errors import UserError
from ....core.manifest import manifest
from ....core.sources import Progress
from ....core.sources.derived import derived

LENGTH = 350
SYMBOLS = (
    *("C", "N", "O", "H", "F", "Cl", "P", "B", "Br", "S", "I", "Si", "#", "(", ")", "+", "-", "1", "2", "3", "4"),
    *("5", "6", "7", "8", "=", "[", "]", "@", "c", "n", "o", "s", "X", "."),
)
"""X is any other character; the point ends a molecule."""
_NUMBER = {symbol: number for number, symbol in enumerate(SYMBOLS)}
_UNKNOWN, _END, _NOTHING = _NUMBER["X"], _NUMBER["."], len(SYMBOLS)
_SECOND_LETTERS = frozenset("ril")


def symbols(smiles: str) -> list[int]:
    """The numbers of a molecule's symbols, at most 350 of them, the last a point.

    As fcd_torch reads it: r, i and l belong to the letter before, and the first point ends the molecule, so that of a
    salt only the first fragment counts."""
    numbers: list[int] = []
    place = 0
    text = f"{smiles}."
    while len(numbers) < LENGTH - 1 and (text[place] != "." or not numbers):
        size = 2 if text[place + 1 : place + 2] and text[place + 1] in _SECOND_LETTERS else 1
        numbers.append(_NUMBER.get(text[place : place + size], _UNKNOWN))
        place += size
    return [*numbers, _END]


class ChemNet(nn.Module):
    """Symbols' numbers [B, 350] (35: nothing there) to activations [B, 512]."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(len(SYMBOLS), 32, 4, stride=2, bias=False)
        self.second = nn.Conv1d(32, 32, 4, stride=2, bias=False)
        self.backward = nn.LSTM(32, 128, batch_first=True)
        self.forward_again = nn.LSTM(128, 512, batch_first=True)

    def forward(self, numbers: Tensor) -> Tensor:
        hot = F.one_hot(numbers, len(SYMBOLS) + 1)[..., : len(SYMBOLS)].float() / len(SYMBOLS)  # [B, 350, 35]
        value = F.selu(self.first(F.pad(hot.transpose(1, 2), (1, 1))))  # [B, 32, 175]
        value = F.selu(self.second(F.pad(value, (1, 2)))).transpose(1, 2)  # [B, 88, 32]
        value, _ = self.backward(value.flip(1))  # from the end to the beginning: [B, 88, 128]
        value, _ = self.forward_again(value.flip(1))  # and back: [B, 88, 512]
        return value[:, -1]


_LAYERS = ("first", "second", "backward", "forward_again")


@lru_cache(maxsize=1)
def chemnet(progress: Progress | None = None) -> ChemNet:
    """ChemNet with its weights, fetched (5.6 MB) where they are not in the cache; raises as `Source.fetch` does."""
    source = manifest("chemnet").sources["weights"]
    key = hashlib.sha256(str(source.source).encode()).hexdigest()
    folder = derived("chemnet", key, lambda folder: _convert(source.fetch(progress), folder), progress)
    network = ChemNet()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.eval().requires_grad_(False)


def _convert(path: Path, folder: Path) -> None:
    """The pickled layers, in order, as safetensors; every array of the file has to have its place."""
    from .plain_pickle import read_torch

    state: dict[str, Tensor] = {}
    layers = read_torch(path)
    if [kind for kind, _ in layers] != ["Conv1d", "Conv1d", "LSTM", "LSTM"]:
        raise UserError(f"{path} does not hold ChemNet: its layers are {[kind for kind, _ in layers]}.")
    for name, (_, (weights, _, _)) in zip(_LAYERS, layers, strict=True):
        state |= {f"{name}.{key}": torch.from_numpy(np.array(value)) for key, value in weights.items()}
    wanted = {key: value.shape for key, value in ChemNet().state_dict().items()}
    if wanted != {key: value.shape for key, value in state.items()}:
        raise UserError(f"{path} does not hold ChemNet: its arrays are of other names or shapes.")
    save_file(state, folder / "model.safetensors")


@torch.inference_mode()
def activations(
    smiles: Sequence[str],
    *,
    device: str | torch.device = "cpu",
    batch: int = 256,
    tick: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """ChemNet's description of each molecule, [N, 512]. `smiles` are canonical; `tick` hears how many are done."""
    network = chemnet().to(device)
    rows = []
    for start in range(0, len(smiles), batch):
        numbers = torch.full((len(smiles[start : start + batch]), LENGTH), _NOTHING)
        for row, text in enumerate(smiles[start : start + batch]):
            found = symbols(text)
            numbers[row, : len(found)] = torch.tensor(found)
        rows.append(network(numbers.to(device)).cpu().numpy())
        if tick:
            tick(min(start + batch, len(smiles)), len(smiles))
    return np.concatenate(rows) if rows else np.zeros((0, 512), dtype=np.float32)
