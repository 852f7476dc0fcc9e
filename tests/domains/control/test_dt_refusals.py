"""What control.decision_transformer cannot be asked for is refused in a sentence, before anything is played."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from tsuite.cli.app import NEGATIVE
from tsuite.core import registry
from tsuite.core.errors import UserError
from tsuite.core.options import override
from tsuite.core.task import Origin
from tsuite.domains.control.board import options as board
from tsuite.domains.control.data import write_episodes
from tsuite.domains.control.decision_transformer import sizes, targets
from tsuite.domains.control.decision_transformer.checkpoints import Around, DataFacts
from tsuite.domains.control.decision_transformer.options import EvaluateOptions, FinetuneOptions, RunOptions
from tsuite.domains.control.decision_transformer.plays import Play, Theatre
from tsuite.domains.control.decision_transformer.show import summarise, table
from tsuite.domains.control.episodes import Setting
from tsuite.domains.control.film import Film
from tsuite.domains.control.spaces import Space

from ...commands import tsuite
from .test_dt_task import text
from .test_dt_training import parts, prepared
from .tinypolicies import BOUNDED, CHOICE, NUMBERS, episodes, network

pytest.importorskip("gymnasium")
TASK = registry.card("control.decision_transformer").load_task()
CART = Setting(observation=NUMBERS, action=CHOICE, env="CartPole-v1")


def policy(env: str = "CartPole-v1", **shape: Any) -> Any:
    """One that has learnt nothing; the environment is only named."""
    made = network(**shape)
    setting = Setting(observation=made.config.observation, action=made.config.action, env=env)
    around = Around(setting=setting, target=9.0, data=DataFacts.of(parts(4, 9).train, "made up", ""))
    return TASK(made, around, Origin())


GROUPS = [RunOptions, EvaluateOptions, FinetuneOptions, board.RunOptions, board.EvaluateOptions, board.FinetuneOptions]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_option_takes_what_is_not_finite(group: Any, value: float) -> None:
    names = [item.name for item in dataclasses.fields(group) if item.type == "float"]
    for name in names:
        with pytest.raises(UserError, match=f"--{name.replace('_', '-')} takes a finite number, not {value}"):
            group(**{name: value})
    for name in names[:1]:
        with pytest.raises(UserError, match="takes a finite number"):
            override(group(), {name: str(value)})


@pytest.mark.parametrize("word", ["inf", "nan", "-inf", "50,nan", "1e999"])
def test_returns_are_finite(word: str) -> None:
    for group in (RunOptions, EvaluateOptions):
        with pytest.raises(UserError, match="--returns takes finite numbers separated by commas"):
            group(returns=word)
    if "," not in word:
        with pytest.raises(UserError, match="A return to ask for is a finite number"):
            policy().read([word], RunOptions())


def test_episodes_that_are_not_played() -> None:
    with pytest.raises(UserError, match="--episodes must be at least 1, not 0"):
        RunOptions(episodes=0)
    assert EvaluateOptions(episodes=0).episodes == 0
    with pytest.raises(UserError, match="--baselines play episodes, and --episodes 0 plays none"):
        FinetuneOptions(episodes=0, baselines=True)


def test_a_negative_number_is_no_option() -> None:
    said = "Returns are asked for twice: -100, and --returns -5."
    assert said in tsuite("run", "control.decision_transformer", "-100", "--returns", "-5", code=2).err
    words = ("-1", "-.5", "-1e3", "-v", "--1", "1", "-1a")
    assert [word for word in words if NEGATIVE.fullmatch(word)] == ["-1", "-.5", "-1e3"]


def test_a_film_names_the_return_that_was_asked_for_if_any() -> None:
    shape: dict[str, Any] = {
        "observation": Space(kind="box", shape=(4,)),
        "action": Space(kind="discrete", sizes=(2,), dtype="int64"),
    }
    for condition, asked in (("none", False), ("return", True)):
        task = policy(condition=condition, **shape)
        theatre = Theatre(task.setting, task.actor(), RunOptions(), None)
        theatre.film = film = Captions("never.gif")
        theatre.play([Play(id="", seed=1, target=50.0)])
        assert all(caption.startswith("asked 50 · step") == asked for caption in film.captions)
        assert film.captions


class Captions(Film):
    """A film of which only the captions are kept."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.captions: list[str] = []

    def add(self, frame: Any, caption: str = "") -> None:
        self.captions.append(caption)


def test_a_return_is_asked_for_once() -> None:
    with pytest.raises(UserError, match="asked for twice: 50, and --returns 200"):
        policy().read(["50"], RunOptions(returns="200"))
    assert [play.target for play in policy().read(["-3", "7"], RunOptions(episodes=1))] == [-3, 7]


def test_cloning_is_told_no_return() -> None:
    clone = policy(condition="none")
    with pytest.raises(UserError, match="told no return, so 50 cannot be asked for"):
        clone.read(["50"], RunOptions())
    for ask in (lambda: clone.inputs([], RunOptions(returns="5")),
                lambda: clone.to_score(None, EvaluateOptions(returns="5"))):  # fmt: skip
        with pytest.raises(UserError, match="--returns does nothing here: this policy has learnt by cloning"):
            ask()
    assert len(clone.sample().examples) == RunOptions().episodes


def test_options_for_something_else() -> None:
    with pytest.raises(UserError, match="--weight does nothing here: it is for maps"):
        policy().inputs([], RunOptions(weight=3.0))
    with pytest.raises(UserError, match="--temperature does nothing here: it is for drawing among choices"):
        policy(action=BOUNDED).inputs([], RunOptions(temperature=0.5))


def test_nothing_is_played_on_recorded_episodes(tmp_path: Path) -> None:
    path = write_episodes(episodes(5, 6, 7), tmp_path / "mine", "tsuite")
    asked: list[dict[str, Any]] = [{"returns": "5"}, {"episodes": 3}, {"temperature": 1.0}, {"safe": True}, {"seed": 3}]
    for options in asked:
        for group in (RunOptions, EvaluateOptions):
            ask = policy().read if group is RunOptions else lambda given, how: policy().to_score(given[0], how)
            with pytest.raises(UserError, match=f"--{next(iter(options))} does nothing here: the actions of recorded"):
                ask([str(path)], group(**options))
    assert len(policy().to_score(str(path), EvaluateOptions(episodes=0)).examples)
    with pytest.raises(UserError, match="cannot be mixed"):
        policy().read([str(path), "5"], RunOptions())
    with pytest.raises(UserError, match=r"nothing is played \(There is no environment 'Nowhere-v3'\)"):
        policy("Nowhere-v3").to_score(None, EvaluateOptions(returns="5"))


def test_an_environment_of_a_module_is_refused_with_what_to_do() -> None:
    said = r"played: The environment mine:Own-v0 is one of the module mine, and to import it is to run it\. Recorded "
    with pytest.raises(UserError, match=said + r".*\. If you trust it, name it yourself: --env mine:Own-v0$"):
        policy("mine:Own-v0").inputs([], RunOptions())
    assert targets.hindrance(CART) is None
    own = episodes(8, 5, 9, 6, 7)
    own.setting = dataclasses.replace(own.setting, env="mine:Own-v0")
    given = dataclasses.replace(parts(), train=own[:3])
    words = " ".join(prepared(given).chosen)
    assert "no episodes are played: The environment mine:Own-v0 is one of" in words
    assert "--env mine:Own-v0" in words
    with pytest.raises(UserError, match="--baselines play episodes, and none can be played: The environment mine:"):
        prepared(given, baselines=True)


# -- what a training is told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [{"context": 100_000}, {"settings": {"context": "100000"}}])
def test_the_context_is_no_longer_than_an_episode(asked: dict[str, Any]) -> None:
    ready = prepared(**{"settings": {}, **asked})
    assert ready.task.network.config.context == 9
    assert "context 9 steps (no episode is longer; 100,000 were asked for)" in " ".join(ready.chosen)


def test_what_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = network().config
    sizes.check_room(config, FinetuneOptions())
    with pytest.raises(UserError, match=r"A context of 200,000 steps takes about [\d,]+ GB with 64 windows at a time"):
        sizes.check_room(dataclasses.replace(config, context=200_000), FinetuneOptions())
    with pytest.raises(UserError, match="--context cannot be negative"):
        FinetuneOptions(context=-1)


def test_nothing_is_played_at_last_where_no_episodes_are_asked_for() -> None:
    given = parts()
    for part in (given.train, given.validation, given.test):
        part.setting = dataclasses.replace(part.setting, env="CartPole-v1")
    played, scored = prepared(given, episodes=2), prepared(given, episodes=0)
    assert (played.splits.test.part, scored.splits.test.part) == ("fresh seeds", "test")
    words = " ".join(scored.chosen)
    assert "asks for 8.9632, the highest return of the data" in words
    assert "no episodes are played (--episodes 0): held-out actions are scored at last" in words


def test_only_a_return_that_was_chosen_is_called_so() -> None:
    task = policy()
    high = task.around.data.high
    for around, word in (
        (dataclasses.replace(task.around, tried=({"asked": 9.0, "mean": 1.0},)), "9 (chosen)"),
        (dataclasses.replace(task.around, target=high), f"{high:g} (the data's highest)"),
    ):
        results = [_played(around.target, seed) for seed in range(12)]
        assert word in text(table(results, summarise(results, around), around))


def _played(asked: float, seed: int) -> Any:
    from tsuite.domains.control.decision_transformer.plays import Played

    return Played(id=str(seed), seed=seed, asked=asked, achieved=1.0, steps=1, ended="terminated")
