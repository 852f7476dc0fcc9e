"""Texts made comparable: the rules one by one, and against transformers' normaliser on real transcripts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tsuite.core.errors import UserError
from tsuite.domains.audio.normalise import basic, none, normaliser, whisper
from tsuite.domains.audio.numerals import digits


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  Hello,   World! ", "hello world"),
        ("Don’t ‘quote’ the dogs' owner's", "don't quote the dogs owner's"),
        ("e-mail: a@b.c — 50%…", "e mail a b c 50"),
        ("Élan, ÜBER naïve; Ёлка", "élan über naïve ёлка"),
        ("... !?", ""),
    ],
)
def test_basic(text: str, plain: str) -> None:
    assert basic(text) == plain


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("one hundred and one", "101"), ("twenty twenty five", "2025"), ("nineteen eighty four", "1984"),
        ("two point five", "2.5"), ("point five", "0.5"), ("double oh seven", "007"), ("oh no", "oh no"),
        ("ten dollars and five cents", "$10.05"), ("twenty first", "21st"), ("the nineties", "the 90s"),
        ("twelfth ninth third hundredth", "12th 9th 3rd 100th"), ("minus five", "-5"), ("fifty percent", "50%"),
        ("one of us", "one of us"), ("1 of us", "one of us"), ("press one two", "press 12"),
        ("two hundred thousand and six", "200006"), ("two million three hundred thousand and twelve", "2300012"),
        ("2.5 million", "2500000"), ("five thousand five hundred five", "5505"), ("a hundred", "a 100"),
        ("press two and three", "press 2 and 3"), ("zero zero one", "001"), ("press two and hold", "press 2 and hold"),
        ("eleven seconds", "11 seconds"), ("five and", "5 and"),
        ("point", "point"), ("", ""),
    ],
)  # fmt: skip
def test_digits(said: str, written: str) -> None:
    assert digits(said) == written


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Hmm, I can't -- uh -- won't.", "i can not will not"),
        ("[noise] we've (laughs) got it, y'all", "we have got it you all"),
        ("Mr. Smith's café", "mister smith is cafe"),
        ("1,000,000 people; $3,000.50", "1000000 people $3000.50"),
        ("wait ... . , ? %", "wait"),
        ("The colour of the centre was organised and cancelled", "the color of the center was organized and canceled"),
        ("four hours of flour", "4 hours of flour"),
        ("www.asterisk.org", "www asterisk org"),
    ],
)
def test_whisper(text: str, plain: str) -> None:
    assert whisper(text) == plain


TRICKY = [
    "one", "two", "twenty", "hundred", "thousand", "million", "and", "point", "double", "oh", "first", "nineties", "5",
    "2.5", "$", "percent", "cents", "²", "٣",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(TRICKY), max_size=12).map(" ".join))
def test_whatever_the_text_no_token_is_only_punctuation(text: str) -> None:
    for clean in (basic, whisper):
        found = clean(text)
        assert found == none(found)
        assert all(any(letter.isalnum() for letter in token) for token in found.split()), found


def test_by_name() -> None:
    assert normaliser("none")(" A  b. ") == "A b."
    assert normaliser("basic") is basic
    with pytest.raises(UserError, match="Did you mean whisper"):
        normaliser("wisper")


SENTENCES = """Please enter your phone number, starting with the area code.
Press 1 to list users currently in the conference, 2 to kick all non-administrator users, 3 to mute.
I am sorry, that's not a valid extension.  Please try again.
Asterisk is an Open Source full-featured PBX and IVR platform that runs on the linux operating system.
... letters of your party's first or last name, using your touchtone keypad. Use the 7 key for Q, and the 9 key for Z.
dot [.]
You've got twenty-one new messages; they're marked "Urgent"!
If you'd like to try again, press the pound key (or hang up).
The number you have dialed, 555-1234, isn't in service.
nineteen, twelfth, hundredth, million, sixteen, twentieth
It's half past ten P.M. on December the thirty-first, nineteen ninety-nine.
He couldn't've known that she'll be late, we'd said so, I'm sure you won't mind.
A trip of three hundred and fifty miles costs $1,250.75 or 40% less."""
TRANSCRIPTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")


def test_as_transformers_does_it() -> None:
    """On prompts like Asterisk's, and on all of them where Debian's package is installed; the last is without a table
    of spellings, which transformers keeps with the checkpoints, and both without tokens that are only punctuation."""
    english = pytest.importorskip("transformers.models.whisper.english_normalizer").EnglishTextNormalizer({})
    texts = SENTENCES.split("\n")
    if TRANSCRIPTS.exists():
        import gzip

        with gzip.open(TRANSCRIPTS, "rt", encoding="utf-8") as file:
            texts += [line.partition(": ")[2] for line in file if ": " in line and line[0] != ";"]
    different = []
    for text in texts:
        theirs = " ".join(token for token in english(text).split() if re.search(r"\w", token))
        if whisper(text) != theirs:
            different.append((text, theirs, whisper(text)))
    assert len(different) <= 0.02 * len(texts), different
