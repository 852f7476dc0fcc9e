"""What a fine-tuning did, before and after side by side: report.json, report.md with ten replies, report.png.

Scores compare across vocabularies: bits, not losses, and characters, not tokens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import metrics


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A reply to a held-out prompt. ended: it came to its own end, rather than to the limit of tokens."""

    prompt: str
    reference: str
    reply: str
    ended: bool


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One model on the held-out data; NaN for what was not measured.

    bits_per_char_*: of held-out replies in Chinese, and in English (what was forgotten). rouge_l: on characters, 0 to
    1. han_share: Han among the letters and numbers of replies to Chinese prompts; mostly_han: replies more than half
    Han. ended: replies with an end of their own. distinct_*: different among all runs of 1 and 2 characters.
    tokens_per_char: of the held-out Chinese. n: replies scored.
    """

    bits_per_char_zh: float = math.nan
    bits_per_char_en: float = math.nan
    rouge_l: float = math.nan
    han_share: float = math.nan
    mostly_han: float = math.nan
    ended: float = math.nan
    distinct_1: float = math.nan
    distinct_2: float = math.nan
    tokens_per_char: float = math.nan
    n: int = 0

    @classmethod
    def of(
        cls,
        replies: Sequence[Reply],
        *,
        bits_per_char_zh: float = math.nan,
        bits_per_char_en: float = math.nan,
        tokens_per_char: float = math.nan,
    ) -> Scores:
        """The scores of replies, with those of the data beside them. The Han counts are over Chinese prompts alone."""
        texts = [reply.reply for reply in replies]
        asked = [reply.reply for reply in replies if metrics.mostly_han(reply.prompt)]
        return cls(
            bits_per_char_zh=bits_per_char_zh,
            bits_per_char_en=bits_per_char_en,
            rouge_l=_mean([metrics.rouge_l(reply.reply, reply.reference) for reply in replies]),
            han_share=_mean([metrics.han_share(text) for text in asked]),
            mostly_han=metrics.share([metrics.mostly_han(text) for text in asked]),
            ended=metrics.share([reply.ended for reply in replies]),
            distinct_1=metrics.distinct(texts, 1) if texts else math.nan,
            distinct_2=metrics.distinct(texts, 2) if texts else math.nan,
            tokens_per_char=tokens_per_char,
            n=len(replies),
        )


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How a score is shown. better: the direction in which it improves, -1 down, 1 up, 0 neither."""

    name: str
    label: str
    better: int
    percent: bool = False

    def text(self, value: float) -> str:
        """The value for people; a dash for NaN."""
        if math.isnan(value):
            return "–"
        return f"{100 * value:.1f} %" if self.percent else f"{value:.3f}"

    def change(self, before: float, after: float) -> str:
        """What became of it: in points of a percentage, else in percent of before; empty where that means nothing."""
        if math.isnan(before) or math.isnan(after) or (before == 0 and not self.percent):
            return ""
        if self.percent:
            return f"{100 * (after - before):+.1f} points".replace("-", "−")
        change = 100 * (after - before) / before
        return f"{change:+,.{1 if abs(change) < 100 else 0}f} %".replace("-", "−")

    def improved(self, before: float, after: float) -> bool | None:
        """Whether after is better than before; None where it is neither better nor worse."""
        gain = (after - before) * self.better
        return None if math.isnan(gain) or gain == 0 else gain > 0


MEASURES = (
    Measure(name="bits_per_char_zh", label="Bits per character, Chinese", better=-1),
    Measure(name="bits_per_char_en", label="Bits per character, English", better=-1),
    Measure(name="tokens_per_char", label="Tokens per Chinese character", better=-1),
    Measure(name="rouge_l", label="ROUGE-L on characters", better=1),
    Measure(name="han_share", label="Han characters in replies", better=1, percent=True),
    Measure(name="mostly_han", label="Replies mostly in Han", better=1, percent=True),
    Measure(name="ended", label="Replies that end by themselves", better=1, percent=True),
    Measure(name="distinct_1", label="Distinct-1", better=0),
    Measure(name="distinct_2", label="Distinct-2", better=0),
)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One prompt with both replies; `before` is None where only one model was scored."""

    prompt: str
    reference: str
    before: str | None
    after: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Scores before and after (`before` None: one model alone), and sample replies. `about`: facts for the heading."""

    before: Scores | None
    after: Scores
    samples: Sequence[Sample] = ()
    about: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data; null for what was not measured."""
        return {
            "about": dict(self.about),
            "before": None if self.before is None else _plain(self.before),
            "after": _plain(self.after),
            "samples": [asdict(sample) for sample in self.samples],
        }

    def to_markdown(self) -> str:
        """The table and the samples, for people."""
        about = [f"- {name}: {value}" for name, value in self.about.items()]
        rows = [self._row(measure) for measure in MEASURES]
        head = ["| | before | after | change | better |", "|---|---:|---:|---:|:---:|"]
        if self.before is None:
            head = ["| | |", "|---|---:|"]
        counted = f"Over {self.after.n} held-out prompts. Bits and tokens are per character of the held-out text."
        samples = [line for number, sample in enumerate(self.samples, 1) for line in _sample(number, sample)]
        parts = ["# Report", "", *about, "", *head, *rows, "", counted, "", "![scores](report.png)"]
        return "\n".join([*parts, *(["", "## Sample replies", *samples] if samples else []), ""])

    def _row(self, measure: Measure) -> str:
        after = getattr(self.after, measure.name)
        if self.before is None:
            return f"| {measure.label} | {measure.text(after)} |"
        before = getattr(self.before, measure.name)
        shown = [measure.text(before), f"**{measure.text(after)}**", measure.change(before, after)]
        return f"| {measure.label} | {' | '.join(shown)} | {['', '↑', '↓'][measure.better]} |"

    def write(self, folder: Path) -> list[Path]:
        """Write report.json, report.md and report.png into `folder`; gives their paths."""
        from .report_plot import draw

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        json_path, text_path, plot_path = (folder / f"report.{suffix}" for suffix in ("json", "md", "png"))
        json_path.write_text(json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        text_path.write_text(self.to_markdown(), encoding="utf-8")
        draw(self, plot_path)
        return [json_path, text_path, plot_path]


def _sample(number: int, sample: Sample) -> list[str]:
    said = [("Prompt", sample.prompt), ("Reference", sample.reference)]
    said += [("Reply", sample.after)] if sample.before is None else [("Before", sample.before), ("After", sample.after)]
    return ["", f"### {number}", *(line for name, text in said for line in ("", f"**{name}**", "", _quoted(text)))]


def _quoted(text: str) -> str:
    """Text as a block that Markdown leaves as it is, whatever it holds; an empty reply is said to be so."""
    if not text.strip():
        return "*(empty)*"
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _plain(scores: Scores) -> dict[str, Any]:
    """JSON knows no NaN."""
    fields = asdict(scores)
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in fields.items()}
