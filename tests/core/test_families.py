"""Each known family: the bricks with its weights answer as the original does, and are as many at true size."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from tsuite.core.weights import best_table, count_parameters, load_into

from .families import FAMILIES, Family, scramble

REAL = [(name, model) for name, family in FAMILIES.items() for model in family.real]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


def mapped(family: Family) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The tiny original with random weights, and ours with the same ones."""
    theirs, ours = scramble(family.theirs(**family.tiny)).eval(), family.ours(**family.tiny).eval()
    load_into(ours, family.table.to_ours(theirs.state_dict()))
    return theirs, ours


def test_every_family_was_found() -> None:
    assert set(FAMILIES) >= {"bert", "t5_encoder", "timm_vit"}
    assert all(family.real for family in FAMILIES.values())


def test_outputs_equal_the_original(family: Family) -> None:
    theirs, ours = mapped(family)
    torch.manual_seed(1)
    inputs = family.inputs()
    with torch.no_grad():
        expected, answer = family.answer(theirs(**inputs)), ours(*inputs.values())
    assert expected.std() > 0.1, "the comparison would say little"
    assert_close(answer, expected, rtol=1e-4, atol=1e-5)


def test_there_and_back_is_bit_equal(family: Family) -> None:
    theirs, ours = mapped(family)
    outward = family.table.to_theirs(ours.state_dict())
    for key, value in outward.items():
        assert torch.equal(value, theirs.state_dict()[key]), key
    back = family.table.to_ours(outward)
    assert back.keys() == ours.state_dict().keys()
    assert all(torch.equal(value, back[key]) for key, value in ours.state_dict().items())


def test_meta_network_takes_the_weights(family: Family) -> None:
    """Built without memory and then loaded, a model answers as one built in memory."""
    theirs, ours = mapped(family)
    with torch.device("meta"):
        late = family.ours(**family.tiny).eval()
    load_into(late, family.table.to_ours(theirs.state_dict()))
    inputs = family.inputs().values()
    with torch.no_grad():
        assert torch.equal(late(*inputs), ours(*inputs))
    assert count_parameters(late) == count_parameters(ours)


def test_best_table_knows_each_family() -> None:
    tables = {name: family.table for name, family in FAMILIES.items()}
    for name, family in FAMILIES.items():
        keys = family.theirs(**family.tiny).state_dict()
        assert best_table(tables, keys)[0] == name


@pytest.mark.parametrize(("name", "model"), REAL)
def test_true_size(name: str, model: str) -> None:
    family = FAMILIES[name]
    sizes, published = family.real[model]
    with torch.device("meta"):
        ours, theirs = family.ours(**sizes), family.theirs(**sizes)
    assert count_parameters(ours) == count_parameters(theirs) == published
