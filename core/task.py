"""The flow that every model goes through, and the one class that a model folder fills in.

    Source -> Example -> Batch -> Output -> Result -> Artifact

`Task` names the functions between these stops. A model folder supplies them; `core.flow` composes them into
`run`, `finetune`, `evaluate` and `bench`, `core.train` trains them, and neither knows any domain.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from .errors import UserError
from .export.exportable import Exportable
from .options import RunOptions, TrainOptions, build
from .registry import Card, card_of
from .workload import Measurable

if TYPE_CHECKING:
    from typing_extensions import Self


Tick = Callable[[int, int], None]
"""Called with (inputs done, inputs in all)."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One raw item of a domain, before any tensor. `id` is what a person calls it: a path, a row, a name."""

    id: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Tensors that go into the network together, with their masks. Subclasses add the fields."""

    def to(self, device: torch.device | str) -> Self:
        """The same batch with every tensor on `device`."""
        fields = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        moved = {name: value.to(device) for name, value in fields.items() if isinstance(value, Tensor)}
        return dataclasses.replace(self, **moved)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a person wanted to know about one input. Subclasses add fields; `notices` holds what to be aware of."""

    id: str
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data for machines; arrays that only a picture needs are left out by the subclass."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An input that could not be used, and why."""

    id: str
    error: str

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "error": self.error}


@dataclass(frozen=True, kw_only=True)
class Split:
    """A named part of a data set: `name` and `part` for people, `sha256` of the bytes it was read from."""

    name: str
    part: str
    examples: Sequence[Any]
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Splits:
    """What a training sees: `train` to learn from, `validation` to choose by. `test`, where the data has one fixed,
    is scored once with the chosen weights and never looked at before."""

    train: Split
    validation: Split
    test: Split | None = None


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A data set in its parts, `test` empty where it has none fixed. `sha256` is that of the files it was read from and
    of how they were split; `notices` are sentences for the person."""

    name: str
    train: Any
    validation: Any
    test: Any
    sha256: str
    notices: tuple[str, ...] = ()

    def split(self, part: str) -> Split:
        """One part, as the flow takes it."""
        return Split(name=self.name, part=part, examples=getattr(self, part), sha256=self.sha256)

    def splits(self) -> Splits:
        """What a training sees. Raises UserError where there is nothing to learn from or to choose by."""
        for part in ("train", "validation"):
            if not len(getattr(self, part)):
                raise UserError(
                    f"{self.name} has nothing for {part}.",
                    "At least two different examples are needed: one to check with.",
                )
        test = self.split("test") if len(self.test) else None
        return Splits(train=self.split("train"), validation=self.split("validation"), test=test)

    def held_out(self) -> Split:
        """The part that was never learnt from: test, else validation, else all there is. UserError for no examples."""
        for part in ("test", "validation", "train"):
            if len(getattr(self, part)):
                return self.split(part)
        raise UserError(f"{self.name} holds no examples.")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a network's weights came from, for cards and JSON."""

    source: str = "random"
    sha256: str = ""
    parameters: int = 0
    base: str | None = None
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("source", "sha256", "parameters", "base")}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Scores over many results: `metrics` are the headline numbers, `baselines` the same of what any model has to beat,
    by name; `details` anything else worth keeping as JSON; `conduct` what happened on the way (limits, deadlines), as
    JSON, which `run` tells too."""

    metrics: dict[str, float] = field(default_factory=dict)
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    conduct: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a training starts from; `chosen` says in words what was decided for the person. `files` writes what belongs
    beside a run (a list of what was left out) into its folder, and gives the files."""

    task: Task
    splits: Splits
    options: Any
    chosen: tuple[str, ...] = ()
    files: Callable[[Path], Sequence[Path]] | None = None


class Learner(nn.Module):
    """A network in a training step: `network.loss(batch)` as its forward pass, which is what wraps it (DDP) calls."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Any) -> Tensor:
        return self.network.loss(batch)


class Task(Exportable, Measurable, ABC):
    """A network with everything that makes it useful: what goes in, what comes out, how it learns.

    A model folder subclasses this once. The class attributes are static; an instance holds the weights.
    """

    card: ClassVar[Card]
    run_options: ClassVar[type[RunOptions]] = RunOptions
    evaluate_options: ClassVar[type[RunOptions] | None] = None
    """Options of `evaluate` where it understands more than `run` does."""
    train_options: ClassVar[type[TrainOptions]] = TrainOptions
    monitor: tuple[str, str] = ("loss", "min")
    """The metric by which the best checkpoint is chosen, and whether `min` or `max` of it is best."""
    output_suffixes: ClassVar[tuple[str, ...]] = ()
    """Endings by which `--output` names a single file rather than a folder; `render` is then given the file."""

    network: Any
    """The nn.Module; a subclass names its class."""
    origin: Origin

    def __init_subclass__(cls) -> None:
        """A task in a model's folder knows its card, however it was imported."""
        super().__init_subclass__()
        card = card_of(cls.__module__)
        if card is not None:
            cls.card = card

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def load(cls, checkpoint: str | None = None, *, settings: Mapping[str, Any] | None = None) -> Task:
        """The task with weights from `checkpoint` (a path, a source, a known name; None: the card's default)."""

    @classmethod
    def default_checkpoint(cls, inputs: Sequence[Any], options: Any) -> str | None:
        """What `run` loads where nobody names a checkpoint (None: the card's default); the right one may depend on
        what there is to do."""
        return None

    @classmethod
    @abstractmethod
    def for_training(
        cls, options: Any, *, data: str | None, checkpoint: str | None, settings: Mapping[str, str]
    ) -> Prepared:
        """A task ready to learn, the data it learns from (`data` None: the card's default data), and the options with
        everything left at "what suits the job" decided."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the files of a checkpoint into `folder` (weights, config), which exists and is empty."""

    # -- Source -> Example -> Batch -> Output -> Result -> Artifact -----------------------------------------------

    @abstractmethod
    def read(self, inputs: Sequence[Any], options: Any) -> Sequence[Any]:
        """Source -> Example: what a person named (paths, folders, text, arrays) as examples."""

    @abstractmethod
    def held_out(self, data: str | None = None) -> Split:
        """The fixed held-out examples of `data` (None: the card's default data), never trained on."""

    def to_score(self, data: str | None, options: Any) -> Split:
        """What `evaluate` scores: override where options say how `data` is to be read."""
        return self.held_out(data)

    def sample(self, data: str | None = None) -> Split:
        """What `run` shows where it is given nothing; `evaluate` scores the whole held-out part."""
        return self.held_out(data)

    @abstractmethod
    def preprocess(self, examples: Sequence[Any], *, training: bool = False) -> Any:
        """Example -> Batch: the same function for finetune, evaluate and run; `training` adds augmentation."""

    def predict(self, batch: Any, options: Any) -> Any:
        """Batch -> Output. Override where a result takes more than one forward pass (generation, episodes)."""
        return self.network(batch)

    @abstractmethod
    def postprocess(self, output: Any, examples: Sequence[Any], options: Any) -> list[Any]:
        """Output -> Result, one for each example."""

    @torch.inference_mode()
    def infer(
        self,
        examples: Sequence[Any],
        options: Any,
        *,
        failures: list[Failure] | None = None,
        tick: Tick = lambda done, total: None,
    ) -> Iterator[Any]:
        """Example -> Result, in batches of `options.batch`, in order; `tick` is told (done, total) after each.

        An example that cannot be used raises its UserError; where `failures` is given it is noted there and left out.
        """
        device = next(self.network.parameters()).device
        for start in range(0, len(examples), options.batch):
            part = list(examples[start : start + options.batch])
            try:
                batch = self.preprocess(part)
            except UserError as error:
                if failures is None:
                    raise
                part, batch = self._usable(part, failures, error)
            if part:
                yield from self.postprocess(self.predict(batch.to(device), options), part, options)
            tick(min(start + options.batch, len(examples)), len(examples))

    def _usable(self, part: list[Any], failures: list[Failure], error: UserError) -> tuple[list[Any], Any]:
        """Find which examples of a failed batch are at fault by preparing each alone."""
        good = []
        for example in part:
            try:
                self.preprocess([example])
                good.append(example)
            except UserError as alone:
                failures.append(Failure(id=example.id, error=str(alone)))
        if len(good) == len(part):  # each alone is fine, together they are not: no example is to blame
            raise error
        return good, self.preprocess(good) if good else None

    @abstractmethod
    def summarise(self, results: Sequence[Any]) -> Summary:
        """Scores of results whose truth is known; empty where none is."""

    @abstractmethod
    def table(self, results: Sequence[Any], summary: Summary) -> Any:
        """Result -> Artifact: what the terminal shows (any rich renderable)."""

    def assess(
        self,
        split: Split,
        options: Any,
        *,
        failures: list[Failure] | None = None,
        tick: Tick = lambda done, total: None,
    ) -> tuple[list[Any], Summary]:
        """Results for held-out examples and their scores; override where a score takes more than the results."""
        results = list(self.infer(split.examples, options, failures=failures, tick=tick))
        return results, self.summarise(results)

    def render(self, results: Sequence[Any], folder: Path, options: Any) -> list[Path]:
        """Result -> Artifact: files for people (pictures, sound, tables) written into `folder`."""
        return []

    def live(self, inputs: Sequence[Any], options: Any) -> Callable[[Any], None] | None:
        """For what has no end known beforehand (a chat, a microphone, a game): a function that, given a rich console,
        talks with the person until done. None: not asked for by these inputs and options. Never called under --json."""
        return None

    def inputs(self, given: Sequence[Any], options: Any) -> Sequence[Any]:
        """What to predict on, where options of a model can name inputs too (a file of prompts)."""
        return given

    # -- learning -------------------------------------------------------------------------------------------------

    @property
    def trainable(self) -> nn.Module:
        """The module that the training loop wraps and calls in `loss`; usually the whole network."""
        return self.network

    @abstractmethod
    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """The loss summed over the items that `weight` counts; `network` is `trainable`, perhaps wrapped."""

    def pieces(self, batch: Any) -> Sequence[Any]:
        """A batch cut into batches whose losses add up to its own; a step holds the activations of one at a time."""
        return [batch]

    def weight(self, batch: Any) -> float:
        """How many items `loss` sums over (examples, or tokens), so that parts of a batch add up exactly."""
        first = next(value for value in vars(batch).values() if isinstance(value, Tensor))
        return float(len(first))

    def parameter_groups(self, options: Any) -> Iterable[dict[str, Any]]:
        """Groups for AdamW with their own `lr` (a factor of the peak, key `lr_scale`) and `weight_decay`.

        The default decays matrices and leaves vectors alone."""
        named = [(name, value) for name, value in self.trainable.named_parameters() if value.requires_grad]
        matrices = [value for _, value in named if value.ndim >= 2]
        vectors = [value for _, value in named if value.ndim < 2]
        groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        return [group for group in groups if group["params"]]

    def picture_training(self, results: Sequence[Any], folder: Path) -> list[Path]:
        """Pictures of one evaluation during training (a confusion matrix, a forecast), written into `folder`."""
        return []

    def picture_test(self, results: Sequence[Any], folder: Path) -> list[Path]:
        """Pictures of the held-out part once a training is over, written into the `folder` of its plots."""
        return []

    def finish(self, splits: Splits) -> None:
        """Called once with the best weights in place, before they are saved: training statistics, calibration."""

    def before(self, options: Any) -> Task | None:
        """What this training started from, to be assessed beside the result; None: the two are not compared."""
        return None

    def compare(
        self, before: tuple[list[Any], Summary], after: tuple[list[Any], Summary], folder: Path
    ) -> dict[str, Any]:
        """Before and after side by side: plain data for the run's card, and a report written into `folder`."""
        return {}

    # -- in research code -----------------------------------------------------------------------------------------

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run on `inputs` and give their Result, or a list of Results where there are several.

        >>> vit = tsuite.load("vision.vit")  # doctest: +SKIP
        >>> vit("photo.jpg").labels[0].name  # doctest: +SKIP
        'tabby cat'
        """
        chosen = build(self.run_options, options)
        results = list(self.infer(self.read(inputs, chosen), chosen))
        return results[0] if len(results) == 1 else results
