"""Plain tables of episodes: written and read back, columns by many names, and each kind of bad row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tsuite.core.errors import UserError
from tsuite.domains.control.columns import recognise
from tsuite.domains.control.data import load_episodes, write_episodes
from tsuite.domains.control.episodes import check
from tsuite.domains.control.tables import read_table
from tsuite.domains.control.words import counted, reason

from .tiny_episodes import SPACES, changed, make, same

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

HEAD = "episode,step,observation_0,observation_1,action,reward,terminated,truncated\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", SPACES)
@pytest.mark.parametrize("has_last", [True, False])
def test_parquet_there_and_back(kind: str, has_last: bool, tmp_path: Path) -> None:
    episodes = make(kind, env="X-v0")
    if not has_last:
        for row, item in enumerate(episodes):
            seen = np.concatenate([item.observations[:-1], item.observations[-2:-1]])
            episodes = changed(episodes, row, observations=seen, has_last=False)
    found = load_episodes(write_episodes(episodes, tmp_path / "new.parquet", "parquet"))
    assert same(found, episodes)
    assert found.notices == ()


@pytest.mark.parametrize("kind", SPACES)
def test_csv_there_and_back(kind: str, tmp_path: Path) -> None:
    """A csv has no types: numbers come back as float32, and only the choices that occur are known."""
    episodes = make(kind, lengths=(30, 60))
    found = load_episodes(write_episodes(episodes, tmp_path / "new.csv", "csv"))
    for one, other in zip(found, episodes, strict=True):
        seen = other.observations.reshape(len(other) + 1, -1).astype(np.float32)
        assert np.array_equal(one.observations.reshape(len(one) + 1, -1), seen)
        assert np.array_equal(one.actions, other.actions)
        assert np.array_equal(one.rewards, other.rewards)
        assert (one.seed, one.policy, one.id) == (other.seed, other.policy, other.id)
    assert found.setting.action.kind == episodes.setting.action.kind
    assert found.notices[0].startswith("Decided by the columns: observations are")


def test_the_parts_of_a_row(tmp_path: Path) -> None:
    rows = "a,0,1,2,0,1.5,false,false\na,1,3,4,1,2.5,true,false\nb,0,5,6,1,0.5,false,true\nb,1,7,8,,,,\n"
    found = read_table(written(tmp_path, HEAD + rows))
    assert [item.id for item in found] == ["a", "b"]
    assert found[0].observations.tolist() == [[1, 2], [3, 4], [3, 4]]
    assert found[1].observations.tolist() == [[5, 6], [7, 8]]
    assert [item.has_last for item in found] == [False, True]
    assert (found[0].terminations.tolist(), found[0].truncations.tolist()) == ([False, True], [False, False])
    assert (found[1].terminations.tolist(), found[1].truncations.tolist()) == ([False], [True])
    assert found.setting.action.words() == "2 choices"
    assert found.returns.tolist() == [4.0, 0.5]


@pytest.mark.parametrize(
    ("names", "observation", "action", "rest"),
    [
        ("episode,step,obs_0,obs_1,act,rew", ("obs_0", "obs_1"), ("act",), ("", "")),
        ("ep,t,s10,s2,a0,a1,r,terminal,timeout", ("s2", "s10"), ("a0", "a1"), ("terminal", "timeout")),
        (
            "Traj ID,Frame Index,Observation.x,Observation.v,Action,Reward,Done",
            ("Observation.x", "Observation.v"),
            ("Action",),
            ("", ""),
        ),
        ("episode,state[0],state[1],next_state[0],u1,reward", ("state[0]", "state[1]"), (), ("", "")),
    ],
)
def test_names(names: str, observation: tuple, action: tuple, rest: tuple) -> None:
    if not action:
        with pytest.raises(UserError, match="no column with the action"):
            recognise(names.replace("u1", "torque").split(","), "t.csv")
        action = ("u1",)
    roles = recognise([*names.split(","), "note"], "t.csv")
    assert (roles.observation, roles.action, (roles.terminated, roles.truncated)) == (observation, action, rest)
    assert roles.ignored == ("note",)


def test_lists_and_what_follows(tmp_path: Path) -> None:
    table = pa.table(
        {
            "episode": [0, 0, 1],
            "observation": [[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]],
            "next_observation": [[[3.0, 4.0]], [[9.0, 9.0]], [[7.0, 7.0]]],
            "action": [[0.5], [0.25], [1.0]],
            "reward": [1, 2, 3],
            "done": [False, True, True],
        }
    )
    parquet.write_table(table, tmp_path / "t.parquet")
    found = read_table(tmp_path / "t.parquet")
    assert found[0].observations.tolist() == [[1, 2], [3, 4], [9, 9]]
    assert found[0].has_last
    assert found[0].terminations.tolist() == [False, True]
    assert (found.setting.action.kind, found.setting.action.dtype) == ("box", "float64")
    assert "There is no column for the step: rows are taken in their order." in found.notices
    assert "done is taken as the environment's own end, not as a time limit." in found.notices


def test_little_is_enough(tmp_path: Path) -> None:
    found = load_episodes(written(tmp_path, "obs,action,reward\n0.5,1,1\n0.25,0,1\n"))
    assert (len(found), len(found[0])) == (1, 2)
    assert found[0].truncations.tolist() == [False, True]
    assert "There is no column for the episode: all rows are taken as one." in found.notices
    assert "Nothing says where episodes end: the last step of each is taken as truncated." in found.notices
    by_ends = load_episodes(written(tmp_path, "obs,action,reward,done\n1,1,1,0\n2,0,1,1\n3,0,1,1\n"))
    assert by_ends.lengths.tolist() == [2, 1]


# -- bad input --------------------------------------------------------------------------------------------------------


def rows(*lines: str) -> str:
    return HEAD + "".join(f"{line}\n" for line in lines)


WHOLE = ("0,0,1,2,0,1,false,false", "0,1,3,4,1,1,true,false")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (rows(*WHOLE, "0,1,3,5,1,1,true,false"), "table.csv: episode 0, step 1 is there twice, with different values"),
        (rows(*WHOLE, "0,2,3,5,1,1,true,false"), "Episode 0 goes on after it ended at step 1 of 3"),
        (rows(*WHOLE, "1,0,,5,1,1,true,false"), r"Episode 1: observations holds nan at \[0, 0\]"),
        (rows(*WHOLE, "1,0,1,5,,1,true,false"), r"Episode 1: actions holds nan at \[0\]"),
        (rows(*WHOLE, "1,,1,5,1,1,true,false"), r"row 3: the step \(step\) is missing"),
        (rows("0,0,1,2,left,1,true,false"), "row 1: the column action holds 'left', which is no number"),
        (
            rows(*WHOLE, "1,0,1,abc,0,1,true,false"),
            "csv, row 3: the column observation_1 holds 'abc', which is no number",
        ),
        (rows(*WHOLE, "1,0,1,2,0,,true,false", "2,0,1,2,0,1 €,1,0"), "row 4: the column reward holds '1 €', which"),
        (rows("0,0,1,2,0,,true,false"), "No episode can be used.*the reward at step 0 is missing"),
        (HEAD.replace("reward", "value") + "0,0,1,2,0,1,true,false\n", r"it has episode, .*\. Call it reward\.$"),
        (HEAD, "has no rows"),
        ("", "cannot be read as a table"),
    ],
)
def test_bad_rows(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        load_episodes(written(tmp_path, text))


@pytest.mark.parametrize(
    ("lines", "ids", "words"),
    [
        ((*WHOLE, "1,0,1,2,0,nan,true,false"), ["0"], "Episode 1: the reward at step 0 is missing (NaN)."),
        ((*WHOLE, "1,0,1,2,0,1,false,false"), ["0", "1"], "Cut short: episode 1 stopped without an end"),
        ((*WHOLE, "1,0,1,2,,,,"), ["0"], "Left out: episode 1, without a step."),
        ((WHOLE[1], WHOLE[0]), ["0"], "Rows were out of order and are sorted, the first at episode 0, step 1."),
        ((*WHOLE, WHOLE[1]), ["0"], "1 row was there twice: episode 0, step 1."),
        (
            (*WHOLE, "1,0,1,2,0,1,false,false", "1,5,1,2,0,1,true,false"),
            ["0"],
            "Left out: episode 1, which jumps from step 0 to 5.",
        ),
    ],
)
def test_what_is_mended_and_said(lines: tuple, ids: list, words: str, tmp_path: Path) -> None:
    found = load_episodes(written(tmp_path, rows(*lines)))
    assert [item.id for item in found] == ids
    assert any(words in notice for notice in found.notices), found.notices
    assert found[0].observations[:2].tolist() == [[1, 2], [3, 4]]


def test_numbers_that_are_written_otherwise(tmp_path: Path) -> None:
    lines = ("0,0,1,2,0, 1 ,True,false", "0,1,3,4,1,N/A,true,false", "1,0,1,2,0,2.5,true,false")
    found = load_episodes(written(tmp_path, rows(*lines)))
    assert [item.rewards.tolist() for item in found] == [[2.5]]
    assert any("the reward at step 1 is missing" in notice for notice in found.notices)


def test_types_are_told_by_the_whole_file(tmp_path: Path) -> None:
    lines = [f"1,0,1,1,{'remark ' * 1_000}"] * 200  # more than the first block of pyarrow
    found = load_episodes(written(tmp_path, "\n".join(["obs,action,reward,done,note", *lines, "1,0,0.5,1,"])))
    assert found.returns[[0, -1]].tolist() == [1, 0.5]


def test_lists_of_words(tmp_path: Path) -> None:
    columns = {"episode": [3, 4], "obs": [["1"], ["two"]], "action": [0, 1], "reward": [1, 1]}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(UserError, match="the lists of the column obs hold '1', which is no number"):
        read_table(tmp_path / "t.parquet")


def test_complaints_of_others_end_with_one_stop(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("no parquet")
    with pytest.raises(UserError) as caught:
        read_table(tmp_path / "t.parquet")
    assert ".." not in str(caught.value)
    assert reason(OSError(2, "No such file or directory")) == "No such file or directory"
    assert (reason(KeyError("spaces")), reason(ValueError("a\nb."))) == ("it has no 'spaces'", "a b")
    assert [counted(number, "row") for number in (0, 1, 2_000)] == ["0 rows", "1 row", "2,000 rows"]


def test_shapes_that_differ(tmp_path: Path) -> None:
    columns = {"episode": [3, 4], "obs": [[1.0, 2.0], [1.0, 2.0, 3.0]], "action": [0, 1], "reward": [1, 1]}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(UserError, match="episode 4, step 0: obs has 3 numbers, where 2 come before"):
        read_table(tmp_path / "t.parquet")


def test_steps_at_a_stride_and_clock_times(tmp_path: Path) -> None:
    lines = ("0,0,1,2,0,1,false,false", "0,5,1,2,0,1,false,false", "0,10,1,2,0,1,true,false")
    assert len(load_episodes(written(tmp_path, rows(*lines)))[0]) == 3
    clock = ("0,0.1,1,2,0,1,false,false", "0,0.234,1,2,0,1,false,false", "0,0.3,1,2,0,1,true,false")
    assert len(load_episodes(written(tmp_path, rows(*clock)))[0]) == 3


ROWS = "episode,step,observation_0,action,reward,terminated\n" + "".join(
    f"{episode},{step},{episode}.{step},{step % 2},1.0,{str(step == 3).lower()}\n"
    for episode in range(3)
    for step in range(4)
)


def test_a_last_row_that_is_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(ROWS + "3,0,0.1,1,1.0,false\n3,1,0.")
    found = read_table(path)
    assert len(found) == 4
    assert found.notices[0] == "The last row (line 15) is cut short and left out: 3,1,0."


def test_a_row_of_another_length_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(ROWS.replace("1,2,1.2,0,", "1,2,1.2,"))
    with pytest.raises(UserError, match="line 8: 5 cells where the head has 6"):
        read_table(path)


def test_a_table_without_episodes_whose_steps_begin_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    lines = [line.partition(",")[2].rpartition(",")[0] for line in ROWS.splitlines()]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="no column with the episode, and step 0 comes more than once"):
        read_table(path)


def test_a_reward_beyond_any_float_is_infinite_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(ROWS.replace("0,1,0.1,1,1.0", "0,1,0.1,1,1e300"))
    episode = read_table(path)[0]
    assert np.isinf(episode.rewards[1])
    with pytest.raises(UserError, match="the reward at step 1 is infinite"):
        check(episode, read_table(path).setting)
