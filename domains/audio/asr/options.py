"""What `run`, `evaluate` and `finetune` may be told. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from ....core.options import RunOptions as CoreRunOptions
from ....core.options import TrainOptions, option


@dataclass(frozen=True, kw_only=True)
class RunOptions(CoreRunOptions):
    """Options of `tsuite run audio.asr` and of a loaded model's call."""

    batch: int = option(8, "recordings, or pieces of a long one, in one forward pass")
    words: bool = option(False, "the times of every word")
    srt: bool = option(False, "save SubRip subtitles beside the transcript")
    vtt: bool = option(False, "save WebVTT subtitles beside the transcript")
    picture: bool = option(True, "save a PNG of the spectrograms with their words (at most six recordings)")
    stream: bool = option(False, "write down while it is spoken: a file at its own pace, or the microphone")
    source: str = option("", "as --stream, from: mic, a file, rtsp://…, http://…, or - for raw samples on stdin")
    reconnect: float = option(60.0, "of --source: seconds to go on trying a microphone or stream that vanished")
    beams: int = option(0, "width of the beam search (0: greedy; with a language model or hot words 16)")
    lm: str = option("auto", "n-gram language model for CTC: an ARPA file, none, or auto: the checkpoint's own, if any")
    lm_weight: float = option(0.5, "how much the language model counts")
    word_bonus: float = option(1.0, "what each word is given for, against too few words under a language model")
    hotwords: str = option("", "words to listen for, separated by commas, each with an optional :weight")
    language: str = option("auto", "the language spoken, as a code like en (Whisper; auto: by its sound)")
    task: str = option("transcribe", "translate: into English (Whisper)", choices=("transcribe", "translate"))
    window: str = option(
        "auto",
        "what Whisper's encoder hears of a short piece: as much as it needs, or full 30 s",
        choices=("auto", "full"),
    )
    speech: str = option("auto", "leave out what is no speech, by voice-activity detection", choices=("auto", "off"))
    normaliser: str = option(
        "auto",
        "what texts are compared by: none; basic: lower case, no punctuation; whisper: English spelling, numbers too; "
        "auto: whisper for an English Whisper, else basic",
        choices=("auto", "none", "basic", "whisper"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_not_negative("beams", "lm_weight", "reconnect")


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(TrainOptions):
    """Options of `tsuite finetune audio.asr`."""

    size: str = option("small", "of a network from scratch", choices=("tiny", "small", "base"))
    encoder: str = option("conformer", "of a network from scratch", choices=("conformer", "transformer"))
    chunk: int = option(
        8, "frames of 40 ms that a network from scratch hears before it answers (0: the whole recording)"
    )
    labels: str = option("characters", "what a network from scratch writes", choices=("characters", "bpe"))
    bpe: int = option(256, "labels of --labels bpe")
    validation: float = option(0.1, "share of the training recordings to choose by, where the data names none")
    longest: float = option(20.0, "seconds; longer recordings are left out")
    speed: float = option(0.1, "speed and pitch changed by up to this share")
    noise: float = option(0.2, "share of the recordings that noise, an echo or a telephone is added to")
    mask: float = option(
        0.5, "strength of SpecAugment: bands and stretches of the spectrogram that are hidden (0: none)"
    )
    join: float = option(0.1, "share of the recordings that another one is put behind")
    synthetic: int = option(
        -1, "recordings made by espeak-ng in many voices (0: none; -1: what suits a network from scratch)"
    )
    words: str = option(
        "auto", "what they say beside the training sentences: words of a list, one a line; auto: frequent ones; none"
    )
    language: str = option("auto", "of the recordings, as a code like en (auto: that of a named data set)")
    lora: int = option(0, "rank of LoRA adapters on a pretrained network, merged at the end (0: all weights learn)")
    intermediate: float = option(0.3, "weight of the intermediate CTC loss of a network from scratch")
    lm_order: int = option(3, "order of the word n-gram model of the training transcripts that goes along (0: none)")
    batch_size: int = option(8, "recordings in one optimiser step, over all processes and accumulated parts")
    weight_decay: float = option(0.01, "AdamW's decay of matrices")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("validation", "speed", "noise", "join", "intermediate"):
            value = getattr(self, name)
            self.require(0 <= value < 1 or (name == "noise" and value == 1), f"--{name} is a share, not {value}.")
        self.require(self.longest > 0, f"--longest is above 0 seconds, not {self.longest}.")
        self.require(min(self.chunk, self.mask, self.lora, self.lm_order) >= 0, "Counts cannot be negative.")
        self.require(self.synthetic >= -1, f"--synthetic is a count or -1, not {self.synthetic}.")
