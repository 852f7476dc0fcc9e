"""From episodes to a policy that knows its return: what is decided, what is kept, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tsuite.core import registry
from tsuite.core.errors import UserError
from tsuite.core.task import Collection
from tsuite.core.train import fit
from tsuite.domains.control.decision_transformer import sizes, targets
from tsuite.domains.control.decision_transformer.checkpoints import DataFacts
from tsuite.domains.control.decision_transformer.options import EvaluateOptions, FinetuneOptions, RunOptions
from tsuite.domains.control.decision_transformer.training import moments

from .tinypolicies import BOUNDED, CAMERA, CHOICE, CHOICES, NUMBERS, PICTURE, episodes

TINY = {"dim": "16", "depth": "1", "heads": "1", "hidden": "16", "context": "4"}
TASK = registry.card("control.decision_transformer").load_task()


def parts(*lengths: int, **spaces: Any) -> Collection:
    """Episodes of these lengths to learn from; one each to check and to score."""
    whole = episodes(*(lengths or (8, 5, 9)), 6, 7, **spaces)
    return Collection(
        name="made up", sha256="0" * 64,
        train=whole[:-2], validation=whole[-2:-1], test=whole[-1:],
    )  # fmt: skip


def prepared(given: Collection | None = None, **options: Any) -> Any:
    settings = options.pop("settings", TINY)
    asked = FinetuneOptions(**{"max_steps": 4, "batch_size": 8, "lr": 1e-3, **options})
    return TASK.for_training(asked, data=given or parts(), checkpoint=options.get("checkpoint"), settings=settings)


def trained(folder: Path, given: Collection | None = None, **options: Any) -> Any:
    ready = prepared(given, **options)
    return fit(ready.task, ready.splits, ready.options, folder)


# -- what is decided --------------------------------------------------------------------------------------------------


def test_everything_is_decided_and_said() -> None:
    ready = prepared(settings={}, max_steps=0, lr=0.0)
    config, words = ready.task.network.config, " ".join(ready.chosen)
    assert (config.context, config.dim, config.condition) == (9, 64, "return")
    highest = max(float(item.returns_to_go().max()) for item in parts().train)
    assert config.return_scale == pytest.approx(highest / sizes.RANGE)
    assert (ready.options.max_steps, ready.options.lr) == (sizes.STEPS, 1e-3)
    for said in ("told the return still asked for", "context 9 steps", "train 3, validation 1, test 1", "3,000 steps",
                 "name no environment"):  # fmt: skip
        assert said in words, words


def test_pictures_are_cut_so_that_a_context_stays_short() -> None:
    ready = prepared(parts(9, 30, observation=PICTURE), settings={})
    config = ready.task.network.config
    assert (config.patch, config.patches) == (2, 16)
    assert config.context * config.tokens <= sizes.TOKENS
    states: Any = ready.task.network.states
    assert states.scaled.mean.shape == (3, 1, 1)
    assert float(states.scaled.mean.mean()) == pytest.approx(127.5, abs=5)


@pytest.mark.parametrize("space", [CHOICE, CHOICES, CAMERA])
def test_states_of_other_kinds_can_be_learnt_from(space: Any, tmp_path: Path) -> None:
    given = parts(observation=space, action=CHOICES)
    ready = prepared(given, settings={**TINY, **({"patch": "4"} if space is CAMERA else {})})
    assert ready.task.around.statistics is None
    run = fit(ready.task, ready.splits, ready.options, tmp_path / "run")
    assert set(run.metrics) == {"accuracy"}


def test_numbers_are_scaled_by_the_training_part() -> None:
    given = parts(action=NUMBERS)
    ready = prepared(given)
    seen = np.concatenate([item.observations[:-1] for item in given.train])
    mean, std = moments(given.train)
    np.testing.assert_allclose(mean, seen.mean(0), rtol=1e-5)
    states, head = ready.task.network.states, ready.task.network.head
    np.testing.assert_allclose(states.scaled.std.numpy(), std, rtol=1e-5)
    done = np.concatenate([item.actions for item in given.train])
    np.testing.assert_allclose(head.scaled.mean.numpy(), done.mean(0), rtol=1e-4)
    assert not ready.task.around.statistics.unusual(seen).any()


def test_percent_cloning_learns_from_the_best() -> None:
    given = parts(4, 9, 6)
    ready = prepared(given, condition="none", top=0.4)
    learnt: Any = ready.splits.train.examples
    assert [len(item) for item in learnt.episodes] == [9]
    assert "the best 1 of 3 episodes" in " ".join(ready.chosen)
    assert ready.task.around.data.high == pytest.approx(given.train.returns.max())


def test_long_data_are_seen_in_part_by_an_epoch() -> None:
    assert sizes.every(1_000, 64) == 1
    assert sizes.every(1_000_000, 64) == 52
    ready = prepared(parts(*[30] * 90), batch_size=1)
    assert ready.splits.train.examples.every > 1  # pyright: ignore[reportAttributeAccessIssue]


# -- learning and keeping ---------------------------------------------------------------------------------------------


def test_a_checkpoint_holds_all_it_takes(tmp_path: Path) -> None:
    ready = prepared(chunk=2, value=True)
    run = fit(ready.task, ready.splits, ready.options, tmp_path / "run")
    again = TASK.load(str(run.best))
    assert again.network.config == ready.task.network.config
    mine, theirs = ready.task.around, again.around
    assert (mine.data, mine.setting, mine.target) == (theirs.data, theirs.setting, theirs.target)
    batch = ready.task.preprocess([ready.splits.validation.examples[1]])
    np.testing.assert_allclose(ready.task.network(batch).raw.detach(), again.network(batch).raw.detach(), atol=2e-3)
    for name, buffer in ready.task.network.named_buffers():
        np.testing.assert_array_equal(buffer.numpy(), again.network.get_buffer(name).numpy())
    assert (run.best / "model.safetensors").stat().st_size < 60_000
    assert json.loads((run.best / "config.json").read_text())["data"]["name"] == "made up"


def test_learning_on_keeps_its_shape_and_scaling(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", max_steps=1)
    more = TASK.for_training(FinetuneOptions(max_steps=1), data=parts(3, 12), checkpoint=str(run.best), settings={})
    assert more.task.network.config.context == 4
    assert more.options.lr == pytest.approx(2e-4)
    assert more.task.around.data.episodes == 2
    with pytest.raises(UserError, match="was made with context 4, not 7"):
        TASK.for_training(FinetuneOptions(context=7), data=parts(), checkpoint=str(run.best), settings={})


# -- what is refused --------------------------------------------------------------------------------------------------


def test_data_of_another_environment_print_both_shapes(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", max_steps=1)
    for spaces, said in (
        ({"observation": CHOICE}, r"has 4 choices from 1 seen \(shape \[\]\), and 3 numbers \(shape \[3\]\)"),
        ({"action": BOUNDED}, r"has 2 numbers to act \(shape \[2\]\), and 4 choices from 1"),
    ):
        with pytest.raises(UserError, match=said):
            TASK.for_training(FinetuneOptions(), data=parts(**spaces), checkpoint=str(run.best), settings={})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top": 1.5}, "--top is a share"),
        ({"chunk": 0}, "--chunk must be at least 1"),
        ({"condition": "goal"}, "--condition cannot be 'goal'"),
        ({"settings": {"dimm": "3"}}, "Did you mean dim"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        prepared(**options)


def test_wrong_asking_is_named() -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"returns": "50,much"}, "--returns takes finite numbers"), ({"rate_limit": 1.0}, "part of --safe"),
        ({"hz": 50.0, "batch": 4}, "leave --batch at 1"), ({"execute": 0}, "--execute must be at least 1"),
    )  # fmt: skip
    for options, said in wrong:
        with pytest.raises(UserError, match=said):
            RunOptions(**options)
    assert EvaluateOptions(returns="50, 200,500").asked == (50, 200, 500)


def test_a_return_far_from_the_data_is_warned_of() -> None:
    facts = DataFacts.of(parts(4, 9, 6).train, "made up", "")
    assert facts.low == pytest.approx(4.1, abs=0.1)
    assert facts.high == pytest.approx(8.6, abs=0.1)
    assert targets.warnings_of([5.0, 9.0], facts) == {}
    assert "lie between" in targets.warnings_of([500.0, 5.0], facts)[500.0]
    assert len(targets.warnings_of([0.0], facts)) == 1
    assert targets.warnings_of([0.0], None) == {}


def test_one_episode_is_not_enough() -> None:
    whole = episodes(5)
    none: Any = whole[:0]
    with pytest.raises(UserError, match="nothing for validation"):
        prepared(Collection(name="one", sha256="", train=whole, validation=none, test=none))


def test_episodes_of_one_step_can_be_learnt_from(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", parts(1, 1, 1), settings={**TINY, "context": "3"})
    assert run.loss is not None
    assert np.isfinite(run.loss)
