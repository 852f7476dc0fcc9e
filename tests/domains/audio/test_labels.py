"""Labels of CTC models: characters and BPE round trip, and name what they cannot spell."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tsuite.core.errors import UserError
from tsuite.domains.audio.tokenizer import Labels

TEXTS = ["please enter your extension", "please hold", "your extension is busy", "don't hang up"] * 3
BOTH = [Labels.characters(TEXTS), Labels.bpe(TEXTS, 60)]
SPELLABLE = st.text(sorted(BOTH[0].alphabet), max_size=40)


@settings(max_examples=60, deadline=None)
@given(SPELLABLE, st.sampled_from(BOTH))
def test_round_trip(text: str, labels: Labels) -> None:
    ids = labels.encode(text)
    assert labels.blank not in ids
    assert labels.decode(ids) == " ".join(text.split())


def test_characters_in_order_after_the_blank() -> None:
    assert Labels.characters(["ba  b"]).texts == ["", " ", "a", "b"]


def test_bpe_learns_whole_words_with_their_space() -> None:
    labels = BOTH[1]
    assert len(labels) <= 60
    assert " please" in labels.texts
    assert len(labels.encode("please hold")) < len("please hold") / 2


@pytest.mark.parametrize("labels", BOTH, ids=["characters", "bpe"])
def test_the_first_character_outside_is_named(labels: Labels) -> None:
    with pytest.raises(UserError, match=r"'ß' \(U\+00DF\) in 'please ß7'"):
        labels.encode("please ß7")
    assert labels.unknown("please ß7") == {"ß", "7"}
    assert labels.unknown("hold") == set()


@pytest.mark.parametrize("labels", BOTH, ids=["characters", "bpe"])
def test_case_is_folded_where_there_is_one(labels: Labels) -> None:
    assert labels.decode(labels.encode("Please HOLD")) == "please hold"
    mixed = Labels.characters(["Aab"])
    assert mixed.unknown("B") == {"B"}


def test_composed_and_decomposed_letters_are_the_same() -> None:
    labels = Labels.characters(["cafe\u0301"])
    assert labels.texts == ["", " ", "a", "c", "f", "\u00e9"]
    assert labels.encode("caf\u00e9") == labels.encode("cafe\u0301") == [3, 2, 4, 5]


@pytest.mark.parametrize("labels", BOTH, ids=["characters", "bpe"])
def test_through_json(labels: Labels) -> None:
    again = Labels.from_dict(json.loads(json.dumps(labels.to_dict())))
    assert again == labels
    assert again.encode("please hold") == labels.encode("please hold")


@pytest.mark.parametrize(
    "data", [{}, {"kind": "x", "texts": [""], "blank": 0}, {"kind": "characters", "texts": ["a"], "blank": 0},
             {"kind": "characters", "texts": [""], "blank": 3}, {"kind": "bpe", "texts": 3, "blank": 0}]
)  # fmt: skip
def test_broken_data(data: dict) -> None:
    with pytest.raises(UserError, match="labels"):
        Labels.from_dict(data)


def test_nothing_to_learn_from_and_too_few() -> None:
    with pytest.raises(UserError, match="no characters"):
        Labels.characters(["", " "])
    with pytest.raises(UserError, match="too few"):
        Labels.bpe(TEXTS, 5)


def test_a_foreign_vocabulary() -> None:
    labels = Labels.from_vocabulary({"<s>": 1, "<pad>": 0, "|": 2, "A": 3, "'": 4, "<unk>": 5})
    assert labels.texts == ["", "", " ", "A", "'", ""]
    assert labels.encode("a a'") == [3, 2, 3, 4]
    assert labels.decode([1, 3, 2, 5, 3]) == "A A"
    last = Labels.from_vocabulary({"|": 0, "a": 1, "[PAD]": 2}, blank="[PAD]")
    assert last.blank == 2
    with pytest.raises(UserError, match="<pad>"):
        Labels.from_vocabulary({"a": 0})
