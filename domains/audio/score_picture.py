"""What goes wrong in a recogniser, as one picture: the error rate, by length of what was said, the words confused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .metrics import Errors, Scores, Utterance
from .picture import ACCENT, BAD, INK, QUIET, RULE

WIDTH, HEAD, ROW, BODY = 11.0, 1.75, 0.27, 3.1
"""Inches: the figure, its heading, a row of the list of confusions, the least height of what stands below."""
KINDS = (("substitutions", ACCENT), ("deletions", "#8fb9c8"), ("insertions", BAD))
NOTHING = "—"


def draw_scores(scores: Scores, path: Path, *, title: str = "Word errors", most: int = 12) -> Path:
    """Write the picture: heading with the rates, errors by length of the utterance, the `most` frequent confusions."""
    from matplotlib.figure import Figure

    rows = scores.confusions.most(most)
    body = max(BODY, ROW * len(rows) + 0.3)
    height = HEAD + 0.2 + body + 0.45
    figure = Figure(figsize=(WIDTH, height), dpi=140, facecolor="white")
    _head(figure, scores, title, height)
    for x, name in ((0.35, "by length"), (6.95, "most frequent")):
        figure.text(x / WIDTH, 1 - HEAD / height, name, fontsize=11, color=INK, fontweight="bold", va="center")
    left = figure.add_axes((0.75 / WIDTH, 0.75 / height, 5.4 / WIDTH, (body - 0.3) / height))
    _by_length(left, groups(scores.utterances))
    right = figure.add_axes((6.6 / WIDTH, (0.45 / height), 4.3 / WIDTH, body / height))
    _confusions(right, rows, body)
    figure.savefig(path)
    return path


def groups(utterances: Sequence[Utterance]) -> list[tuple[str, Errors, int]]:
    """(words, errors, utterances) of short to long; lengths double, and a group without utterances is left out."""
    bounds = [(1, 2), (3, 5), (6, 10), (11, 20), (21, 40), (41, 1 << 30)]
    found = []
    for least, most in bounds:
        inside = [one.words for one in utterances if least <= one.words.length <= most]
        if inside:
            found.append((f"{least}–{most}" if most < 1 << 30 else f"{least}+", sum(inside, Errors()), len(inside)))
    return found


def _head(figure: Any, scores: Scores, title: str, height: float) -> None:
    """Title, the rates in large type, and what they were counted on."""

    def write(x: float, y: float, text: str, **style: Any) -> None:
        figure.text(x / WIDTH, 1 - y / height, text, va="center", **style)

    write(0.35, 0.36, title, fontsize=15, fontweight="bold", color=INK)
    normal = f"texts compared after the normalisation “{scores.normalisation}”"
    count = len(scores.utterances)
    write(0.35, 0.66, f"{count} utterance{'s' * (count != 1)}, {scores.words.length} words; {normal}", fontsize=9.5,
          color=QUIET)  # fmt: skip
    low, high = scores.interval
    sure = "" if math.isnan(low) else f"95 % between {percent(low)} and {percent(high)}"
    rights = scores.metrics["sentences_right"]
    for x, figure_, name, note in (
        (0.35, percent(scores.words.rate), "word error rate", sure),
        (4.05, percent(scores.characters.rate), "character error rate", ""),
        (7.05, percent(rights), "utterances without error", ""),
    ):
        write(x, 1.12, figure_, fontsize=19, color=ACCENT, fontweight="bold")
        width = 0.21 * len(figure_)
        write(x + width, 1.06 if note else 1.14, name, fontsize=10, color=INK)
        write(x + width, 1.27, note, fontsize=8.5, color=QUIET)


def _by_length(axes: Any, found: list[tuple[str, Errors, int]]) -> None:
    """Bars of errors a hundred words, divided by kind."""
    base = [0.0] * len(found)
    for kind, colour in KINDS:
        share = [100 * getattr(errors, kind) / errors.length for _, errors, _ in found]
        axes.bar(range(len(found)), share, bottom=base, width=0.62, color=colour, label=kind)
        base = [below + more for below, more in zip(base, share, strict=True)]
    top = max([*base, 5.0])
    for place, (_, errors, _) in enumerate(found):
        axes.text(
            place, base[place] + top * 0.02, percent(errors.rate), ha="center", va="bottom", fontsize=9, color=INK
        )
    axes.set_ylim(0, top * 1.32)
    axes.set_xlim(-0.6, max(len(found), 3) - 0.4)
    axes.set_xticks(range(len(found)), [f"{name}\n×{count}" for name, _, count in found])
    axes.set_xlabel("words in the utterance, and how many utterances", fontsize=8.5, color=QUIET, labelpad=6)
    axes.set_ylabel("errors in 100 words", fontsize=9, color=QUIET)
    axes.tick_params(labelsize=8.5, colors=QUIET, length=0)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(loc="upper right", fontsize=8.5, frameon=False, ncols=3, handlelength=0.9, labelcolor=INK)


def _confusions(axes: Any, rows: Sequence[tuple[str, str, int]], height: float) -> None:
    """The list: said, heard, a bar of how often. One unit up is one inch."""
    axes.set_xlim(0, 4.3)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    for x, text, align in ((1.5, "said", "right"), (1.85, "heard", "left"), (3.45, "times", "left")):
        axes.text(x, 0.1, text, fontsize=9, color=QUIET, ha=align, va="center")
    if not rows:
        axes.text(1.5, 0.45, "no errors", fontsize=10, color=QUIET, ha="right", va="center", style="italic")
    longest = max((times for _, _, times in rows), default=1)
    for place, (said, heard, times) in enumerate(rows):
        level = 0.42 + ROW * place
        axes.text(
            1.5, level, _short(said) or NOTHING, fontsize=9.5, color=INK if said else QUIET, ha="right", va="center"
        )
        axes.text(1.675, level, "→", fontsize=9, color=QUIET, ha="center", va="center")
        axes.text(1.85, level, _short(heard) or NOTHING, fontsize=9.5, color=BAD if heard else QUIET, va="center")
        axes.barh(level, 0.55 * times / longest, left=3.45, height=0.13, color=ACCENT)
        axes.text(3.5 + 0.55 * times / longest, level, f"{times}", fontsize=9, color=QUIET, va="center")


def percent(rate: float) -> str:
    """A share for people: 4.3 %; – where there is none."""
    return "–" if math.isnan(rate) else f"{100 * rate:.1f} %"


def _short(word: str, most: int = 18) -> str:
    return word if len(word) <= most else word[: most - 1] + "…"
