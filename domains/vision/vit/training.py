"""What a training starts from: the data, a network from scratch or a checkpoint, and what of it may learn."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import Tensor, nn

from ....core import adapters, progress
from ....core import checkpoint as checkpoints
from ....core.errors import UserError
from ....core.options import build, override, split_settings
from ....core.sources import cache_folder
from ....core.sources.cache import writing
from ....core.task import Origin, Prepared, Split, Splits
from ....core.weights import count_parameters
from ..augment import augmentation
from ..classify import ImageBatch
from ..data import Collection, FeatureExample, collect, count_by_class, splits
from ..novelty import View
from ..pixels import Preprocessing, open_image
from .config import SIZES, ViTConfig
from .model import ViT
from .options import FinetuneOptions

if TYPE_CHECKING:
    from .task import ViTTask

LORA_TARGETS = ("attention.qkv", "attention.out", "mlp.up", "mlp.down")
SMALL = 64
"""Pictures up to so many pixels a side are taken for symbols and seen whole; larger ones for photographs."""


def prepare(
    cls: type[ViTTask], options: FinetuneOptions, *, data: str, checkpoint: str | None, settings: Mapping[str, Any]
) -> Prepared:
    """Read the data, make or load the network, decide what was left open, freeze what is to stay."""
    collection = collect(data)
    parts = splits(collection, validation=options.validation)
    chosen: list[str] = []
    shape, rest = split_settings(settings, ViTConfig(), options) if settings else ({}, {})
    options = override(options, rest)
    scratch = checkpoint in (None, "none", "scratch")
    task = _from_scratch(cls, options, collection, parts, shape) if scratch else cls.load(checkpoint, settings=shape)
    options = _decide(options, task, scratch=scratch)
    if not scratch:
        _give_classes(task, options, collection, chosen)
    _prepare_learning(task, options, parts)
    if options.freeze == "all":
        parts = _feature_splits(task, parts)
        task.monitor = ("loss", "min")  # one layer on fixed features: the loss falls smoothly, a count of rights jumps
        features = torch.stack([example.features for example in parts.train.examples])
        deviation, mean = torch.std_mean(features, dim=0)
        task.scaling = (mean, deviation.clamp(min=1e-3))
    counts = count_by_class(parts.train.examples, len(collection.classes))
    config = task.network.config
    chosen += [
        f"{len(parts.train.examples):,} pictures to learn from ({min(counts):,} to {max(counts):,} a class), "
        f"{len(parts.validation.examples):,} to choose by, {len(collection.classes)} classes",
        f"{config.image_size} x {config.image_size} pixels in patches of {config.patch_size}, "
        f"{count_parameters(task.network, trainable=True):,} of {count_parameters(task.network):,} parameters learn",
        f"epochs {options.epochs}, learning rate {options.lr:g}, augmentation {options.augment}, "
        f"classes {'weighed by rarity' if task.class_weights is not None else 'weighed alike'}",
    ]
    return Prepared(task=task, splits=parts, options=options, chosen=tuple(chosen))


def _from_scratch(
    cls: type[ViTTask], options: FinetuneOptions, collection: Collection, parts: Splits, shape: Mapping[str, str]
) -> ViTTask:
    """A new network whose input suits the pictures: small ones whole, photographs scaled down."""
    sample = [open_image(item.image, item.id) for item in spread(parts.train.examples, 400)]
    side = min(min(image.size) for image in sample)
    small = side <= SMALL
    size = side if small else 128
    patch = next(number for number in range(max(1, size // 4), 0, -1) if size % number == 0) if small else 16
    grey = all(image.mode in ("1", "L", "I;16", "I", "F", "LA") for image in sample)
    facts = {"image_size": size, "patch_size": patch, "channels": 1 if grey else 3, "classes": len(collection.classes)}
    start = build(ViTConfig, {**SIZES[options.size], **facts, "drop_path": 0.05})
    config = override(start, shape)
    if config.classes != len(collection.classes):
        raise UserError(f"The data has {len(collection.classes)} classes; leave --set classes={config.classes} out.")
    plain = Preprocessing(
        size=config.image_size,
        channels=config.channels,
        mean=(0.0,) * config.channels,
        std=(1.0,) * config.channels,
        crop=1.0 if small else 0.95,
        resize="shorter",
        interpolation="bicubic",
    )
    pixels = plain.tensor([plain.fit(image) for image in sample])
    deviation, mean = torch.std_mean(pixels, dim=(0, 2, 3))
    rounded = [tuple(round(float(value), 4) for value in values) for values in (mean, deviation.clamp(min=1e-3))]
    torch.manual_seed(options.seed)
    network = ViT(config)
    return cls(
        network=network,
        preprocessing=replace(plain, mean=rounded[0], std=rounded[1]),
        labels=collection.classes,
        origin=Origin(source="scratch", parameters=count_parameters(network)),
    )


def _decide(options: FinetuneOptions, task: ViTTask, *, scratch: bool) -> FinetuneOptions:
    """Fill in what was left at "what suits the job"."""
    if scratch and (options.freeze != "none" or options.lora):
        raise UserError(
            "There is nothing to keep frozen in a network from scratch.",
            "Give --checkpoint, or leave --freeze and --lora out.",
        )
    probe = options.freeze == "all"
    epochs = 150 if scratch else 60 if probe else 10
    rate = 1e-3 if scratch else 5e-4 if options.lora else 1e-4
    augment = options.augment
    if probe:
        augment = "none"  # the features are computed once
    elif augment == "auto":
        augment = "symbols" if task.preprocessing.size <= SMALL else "photos"
    return replace(options, epochs=options.epochs or epochs, lr=options.lr or rate, augment=augment)


def _give_classes(task: ViTTask, options: FinetuneOptions, collection: Collection, chosen: list[str]) -> None:
    """A new head where the data's classes are not the checkpoint's; and whole pictures, for nothing says that only
    the middle of them matters."""
    task.preprocessing = replace(task.preprocessing, crop=1.0)
    base = task.origin
    task.origin = replace(base, base=base.source, notices=base.notices)
    if set(collection.classes) == set(task.labels):
        order = {name: number for number, name in enumerate(task.labels)}
        if task.labels != collection.classes:  # the data numbers its classes in another order: follow the data
            index = torch.tensor([order[name] for name in collection.classes])
            head = task.network.head.state_dict()
            task.network.head.load_state_dict({name: value[index] for name, value in head.items()})
            task.labels = collection.classes
        return
    before = task.network.config
    layers = options.layers or (min(4, before.depth) if options.freeze == "all" else before.layers)
    if layers > before.depth:
        raise UserError(f"--layers {layers}: the network has {before.depth}.")
    config = replace(before, classes=len(collection.classes), layers=layers)
    task.network.config, task.labels = config, collection.classes
    head = nn.Linear(config.feature_dim, config.classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    task.network.head = head
    task.novelty = None
    task.origin = replace(task.origin, parameters=count_parameters(task.network))
    chosen.append(f"a new head for the classes {', '.join(collection.classes[:10])}")


def _prepare_learning(task: ViTTask, options: FinetuneOptions, parts: Splits) -> None:
    """Augmentation, targets and class weights; and what of the network may learn."""
    config = task.network.config
    task.augmentation = (
        None if options.augment == "none" else augmentation(options.augment, config.image_size, config.channels)
    )
    task.smoothing, task.mixup_alpha = options.label_smoothing, options.mixup
    counts = torch.tensor(count_by_class(parts.train.examples, len(task.labels))).clamp(min=1)
    uneven = int(counts.max()) > 1.5 * int(counts.min())
    if options.class_weights == "balanced" or (options.class_weights == "auto" and uneven):
        task.class_weights = counts.sum() / (len(counts) * counts)
        task.monitor = ("balanced_accuracy", "max")
    limit_learning(task, options)


def limit_learning(task: ViTTask, options: FinetuneOptions) -> None:
    """Freeze what is to stay, and add what learns in its place."""
    config, network = task.network.config, task.network
    if options.lora:
        adapters.apply(network, adapters.Method(kind="lora", rank=options.lora, targets=LORA_TARGETS))
        network.head.requires_grad_(True)
    elif options.freeze != "none":
        count = 0 if options.freeze == "all" else int(options.freeze)
        if count > config.depth:
            raise UserError(f"--freeze {count}: the network has {config.depth} blocks.")
        network.requires_grad_(False)
        learning = (
            [network.head] if not count else [network.head, network.encoder.norm, *network.encoder.blocks[-count:]]
        )
        for module in learning:
            if module is not None:
                module.requires_grad_(True)
        task.head_only = options.freeze == "all"


# -- features of a frozen backbone, computed once -----------------------------------------------------------------


def view_of(task: ViTTask, examples: Sequence[Any], *, label: str = "") -> tuple[View, Tensor]:
    """What the network sees in examples, and their labels [N]; with a progress bar where `label` names it."""
    labels = torch.tensor([example.label for example in examples])
    if examples and isinstance(examples[0], FeatureExample):
        return View(features=torch.stack([example.features for example in examples])), labels
    device = task.network.positions.device
    training = task.network.training
    task.network.eval()
    views: list[View] = []
    console = Console(stderr=True) if label else None
    if console is not None and not console.is_terminal:
        console.print(label)
    with torch.inference_mode(), progress.bar(console, label, len(examples)) as tick:
        for start in range(0, len(examples), 32):
            batch = task.preprocess(examples[start : start + 32]).to(device)
            assert isinstance(batch, ImageBatch)
            views.append(task.view(batch))
            tick(start + len(batch.pixels), len(examples))
    task.network.train(training)
    features, texture = (
        torch.cat([getattr(view, name).float().cpu() for view in views]).clone() for name in ("features", "texture")
    )
    return View(features=features, texture=texture), labels


def _feature_splits(task: ViTTask, parts: Splits) -> Splits:
    """The same splits with features for pictures, kept in the cache for the next training on the same backbone."""
    cut = {name: getattr(parts, name) for name in ("train", "validation")}
    return replace(parts, **{name: _feature_split(task, split) for name, split in cut.items()})


def _feature_split(task: ViTTask, split: Split) -> Split:
    facts = {
        "weights": task.origin.sha256,
        "config": {**dataclasses.asdict(task.network.config), "classes": 0},
        "preprocessing": dataclasses.asdict(task.preprocessing),
        "data": split.sha256,
        "ids": hashlib.sha256("\n".join(example.id for example in split.examples).encode()).hexdigest(),
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    path = cache_folder() / "features" / f"{key}.safetensors"
    if path.is_file():
        features = checkpoints.load_tensors(path)["features"]
    else:
        features = view_of(task, split.examples, label=f"features of {len(split.examples):,} pictures")[0].features
        with writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            passing = path.with_name(f"{path.name}.{os.getpid()}")
            checkpoints.save_tensors(passing, {"features": features})
            os.replace(passing, path)
    examples = [
        FeatureExample(id=example.id, features=row, label=example.label)
        for example, row in zip(split.examples, features, strict=True)
    ]
    return replace(split, examples=examples)


def spread(examples: Sequence[Any], most: int) -> list[Any]:
    """Up to `most` examples, evenly spread."""
    count = min(len(examples), most)
    return [examples[number * len(examples) // count] for number in range(count)]
