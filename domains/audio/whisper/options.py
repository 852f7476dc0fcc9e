"""What a person may ask of a Whisper model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ....core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class WhisperOptions:
    """How a recording is written down. The thresholds are those of OpenAI's own code.

    language: a code such as "en", or "auto": the likeliest of each piece (models that know only English ignore it).
    task: "transcribe", or "translate" into English. beams: above 1, beam search; without it the likeliest token.
    words: times of words. timestamps: the model writes times of its own and divides the piece into segments by them.
    prompt: text that is taken to stand before, for names and spelling.
    window: seconds that the encoder hears: "auto" as many as a short piece needs, "full" always 30 as in training.
    batch: pieces at a time. temperatures: tried in turn while the answer goes in circles or is improbable.
    compression: an answer that shrinks to less than a `compression`-th part goes in circles. log_probability: the
    mean, natural, of an answer's tokens below which it is doubted. no_speech: the probability above which a doubted
    answer was silence. seed: of the draws at temperatures above 0.
    """

    language: str = "auto"
    task: Literal["transcribe", "translate"] = "transcribe"
    beams: int = 1
    words: bool = False
    timestamps: bool = False
    prompt: str = ""
    window: Literal["auto", "full"] = "auto"
    batch: int = 8
    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    compression: float = 2.4
    log_probability: float = -1.0
    no_speech: float = 0.6
    seed: int = 0

    def __post_init__(self) -> None:
        for name, holds, rule in (
            ("task", self.task in ("transcribe", "translate"), "is transcribe or translate"),
            ("window", self.window in ("auto", "full"), "is auto or full"),
            ("beams", self.beams >= 1, "is at least 1 (1: no beam search)"),
            ("batch", self.batch >= 1, "is at least 1"),
            ("temperatures", bool(self.temperatures) and min(self.temperatures) >= 0, "are one or more from 0 on"),
            ("compression", self.compression > 0, "is above 0"),
            ("no_speech", 0 <= self.no_speech <= 1, "lies between 0 and 1"),
        ):
            if not holds:
                raise UserError(f"{name} is {getattr(self, name)!r}.", f"It {rule}.")
