"""What is written becomes what is said; what nobody could learn from is told apart."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tsuite.core.errors import UserError
from tsuite.core.manifest import manifest
from tsuite.domains.audio.transcripts import Spoken, normalise, read_prompts, read_spoken, why_unusable, written

SAID = {"1": "one", "#": "pound", "*": "star", "28.8": "twenty eight point eight", "a.m.": "a m", "pbx": "p b x"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Press 1, then #.", "press one then pound"),
        ('A polite "don\'t call" menu…', "a polite don't call menu"),
        ("It’s 28.8 kilobit (simple tone sound plays)", "it's twenty eight point eight kilobit"),
        ("at [@]", "at"),
        ("<beep ascending>", ""),
        ("re-enter and/or press *!", "re enter and or press star"),
        ("at 1 a.m. the PBX.", "at one a m the p b x"),
        ("L'été «dix-sept»", "l'été dix sept"),
        ("'quoted' words'", "quoted words"),
        ("Нажмите решётку!", "нажмите решётку"),
        ("用户 42", "用户 42"),
        ("e\u0301cole", "école"),
        ("5.Pour", "5 pour"),
    ],
)
def test_normalising(text: str, expected: str) -> None:
    assert normalise(text, SAID) == expected
    assert normalise(expected, SAID) == expected


def test_as_written() -> None:
    assert written("  Press   1 [tone] now. ") == "Press 1 now."


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("La conferenza ? piena.", "lost letters"),
        ("non pu? essere", "lost letters"),
        ("(10 seconds of silence)", "nothing is said"),
        ("Press 500.", "how '500' is said is not known"),
        ("Which folder? Press 1.", ""),
    ],
)
def test_what_cannot_be_learnt(text: str, why: str) -> None:
    found = why_unusable(text, Spoken(said=SAID))
    assert (why in found) == bool(why or not found)
    assert bool(found) == bool(why)
    assert why_unusable("Press 500.", Spoken()) == ""  # without a table digits stay


def test_lists_of_prompts(tmp_path: Path) -> None:
    text = "\ufeff; a comment\n\na: Hello: you.\n b :two\nc: one\nc: other\nd: same\nd: same\nno colon\n"
    (tmp_path / "list.txt").write_text(text, encoding="utf-8")
    (tmp_path / "list.txt.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("list.txt", "list.txt.gz"):
        assert read_prompts(tmp_path / name) == {"a": "Hello: you.", "b": "two", "d": "same"}
    (tmp_path / "bad.txt.gz").write_bytes(b"none")
    with pytest.raises(UserError, match="cannot be read"):
        read_prompts(tmp_path / "bad.txt.gz")


def test_tables(tmp_path: Path) -> None:
    assert read_spoken(tmp_path / "none.toml") == Spoken()
    (tmp_path / "a.toml").write_text('[said]\n"A.M." = "a m"\n[left_out]\nbeep = "a tone"\n')
    assert read_spoken(tmp_path / "a.toml") == Spoken(said={"a.m.": "a m"}, left_out={"beep": "a tone"})
    (tmp_path / "a.toml").write_text("said = 3\n")
    with pytest.raises(UserError, match=r"a\.toml cannot be read"):
        read_spoken(tmp_path / "a.toml")


@pytest.mark.parametrize("language", ["en", "fr", "it", "es", "ru"])
def test_every_shipped_table_says_the_digits(language: str) -> None:
    spoken = read_spoken(manifest(f"asterisk_{language}").folder / "spoken.toml")
    for digit in "0123456789":
        assert normalise(digit, spoken.said).isalpha()
    for said in spoken.said.values():
        assert normalise(said) == said
