"""Options as dataclasses: checked once, spelled the same in Python, on the command line and in --set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from tsuite.core.errors import UserError, missing_extra, near
from tsuite.core.options import Options, RunOptions, TrainOptions, build, flag, option, override, split_settings


@dataclass(frozen=True, kw_only=True)
class Colours(Options):
    shade: str = option("red", "which", choices=("red", "green"))
    count: int = option(1, "how many")
    share: float = option(0.5, "part")
    loud: bool = option(False, "or not")
    limit: float | None = option(None, "at most")
    steps: tuple[int, ...] = option((), "sizes")
    way: Literal["up", "down"] = option("up", "where")
    name: str = option("x", "any")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("count", "7", 7),
        ("share", "1e-3", 0.001),
        ("loud", "yes", True),
        ("loud", "False", False),
        ("limit", "none", None),
        ("limit", "2.5", 2.5),
        ("steps", "1, 2,3", (1, 2, 3)),
        ("steps", "(4)", (4,)),
        ("way", "down", "down"),
        ("name", "a=b", "a=b"),
        ("shade", "green", "green"),
        ("count", 3, 3),
    ],
)
def test_text_becomes_values(key: str, text: Any, value: object) -> None:
    assert getattr(override(Colours(), {key: text}), key) == value


@pytest.mark.parametrize(
    ("key", "text", "match"),
    [
        ("cuont", "7", r"no setting 'cuont'\. Did you mean count\?"),
        ("zzz", "7", r"no setting 'zzz'\. Known are: count, limit"),
        ("count", "many", "count takes a int, not 'many'"),
        ("loud", "perhaps", "loud takes a bool, not 'perhaps'"),
        ("way", "upp", r"way cannot be 'upp'\. Did you mean up\?"),
        ("shade", "gren", r"--shade cannot be 'gren'\. Did you mean green"),
        ("steps", "1,b", "steps takes a int, not 'b'"),
        ("limit", "high", "limit takes a float, not 'high'"),
    ],
)
def test_wrong_settings(key: str, text: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        override(Colours(), {key: text})


def test_build() -> None:
    assert build(Colours, {"count": 2}).count == 2
    with pytest.raises(UserError, match=r"Colours has no field 'coutn'\. Did you mean count"):
        build(Colours, {"coutn": 2})


def test_settings_are_shared_out() -> None:
    first, second = split_settings({"batch": "3", "count": "2"}, RunOptions(), Colours())
    assert (first, second) == ({"batch": "3"}, {"count": "2"})
    with pytest.raises(UserError, match=r"no setting 'bacth'.*batch"):
        split_settings({"bacth": "3"}, RunOptions(), Colours())


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"batch_size": 0}, "--batch-size must be above zero"),
        ({"accumulate": -1}, "--accumulate must be above zero"),
        ({"lr": -1.0}, "--lr cannot be negative"),
        ({"warmup": 1.0}, "--warmup is a share"),
        ({"schedule": "cosin"}, r"--schedule cannot be 'cosin'\. Did you mean cosine"),
        ({"precision": "int4"}, "--precision cannot be 'int4'"),
    ],
)
def test_training_options_are_checked(values: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        TrainOptions(**values)


def test_near_names() -> None:
    assert flag("layer_decay") == "--layer-decay"
    assert near("vision.vti", ["vision.vit", "text.phi"]) == "Did you mean vision.vit?"
    assert near("q", []) == "None is known."
    assert near("q", [f"name{number:02}" for number in range(20)]).endswith("name11, ….")
    assert "pip install 'tsuite[vision]'" in str(missing_extra("kornia", "vision"))
