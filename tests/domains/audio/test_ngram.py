"""N-gram models: Kneser-Ney against sums by hand, every distribution sums to one, ARPA files round trip."""

from __future__ import annotations

import gzip
import itertools
import math
from pathlib import Path

import pytest
from tsuite.core.errors import UserError
from tsuite.domains.audio.ngram import END, START, UNKNOWN, Level, NGram

TEXTS = ["press one for sales", "press two for help", "please hold", "press the pound key", "for help press one"]
ARPA = """made by hand
\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-99\t<s>\t-0.5
-1.0\t</s>
-0.5\ta\t-0.25
-0.7 b

\\2-grams:
-0.2\t<s> a
-0.1\ta b

\\end\\
"""


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("level", ["word", "character"])
def test_every_distribution_sums_to_one(order: int, level: Level) -> None:
    model = NGram.build(TEXTS, order=order, level=level)
    words = [*sorted(model.words), UNKNOWN, END]
    seen = sorted(model.words)[:5]
    histories = [model.start, ("never", "heard"), (START, seen[0]), *itertools.product(seen, repeat=2)]
    for history in histories:
        state = history[-(order - 1) :] if order > 1 else ()
        assert sum(math.exp(model.score(state, word)[0]) for word in words) == pytest.approx(1, abs=2e-6)


def test_kneser_ney_by_hand() -> None:
    """Counts of "a b", "a c", "b c": bigram discount 5 / (5 + 2·1), unigrams by the words before them."""
    model = NGram.build(["a b", "a c", "b c"], order=2)
    # bigrams: <s>a 2, <s>b 1, ab 1, ac 1, bc 1, b</s> 1, c</s> 2  ->  n1 = 5, n2 = 2
    big = 5 / 9
    # after how many different words: a 1 (<s>), b 2 (<s> a), c 2 (a b), </s> 2 (b c)  ->  n1 = 1, n2 = 3, of 7
    small = 1 / 7
    unigram = {"a": 1 - small, "b": 2 - small, "c": 2 - small, END: 2 - small, UNKNOWN: 0.0}
    unigram = {word: value / 7 + small * 4 / 7 / 5 for word, value in unigram.items()}
    expected = (1 - big) / 2 + big * 2 / 2 * unigram["b"]  # p(b | a): a was seen twice, before two words
    assert math.exp(model.score(("a",), "b")[0]) == pytest.approx(expected, rel=1e-5)
    assert math.exp(model.score(("a",), END)[0]) == pytest.approx(big * unigram[END], rel=1e-5)
    assert math.exp(model.score(("a",), "zzz")[0]) == pytest.approx(big * unigram[UNKNOWN], rel=1e-5)


def test_a_sentence_is_the_sum_of_its_steps_and_the_familiar_is_likelier() -> None:
    model = NGram.build(TEXTS, order=3)
    first, state = model.score(model.start, "please")
    second, state = model.score(state, "hold")
    assert model.sentence("please hold") == pytest.approx(first + second + model.finish(state))
    assert model.sentence("press one for help") > model.sentence("help for one press")
    assert model.perplexity(TEXTS) < model.perplexity(["hold key two sales"])


def test_states_are_as_short_as_they_may_be() -> None:
    model = NGram.build(TEXTS, order=3)
    assert model.score(("press", "one"), "never")[1] == (UNKNOWN,)
    assert model.score(("press",), "the")[1] == ("press", "the")
    assert model.score(("hold",), "the")[1] == ("the",)


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
@pytest.mark.parametrize("level", ["word", "character"])
def test_written_and_read_back_equal(tmp_path: Path, name: str, level: Level) -> None:
    model = NGram.build(TEXTS, order=3, level=level)
    model.write(tmp_path / name)
    assert NGram.read(tmp_path / name) == model
    assert ((tmp_path / name).read_bytes()[:2] == b"\x1f\x8b") == name.endswith("gz")


def test_a_foreign_file_with_back_off_and_without_unk(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    path.write_text(ARPA)
    model = NGram.read(path)
    ten = math.log(10)
    assert model.level == "word"
    assert model.order == 2
    assert model.score(("<s>",), "a") == (pytest.approx(-0.2 * ten), ("a",))
    assert model.score(("a",), "a")[0] == pytest.approx((-0.25 - 0.5) * ten)
    assert model.score(("b",), "b")[0] == pytest.approx(-0.7 * ten)
    assert model.score(("a",), "never")[0] == pytest.approx((-0.25 - 2.0) * ten)  # a tenth of the rarest
    path.write_bytes(gzip.compress(ARPA.encode()))
    assert NGram.read(path) == model


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("-1.0\t</s>", "x\t</s>", 8, "'x' is no number"),
        ("-1.0\t</s>", "nan\t</s>", 8, "'nan' is no number"),
        ("-1.0\t</s>", "0.5\t</s>", 8, "above 0"),
        ("-0.5\ta\t-0.25", "-0.5\ta b c\t-0.25", 9, "a 1-gram is"),
        ("-0.7 b", "-0.7 a", 10, "second time"),
        ("ngram 2=2", "ngram 2=3", 16, "3 2-grams were announced, 2 are there"),
        ("ngram 2=2", "ngram 3=2", 4, "expected 'ngram 2"),
        ("\\2-grams:", "\\3-grams:", 12, "expected '\\\\2-grams:'"),
        ("\\end\\\n", "", 15, "ends too early"),
        ("ngram 1=4\nngram 2=2\n", "", 4, "no 'ngram 1"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, what: str
) -> None:
    path = tmp_path / "lm.arpa"
    assert old in ARPA
    path.write_text(ARPA.replace(old, new))
    with pytest.raises(UserError) as error:
        NGram.read(path)
    assert f"lm.arpa, line {line}: " in str(error.value)
    assert what in str(error.value)


def test_files_that_are_no_language_models(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(UserError, match="no language model at"):
        NGram.read(path)
    path.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(UserError, match="not UTF-8"):
        NGram.read(path)
    path.write_bytes(gzip.compress(ARPA.encode())[:-20])
    with pytest.raises(UserError, match=r"damaged|ends too early"):
        NGram.read(path)
    path.write_text("some\ntext\n")
    with pytest.raises(UserError, match="ends too early"):
        NGram.read(path)
    with pytest.raises(UserError):
        NGram.read(tmp_path)


def test_nothing_to_build_from() -> None:
    with pytest.raises(UserError, match="no words"):
        NGram.build(["", " "])
    with pytest.raises(UserError, match="order 0"):
        NGram.build(TEXTS, order=0)
