"""What `plan` rehearses: a vision Transformer from its configuration alone, looking or learning.

Axes: B batch, K classes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from ....core import pretrained
from ....core.options import build, override, split_settings
from ....core.plan.blueprint import Blueprint, Wanted, method_of, plain, unsized
from ....core.task import Origin
from ....core.weights import without_weights
from ..classify import FeatureBatch, ImageBatch
from ..pixels import Preprocessing
from . import families
from .config import SIZES, ViTConfig
from .model import ViT
from .training import limit_learning

METHODS = ("full", "lora")
RANK = 16
CLASSES = 10
SYMBOLS = {"image_size": 28, "patch_size": 7, "channels": 1}
PHOTOS = {"image_size": 128, "patch_size": 16, "channels": 3}


def blueprint(cls: Any, wanted: Wanted) -> Blueprint:
    """The work of `run` or `finetune` on a network without weights."""
    config, told = _architecture(cls, wanted)
    with without_weights():
        network = ViT(config)
    labels = tuple(map(str, range(config.classes)))
    pixels = Preprocessing(
        size=config.image_size, channels=config.channels, mean=(0.0,) * config.channels, std=(1.0,) * config.channels,
        crop=1.0, resize="shorter", interpolation="bicubic",
    )  # fmt: skip
    task = cls(network=network, preprocessing=pixels, labels=labels, origin=Origin())
    side = config.image_size
    told = (*told, *unsized(wanted, f"pictures are of {side} x {side} pixels (--set image_size)"))
    if wanted.command == "run":
        return plain(task, wanted, logits=config.classes, notices=told)
    method, said = method_of(wanted, METHODS, "lora" if wanted.options.lora else "full")
    rank = (wanted.options.lora or RANK) if method == "lora" else 0
    options = replace(wanted.options, lora=rank, freeze="none" if rank else wanted.options.freeze)
    limit_learning(task, options)
    network.to("meta")
    known: dict[str, Any] = {
        "options": options, "batch": lambda size: _batch(task, size), "logits": config.classes,
        "method": method, "methods": METHODS, "notices": (*told, *said),
    }  # fmt: skip
    if options.freeze == "all":  # features are computed once, of so many pictures at a time, and then one layer learns
        known["before"] = lambda: task.view(ImageBatch(pixels=_pixels(config, 32)))
    return plain(task, replace(wanted, options=options), **known)


def _architecture(cls: Any, wanted: Wanted) -> tuple[ViTConfig, tuple[str, ...]]:
    """The shape of the network, and sentences on what is assumed."""
    settings, running = dict(wanted.settings), wanted.command == "run"
    if wanted.checkpoint in (None, "none", "scratch") and not running:
        size = wanted.options.size
        usual = SYMBOLS if size == "micro" else PHOTOS
        start = build(ViTConfig, {**SIZES[size], **usual, "classes": CLASSES, "drop_path": 0.05})
        config = override(start, split_settings(settings, start, wanted.options)[0])
        shown = f"{config.image_size} x {config.image_size} pixels and {config.classes} classes"
        return config, (f"pictures of {shown} are assumed (--set image_size, patch_size, classes)",)
    located = pretrained.locate(cls.card, wanted.checkpoint)
    if located.is_ours:
        config = build(ViTConfig, pretrained.read_config(located.path)["config"])
    elif located.path.is_dir() and "model_type" in (theirs := pretrained.read_config(located.path)):
        classes = len(theirs.get("id2label", ())) if _classifies(theirs) else 0
        config = families.shape_of(theirs, classes=classes)
    else:
        config = families.read(located.path, located.source).config
    return override(config, settings), located.notices


def _classifies(theirs: dict[str, Any]) -> bool:
    return any("Classification" in name for name in theirs.get("architectures") or ())


def _pixels(config: ViTConfig, size: int) -> torch.Tensor:
    return torch.empty(size, config.channels, config.image_size, config.image_size, device="meta")


def _batch(task: Any, size: int) -> ImageBatch | FeatureBatch:
    """Pictures, or with a frozen backbone their features, with targets [B, K]."""
    config = task.network.config
    target = torch.empty(size, max(1, config.classes), device="meta")
    if task.head_only:
        return FeatureBatch(features=torch.empty(size, config.feature_dim, device="meta"), target=target)
    return ImageBatch(pixels=_pixels(config, size), target=target)
