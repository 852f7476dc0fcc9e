"""The vision Transformer as a task: pictures in, labels out; what `run`, `finetune`, `evaluate` and `bench` compose."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from operator import length_hint
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....core import adapters, pretrained
from ....core import checkpoint as checkpoints
from ....core.errors import UserError
from ....core.export.graph import Graph
from ....core.options import build, override
from ....core.positions import interpolate_grid
from ....core.task import Origin, Prepared, Split, Splits, Summary, Task, Tick
from ....core.weights import load_into, without_weights
from .. import render, video
from ..augment import Augmentation, mixup, targets
from ..classify import Classification, FeatureBatch, ImageBatch, LabelScore, Prediction, choose, summarise, table
from ..data import Collection, FeatureExample, ImageExample, collect, pictures
from ..novelty import LIMIT, Novelty, View
from ..pixels import Preprocessing, open_image
from ..video import FrameExample, FramePrediction, Frames
from . import exported, families
from .config import ViTConfig
from .model import ViT
from .options import EvaluateOptions, FinetuneOptions, RunOptions

PICTURED = 24
"""At most so many pictures are drawn in one PNG."""


class ViTTask(Task):
    """A `ViT` with its preprocessing, the names of its classes, and what it knows of its training data."""

    run_options = RunOptions
    evaluate_options = EvaluateOptions
    train_options = FinetuneOptions
    monitor = ("accuracy", "max")
    unit = "images"
    network: ViT

    def __init__(
        self,
        *,
        network: ViT,
        preprocessing: Preprocessing,
        labels: Sequence[str],
        origin: Origin,
        novelty: Novelty | None = None,
    ) -> None:
        self.network, self.preprocessing, self.labels = network, preprocessing, tuple(labels)
        self.origin, self.novelty = origin, novelty
        self.frames: Frames | None = None  # what `read` opened last
        # What only a training sets:
        self.augmentation: Augmentation | None = None
        self.smoothing, self.mixup_alpha = 0.0, 0.0
        self.class_weights: Tensor | None = None
        self.head_only = False
        self.scaling: tuple[Tensor, Tensor] | None = None  # mean and deviation of a frozen backbone's features

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, checkpoint: str | None = None, *, settings: Mapping[str, Any] | None = None) -> ViTTask:
        located = pretrained.locate(cls.card, checkpoint)
        novelty = None
        if located.is_ours:
            saved, tensors = pretrained.read_ours(located, cls.card)
            try:
                config, preprocessing = build(ViTConfig, saved["config"]), build(Preprocessing, saved["preprocessing"])
                labels = tuple(saved["labels"])
            except (KeyError, TypeError) as error:
                raise UserError(f"The config of {located.source} is incomplete: {error}.") from None
            if (located.path / "novelty.safetensors").is_file():
                novelty = Novelty.from_tensors(checkpoints.load_tensors(located.path / "novelty.safetensors"))
        else:
            foreign = families.read(located.path, located.source)
            config, preprocessing, tensors = foreign.config, foreign.preprocessing, foreign.tensors
            labels = foreign.labels
        config, preprocessing, tensors = _resize(config, preprocessing, tensors, settings or {})
        with without_weights():
            network = ViT(config)
        load_into(network, tensors, source=located.source)
        origin = pretrained.origin_of(located, network)
        return cls(network=network, preprocessing=preprocessing, labels=labels, origin=origin, novelty=novelty)

    @classmethod
    def for_training(
        cls, options: FinetuneOptions, *, data: str | None, checkpoint: str | None, settings: Mapping[str, Any]
    ) -> Prepared:
        from .training import prepare

        return prepare(cls, options, data=data or cls.card.data, checkpoint=checkpoint, settings=settings)

    def save(self, folder: Path) -> None:
        network = adapters.merged(self.network)  # a checkpoint of ours is a plain network, adapters or not
        tensors = network.state_dict()
        if self.scaling is not None:
            tensors = tensors | {f"head.{name}": value for name, value in self._unscaled_head().items()}
        config = {
            "config": dataclasses.asdict(self.network.config),
            "preprocessing": dataclasses.asdict(self.preprocessing),
            "labels": list(self.labels),
        }
        pretrained.save_ours(folder, self.card, tensors, config)
        if self.novelty is not None:
            checkpoints.save_tensors(folder / "novelty.safetensors", self.novelty.tensors())

    # -- Source -> Example -> Batch -> Output -> Result -> Artifact -----------------------------------------------

    def inputs(self, given: Sequence[Any], options: RunOptions) -> Sequence[Any]:
        if options.source and given:
            raise UserError(f"--source names what to look at; {str(given[0])!r} is too much.", "Give one of the two.")
        return [options.source] if options.source else given

    def read(self, inputs: Sequence[Any], options: RunOptions) -> Any:
        self.frames = None
        if not options.source:
            return pictures(inputs)
        from .watching import with_an_end

        self.frames = with_an_end(self, options)
        return self.frames

    def live(self, inputs: Sequence[Any], options: RunOptions) -> Callable[[Any], None] | None:
        if not options.source:
            return None
        from .watching import watch

        return partial(watch, self, options)

    def infer(
        self, examples: Any, options: RunOptions, *, tick: Tick = lambda done, total: None, **noted: Any
    ) -> Iterator[Prediction]:
        """As `Task.infer`; of frames, whose number nobody knows beforehand, so many as one batch are held."""
        if not isinstance(examples, Frames):
            yield from super().infer(examples, options, tick=tick, **noted)
            return
        from .watching import until_stopped

        rest, done, total = until_stopped(examples), 0, length_hint(examples)
        while part := list(islice(rest, options.batch)):
            yield from super().infer(part, options, **noted)
            done += len(part)
            tick(done, max(done, total))

    def held_out(self, data: str | None = None) -> Split:
        collection = collect(data or self.card.data)
        for part in ("test", "validation", ""):
            split = collection.part(part)
            if split.examples:
                return replace(split, part=part or "all", examples=self._relabel(collection, split.examples))
        raise UserError(f"{collection.name} has no held-out pictures.")

    def _relabel(self, collection: Collection, examples: Sequence[ImageExample]) -> list[ImageExample]:
        """Class numbers of the data as those of the checkpoint, by name."""
        strange = [name for name in collection.classes if name not in self.labels]
        if strange:
            raise UserError(
                f"{collection.name} has classes that the checkpoint does not know: {', '.join(strange[:5])}.",
                f"It knows: {self._known()}.",
            )
        number = {name: place for place, name in enumerate(self.labels)}
        return [replace(item, label=number[collection.classes[item.label or 0]]) for item in examples]

    def preprocess(self, examples: Sequence[Any], *, training: bool = False) -> ImageBatch | FeatureBatch:
        known = [example.label for example in examples if example.label is not None]
        target = None
        if len(known) == len(examples) and self.labels:
            target = targets(torch.tensor(known), len(self.labels), smoothing=self.smoothing if training else 0.0)
        if isinstance(examples[0], FeatureExample):
            features = torch.stack([example.features for example in examples])
            if self.scaling is not None:
                features = (features - self.scaling[0]) / self.scaling[1]
            return FeatureBatch(features=features, target=target)
        fitted = [
            example.image if isinstance(example, FrameExample)
            else self.preprocessing.fit(open_image(example.image, example.id))
            for example in examples
        ]  # fmt: skip
        pixels = self.preprocessing.tensor(fitted)
        if training and self.augmentation is not None:
            pixels = self.augmentation(pixels)
        if training and target is not None:
            pixels, target = mixup(pixels, target, alpha=self.mixup_alpha)
        return ImageBatch(pixels=self.preprocessing.normalise(pixels), target=target)

    def predict(self, batch: ImageBatch | FeatureBatch, options: RunOptions) -> Classification:
        if isinstance(batch, FeatureBatch):
            view = View(features=batch.features)
            logits = self.network.head(view.features)
        else:
            logits, features, texture = self.network.look(batch.pixels)
            view = View(features=features, texture=texture)
        unlikeness = self.novelty.unlikeness(self._familiar(view)) if self.novelty is not None else None
        return Classification(logits=logits, features=view.features, unlikeness=unlikeness)

    def graphs(self) -> list[Graph]:
        return exported.graphs(self.network, self.preprocessing)

    def exported(self) -> None:
        self.preprocessing = exported.attached(self.network, self.preprocessing)

    def use(self) -> dict[str, Any]:
        return exported.use(self.preprocessing, self.labels)

    def view(self, batch: ImageBatch | FeatureBatch) -> View:
        """What the network sees in a batch, late and early."""
        if isinstance(batch, FeatureBatch):
            return View(features=batch.features)
        tokens = self.network.tokens(batch.pixels)
        return View(features=self.network.features_of(tokens), texture=self.network.texture(tokens))

    def _familiar(self, view: View) -> View:
        """What tells how familiar a picture is: of several layers' features those of the last one are enough."""
        width = self.network.config.feature_dim // self.network.config.layers
        return replace(view, features=view.features[:, -width:].float())

    def postprocess(self, output: Classification, examples: Sequence[Any], options: RunOptions) -> list[Prediction]:
        backbone = not self.labels
        best = output.logits.float().softmax(dim=-1).topk(min(options.top, max(1, len(self.labels))))
        results = []
        for number, example in enumerate(examples):
            distance = None if output.unlikeness is None else float(output.unlikeness[number])
            scores = () if backbone else tuple(
                LabelScore(name=self.labels[int(label)], probability=float(probability))
                for probability, label in zip(best.values[number], best.indices[number], strict=True)
            )  # fmt: skip
            embedding = tuple(output.features[number].tolist()) if backbone else None
            known: dict[str, Any] = {"id": example.id, "labels": scores, "unlikeness": distance, "embedding": embedding}
            if isinstance(example, FrameExample):  # thousands would say the same: the summary counts them
                results.append(FramePrediction(time=example.time, **known))
                continue
            results.append(
                Prediction(
                    **known,
                    truth=None if example.label is None or backbone else self.labels[example.label],
                    notices=self._notices(scores, distance),
                    example=example if isinstance(example, ImageExample) else None,
                )
            )
        return results

    def _notices(self, scores: Sequence[LabelScore], distance: float | None) -> tuple[str, ...]:
        if not scores:
            return ("this checkpoint is a backbone without classes: give it some with tsuite finetune vision.vit",)
        if distance is not None and distance > LIMIT:
            return (
                f"this checkpoint may not know what this is: it knows {self._known()}, and this is {distance:.1f} "
                "times as far from its training data as 99 % of its own held-out pictures",
            )
        if distance is None and scores[0].probability < 0.2:
            return (
                f"no label is likely: this checkpoint knows {self._known()}, and keeps no record of its training data "
                "that would tell how unlike it this picture is",
            )
        return ()

    def _known(self) -> str:
        names = ", ".join(self.labels[:10])
        return names if len(self.labels) <= 10 else f"{len(self.labels)} classes ({names}, …)"

    def summarise(self, results: Sequence[Prediction]) -> Summary:
        if self.frames is not None and isinstance(results[0], FramePrediction):
            return video.summarise(results, self.frames, LIMIT)
        return summarise(results, self.labels)

    def table(self, results: Sequence[Prediction], summary: Summary) -> Any:
        return table(results, summary)

    def render(self, results: Sequence[Prediction], folder: Path, options: RunOptions) -> list[Path]:
        if not options.picture:
            return []
        if isinstance(results[0], FramePrediction):
            return [video.save_csv(results, folder / "frames.csv")] if self.labels else []
        shown = [result for result in choose(results, PICTURED) if result.example is not None]
        images = [self.preprocessing.fit(open_image(item.example.image, item.id)) for item in shown if item.example]
        pixels = self.preprocessing.normalise(self.preprocessing.tensor(images)).to(self.network.positions.device)
        with torch.inference_mode():
            maps = torch.cat([self.network.attention(part) for part in pixels.split(4)]).float().cpu().numpy()
        score = self.summarise(results).metrics.get("accuracy")
        title = (
            "vision.vit" if score is None else f"vision.vit on {len(results):,} held-out pictures: {score:.1%} right"
        )
        return [render.draw_predictions(shown, images, maps, folder / "predictions.png", title=title)]

    # -- learning -------------------------------------------------------------------------------------------------

    @property
    def trainable(self) -> nn.Module:
        return self.network.head if self.head_only else self.network

    def loss(self, network: nn.Module, batch: ImageBatch | FeatureBatch) -> Tensor:
        if batch.target is None:
            raise UserError("Training needs labels.")
        logits = network(batch.features if isinstance(batch, FeatureBatch) else batch.pixels)
        weights = self.class_weights.to(logits.device) if self.class_weights is not None else None
        return F.cross_entropy(logits.float(), batch.target, weight=weights, reduction="sum")

    def weight(self, batch: ImageBatch | FeatureBatch) -> float:
        assert batch.target is not None
        return float(
            len(batch.target) if self.class_weights is None else (batch.target.cpu() @ self.class_weights).sum()
        )

    def parameter_groups(self, options: FinetuneOptions) -> Iterable[dict[str, Any]]:
        """Layers nearer to the pixels learn more slowly by `layer_decay`; vectors and position tables do not decay."""
        if self.head_only:
            return super().parameter_groups(options)
        top = self.network.config.depth + 1
        groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
        for name, value in self.network.named_parameters():
            if value.requires_grad:
                decays = value.ndim >= 2 and name not in ("positions", "class_token", "registers")
                groups.setdefault((_layer(name, top), decays), []).append(value)
        return [
            {
                "params": values,
                "weight_decay": options.weight_decay if decays else 0.0,
                "lr_scale": options.layer_decay ** (top - layer),
            }
            for (layer, decays), values in sorted(groups.items(), key=lambda item: item[0])
        ]

    def picture_training(self, results: Sequence[Prediction], folder: Path) -> list[Path]:
        summary = self.summarise(results)
        if not summary.metrics:
            return []
        title = f"{len(results):,} validation pictures, accuracy {summary.metrics['accuracy']:.3f}"
        matrix, classes = summary.details["confusion"], summary.details["classes"]
        return [render.draw_confusion(matrix, classes, folder / "confusion.png", title=title)]

    def finish(self, splits: Splits) -> None:
        """Learn what the training data looks like to the finished network."""
        from .training import spread, view_of

        adapters.merge(self.network)
        if self.scaling is not None:
            self.network.head.load_state_dict(self._unscaled_head())
            self.scaling = None
        held = splits.validation.examples or splits.train.examples
        view, labels = view_of(self, spread(splits.train.examples, 5000))
        held_view, _ = view_of(self, spread(held, 2000))
        self.novelty = Novelty.fit(self._familiar(view), labels, self._familiar(held_view))

    def _unscaled_head(self) -> dict[str, Tensor]:
        """The head for features as the backbone gives them, from one that was trained on standardised features."""
        head = self.network.head
        assert self.scaling is not None
        assert isinstance(head, nn.Linear)
        mean, deviation = (value.to(head.weight.device) for value in self.scaling)
        weight = head.weight.detach() / deviation
        return {"weight": weight, "bias": head.bias.detach() - weight @ mean}

    def example_batch(self, size: int) -> ImageBatch:
        config = self.network.config
        return ImageBatch(pixels=torch.randn(size, config.channels, config.image_size, config.image_size))


def _layer(name: str, top: int) -> int:
    """0 for the embeddings, 1 … for the blocks, `top` for the last norm and the head."""
    if name.startswith("encoder.blocks."):
        return int(name.split(".")[2]) + 1
    return top if name.startswith(("encoder.norm", "head")) else 0


def _resize(
    config: ViTConfig, preprocessing: Preprocessing, tensors: dict[str, Tensor], settings: Mapping[str, Any]
) -> tuple[ViTConfig, Preprocessing, dict[str, Tensor]]:
    """The size that pictures will have (`image_size` of the settings, else the preprocessing's), with the position
    table carried over once, here, so that no forward pass has to."""
    wanted = override(replace(config, image_size=_fits(preprocessing.size, config)), settings)
    for name in ("patch_size", "channels", "dim", "depth", "mlp_dim", "classes", "registers", "layers"):
        if getattr(wanted, name) != getattr(config, name):
            raise UserError(
                f"A checkpoint's {name} is {getattr(config, name)} and cannot be set to {getattr(wanted, name)}."
            )
    if wanted.image_size != config.image_size:
        table = tensors["positions"]
        grid = interpolate_grid(table[:, 1:], wanted.grid, how=wanted.interpolation)
        tensors = {**tensors, "positions": torch.cat([table[:, :1], grid], dim=1)}
    return wanted, replace(preprocessing, size=wanted.image_size), tensors


def _fits(size: int, config: ViTConfig) -> int:
    """The nearest size at or below `size` that divides into patches."""
    return max(config.patch_size, size // config.patch_size * config.patch_size)
