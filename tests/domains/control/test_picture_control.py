"""Pictures of returns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control.picture import _edges, by_policy, draw_asked, draw_episodes, draw_returns


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_histogram_of_a_mixture(tmp_path: Path) -> None:
    groups = by_policy(["noisy:0.2", "scripted", "noisy:0.7", "noisy:0.1"], [10.0, 500.0, 30.0, 20.0])
    assert {name: values.tolist() for name, values in groups.items()} == {"noisy": [10, 30, 20], "scripted": [500]}
    path = draw_returns(tmp_path / "new" / "a.svg", groups, title="A $title", threshold=475)
    for words in ("A $title", "noisy (3)", "scripted (1)", "mean 140", "solved from 475"):
        assert f"<!-- {words} -->" in text(path)
    assert draw_returns(tmp_path / "b.svg", groups, title="A $title", threshold=475).read_bytes() == path.read_bytes()


def test_many_kinds_of_policy_become_others(tmp_path: Path) -> None:
    path = draw_returns(tmp_path / "a.svg", {f"kind{number}": np.ones(number + 1) for number in range(9)})
    assert "<!-- others (6) -->" in text(path)
    assert "<!-- kind8 (9) -->" in text(path)


@pytest.mark.parametrize("values", [[3.0], [1.0, 1.0], [9, 500, 13], [-0.31, -0.3], [-1800.5, 0.0], [0, 1]])
def test_every_return_is_in_a_bar(values: list[float]) -> None:
    edges = _edges(np.array(values, float))
    counts, _ = np.histogram(values, edges)
    assert counts.sum() == len(values)
    assert len(edges) <= 34


def test_no_bar_lies_beyond_the_highest_return() -> None:
    assert _edges(np.array([9.0, 137.0, 500.0])).tolist()[-2:] == [480, 500]
    assert _edges(np.array([0.5, 1.75])).max() == pytest.approx(1.75, abs=0.05)


def test_ticks_are_whole_where_what_is_counted_is_whole(tmp_path: Path) -> None:
    drawn = text(draw_returns(tmp_path / "a.svg", {"": [1.0, 2.0, 2.0, 3.0, 4.0]}))
    for half in ("0.5", "1.5", "2.5"):
        assert f"<!-- {half} -->" not in drawn


def test_achieved_against_asked(tmp_path: Path) -> None:
    asked = np.repeat([50, 100, 500], 4)
    path = draw_asked(
        tmp_path / "a.svg", asked, asked * 0.9, baselines={"random": 22.0, "BC": 240.0}, data=(9, 500), threshold=475
    )
    for words in ("random 22", "BC 240", "achieved = asked", "returns in the data", "solved from 475"):
        assert f"<!-- {words} -->" in text(path)
    assert draw_asked(tmp_path / "b.png", [100], [80]).stat().st_size > 5000


def test_episode_by_episode(tmp_path: Path) -> None:
    assert "asked for" in text(draw_episodes(tmp_path / "a.svg", [1.0, 5.0, 3.0], asked=4.0))
    assert "asked for" not in text(draw_episodes(tmp_path / "b.svg", [1.0]))


def test_what_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no return"):
        draw_returns(tmp_path / "a.png", {"none": []})
    with pytest.raises(UserError, match="no return"):
        draw_asked(tmp_path / "a.png", [], [])
    with pytest.raises(UserError, match=r"\.png or \.svg"):
        draw_episodes(tmp_path / "a.jpg", [1.0])
