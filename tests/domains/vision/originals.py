"""Checkpoints of other projects as the hub holds them: tiny, random, saved by their own code; and what their own
code says of pictures.

Another family is one function that gives an `Original`, and one line in `ORIGINALS`.

Axes: B batch, K classes, F features.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import timm.models
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    Dinov2Config,
    Dinov2ForImageClassification,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersForImageClassification,
    Dinov2WithRegistersModel,
    ViTConfig,
    ViTForImageClassification,
    ViTModel,
)
from transformers import logging as transformers_logging

transformers_logging.disable_progress_bar()

DIM, DEPTH, HEADS = 64, 2, 2
SHAPE: dict[str, Any] = {"hidden_size": DIM, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS, "patch_size": 8}
NAMES = {0: "red fox", 1: "heron", 2: "barn owl"}


@dataclass(frozen=True)
class Original:
    """A saved checkpoint's folder; `answer` gives the original's [B, K] or [B, F] for pixels [B, 3, size, size] of any
    size that it knows; `size` in pixels is what it was trained at."""

    folder: Path
    answer: Callable[[Tensor], Tensor]
    size: int
    labels: tuple[str, ...] = ()


def scramble(network: Any, seed: int = 0) -> Any:
    """Random values everywhere, so that no two tensors could be mixed up unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    for value in network.parameters():
        spread = 1.0 if value.ndim == 3 else 0.2  # positions must matter, or how they are resized would not show
        value.data = torch.randn(value.shape, generator=generator) * spread + (value.ndim == 1) * 0.3
    return network.eval()


def timm_vit(folder: Path) -> Original:
    return _timm(folder, "vit_tiny_patch16_224", img_size=64, labels=tuple(NAMES.values()))


def timm_dinov2(folder: Path) -> Original:
    """Layer scale, no head, a patch of 14."""
    return _timm(folder, "vit_small_patch14_dinov2", img_size=56)


def timm_registers(folder: Path) -> Original:
    """Four registers, and positions for patches alone."""
    return _timm(folder, "vit_small_patch14_reg4_dinov2", img_size=56)


def _timm(folder: Path, name: str, *, img_size: int, labels: tuple[str, ...] = ()) -> Original:
    shape: dict[str, Any] = {"img_size": img_size, "embed_dim": DIM, "depth": DEPTH, "num_heads": HEADS}
    network = scramble(timm.create_model(name, num_classes=len(labels), **shape))
    network.pretrained_cfg = dict(network.pretrained_cfg) | {"input_size": (3, img_size, img_size)}
    network.pretrained_cfg["num_classes"] = len(labels)
    kept = {"label_names": list(labels)} if labels else None
    timm.models.save_for_hf(network, str(folder), model_config=kept, model_args=shape, safe_serialization=True)

    def answer(pixels: Tensor) -> Tensor:
        if pixels.shape[-1] == img_size:
            return network(pixels)
        other = copy.deepcopy(network)
        other.set_input_size(img_size=pixels.shape[-1])  # resamples the position table
        return other(pixels)

    return Original(folder=folder, answer=answer, size=img_size, labels=labels)


def vit_classifier(folder: Path) -> Original:
    config = ViTConfig(**SHAPE, image_size=32, intermediate_size=96, id2label=NAMES)
    network = scramble(ViTForImageClassification(config))
    return _transformers(folder, network, 32, lambda out: out.logits, tuple(NAMES.values()), interpolates=True)


def vit_classifier_renamed(folder: Path) -> Original:
    """The names that transformers uses in memory since version 5."""
    found = vit_classifier(folder)
    _respell(folder, {
        "encoder.layer.": "layers.", "attention.attention.query": "attention.q_proj",
        "attention.attention.key": "attention.k_proj", "attention.attention.value": "attention.v_proj",
        "attention.output.dense": "attention.o_proj", "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2",
    })  # fmt: skip
    return found


def vit_backbone(folder: Path) -> Original:
    network = scramble(ViTModel(ViTConfig(**SHAPE, image_size=32, intermediate_size=96)))
    return _transformers(folder, network, 32, lambda out: out.last_hidden_state[:, 0], interpolates=True)


def dinov2_classifier(folder: Path) -> Original:
    network = scramble(Dinov2ForImageClassification(Dinov2Config(**SHAPE, image_size=32, id2label=NAMES)))
    return _transformers(folder, network, 32, lambda out: out.logits, tuple(NAMES.values()))


def dinov2_classifier_renamed(folder: Path) -> Original:
    found = dinov2_classifier(folder)
    _respell(folder, {
        "attention.attention.query": "attention.q_proj", "attention.attention.key": "attention.k_proj",
        "attention.attention.value": "attention.v_proj", "attention.output.dense": "attention.o_proj",
    })  # fmt: skip
    return found


def dinov2_backbone(folder: Path) -> Original:
    network = scramble(Dinov2Model(Dinov2Config(**SHAPE, image_size=32)))
    return _transformers(folder, network, 32, lambda out: _first_and_mean(out.last_hidden_state, 1))


def dinov2_registers(folder: Path) -> Original:
    network = scramble(Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**SHAPE, image_size=32)))
    return _transformers(folder, network, 32, lambda out: _first_and_mean(out.last_hidden_state, 5))


def dinov2_registers_classifier(folder: Path) -> Original:
    config = Dinov2WithRegistersConfig(**SHAPE, image_size=32, id2label=NAMES)
    network = scramble(Dinov2WithRegistersForImageClassification(config))
    return _transformers(folder, network, 32, lambda out: out.logits, tuple(NAMES.values()))


def _first_and_mean(tokens: Tensor, prefix: int) -> Tensor:
    return torch.cat([tokens[:, 0], tokens[:, prefix:].mean(dim=1)], dim=1)


def _transformers(
    folder: Path,
    network: nn.Module,
    size: int,
    take: Callable[[Any], Tensor],
    labels: tuple[str, ...] = (),
    *,
    interpolates: bool = False,
) -> Original:
    """`interpolates`: it must be told to carry its positions over to another size."""
    network.save_pretrained(folder)  # type: ignore[operator]
    told = {"interpolate_pos_encoding": True} if interpolates else {}
    return Original(folder=folder, answer=lambda pixels: take(network(pixels, **told)), size=size, labels=labels)


def _respell(folder: Path, words: dict[str, str]) -> None:
    tensors = load_file(folder / "model.safetensors")
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in words.items():
            name = name.replace(old, new)  # noqa: PLW2901
        renamed[name] = tensor
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})


def shard(folder: Path) -> None:
    """Cut the weights in two files with an index, as large checkpoints come."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, keys in parts.items():
        save_file({key: tensors[key] for key in keys}, folder / file)
    index = {"weight_map": {key: file for file, keys in parts.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()


ORIGINALS = (
    timm_vit,
    timm_dinov2,
    timm_registers,
    vit_classifier,
    vit_classifier_renamed,
    vit_backbone,
    dinov2_classifier,
    dinov2_classifier_renamed,
    dinov2_backbone,
    dinov2_registers,
    dinov2_registers_classifier,
)
