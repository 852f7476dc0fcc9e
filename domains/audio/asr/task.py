"""Speech recognition as a task: recordings in, text with times out; what every command composes.

Recording --preprocess--> Sounds      --predict: cut, recognise--> Heard  --postprocess--> Transcript
          --preprocess--> SpeechBatch --loss: CTC                                           (in training)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from ....core import adapters, pretrained
from ....core.errors import UserError
from ....core.export.graph import Graph
from ....core.pretrained import Located
from ....core.sources import Unreachable
from ....core.task import Batch, Example, Origin, Prepared, Split, Summary, Task
from ....core.weights import count_parameters
from .. import score_picture, speech
from ..data import collect
from ..data import sample as held_out_sample
from ..files import SAMPLE_RATE, Recording, blocks, duration, read_file, read_samples, sound_files
from ..kept import LazyRecordings
from ..metrics import Pair, score
from ..subtitles import Segment
from ..transcript import Transcript, save, transcript_table
from ..voice import detector
from . import checkpoints
from .learning import Changes, Learner, SpeechBatch, WrittenBatch, pieces
from .options import FinetuneOptions, RunOptions
from .recognisers import CTCRecogniser, Sound, WhisperRecogniser

WHISPER = "whisper-tiny.en"
LONG = 600.0
"""Seconds from which a file is read piece by piece."""
SHOWN = 3
"""Held-out prompts that `run` shows."""
ONE_VOICE = (
    f"the embedded model knows one voice and one trade, telephone prompts: for anything else try --checkpoint {WHISPER}"
)


@dataclass(frozen=True, kw_only=True)
class LongRecording(Example):
    """A file that is too long to be held: `seconds` of sound at `path`."""

    path: Path
    seconds: float
    transcript: str | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sounds(Batch):
    """Recordings to write down; `whole`: as they are, without looking for speech in them."""

    recordings: tuple[Recording | LongRecording, ...]
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class Heard:
    """The segments of each recording, what another recogniser made of it, and the seconds that each took; notices on
    all of them."""

    segments: list[list[Segment]]
    others: list[dict[str, str]]
    seconds: list[float]
    notices: tuple[str, ...] = ()


class ASRTask(Task):
    """A recogniser, CTC or Whisper."""

    run_options = RunOptions
    train_options = FinetuneOptions
    monitor = ("cer", "min")
    unit = "recordings of 5 s"
    output_suffixes = (".txt", ".srt", ".vtt", ".json")

    def __init__(self, recogniser: CTCRecogniser | WhisperRecogniser, located: Located) -> None:
        self.recogniser, self.network = recogniser, recogniser.network
        ours = located.source == "scratch"
        self.origin = Origin(
            source=located.source,
            sha256="" if ours else pretrained.weights_sha256(located.path),
            parameters=count_parameters(self.network),
            base=located.facts.get("base"),
            notices=located.notices,
        )
        self.rival: tuple[str, WhisperRecogniser] | None = None  # what a sample is shown beside
        self.learner: Learner | None = None  # what only a training has
        self.changes: Changes | None = None

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, checkpoint: str | None = None, *, settings: Mapping[str, Any] | None = None) -> ASRTask:
        if settings:
            raise UserError(f"There is no setting {next(iter(settings))!r}.", "Options have flags: see --help.")
        located = pretrained.locate(cls.card, checkpoint)
        return cls(checkpoints.load(cls.card, located), located)

    @classmethod
    def default_checkpoint(cls, inputs: Sequence[Any], options: RunOptions) -> str | None:
        """Whisper for a person's own recordings where it can be had; for a stream and the sample the embedded one."""
        if not inputs or options.stream or options.source:
            return None
        try:
            pretrained.locate(cls.card, WHISPER)
        except Unreachable:
            return None
        return WHISPER

    @classmethod
    def for_training(
        cls, options: FinetuneOptions, *, data: str | None, checkpoint: str | None, settings: Mapping[str, Any]
    ) -> Prepared:
        from .training import prepare

        return prepare(cls, options, data=data or cls.card.data, checkpoint=checkpoint, settings=settings)

    def save(self, folder: Path) -> None:
        checkpoints.save(folder, self.card, self.recogniser, adapters.merged(self.network))

    # -- Source -> Example -> Batch -> Output -> Result ---------------------------------------------------------------

    def inputs(self, given: Sequence[Any], options: RunOptions) -> Sequence[Any]:
        if options.source and given:
            raise UserError(f"--source names what to hear; {str(given[0])!r} is too much.", "Give one of the two.")
        return [options.source] if options.source else given

    def read(self, inputs: Sequence[Any], options: RunOptions) -> list[Recording | LongRecording]:
        if options.source and not Path(options.source).expanduser().exists():
            raise UserError(
                f"What {options.source} says is written down as it comes, and has no file to be read as a whole.",
                "Leave --json and --output out, or give a file.",
            )
        found: list[Recording | LongRecording] = []
        for item in inputs:
            if isinstance(item, (Recording, LongRecording)):
                found.append(item)
            elif isinstance(item, (np.ndarray, Tensor)):
                found.append(read_samples(item, SAMPLE_RATE))
            else:
                place = Path(item).expanduser()
                found += map(_opened, sound_files(place) if place.is_dir() else [place])
        if self.origin.source == "embedded":
            found = [replace(item, notices=(*item.notices, ONE_VOICE)) for item in found]
        return found

    def held_out(self, data: str | None = None) -> Split:
        as_written = isinstance(self.recogniser, WhisperRecogniser)
        return collect(data or self.card.data, as_written=as_written).held_out()

    def sample(self, data: str | None = None) -> Split:
        """A few held-out recordings, or where they cannot be fetched those that lie here; by Whisper too where the
        model is the embedded one."""
        try:
            split = self.held_out(data)
        except Unreachable as error:
            self._note(f"{error.what} The sample that lies here is used instead.")
            split = held_out_sample(data or self.card.data)
        lengths = split.examples.seconds if isinstance(split.examples, LazyRecordings) else [1.0] * len(split.examples)
        by_length = sorted(range(len(lengths)), key=lambda number: -lengths[number])
        chosen = by_length[len(by_length) // 8 :: max(1, len(by_length) // 4)][:SHOWN]
        if self.origin.source == "embedded":
            try:
                other = type(self).load(WHISPER)
                assert isinstance(other.recogniser, WhisperRecogniser)
                self.rival = WHISPER, other.recogniser
            except Unreachable as error:
                self._note(f"Whisper is not beside it: {error.what}")
        return replace(split, examples=[split.examples[number] for number in chosen])

    def _note(self, notice: str) -> None:
        self.origin = replace(self.origin, notices=(*self.origin.notices, notice))

    def preprocess(self, examples: Sequence[Any], *, training: bool = False) -> Sounds | SpeechBatch | WrittenBatch:
        if self.learner is None:
            return Sounds(recordings=tuple(examples))
        return self.learner.batch(examples, self.changes if training else None)

    def predict(self, batch: Any, options: RunOptions) -> Heard:
        if self.learner is not None:
            texts = self.learner.texts(batch)
            segments = [[Segment(text=text, start=0.0, end=0.0)] if text else [] for text in texts]
            return Heard(segments=segments, others=[{}] * len(texts), seconds=[0.0] * len(texts))
        segments, others, seconds = [], [], []
        for one in batch.recordings:
            start = time.perf_counter()
            pieces = [(0.0, one.samples)] if batch.whole and isinstance(one, Recording) else self._pieces(one, options)
            segments.append(list(self.recogniser.segments(pieces, options)))
            seconds.append(time.perf_counter() - start)
            others.append({})
            if self.rival is not None:
                name, rival = self.rival
                others[-1][name] = _text(rival.segments(self._pieces(one, options), options))
        notices = () if batch.whole or options.speech == "off" else detector().notices
        return Heard(segments=segments, others=others, seconds=seconds, notices=notices)

    def _pieces(self, one: Recording | LongRecording, options: RunOptions) -> Iterator[Sound]:
        """What the recogniser is to hear: pieces with speech, or with --speech off all of it."""
        longest = self.recogniser.longest
        parts = iter([one.samples]) if isinstance(one, Recording) else blocks(one.path, longest)
        if options.speech == "off":
            return _side_by_side(parts, round(longest * SAMPLE_RATE))
        return ((span.start, samples) for span, samples in speech.pieces(parts, longest=longest))

    def postprocess(self, output: Heard, examples: Sequence[Any], options: RunOptions) -> list[Transcript]:
        return [
            Transcript(
                id=item.id,
                notices=(*item.notices, *output.notices),
                text=_text(output.segments[row]),
                segments=tuple(output.segments[row]),
                seconds=item.seconds,
                took=output.seconds[row],
                truth=item.transcript,
                others=output.others[row],
                words=options.words,
                recording=item if isinstance(item, Recording) else None,
            )
            for row, item in enumerate(examples)
        ]

    # -- Result -> Artifact -------------------------------------------------------------------------------------------

    def summarise(self, results: Sequence[Transcript], options: RunOptions | None = None) -> Summary:
        known = [result for result in results if result.truth is not None]
        if not known:
            return Summary()
        scores = score([_pair(result) for result in known], normalisation=self._normaliser(options or RunOptions()))
        spoken = sum(result.seconds for result in known)
        metrics = {**scores.metrics, "rtf": sum(result.took for result in known) / max(spoken, 1e-9)}
        return Summary(metrics=metrics, details=scores.to_json())

    def _normaliser(self, options: RunOptions) -> str:
        if options.normaliser != "auto":
            return options.normaliser
        english = isinstance(self.recogniser, WhisperRecogniser) and not self.recogniser.network.config.multilingual
        return "whisper" if english else "basic"

    def assess(self, split: Split, options: RunOptions, **watched: Any) -> tuple[list[Transcript], Summary]:
        results = list(self.infer(split.examples, options, **watched))
        return results, self.summarise(results, options)

    def table(self, results: Sequence[Transcript], summary: Summary) -> Any:
        return transcript_table(results, summary)

    def render(self, results: Sequence[Transcript], folder: Path, options: RunOptions) -> list[Path]:
        kinds = [kind for kind in ("srt", "vtt") if getattr(options, kind)]
        return save(results, folder, subtitles=kinds, picture=options.picture)

    def picture_training(self, results: Sequence[Transcript], folder: Path) -> list[Path]:
        known = [result for result in results if result.truth is not None]
        if not known:
            return []
        scores = score([_pair(result) for result in known], normalisation=self._normaliser(RunOptions()))
        return [score_picture.draw_scores(scores, folder / "errors.png")]

    def live(self, inputs: Sequence[Any], options: RunOptions) -> Callable[[Any], None] | None:
        if not (options.stream or options.source):
            return None
        if len(inputs) > 1:
            raise UserError(f"--stream listens to one source, not {len(inputs)}.")
        from .streaming import listen

        source = str(inputs[0]) if inputs else "mic"
        return lambda console: listen(self.recogniser, source, options, console)

    # -- learning -------------------------------------------------------------------------------------------------

    @property
    def trainable(self) -> nn.Module:
        assert self.learner is not None
        return self.learner

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        return network(batch)

    def pieces(self, batch: Any) -> Sequence[Any]:
        return pieces(self.network, batch)

    def weight(self, batch: Any) -> float:
        assert self.learner is not None
        return self.learner.count(batch)

    # -- in research code -----------------------------------------------------------------------------------------

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """As `Task.__call__`; sound as an array goes with its rate.

        >>> asr = tsuite.load("audio.asr")  # doctest: +SKIP
        >>> asr(waveform, 44_100).text  # doctest: +SKIP
        'please leave a message after the tone'
        """
        if len(inputs) == 2 and isinstance(inputs[0], (np.ndarray, Tensor)) and isinstance(inputs[1], (int, float)):
            inputs = (read_samples(inputs[0], int(inputs[1])),)
        return super().__call__(*inputs, **options)

    def graphs(self) -> list[Graph]:
        from . import exported

        return exported.graphs(self.network)

    def use(self) -> dict[str, Any]:
        from . import exported

        return exported.use(self.recogniser)

    def exported(self) -> None:
        from . import exported

        exported.attached(self.network)

    def step_extras(self, cache: Any, batch: int) -> tuple[Tensor, ...]:
        from . import exported

        return exported.step_extras(self.network, cache, batch)

    def example_batch(self, size: int) -> Sounds:
        noise = np.random.default_rng(0).normal(0, 0.1, (size, 5 * SAMPLE_RATE)).astype(np.float32)
        return Sounds(recordings=tuple(Recording(id="noise", samples=row) for row in noise), whole=True)


def _opened(path: Path) -> Recording | LongRecording:
    """A file as it is best read."""
    seconds = duration(path)
    return LongRecording(id=str(path), path=path, seconds=seconds) if seconds > LONG else read_file(path)


def _text(segments: Iterable[Segment]) -> str:
    return " ".join(segment.text.strip() for segment in segments).strip()


def _pair(result: Transcript) -> Pair:
    return Pair(id=result.id, truth=result.truth or "", heard=result.text, seconds=result.seconds)


def _side_by_side(parts: Iterator[np.ndarray], size: int) -> Iterator[Sound]:
    """Pieces of `size` samples, whatever is in them."""
    start = 0
    for part in parts:
        for first in range(0, len(part), size):
            yield (start + first) / SAMPLE_RATE, part[first : first + size]
        start += len(part)
