"""ChemNet: how it reads SMILES, how its weights come in, and that it describes molecules as fcd_torch's does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from tsuite.core.errors import UserError
from tsuite.domains.molecules.metrics import chemnet
from tsuite.domains.molecules.metrics.chemnet import SYMBOLS, ChemNet, activations, symbols

REFERENCE = {
    "CCO": (-0.0449, 0.01146, -0.17741, 1.1901, 9.3458),
    "CC(=O)Nc1ccc(O)cc1": (0.33929, 0.00271, -0.31965, 6.5382, 30.7716),
    "Clc1ccccc1Br": (0.19222, -0.00111, 0.4746, 9.4297, 51.4715),
    "CC[N+](C)(C)C.[Cl-]": (-0.00385, 6e-05, -0.35549, 8.9435, 34.614),
    "I[Si]1CC1": (0.00412, 3e-05, 0.54228, 8.018, 21.1763),
    "C" * 120: (-0.43867, -0.02073, -0.23223, 9.784, 47.2652),
}
"""What fcd_torch 1.0.7 gives: the first three activations, the sum of all 512 and of their squares."""


def read(smiles: str) -> str:
    return " ".join(SYMBOLS[number] for number in symbols(smiles))


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("ClCBr", "Cl C Br ."),
        ("C[Si](C)I", "C [ Si ] ( C ) I ."),
        ("c1ccc[nH]1", "c 1 c c c [ n H ] 1 ."),
        ("C%10", "C X 1 X ."),  # neither % nor 0 is known
        ("[Al]", "[ X ] ."),  # a letter before l belongs to it
        ("CC.O", "C C ."),
        ("C/C=C\\C", "C X C = C X C ."),
    ],
)
def test_reading(smiles: str, expected: str) -> None:
    assert read(smiles) == expected


def test_long_molecules_are_cut() -> None:
    assert len(symbols("C" * 348)) == 349
    assert len(symbols("C" * 349)) == len(symbols("C" * 900)) == 350


def test_its_shape() -> None:
    network = ChemNet()
    assert len(SYMBOLS) == len(set(SYMBOLS)) == 35
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_406_336
    assert network(torch.full((2, 350), 35)).shape == (2, 512)


def reference_layers() -> list[tuple[str, tuple[dict[str, torch.Tensor], dict[str, int], dict[str, str]]]]:
    """Layers with random weights in the form of fcd_torch's file."""
    torch.manual_seed(0)
    layers = [nn.Conv1d(35, 32, 4, bias=False), nn.Conv1d(32, 32, 4, bias=False), nn.LSTM(32, 128), nn.LSTM(128, 512)]
    return [(type(layer).__name__, (dict(layer.state_dict()), {"stride": 2}, {})) for layer in layers]


def test_weights_come_out_of_the_file(tmp_path: Path) -> None:
    layers = reference_layers()
    torch.save(layers, tmp_path / "weights.pt", _use_new_zipfile_serialization=False)
    chemnet._convert(tmp_path / "weights.pt", tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    network = ChemNet()
    network.load_state_dict(state)
    for name, (_, (weights, _, _)) in zip(("first", "second", "backward", "forward_again"), layers, strict=True):
        for key, value in weights.items():
            torch.testing.assert_close(state[f"{name}.{key}"], value, rtol=0, atol=0)


@pytest.mark.parametrize("change", ["order", "shape", "more"])
def test_weights_of_another_network(tmp_path: Path, change: str) -> None:
    layers = reference_layers()
    if change == "order":
        layers.reverse()
    elif change == "shape":
        layers[0][1][0]["weight"] = torch.zeros(32, 34, 4)
    else:
        layers[0][1][0]["bias"] = torch.zeros(32)
    torch.save(layers, tmp_path / "weights.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match="does not hold ChemNet"):
        chemnet._convert(tmp_path / "weights.pt", tmp_path)


def step_by_step(network: ChemNet, smiles: str) -> torch.Tensor:
    """One molecule, written out: windows of the padded sequence, then two LSTM cells, back and forth."""

    def convolved(rows: list[torch.Tensor], weight: torch.Tensor, left: int, right: int) -> list[torch.Tensor]:
        nothing = torch.zeros_like(rows[0])
        padded = [nothing] * left + rows + [nothing] * right
        return [
            F.selu(sum(weight[:, :, k] @ padded[place + k] for k in range(4)))  # pyright: ignore[reportArgumentType]
            for place in range(0, len(padded) - 3, 2)
        ]

    def cell(layer: nn.LSTM, rows: list[torch.Tensor]) -> list[torch.Tensor]:
        into, own, *biases = layer.parameters()
        bias = biases[0] + biases[1]
        hidden = memory = torch.zeros(layer.hidden_size)
        given = []
        for row in rows:
            both = into @ row + own @ hidden + bias
            enter, forget, new, show = both.chunk(4)
            memory = forget.sigmoid() * memory + enter.sigmoid() * new.tanh()
            hidden = show.sigmoid() * memory.tanh()
            given.append(hidden)
        return given

    rows = [torch.zeros(35) for _ in range(350)]
    for place, number in enumerate(symbols(smiles)):
        rows[place][number] = 1 / 35
    rows = convolved(rows, network.first.weight, 1, 1)
    rows = convolved(rows, network.second.weight, 1, 2)
    assert len(rows) == 88
    return cell(network.forward_again, cell(network.backward, rows[::-1])[::-1])[-1]


def test_the_network_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    network = ChemNet().eval().requires_grad_(False)
    monkeypatch.setattr(chemnet, "chemnet", lambda: network)
    heard = []
    found = activations(["CCO", "c1ccccc1Cl"], batch=1, tick=lambda done, total: heard.append((done, total)))
    for row, smiles in zip(found, ("CCO", "c1ccccc1Cl"), strict=True):
        torch.testing.assert_close(torch.from_numpy(row), step_by_step(network, smiles), rtol=0, atol=1e-6)
    assert heard == [(1, 2), (2, 2)]
    assert activations([]).shape == (0, 512)


@pytest.mark.slow
def test_activations_are_those_of_fcd_torch() -> None:
    found = activations(list(REFERENCE))
    ours = np.column_stack([found[:, :3], found.sum(1), (found**2).sum(1)])
    np.testing.assert_allclose(ours[:, :3], np.array(list(REFERENCE.values()))[:, :3], atol=1e-4)
    np.testing.assert_allclose(ours[:, 3:], np.array(list(REFERENCE.values()))[:, 3:], atol=1e-3)
