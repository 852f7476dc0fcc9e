"""Properties of molecules as a task: what a predictor is asked, what it answers, how it learns.

Axes: B molecules, T tokens, S spellings of each, D computed properties, K targets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .....core import pretrained
from .....core.errors import UserError
from .....core.options import flag
from .....core.registry import Card
from .....core.task import Failure, Learner, Origin, Prepared, Split, Splits, Summary, Task, Tick
from ...data import Molecules, collect
from ...fingerprints import forest, nearest, packed
from ...properties import properties
from ...smiles import randomised
from ..given import cleaned, notices, read_inputs
from ..options import EvaluateOptions, FinetuneOptions, RunOptions
from ..rows import padded
from . import files, show
from .files import Surroundings, Target
from .model import Predictor, PropertyBatch
from .show import Predicted

OWN = ("batch", "seed", "show", "picture", "workers", "spellings")
"""Options of `run` and `evaluate` that a predictor understands; the others are for drawing molecules."""
HEAD_RATE = 3.0
"""How much faster the head learns than the language model below it."""


@dataclass(frozen=True, kw_only=True)
class Reading(PropertyBatch):
    """A batch with the SMILES [B] that it was made of, so that they can be spelt otherwise."""

    smiles: tuple[str, ...] = ()


class PropertyTask(Task):
    """A predictor of properties with its tokens and what it learnt from."""

    run_options = RunOptions
    evaluate_options = EvaluateOptions
    train_options = FinetuneOptions
    network: Predictor

    def __init__(self, network: Predictor, around: Surroundings, origin: Origin) -> None:
        self.network, self.around, self.origin = network, around, origin
        self.learner = Learner(network)
        self.learning, self.augment, self.head_rate = False, True, HEAD_RATE  # only a training sets them
        self.monitor = ("rmse" if len(around.targets) == 1 else "relative_rmse", "min")
        self._described: dict[str, np.ndarray] = {}
        self._show = RunOptions().show  # molecules in the table

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, checkpoint: str | None = None, *, settings: Mapping[str, Any] | None = None) -> PropertyTask:
        located = pretrained.locate(cls.card, checkpoint)
        if settings:
            raise UserError(f"A trained model's {next(iter(settings))} cannot be set.", "Train another one.")
        network, around = files.load(located, cls.card)
        return cls(network, around, pretrained.origin_of(located, network))

    @classmethod
    def for_training(
        cls, options: FinetuneOptions, *, data: Any, checkpoint: str | None, settings: Mapping[str, Any]
    ) -> Prepared:
        from .training import prepare

        return prepare(cls, options, data=data, checkpoint=checkpoint, settings=settings)

    def save(self, folder: Path) -> None:
        files.save(folder, self.card, self.network, self.around)

    @property
    def targets(self) -> tuple[Target, ...]:
        return self.around.targets

    # -- Source -> Example -> Batch -> Output -> Result -> Artifact -----------------------------------------------

    def inputs(self, given: Sequence[Any], options: RunOptions) -> Sequence[Any]:
        self._refuse(options)
        return given

    def _refuse(self, options: RunOptions) -> None:
        """UserError for an option that is about drawing molecules."""
        blank = type(options)()
        for item in dataclasses.fields(options):
            if item.name not in OWN and getattr(options, item.name) != getattr(blank, item.name):
                names = " and ".join(one.name for one in self.targets)
                raise UserError(
                    f"{flag(item.name)} is for a model that draws molecules; this checkpoint predicts {names}.",
                    "Leave it out, or give another --checkpoint.",
                )

    def read(self, inputs: Sequence[Any], options: RunOptions) -> list[Any]:
        """A path names a list of molecules, anything else is a SMILES."""
        self._refuse(options)
        return read_inputs(inputs, [one.name for one in self.targets])

    def held_out(self, data: Any = None) -> Split:
        return self.parts(data).held_out()

    def to_score(self, data: Any, options: EvaluateOptions) -> Split:
        self._refuse(options)
        return self.held_out(data)

    def parts(self, data: Any = None) -> Molecules:
        """The molecules it learnt from in their parts, or `data` read the same way."""
        learnt, names = self.around.learnt, [one.name for one in self.targets]
        if isinstance(data, Molecules):
            return data
        return collect(data or learnt.name, column=learnt.column, split=learnt.split, targets=names)  # type: ignore[arg-type]

    def preprocess(self, examples: Sequence[Any], *, training: bool = False) -> Reading:
        smiles = tuple(self._checked(one) for one in examples)
        spelt = smiles
        if training and self.augment:
            spelt = [randomised(one, int(np.random.randint(2**31 - 2))) for one in smiles]  # noqa: NPY002 (the loop's)
        truths = np.full((len(smiles), len(self.targets)), np.nan, dtype=np.float32)
        for row, one in enumerate(examples):
            for column, target in enumerate(self.targets):
                if target.name in one.properties:
                    truths[row, column] = (one.properties[target.name] - target.mean) / target.deviation
        return Reading(
            tokens=self._tokens(spelt),
            described=torch.from_numpy(self._describe(smiles)),
            truths=torch.from_numpy(truths),
            smiles=smiles,
        )

    def _checked(self, molecule: Any) -> str:
        """The SMILES as the network reads it. UserError for what is no molecule or longer than it can be."""
        if self.learning:  # cleaned and measured beforehand
            return molecule.smiles
        made = cleaned(molecule)
        if made.reason:
            raise UserError(f"{molecule.id}: {made.reason}.")
        length, most = len(self.around.tokenizer.split(made.smiles)) + 2, self.network.trunk.config.length
        if length > most:
            raise UserError(f"{molecule.id}: {made.smiles} has {length} tokens, the model was made for {most}.")
        return made.smiles

    def _tokens(self, smiles: Sequence[str]) -> Tensor:
        """Ids [B, T] of molecules, filled up with padding."""
        return padded([self.around.tokenizer.encode(one) for one in smiles])

    def _describe(self, smiles: Sequence[str]) -> np.ndarray:
        """Computed properties [B, D] in deviations; those of training molecules are computed once."""
        described = self.around.described
        missing = [one for one in dict.fromkeys(smiles) if one not in self._described]
        found = dict(zip(missing, described.scaled(properties(missing, described.names)), strict=True))
        if self.learning:
            self._described |= found
        rows = [found[one] if one in found else self._described[one] for one in smiles]
        return np.stack(rows) if described.names else np.zeros((len(smiles), 0), dtype=np.float32)

    def predict(self, batch: Reading, options: RunOptions) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation [B, K] in the targets' units, over the molecule as it is and respelt."""
        means, deviations = [], []
        for number in range(max(1, min(options.spellings, 4) if self.learning else options.spellings)):
            tokens = self._tokens([randomised(one, number) for one in batch.smiles]) if number else batch.tokens
            mean, deviation = self.network(replace(batch, tokens=tokens.to(batch.tokens.device)))
            means.append(mean.cpu().double().numpy())
            deviations.append(deviation.cpu().double().numpy())
        spread = np.var(means, axis=0) + np.mean(np.square(deviations), axis=0)
        scale = np.asarray([[one.mean, one.deviation, one.widen * one.deviation] for one in self.targets])
        return np.mean(means, axis=0) * scale[:, 1] + scale[:, 0], np.sqrt(spread) * scale[:, 2]

    def postprocess(self, output: tuple[np.ndarray, np.ndarray], examples: Sequence[Any], options: Any) -> list[Any]:
        self._show = options.show
        made = [cleaned(one) for one in examples]
        alike = np.ones(len(made))
        if not self.learning:  # else nobody asks
            alike = nearest(packed([one.smiles for one in made]), self.around.seen)
        names = [one.name for one in self.targets]
        results = []
        for one, clean, similarity, values, deviations in zip(examples, made, alike.tolist(), *output, strict=True):
            strange = self.around.tokenizer.strange(clean.smiles)
            outside = bool(strange) or similarity < self.around.learnt.near
            results.append(
                Predicted(
                    id=one.id, smiles=clean.smiles, given=one.given, similarity=similarity, outside=outside,
                    values=dict(zip(names, values.tolist(), strict=True)),
                    deviations=dict(zip(names, deviations.tolist(), strict=True)),
                    measured={name: one.properties[name] for name in names if name in one.properties},
                    notices=self._notices(clean, strange, similarity),
                )
            )  # fmt: skip
        return results

    def _notices(self, clean: Any, strange: Sequence[str], similarity: float) -> tuple[str, ...]:
        """What to be aware of in one molecule."""
        told = [*notices(clean)]
        if strange:
            told.append(f"it holds {', '.join(strange)}, which no molecule held that the model learnt from")
        if similarity < self.around.learnt.near:
            told.append(f"it is unlike what the model learnt from (most similar: {similarity:.2f})")
        return tuple(told)

    # -- scores and pictures --------------------------------------------------------------------------------------

    def summarise(self, results: Sequence[Predicted]) -> Summary:
        return show.summarise(results, self.targets)

    def assess(
        self,
        split: Split,
        options: EvaluateOptions,
        *,
        failures: list[Failure] | None = None,
        tick: Tick = lambda done, total: None,
    ) -> tuple[list[Any], Summary]:
        """Scores beside those of forests on fingerprints and of the mean, all of the same training molecules."""
        results, summary = super().assess(split, options, failures=failures, tick=tick)
        details = self._details(results)
        try:
            beside = self._baselines(results, self.parts().train, options.seed)
        except UserError as error:  # its molecules are not here
            beside, details["no_baselines"] = {}, str(error)
        return results, replace(summary, baselines=beside, details=details)

    def _baselines(self, results: Sequence[Predicted], train: Any, seed: int) -> dict[str, dict[str, float]]:
        """Scores of what learnt from the same molecules."""
        smiles, asked = [one.smiles for one in train], [one.smiles for one in results]
        computed, theirs = np.nan_to_num(properties(smiles)), np.nan_to_num(properties(asked))
        found: dict[str, dict[str, float]] = {}
        for target in self.targets:
            truths = show.columns(results, target)[2]
            known = [row for row, one in enumerate(train) if target.name in one.properties]
            values = np.asarray([train[row].properties[target.name] for row in known])
            left = [smiles[row] for row in known]
            beside = {
                "forest on fingerprints": forest(left, values, asked, seed=seed),
                "forest on fingerprints and computed properties": forest(
                    left, values, asked, described=computed[known], asked_described=theirs, seed=seed
                ),
                "the mean": np.full(len(asked), values.mean()),
            }
            for name, predicted in beside.items():
                own = show.named(show.scores(predicted, truths), target, self.targets)
                found[name] = {**found.get(name, {}), **own}
        return found

    def _details(self, results: Sequence[Predicted]) -> dict[str, Any]:
        """Which molecules are worst, how often the truth lies within the deviation, and how wrong it is outside."""
        told: dict[str, Any] = dict(show.summarise(results, self.targets).conduct)
        for target in self.targets:
            values, deviations, truths = show.columns(results, target)
            known, outside = ~np.isnan(truths), np.asarray([one.outside for one in results], dtype=bool)
            off = np.abs(values - truths)
            told[target.name] = {
                "within_one_deviation": float((off <= deviations)[known].mean()) if known.any() else None,
                "within_two_deviations": float((off <= 2 * deviations)[known].mean()) if known.any() else None,
                "like_what_it_learnt": {"n": int((known & ~outside).sum()),
                                        **show.scores(values[~outside], truths[~outside])},
                "outside": {"n": int((known & outside).sum()), **show.scores(values[outside], truths[outside])},
            }  # fmt: skip
        told["worst"] = [one.to_json() for one in show.worst(results, self.targets)]
        return told

    def table(self, results: Sequence[Predicted], summary: Summary) -> Any:
        return show.table(results, summary, self.targets, show=self._show)

    def render(self, results: Sequence[Predicted], folder: Path, options: RunOptions) -> list[Path]:
        return show.render(results, self.targets, folder, show=options.show, picture=options.picture)

    def picture_training(self, results: Sequence[Predicted], folder: Path) -> list[Path]:
        return show.scatter(results, self.targets, folder / "validation.png") if self.learning else []

    def picture_test(self, results: Sequence[Predicted], folder: Path) -> list[Path]:
        return self.render(results, folder, RunOptions())

    # -- learning -------------------------------------------------------------------------------------------------

    @property
    def trainable(self) -> nn.Module:
        return self.learner

    def loss(self, network: nn.Module, batch: Reading) -> Tensor:
        return network(batch)

    def weight(self, batch: Reading) -> float:
        return float(batch.known.sum())

    def parameter_groups(self, options: Any) -> Iterable[dict[str, Any]]:
        head = {id(value) for value in self.network.head.parameters()}
        for group in super().parameter_groups(options):
            for mine, rate in ((True, self.head_rate), (False, 1.0)):
                chosen = [value for value in group["params"] if (id(value) in head) is mine]
                if chosen:
                    yield {**group, "params": chosen, "lr_scale": rate}

    def finish(self, splits: Splits) -> None:
        """Widen the deviations until two thirds of the validation molecules lie within theirs."""
        self.learning = False
        self.around = replace(self.around, targets=tuple(replace(one, widen=1.0) for one in self.targets))
        results = list(self.infer(splits.validation.examples, RunOptions()))
        widened = []
        for target in self.targets:
            values, deviations, truths = show.columns(results, target)
            known = ~np.isnan(truths)
            off = np.abs(values - truths)[known] / deviations[known]
            widened.append(replace(target, widen=float(np.quantile(off, 0.68)) if len(off) else 1.0))
        self.around = replace(self.around, targets=tuple(widened))

    def example_batch(self, size: int) -> Reading:
        return self.preprocess([*read_inputs(["CC(=O)Oc1ccccc1C(=O)O"])] * size)


def predictors(card: Card) -> type[PropertyTask]:
    """The task for the checkpoints of a model that predict properties."""
    PropertyTask.card = card
    return PropertyTask
