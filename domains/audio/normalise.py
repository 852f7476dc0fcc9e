"""How a transcript and what was heard are made comparable before words are counted.

none     nothing but single spaces
basic    lower case, punctuation and symbols away, apostrophes within words kept: for any language
whisper  English as Radford et al. 2022 describe it (Whisper, appendix C): contractions and titles spelled out, fillers
         and what stands in brackets away, numbers as digits, American spelling, no diacritics

The rules are the paper's; the words in them are our own short lists of the common ones, not its tables.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from ...core.errors import UserError, near
from .numerals import digits

_APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʼ`´＇", "'"))


def normaliser(name: str) -> Callable[[str], str]:
    """The function of a name; `UserError` lists the names."""
    known = {"none": none, "basic": basic, "whisper": whisper}
    if name not in known:
        raise UserError(f"There is no text normalisation {name!r}.", near(name, known))
    return known[name]


def none(text: str) -> str:
    """`text` with single spaces."""
    return " ".join(text.split())


def basic(text: str) -> str:
    """Words in lower case without punctuation or symbols; an apostrophe between two letters stays."""
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).lower()
    text = re.sub(r"(?<!\w)'|'(?!\w)", " ", text)
    kept = (letter if letter == "'" or unicodedata.category(letter)[0] not in "PSC" else " " for letter in text)
    return _spoken("".join(kept))


FILLERS = r"\b(?:h+m+|m+h+m+|mm+|u+h+|u+m+)\b"
SPELLED_OUT = [
    (r"\bwon't\b", "will not"), (r"\bcan't\b", "can not"), (r"\blet's\b", "let us"),
    (r"\bain't\b", "aint"), (r"\by'all\b", "you all"), (r"\bwanna\b", "want to"), (r"\bgotta\b", "got to"),
    (r"\bgonna\b", "going to"), (r"\bgimme\b", "give me"), (r"\blemme\b", "let me"), (r"\bma'am\b", "madam"),
    (r"\b(c|w|sh)oulda\b", r"\1ould have"), (r"\bo'clock\b", "oclock"),
    (r"\bmr\b", "mister"), (r"\bmrs\b", "missus"), (r"\bdr\b", "doctor"), (r"\bst\b", "saint"),
    (r"\bprof\b", "professor"), (r"\bcapt\b", "captain"), (r"\bgen\b", "general"), (r"\bgov\b", "governor"),
    (r"\bsen\b", "senator"), (r"\brev\b", "reverend"), (r"\blt\b", "lieutenant"), (r"\bsgt\b", "sergeant"),
    (r"\bjr\b", "junior"), (r"\bsr\b", "senior"),
    (r"'(?:d|s) (been|gone|done|got)\b", r" has \1"), (r"n't\b", " not"), (r"'re\b", " are"), (r"'s\b", " is"),
    (r"'d\b", " would"), (r"'ll\b", " will"), (r"'ve\b", " have"), (r"'m\b", " am"),
]  # fmt: skip
"""Contractions and titles, in this order. 's becomes "is" for owners too: both sides are treated alike."""

AMERICAN = [
    (r"\b(behavi|col|fav|flav|harb|hon|hum|lab|neighb|od|parl|rum|sav|vap|vig|endeav|arm|glam)our", r"\1or"),
    (r"\b(cent|theat|lit|kilomet|met|millimet|centimet|fib|calib|spect|lust)re(s?)\b", r"\1er\2"),
    (r"\b(\w*(?:organ|real|recogn|apolog|author|categor|critic|emphas|final|general|initial|maxim|minim|modern|"
     r"normal|optim|penal|priorit|special|standard|summar|symbol|synchron|util|visual|character|custom|local))"
     r"is(e|es|ed|er|ers|ing|ation|ations)\b", r"\1iz\2"),
    (r"\b(\w*(?:anal|cata|para))lys(e|ed|es|ing)\b", r"\1lyz\2"),
    (r"\b(cancel|travel|label|model|signal|dial|level|fuel|channel)l(ed|ing|er|ers)\b", r"\1\2"),
    (r"\b(catalog|dialog|analog)ue(s?)\b", r"\1\2"), (r"\b(de|of|pret)fence\b", r"\1fense"),
    (r"\blicence", "license"), (r"\bgrey", "gray"), (r"\bcheque", "check"), (r"\bprogramme(s?)\b", r"program\1"),
    (r"\bjewellery\b", "jewelry"), (r"\btyre(s?)\b", r"tire\1"), (r"\baluminium\b", "aluminum"), (r"\bplough", "plow"),
    (r"\bfulfil(s?)\b", r"fulfill\1"), (r"\benrol(s?)\b", r"enroll\1"), (r"\bmould", "mold"), (r"\bmaths\b", "math"),
]  # fmt: skip
"""British to American spelling, the common words."""


def whisper(text: str) -> str:
    """English text by the rules of Whisper's paper; tokens that are only punctuation vanish."""
    text = text.translate(_APOSTROPHES).lower()
    text = re.sub(r"[<\[][^>\]]*[>\]]|\([^)]*\)", " ", text)
    text = re.sub(FILLERS, " ", text)
    text = re.sub(r"\s+'", "'", text)
    for pattern, spelled in SPELLED_OUT:
        text = re.sub(pattern, spelled, text)
    text = re.sub(r"(?<=\d),(?=\d)", "", text)
    text = re.sub(r"\.(?!\d)", " ", text)
    text = digits(_letters(text, keep=".%$¢€£"))
    for pattern, spelled in AMERICAN:
        text = re.sub(pattern, spelled, text)
    text = re.sub(r"(?<!\d)[.¢€£$%-](?!\d)|(?<!\d)%", " ", text)
    return _spoken(text)


def _spoken(text: str) -> str:
    """The tokens that hold a letter or a figure."""
    return " ".join(token for token in text.split() if any(map(str.isalnum, token)))


def _letters(text: str, *, keep: str) -> str:
    """Letters and figures without diacritics; marks disappear, punctuation and symbols but `keep` become spaces."""
    found = []
    for letter in unicodedata.normalize("NFKD", text):
        kind = unicodedata.category(letter)[0]
        if kind != "M":
            found.append(" " if kind in "PSC" and letter not in keep else letter)
    return "".join(found)
