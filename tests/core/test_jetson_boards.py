"""The table of boards: its names, its numbers, and what is said of a board that does not exist."""

from __future__ import annotations

import pytest
from tsuite.core.errors import UserError
from tsuite.core.jetson.boards import BOARDS, board


@pytest.mark.parametrize("name", ["orin-nano-8gb", "orin-nx-16gb", "agx-orin-64gb", "thor"])
def test_every_name_finds_its_board(name: str) -> None:
    assert board(name) is BOARDS[name]
    assert board(name).name == name


@pytest.mark.parametrize(
    "spelling", ["ORIN-NX-16GB", "orin-nx-16", "jetson-orin-nx-16gb", "orin_nx_16gb", "Orin NX 16 GB"]
)
def test_other_spellings(spelling: str) -> None:
    assert board(spelling).name == "orin-nx-16gb"


def test_numbers_are_of_their_boards() -> None:
    assert len(BOARDS) == 11
    for each in BOARDS.values():
        assert 0 < each.reserved < each.memory // 2
        assert each.usable == each.memory - each.reserved
        assert each.capability == {"o": "8.7", "t": "11.0", "x": "7.2"}[each.name.removeprefix("agx-")[0]]
        assert each.label.startswith("Jetson ")
        assert f"{each.memory // 2**30} GB" in each.label
    assert BOARDS["thor"].jetpacks == ("7.0", "7.1", "7.2")
    assert "7.2" in BOARDS["orin-nano-8gb"].jetpacks
    assert "6.2" not in BOARDS["agx-xavier-32gb"].jetpacks


def test_an_unknown_board_lists_all_and_the_near_one_first() -> None:
    with pytest.raises(UserError, match=r"no board 'orin-nx-12gb'\. Did you mean orin-nx-16gb") as found:
        board("orin-nx-12gb")
    assert all(name in found.value.hint for name in BOARDS)
    with pytest.raises(UserError, match="The boards are: orin-nano-4gb"):
        board("raspberry")
