"""What molecules are optimised towards, read from a line: `qed*2, logp:2..3, sa, guacamol:osimertinib`.

    part                 score, 0 to 1
    qed                  as it is
    sa                   (10 - SA) / 9: 1 for what is easiest to make
    logp:2..3            1 inside of the range; outside 1 / (1 + (d / width)^2) at distance d, so that nearer is always
    weight:..350         better; the width, at which it is a half, is a sixth of the property's drug-like range
    guacamol:NAME        one of the benchmark's 20 goals
    similar:SMILES       Tanimoto coefficient of circular fingerprints (ECFP4, counted)
    substructure:SMARTS  1 where the pattern is there, else 0

The whole is the geometric mean; `*2` behind a part counts it twice. Computed properties only.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .....core.errors import UserError, near
from ...properties import PROPERTIES, Property, properties
from ..ranges import span

KINDS = ("guacamol", "similar", "substructure")
SYNTAX = "For example: qed,logp:2..3,sa or weight:..350,guacamol:osimertinib*2"
WEIGHT = re.compile(r"(.*[^*])\*([^*\])]*\d[^*\])]*|nan|inf)", re.IGNORECASE | re.DOTALL)
SEPARATORS = re.compile(r",(?![^\[]*\])")
"""Commas, but those in the brackets of a SMARTS."""

Score = Callable[[str], float]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One thing that is wanted: `text` as it was asked for without its weight, `column` its name in a file."""

    text: str
    column: str
    score: Score
    weight: float = 1.0


@dataclass(frozen=True)
class Composite:
    """The weighted geometric mean of parts, as an oracle: canonical SMILES -> 0 to 1."""

    parts: tuple[Part, ...]

    def judge(self, smiles: str) -> tuple[float, dict[str, float]]:
        """The score, and that of each part by its column."""
        scores = [part.score(smiles) for part in self.parts]
        told = {part.column: score for part, score in zip(self.parts, scores, strict=True)}
        if len(scores) == 1:
            return scores[0], told
        total = sum(part.weight for part in self.parts)
        if any(math.isnan(score) for score in scores) or min(scores) == 0:
            return (math.nan if any(map(math.isnan, scores)) else 0.0), told
        logs = sum(part.weight * math.log(score) for part, score in zip(self.parts, scores, strict=True))
        return min(1.0, math.exp(logs / total)), told

    def __call__(self, smiles: str) -> float:
        return self.judge(smiles)[0]

    @property
    def words(self) -> str:
        """What is optimised, for people."""
        return ", ".join(part.text + ("" if part.weight == 1 else f" x {part.weight:g}") for part in self.parts)

    @property
    def properties(self) -> tuple[str, ...]:
        """The computed properties among the parts."""
        return tuple(name for part in self.parts if (name := part.text.partition(":")[0]) in PROPERTIES)


@dataclass(frozen=True)
class Within:
    """How well a property lies between `low` and `high` (either may be infinite)."""

    item: Property
    low: float
    high: float

    @property
    def width(self) -> float:
        return (self.item.high - self.item.low) / 6

    def wish(self, value: float) -> float:
        """1 inside of the range, falling smoothly outside of it; nan for nan."""
        distance = max(self.low - value, value - self.high, 0.0) if not math.isnan(value) else value
        return 1 / (1 + (distance / self.width) ** 2)

    def __call__(self, smiles: str) -> float:
        return self.wish(_value(smiles, self.item.name))


def parse_goals(text: str) -> Composite:
    """The oracle that `text` describes. UserError for what cannot be understood or contradicts itself."""
    words = [word.strip() for word in SEPARATORS.split(text)]
    if not any(words):
        raise UserError("--optimise names nothing to optimise.", SYNTAX)
    if not all(words):
        raise UserError(f"--optimise {text!r} has an empty part: two commas in a row, or one at an end.", SYNTAX)
    parts = [_part(word) for word in words]
    _only_once(parts)
    seen: Counter[str] = Counter()
    for number, part in enumerate(parts):
        seen[part.column] += 1
        if seen[part.column] > 1:
            parts[number] = replace(part, column=f"{part.column}_{seen[part.column]}")
    return Composite(tuple(parts))


def _only_once(parts: Sequence[Part]) -> None:
    """A property in two ranges contradicts itself, and anything named twice wants a weight."""
    said: dict[str, Part] = {}
    for part in parts:
        head = part.text.partition(":")[0]
        key = head if head in PROPERTIES else part.text
        if key in said:
            what = f"{said[key].text} and {part.text}" if said[key].text != part.text else part.text
            raise UserError(f"--optimise names {key} twice ({what}).", "Give it one range, and a weight: qed*2")
        said[key] = part


def _part(word: str) -> Part:
    found = WEIGHT.fullmatch(word)
    asked, weight = (found[1].strip(), _number(found[2], f"the weight in {word!r}")) if found else (word, 1.0)
    if weight <= 0:
        raise UserError(f"The weight in {word!r} must be above 0.", "Leave out what should not count.")
    name, colon, rest = asked.partition(":")
    name, rest = name.strip().lower(), rest.strip()
    if name in PROPERTIES:
        return replace(_property(PROPERTIES[name], rest if colon else None, word), weight=weight)
    if "*" in name and name.partition("*")[0].strip() in PROPERTIES:
        raise UserError(f"{name.partition('*')[2]!r} is no weight (in {word!r}).", "A weight is a number: qed*2")
    if name not in KINDS:
        raise UserError(f"--optimise does not know {name!r} (in {word!r}).", near(name, [*PROPERTIES, *KINDS]))
    if not rest:
        raise UserError(f"{word!r} does not say what: {name}:… is followed by {_FOLLOWED[name]}.")
    make = {"guacamol": _guacamol, "similar": _similar, "substructure": _substructure}[name]
    try:
        return replace(make(rest), weight=weight)
    except UserError as error:
        if found and name != "guacamol":
            hint = f"The *{found[2]} at its end is read as a weight; an atom of any kind is written [*] there."
            raise UserError(error.what, hint) from None
        raise


_FOLLOWED = {"guacamol": "a goal, as in guacamol:osimertinib", "similar": "a SMILES", "substructure": "a SMARTS"}


# -- properties -------------------------------------------------------------------------------------------------------


def _property(item: Property, given: str | None, word: str) -> Part:
    if given is None:
        alone: dict[str, Score] = {
            "qed": lambda smiles: _value(smiles, "qed"),
            "sa": lambda smiles: (item.most - _value(smiles, "sa")) / (item.most - item.least),
        }
        if item.name not in alone:
            example = f"{item.name}:{item.low:g}..{item.high:g}"
            raise UserError(f"More {item.label} is not better in itself: {item.name} needs a range.", f"Try: {example}")
        return Part(text=item.name, column=f"score_{item.name}", score=alone[item.name])
    low, high = _range(given, word)
    if low > high:
        turned = f"Try: {item.name}:{high:g}..{low:g}"
        raise UserError(f"{word!r} contradicts itself: {low:g} is above {high:g}.", turned)
    if low > item.most or high < item.least:
        can = f"from {item.least:g}" + (f" to {item.most:g}" if math.isfinite(item.most) else "")
        raise UserError(f"{word!r} is never reached: {item.label} goes {can}.")
    return Part(text=f"{item.name}:{given}", column=f"score_{item.name}", score=Within(item, low, high))


def _range(given: str, word: str) -> tuple[float, float]:
    """`2..3`, `..350`, `20..` or the single number `2`. UserError for anything else."""
    ends = span(given)
    if ends is None:
        raise UserError(f"{word!r} names neither a number nor a range.", "A range is 2..3, ..350 or 20..")
    return ends


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"{text!r} in {where} is no number.", SYNTAX) from None
    if not math.isfinite(value):
        raise UserError(f"{where[:1].upper()}{where[1:]} has to be a finite number, not {text}.", SYNTAX)
    return value


def _value(smiles: str, name: str) -> float:
    return float(properties([smiles], [name])[0, 0])


# -- known molecules and benchmarks -----------------------------------------------------------------------------------


def goal_named(given: str) -> str:
    """The GuacaMol goal that is meant: `osimertinib` is osimertinib_mpo. UserError for none."""
    from ...guacamol import goals

    asked = given.lower().replace("-", "_").replace(" ", "_")
    meant = [name for name in goals() if name == asked] or [name for name in goals() if name.startswith(f"{asked}_")]
    if len(meant) != 1:
        raise UserError(f"GuacaMol has no goal {given!r}.", near(asked, goals(), most=len(goals())))
    return meant[0]


def _guacamol(given: str) -> Part:
    from ...guacamol import goals

    name = goal_named(given)
    return Part(text=f"guacamol:{name}", column=f"score_{name}", score=goals()[name].score)


def _similar(given: str) -> Part:
    from ...guacamol_scores import Similar
    from ...smiles import canonical, parse, why_not

    made = canonical(given)
    if made is None:
        raise UserError(f"similar:{given} names no molecule: {why_not(given)}.")
    part = Similar(made, "ECFP4")
    return Part(text=f"similar:{made}", column="score_similar", score=lambda smiles: part.score(parse(smiles)))


def _substructure(given: str) -> Part:
    from ...chem import Chem, rdBase
    from ...guacamol_scores import Pattern
    from ...smiles import parse

    with rdBase.BlockLogs():
        found = Chem.MolFromSmarts(given)
    if found is None or not found.GetNumAtoms():
        raise UserError(f"substructure:{given} is no SMARTS pattern.", "A SMILES is one: substructure:c1ccncc1")
    part = Pattern(given)
    return Part(text=f"substructure:{given}", column="score_substructure", score=lambda one: part.score(parse(one)))
