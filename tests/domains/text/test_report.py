"""The report: what is written, what the picture holds, and replies that Markdown cannot break."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tsuite.domains.text.report import MEASURES, Comparison, Reply, Sample, Scores
from tsuite.domains.text.report_plot import AFTER, BAD, BEFORE, GOOD

WORSE = Scores(
    bits_per_char_zh=6.0, bits_per_char_en=1.0, rouge_l=0.05, han_share=0.1, mostly_han=0.0, ended=0.5,
    distinct_1=0.1, distinct_2=0.3, tokens_per_char=1.8, n=20,
)  # fmt: skip
BETTER = Scores(
    bits_per_char_zh=3.0, bits_per_char_en=1.1, rouge_l=0.2, han_share=0.9, mostly_han=1.0, ended=1.0,
    distinct_1=0.1, distinct_2=0.4, tokens_per_char=0.9, n=20,
)  # fmt: skip


def samples(count: int) -> list[Sample]:
    return [Sample(prompt=f"问题{row}", reference="答案", before="old", after="新") for row in range(count)]


def colours(path: Path) -> set[str]:
    """Those that fill more than a few dots."""
    with Image.open(path) as file:
        image = file.convert("RGB")
    found = image.getcolors(image.width * image.height)
    assert found
    return {"#{:02x}{:02x}{:02x}".format(*colour) for count, colour in found if count > 30}  # type: ignore[misc]


def test_three_files(tmp_path: Path) -> None:
    comparison = Comparison(before=WORSE, after=BETTER, samples=samples(10), about={"base": "toy"})
    paths = comparison.write(tmp_path / "report")
    assert [path.name for path in paths] == ["report.json", "report.md", "report.png"]
    told = json.loads(paths[0].read_text(encoding="utf-8"))
    assert told["before"]["bits_per_char_zh"] == 6.0
    assert told["after"]["n"] == 20
    assert told["about"] == {"base": "toy"}
    assert told["samples"][9] == {"prompt": "问题9", "reference": "答案", "before": "old", "after": "新"}
    text = paths[1].read_text(encoding="utf-8")
    assert "| Bits per character, Chinese | 6.000 | **3.000** | −50.0 % | ↓ |" in text
    assert "| Han characters in replies | 10.0 % | **90.0 %** | +80.0 points | ↑ |" in text
    assert text.count("**Before**") == text.count("**After**") == 10
    assert {BEFORE, AFTER, GOOD, BAD} <= colours(paths[2])  # BAD: English became worse


def test_one_model_alone(tmp_path: Path) -> None:
    paths = Comparison(before=None, after=BETTER, samples=[replace(one, before=None) for one in samples(3)]).write(
        tmp_path
    )
    text = paths[1].read_text(encoding="utf-8")
    assert "| ROUGE-L on characters | 0.200 |" in text
    assert text.count("**Reply**") == 3
    assert json.loads(paths[0].read_text())["before"] is None
    assert not {BEFORE, GOOD, BAD} & colours(paths[2])


def test_what_was_not_measured_is_a_dash_and_null(tmp_path: Path) -> None:
    scores = Scores(rouge_l=0.5, n=1)
    paths = Comparison(before=Scores(n=1), after=scores).write(tmp_path)
    assert "| Bits per character, English | – | **–** |  | ↓ |" in paths[1].read_text(encoding="utf-8")
    assert json.loads(paths[0].read_text())["after"]["bits_per_char_en"] is None
    Comparison(before=None, after=Scores()).write(tmp_path / "nothing")
    assert colours(tmp_path / "nothing" / "report.png")


def test_scores_are_those_of_the_replies() -> None:
    replies = [
        Reply(prompt="天气怎么样？", reference="很好", reply="很好", ended=True),
        Reply(prompt="你是谁？", reference="助手", reply="I am", ended=False),
        Reply(prompt="Who are you?", reference="me", reply="me", ended=True),
    ]
    scores = Scores.of(replies, bits_per_char_zh=3.0, tokens_per_char=0.9)
    assert (scores.n, scores.bits_per_char_zh, scores.tokens_per_char) == (3, 3.0, 0.9)
    assert math.isnan(scores.bits_per_char_en)
    assert (scores.han_share, scores.mostly_han) == (0.5, 0.5)  # of the two Chinese prompts
    assert (scores.rouge_l, scores.ended) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (scores.distinct_1, scores.distinct_2) == (pytest.approx(6 / 7), 1.0)
    assert all(math.isnan(getattr(Scores.of([]), measure.name)) for measure in MEASURES)


@pytest.mark.parametrize(
    ("name", "before", "after", "text", "better"),
    [
        ("bits_per_char_zh", 6.0, 3.0, "−50.0 %", True),
        ("bits_per_char_en", 1.0, 1.1, "+10.0 %", False),
        ("rouge_l", 0.01, 0.4, "+3,900 %", True),
        ("rouge_l", 0.0, 0.4, "", True),
        ("ended", 0.0, 0.25, "+25.0 points", True),
        ("ended", 0.5, 0.25, "−25.0 points", False),
        ("distinct_1", 0.1, 0.2, "+100 %", None),
        ("rouge_l", math.nan, 0.2, "", None),
        ("rouge_l", 0.2, 0.2, "+0.0 %", None),
    ],
)
def test_change(name: str, before: float, after: float, text: str, better: bool | None) -> None:
    measure = next(measure for measure in MEASURES if measure.name == name)
    assert measure.change(before, after) == text
    assert measure.improved(before, after) is better


def test_a_reply_cannot_break_the_page() -> None:
    nasty = "```python\nx\n```\n# not a heading\n| not | a table |"
    sample = Sample(prompt="p", reference="r", before="", after=nasty)
    text = Comparison(before=WORSE, after=BETTER, samples=[sample]).to_markdown()
    assert f"````text\n{nasty}\n````" in text
    assert "*(empty)*" in text
