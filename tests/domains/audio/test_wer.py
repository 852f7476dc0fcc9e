"""Error rates against counts by hand, with confidence and confusions."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tsuite.core.errors import UserError
from tsuite.domains.audio.metrics import Confusions, Errors, Pair, confidence_interval, score

pytest.importorskip("jiwer")
TEXT = st.text("ab ", max_size=12)


def distance(left: list[str], right: list[str]) -> int:
    """Levenshtein's, the slow way."""
    row = list(range(len(right) + 1))
    for i, one in enumerate(left, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(right, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (one != other))
    return row[-1]


def pairs(*texts: tuple[str, str]) -> list[Pair]:
    return [Pair(id=f"{place}", truth=truth, heard=heard) for place, (truth, heard) in enumerate(texts)]


def test_by_hand() -> None:
    found = score(pairs(("Press the pound key.", "press a pound"), ("Yes", "yes"), ("hold", "please hold")))
    assert found.words == Errors(substitutions=1, deletions=1, insertions=1, length=6)
    assert found.words.rate == 0.5
    assert found.metrics["wer"] == 0.5
    assert found.metrics["sentences_right"] == pytest.approx(1 / 3)
    assert found.characters.length == len("press the pound key") + 3 + 4
    assert found.confusions.most(9) == [("", "please", 1), ("key", "", 1), ("the", "a", 1)]
    assert [one.id for one in found.worst()] == ["0", "2"]
    assert found.worst(1)[0].heard == "press a pound"


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), max_size=6))
def test_against_the_slow_way(texts: list[tuple[str, str]]) -> None:
    found = score(pairs(*texts), normalisation="none")
    assert found.words.total == sum(distance(truth.split(), heard.split()) for truth, heard in texts)
    clean = [(" ".join(truth.split()), " ".join(heard.split())) for truth, heard in texts]
    assert found.characters.total == sum(distance(list(truth), list(heard)) for truth, heard in clean)
    assert found.words.length == sum(len(truth.split()) for truth, _ in texts)
    counted = found.confusions
    assert sum(counted.substituted.values()) == found.words.substitutions
    assert sum(counted.deleted.values()) == found.words.deletions
    assert sum(counted.inserted.values()) == found.words.insertions
    json.dumps(found.to_json(), allow_nan=False)


def test_the_normalisation_is_shown_and_matters() -> None:
    same = pairs(("I can't, Mr. Twenty", "i can not mister 20"))
    assert score(same, normalisation="whisper").words.total == 0
    assert score(same, normalisation="basic").words.total > 0
    assert score(same, normalisation="none").to_json()["normalisation"] == "none"
    with pytest.raises(UserError, match="normalisation"):
        score(same, normalisation="all")


def test_nothing_said_is_no_rate_but_insertions_count() -> None:
    silent = score(pairs(("", "beep beep"), ("...", "")))
    assert silent.words == Errors(insertions=2)
    assert math.isnan(silent.words.rate)
    assert silent.worst()[0].heard == "beep beep"
    assert silent.to_json()["words"]["rate"] is None
    assert math.isnan(score([]).metrics["wer"])


def test_confidence_interval() -> None:
    low, high = confidence_interval([0, 1] * 50, [10] * 100)
    assert 0.03 <= low < 0.05 < high <= 0.07
    assert confidence_interval([0, 1] * 50, [10] * 100) == (low, high)  # the same every time
    assert confidence_interval([1] * 5, [10] * 5) == (pytest.approx(0.1), pytest.approx(0.1))
    assert math.isnan(confidence_interval([1], [10])[0])


def test_most_frequent_first() -> None:
    counted = Confusions()
    counted.substituted[("the", "a")] += 2
    counted.inserted["uh"] += 3
    assert counted.most(2) == [("", "uh", 3), ("the", "a", 2)]
