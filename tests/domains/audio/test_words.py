"""Lists of words, and sentences drawn from them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tsuite.core.errors import UserError
from tsuite.domains.audio.words import draw_sentences, read_words


def test_words_with_and_without_counts(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeffThe 900\ndial 1\n\nnever 0\nTHE 100\nplain\n", encoding="utf-8")
    assert read_words(str(path)) == {"the": 1000.0, "dial": 1.0, "plain": 1.0}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"the 900\nthree words here\n", "line 2: 'three words here' is not a word"),
        (b"the many\n", "line 1: 'the many'"),
        (b"\n\n", "holds no words"),
        (b"\xff\xfe\x00", "cannot be read as a list of words"),
        (None, "cannot be read as a list of words"),
    ],
)
def test_what_is_no_list(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_words(str(path))


def test_sentences_by_the_square_root_of_counts() -> None:
    sentences = draw_sentences({"often": 10_000.0, "rare": 100.0}, 2_000, seed=1)
    assert len(sentences) == 2_000
    assert {len(sentence.split()) for sentence in sentences} == set(range(1, 9))
    drawn = Counter(word for sentence in sentences for word in sentence.split())
    assert 8 < drawn["often"] / drawn["rare"] < 12
    assert sentences == draw_sentences({"often": 10_000.0, "rare": 100.0}, 2_000, seed=1)


def test_held_out_sentences_are_never_drawn() -> None:
    sentences = draw_sentences({"one": 1.0, "two": 1.0}, 300, seed=0, without={"one", "two two"})
    assert "two" in sentences
    assert not {"one", "two two"} & set(sentences)
