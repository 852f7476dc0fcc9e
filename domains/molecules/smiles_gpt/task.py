"""The model of molecules as a task: what `run`, `finetune` and `evaluate` compose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ....core import pretrained
from ....core.errors import UserError
from ....core.export.graph import Graph
from ....core.sampling import Sampling
from ....core.task import Failure, Learner, Origin, Prepared, Split, Summary, Task, Tick
from ....core.workload import Workload
from ..data import Molecules, collect
from ..draw import grid
from ..molecule import Molecule
from ..properties import PROPERTIES, measured, properties
from ..smiles import why_not
from ..tokens import tokenise
from . import checkpoints, exported, show
from .asked import asking
from .checkpoints import Around
from .given import cleaned, notices, only_drawing, read_inputs, refuse_drawing, shortened
from .model import SmilesBatch, SmilesGPT
from .optimising import pursuit
from .optimising.pursuit import Optimal, Pursued, Pursuit
from .optimising.table import optimised_table
from .options import EvaluateOptions, FinetuneOptions, RunOptions
from .predicting.files import is_predictor
from .predicting.task import predictors
from .rows import Row, Rows, batch_of
from .sampling import SEEDS, Draw, DrawBatch, Drawn, draw, smiles_of
from .seen import Seen
from .show import Scored, Written
from .suites.guacamol import guacamol_table, with_guacamol
from .suites.moses import moses_table, with_moses
from .suites.picture import draw_spread

SAMPLED = 500
"""Molecules that are drawn at each validation, to see how many are valid."""
COMPARED = 5_000
"""Held-out molecules whose properties are drawn beside those of the model's."""


class SmilesTask(Task):
    """A language model of molecules with its tokens and what it learnt from.

    >>> task = SmilesTask.load()  # doctest: +SKIP
    >>> drawn = task(n=100, logp="2..3", qed=0.9, weight="..350")  # doctest: +SKIP
    >>> drawn[0].smiles, drawn[0].properties["logp"], task.conduct["conditions"]["properties"]  # doctest: +SKIP
    >>> task(n=100, scaffold="c1ccc(*)cc1", tpsa="60..90")  # doctest: +SKIP
    >>> task(n=20, similar_to="CC(=O)Nc1ccc(O)cc1")[0].properties["similarity"]  # doctest: +SKIP
    >>> task("CC(=O)Nc1ccc(O)cc1").nats  # how unlikely it finds a molecule that is there  # doctest: +SKIP
    """

    run_options = RunOptions
    evaluate_options = EvaluateOptions
    train_options = FinetuneOptions
    monitor = ("loss", "min")
    unit = "molecules"
    network: SmilesGPT

    def __init__(self, network: SmilesGPT, around: Around, origin: Origin) -> None:
        self.network, self.around, self.origin = network, around, origin
        self.learner = Learner(network)
        self.learning = self.half = False  # only a training sets them
        self.seen: Seen | None = None
        self.pursued: Pursued | None = None  # the last optimisation
        self._sample: list[Written] = []  # what was drawn at the last validation
        self._left_out: tuple[str, ...] = ()  # of the held-out molecules, those it cannot read
        self._held: Split | None = None  # what is scored, as molecules
        self._show = RunOptions().show  # molecules in the table
        self.conduct: dict[str, Any] = {}  # how the last drawing went: asked against achieved, what was rejected

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, checkpoint: str | None = None, *, settings: Mapping[str, Any] | None = None) -> SmilesTask:
        located = pretrained.locate(cls.card, checkpoint)
        if settings:
            raise UserError(f"A trained model's {next(iter(settings))} cannot be set.", "Train another one.")
        if is_predictor(located):
            return predictors(cls.card).load(checkpoint)  # type: ignore[return-value] (a task of its own)
        network, around = checkpoints.load(located, cls.card)
        return cls(network, around, pretrained.origin_of(located, network))

    @classmethod
    def for_training(
        cls, options: FinetuneOptions, *, data: Any, checkpoint: str | None, settings: Mapping[str, Any]
    ) -> Prepared:
        if options.target:
            return predictors(cls.card).for_training(options, data=data, checkpoint=checkpoint, settings=settings)
        from .training import prepare

        return prepare(cls, options, data=data or cls.card.data, checkpoint=checkpoint, settings=settings)

    def save(self, folder: Path) -> None:
        checkpoints.save(folder, self.card, self.network, self.around, half=self.half)

    # -- Source -> Example -> Batch -> Output -> Result -> Artifact -----------------------------------------------

    def inputs(self, given: Sequence[Any], options: RunOptions) -> Sequence[Any]:
        """Where nothing is named, as many draws as are asked for, each told what it should be like."""
        only_drawing(options)
        if options.optimise:
            self.need_weights("--optimise")
            return pursuit.begin(options, given)
        if not given:
            return asking.requests(self, options)
        asking.refuse(options)
        refuse_drawing(options)
        return given

    def read(self, inputs: Sequence[Any], options: RunOptions) -> list[Any]:
        """A path names a list of molecules, anything else is a SMILES: of both the model says how likely it finds
        them."""
        examples: list[Any] = []
        asked = inputs and isinstance(inputs[0], Draw | Pursuit)  # by `inputs`, as all that is given to a call is not
        for given in inputs if asked else self.inputs(inputs, options):
            examples += [given] if isinstance(given, Draw | Pursuit) else read_inputs([given])
        return examples

    def held_out(self, data: str | None = None) -> Split:
        return self.to_score(data, EvaluateOptions())

    def to_score(self, data: Any, options: EvaluateOptions) -> Split:
        learnt = self.around.data.name if self.around.data else self.card.data
        found = (data if isinstance(data, Molecules) else collect(data or learnt)).held_out()
        tokens = tokenise(found, self.around.tokenizer, length=self.network.config.length)
        self._left_out, self._held = tokens.notices, found
        return replace(found, examples=Rows(tokens, most=options.held_out))

    def infer(
        self,
        examples: Sequence[Any],
        options: RunOptions,
        *,
        failures: list[Failure] | None = None,
        tick: Tick = lambda done, total: None,
    ) -> Iterator[Any]:
        """An optimisation is one thing, from its first call to its last, and so are drawings that should be like
        something (`conduct` tells how they went); everything else goes batch by batch."""
        self.conduct, self._show = {}, options.show
        if not (len(examples) and isinstance(examples[0], Pursuit)):
            plain = partial(super().infer, failures=failures)
            if len(examples) and isinstance(examples[0], Draw) and asking.asks(options):
                return iter(asking.draw(self, examples, options, plain=plain, tick=tick))
            return plain(examples, options, tick=tick)
        self.pursued = pursuit.pursue(self, options, tick=tick)
        return iter(pursuit.results(self.pursued, self))

    def preprocess(self, examples: Sequence[Any], *, training: bool = False) -> Any:
        if isinstance(examples[0], Draw):
            return DrawBatch(conditions=asking.told(examples), seed=examples[0].number)
        rows = [one if isinstance(one, Row) else self._row(one) for one in examples]
        return batch_of(rows, training=training)

    def _row(self, molecule: Molecule) -> Row:
        """A molecule as ids. UserError for what is no molecule, too long, or holds an atom that is not known."""
        made = cleaned(molecule)
        if made.reason:
            raise UserError(f"{molecule.id}: {made.reason}.")
        tokenizer, length = self.around.tokenizer, self.network.config.length
        if strange := tokenizer.strange(made.smiles):
            text = shortened(made.smiles)
            raise UserError(f"{molecule.id}: {text} holds {', '.join(strange)}, which the model does not know.")
        ids = np.asarray(tokenizer.encode(made.smiles))
        if len(ids) > length:
            text = shortened(made.smiles)
            raise UserError(f"{molecule.id}: {text} has {len(ids)} tokens, the model was made for {length}.")
        return Row(id=molecule.id, ids=ids)

    def predict(self, batch: Any, options: RunOptions) -> Any:
        if isinstance(batch, SmilesBatch):
            return self.network.nats(batch).tolist(), batch.counted.sum(dim=1).tolist()
        return draw(self.network, batch, self.sampling(options, batch.seed), guidance=options.guidance)

    def sampling(self, options: RunOptions, number: int) -> Sampling:
        """How tokens are drawn in the batch that begins with the molecule of this number."""
        return Sampling(
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            seed=options.seed * SEEDS + number,
            max_new=self.network.config.length - 1,
        )

    def postprocess(self, output: Any, examples: Sequence[Any], options: RunOptions) -> list[Any]:
        if isinstance(examples[0], Draw):
            return self.written(output, examples)
        nats, tokens = output
        if isinstance(examples[0], Row):
            return [Scored(id=one.id, smiles="", nats=lost, tokens=count)
                    for one, lost, count in zip(examples, nats, tokens, strict=True)]  # fmt: skip
        made = [cleaned(one) for one in examples]
        found = properties([one.smiles for one in made])
        return [
            Scored(
                id=one.id, smiles=clean.smiles, nats=lost, tokens=count, notices=notices(clean),
                properties=dict(zip(PROPERTIES, row, strict=True)),
            )
            for one, clean, lost, count, row in zip(examples, made, nats, tokens, found.tolist(), strict=True)
        ]  # fmt: skip

    def written(self, drawn: Sequence[Drawn], examples: Sequence[Draw]) -> list[Written]:
        """What was drawn, read by rdkit."""
        texts = [self.around.tokenizer.decode(one.ids) for one in drawn]
        smiles = smiles_of(drawn, self.around.tokenizer)
        found = properties(smiles)
        seen = self.known()
        names = self.network.config.conditions
        results = []
        for example, one, text, made, row in zip(examples, drawn, texts, smiles, found.tolist(), strict=True):
            reason = "" if made else (why_not(text) if one.ended else "it has no end")
            results.append(
                Written(
                    id=example.id, text=text, smiles=made, reason=reason, nats=one.nats,
                    novel=None if seen is None or not made else made not in seen,
                    properties=dict(zip(PROPERTIES, row, strict=True)) if made else {},
                    told={name: value for name, value in zip(names, example.conditions, strict=True)
                          if value == value},  # noqa: PLR0124
                )
            )  # fmt: skip
        return results

    @cached_property
    def training(self) -> Split:
        """The molecules it learnt from, in random order. UserError where they are not known or cannot be had here."""
        if self.around.data is None:
            raise UserError("It is not known what the model learnt from.")
        return collect(self.around.data.name).split("train")

    def known(self) -> Seen | None:
        """Which molecules it learnt from, those of what it began with too; None where they cannot be had here."""
        if self.seen is None:
            with suppress(UserError):
                seen = Seen.of(self.training.examples)
                for name in self.around.data.before if self.around.data else ():
                    seen = seen.joined(Seen.of(collect(name).train))
                self.seen = seen
        return self.seen

    @property
    def learnt_from(self) -> tuple[str, ...]:
        """The names of the data that `known` knows."""
        data = self.around.data
        return () if data is None or self.known() is None else (*data.before, data.name)

    # -- scores and pictures ------------------------------------------------------------------------------------------

    def assess(
        self,
        split: Split,
        options: EvaluateOptions,
        *,
        failures: list[Failure] | None = None,
        tick: Tick = lambda done, total: None,
    ) -> tuple[list[Any], Summary]:
        """How likely held-out molecules are, what drawn ones are like, and the metrics of a benchmark."""
        scored = list(self.infer(split.examples, options, failures=failures, tick=tick))
        drawn = self.drawn(options, tick=tick)
        summary = asking.judged(show.summarise([*drawn, *scored]), self.conduct)
        if self._left_out:
            summary = replace(summary, details={**summary.details, "left_out": list(self._left_out)})
        texts = [one.smiles or one.text for one in drawn]
        if options.suite == "moses":
            summary = with_moses(summary, texts, train=self.known(), workers=options.workers, tick=tick)
        if options.suite == "guacamol":
            summary = with_guacamol(summary, self, texts, options, tick=tick)
        return drawn, summary

    def drawn(self, options: RunOptions, *, tick: Tick = lambda done, total: None) -> list[Written]:
        """Molecules drawn as the options say."""
        return list(self.infer(self.inputs([], options), options, tick=tick))

    def summarise(self, results: Sequence[Any]) -> Summary:
        if self.pursued is not None and _optimised(results):
            return pursuit.summary(self.pursued, results)
        return asking.judged(show.summarise([*results, *self._sample]), self.conduct)

    def table(self, results: Sequence[Any], summary: Summary) -> Any:
        if "moses" in summary.details:
            return moses_table(summary.details["moses"])
        if "guacamol" in summary.details:
            return guacamol_table(summary.details["guacamol"])
        if self.pursued is not None and _optimised(results):
            return optimised_table(self.pursued, results, summary)
        return show.table(results, summary, show=self._show, learnt=self.learnt_from)

    def render(self, results: Sequence[Any], folder: Path, options: RunOptions) -> list[Path]:
        if self.pursued is not None and _optimised(results):
            return pursuit.render(self.pursued, results, folder)
        files = show.render(
            results, folder, show=options.show, picture=options.picture, highlight=asking.highlight(options)
        )  # fmt: skip
        if self._held is not None and files:
            real = measured(self._held, most=COMPARED, workers=options.workers)
            drawn = np.asarray([list(one.properties.values()) for one in results if one.smiles])
            files.append(draw_spread(drawn, real, folder / "properties.png"))
        return files

    def picture_training(self, results: Sequence[Any], folder: Path) -> list[Path]:
        """While it learns, some molecules it draws by now."""
        if not self.learning:
            return []
        self._sample = self.drawn(RunOptions(n=SAMPLED))
        chosen = [one for one in self._sample if one.smiles][:12]
        return [grid(chosen, folder / "molecules.png", columns=4)] if chosen else []

    # -- as graphs ------------------------------------------------------------------------------------------------

    kept_beside_graphs = ("conditions.",)

    def graphs(self) -> list[Graph]:
        return exported.graphs(self.network)

    def use(self) -> dict[str, Any]:
        return exported.use(self.network, self.around)

    def exported(self) -> None:
        exported.read_by_steps(self.network)

    def step_extras(self, cache: Any, batch: int) -> tuple[Tensor, ...]:
        return exported.told_of(cache, batch, self.network.config.dim)

    # -- learning -------------------------------------------------------------------------------------------------

    @property
    def trainable(self) -> nn.Module:
        return self.learner

    def loss(self, network: nn.Module, batch: SmilesBatch) -> Tensor:
        return network(batch)

    def weight(self, batch: SmilesBatch) -> float:
        return float(batch.counted.sum())

    def example_batch(self, size: int) -> SmilesBatch:
        config = self.network.config
        tokens = torch.randint(4, config.vocabulary, (size, min(config.length, 40)))
        return SmilesBatch(tokens=tokens)

    def workloads(self, size: int) -> list[Workload]:
        """Reading molecules, and drawing them."""
        drawing = partial(self.drawn, RunOptions(n=size, batch=size))
        drawn = Workload(name="drawing", unit=self.unit, items=size, run=drawing)
        return [*super().workloads(size), drawn]


def _optimised(results: Sequence[Any]) -> bool:
    return bool(results) and isinstance(results[0], Optimal)
