"""Other projects' vision Transformers: timm, transformers' ViT, DINOv2 (also inside an ONNX file).

Each family is a table of names and a reader of its configuration; `read` picks by what the files say of themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....core.errors import UserError, missing_extra
from ....core.pretrained import read_config, read_foreign_tensors, read_json
from ....core.weights import KeyTable, Row, best_table
from ..names import imagenet_names
from ..pixels import Preprocessing
from .config import ViTConfig

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HEADS = {192: 3, 384: 6, 512: 8, 768: 12, 1024: 16, 1152: 16, 1280: 16, 1408: 16, 1536: 24, 1664: 16}
"""Heads by width in timm's ViTs, whose files do not say."""


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A checkpoint of another project in our terms."""

    config: ViTConfig
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    tensors: dict[str, Tensor]


def _pair(ours: str, theirs: str, **options: Any) -> list[Row]:
    """The weight and the bias of one layer."""
    return [Row(f"{ours}.{leaf}", f"{theirs}.{leaf}", **options) for leaf in ("weight", "bias")]


def _stacked(ours: str, theirs: tuple[str, ...]) -> list[Row]:
    return [
        Row(f"{ours}.weight", tuple(f"{name}.weight" for name in theirs)),
        Row(f"{ours}.bias", tuple(f"{name}.bias" for name in theirs), optional=True),
    ]


_BLOCK = "encoder.blocks.{}"

TIMM = KeyTable(
    Row("class_token", "cls_token"),
    Row("positions", "pos_embed"),
    Row("registers", "reg_token", optional=True),
    *_pair("patches.projection", "patch_embed.proj"),
    *_pair(f"{_BLOCK}.attention_norm", "blocks.{}.norm1"),
    Row(f"{_BLOCK}.attention.qkv.weight", "blocks.{}.attn.qkv.weight"),
    Row(f"{_BLOCK}.attention.qkv.bias", "blocks.{}.attn.qkv.bias", optional=True),
    *_pair(f"{_BLOCK}.attention.out", "blocks.{}.attn.proj"),
    Row(f"{_BLOCK}.attention_branch.scale.gamma", "blocks.{}.ls1.gamma", optional=True),
    *_pair(f"{_BLOCK}.mlp_norm", "blocks.{}.norm2"),
    *_pair(f"{_BLOCK}.mlp.up", "blocks.{}.mlp.fc1"),
    *_pair(f"{_BLOCK}.mlp.down", "blocks.{}.mlp.fc2"),
    Row(f"{_BLOCK}.mlp_branch.scale.gamma", "blocks.{}.ls2.gamma", optional=True),
    *_pair("encoder.norm", "norm"),
    *_pair("head", "head", optional=True),
    drops=("mask_token",),
)


def _transformers(prefix: str, layer: str, names: Mapping[str, str], *, drops: tuple[str, ...] = ()) -> KeyTable:
    """A transformers ViT: `prefix` of the backbone, the template of a `layer`, and its parts' `names`."""
    block = f"{prefix}{layer}"
    rows = [
        Row("class_token", f"{prefix}embeddings.cls_token"),
        Row("positions", f"{prefix}embeddings.position_embeddings"),
        Row("registers", f"{prefix}embeddings.register_tokens", optional=True),
        *_pair("patches.projection", f"{prefix}embeddings.patch_embeddings.projection"),
        *_pair(f"{_BLOCK}.attention_norm", f"{block}.{names['norm1']}"),
        *_stacked(f"{_BLOCK}.attention.qkv", tuple(f"{block}.{names[name]}" for name in ("query", "key", "value"))),
        *_pair(f"{_BLOCK}.attention.out", f"{block}.{names['out']}"),
        *_pair(f"{_BLOCK}.mlp_norm", f"{block}.{names['norm2']}"),
        *_pair(f"{_BLOCK}.mlp.up", f"{block}.{names['up']}"),
        *_pair(f"{_BLOCK}.mlp.down", f"{block}.{names['down']}"),
        *_pair("encoder.norm", f"{prefix}layernorm"),
        *_pair("head", "classifier", optional=True),
    ]
    for branch, number in (("attention_branch", 1), ("mlp_branch", 2)):
        if names.get("scale"):
            rows.append(Row(f"{_BLOCK}.{branch}.scale.gamma", f"{block}.{names['scale'].format(number)}"))
    return KeyTable(*rows, drops=(f"{prefix}embeddings.mask_token", "pooler.dense.weight", "pooler.dense.bias", *drops))


_OLD_ATTENTION = {f"{part}": f"attention.attention.{part}" for part in ("query", "key", "value")} | {
    "out": "attention.output.dense"
}
_NEW_ATTENTION = {
    "query": "attention.q_proj",
    "key": "attention.k_proj",
    "value": "attention.v_proj",
    "out": "attention.o_proj",
}
_VIT_OLD = _OLD_ATTENTION | {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "up": "intermediate.dense",
    "down": "output.dense",
}
_VIT_NEW = _NEW_ATTENTION | {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "up": "mlp.fc1",
    "down": "mlp.fc2",
}
_DINO = {"norm1": "norm1", "norm2": "norm2", "up": "mlp.fc1", "down": "mlp.fc2", "scale": "layer_scale{}.lambda1"}

# Files on the hub keep the old names; transformers renames in memory since version 5, and either may be saved.
TABLES: dict[str, KeyTable] = {
    "timm": TIMM,
    "vit": _transformers(
        "vit.", "encoder.layer.{}", _VIT_OLD, drops=("vit.pooler.dense.weight", "vit.pooler.dense.bias")
    ),
    "vit, renamed": _transformers("vit.", "layers.{}", _VIT_NEW),
    "vit backbone": _transformers("", "encoder.layer.{}", _VIT_OLD),
    "vit backbone, renamed": _transformers("", "layers.{}", _VIT_NEW),
    "dinov2": _transformers("dinov2.", "encoder.layer.{}", _OLD_ATTENTION | _DINO),
    "dinov2, renamed": _transformers("dinov2.", "encoder.layer.{}", _NEW_ATTENTION | _DINO),
    "dinov2 with registers": _transformers("dinov2_with_registers.", "encoder.layer.{}", _OLD_ATTENTION | _DINO),
    "dinov2 with registers, renamed": _transformers(
        "dinov2_with_registers.", "encoder.layer.{}", _NEW_ATTENTION | _DINO
    ),
    "dinov2 backbone": _transformers("", "encoder.layer.{}", _OLD_ATTENTION | _DINO),
    "dinov2 backbone, renamed": _transformers("", "encoder.layer.{}", _NEW_ATTENTION | _DINO),
}
ONNX_TABLES: dict[str, KeyTable] = {
    "dinov2": _transformers("backbone.", "encoder.layer.{}", _OLD_ATTENTION | _DINO),
    "dinov2, renamed": _transformers("backbone.", "encoder.layer.{}", _NEW_ATTENTION | _DINO),
}


def read(path: Path, source: str) -> Foreign:
    """A checkpoint folder or file of another project. UserError where its kind is not known or a part is missing."""
    if path.suffix == ".onnx":
        return _read_onnx(path, source)
    folder = path if path.is_dir() else path.parent
    config = read_config(folder)
    if "architecture" not in config and config.get("model_type") not in ("vit", "dinov2", "dinov2_with_registers"):
        kind = config.get("model_type") or config.get("name") or "unknown"
        raise UserError(
            f"{source} is a checkpoint of another model ({kind}).", "vision.vit reads timm, ViT and DINOv2 weights."
        )
    theirs = read_foreign_tensors(path)
    try:
        if "architecture" in config:
            return _read_timm(config, theirs, source)
        return _read_transformers(config, theirs, source, folder / "preprocessor_config.json")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"The configuration of {source} is incomplete or damaged ({error!r}).") from None


def _read_timm(config: Mapping[str, Any], theirs: dict[str, Tensor], source: str) -> Foreign:
    facts = config.get("pretrained_cfg", config)
    arguments = config.get("model_args") or {}
    registers = theirs["reg_token"].shape[1] if "reg_token" in theirs else 0
    if not {"cls_token", "pos_embed", "patch_embed.proj.weight"} <= set(theirs):
        raise UserError(f"{source} ({config['architecture']}) is no plain vision Transformer.")
    if theirs["pos_embed"].shape[1] == _square(theirs["pos_embed"].shape[1]):
        # timm folds the class token's position into the token where registers stand between (no_embed_class).
        theirs = {**theirs, "pos_embed": torch.cat([torch.zeros_like(theirs["cls_token"]), theirs["pos_embed"]], dim=1)}
    for leaf in ("weight", "bias"):
        if f"fc_norm.{leaf}" in theirs:
            raise UserError(f"{source} pools the mean of its patches before the last norm, which is not supported.")
    dim = theirs["cls_token"].shape[-1]
    told = arguments.get("img_size") or facts["input_size"][-1]
    size = int(told[-1] if isinstance(told, (list, tuple)) else told)
    patch = theirs["patch_embed.proj.weight"].shape[-1]
    shape = ViTConfig(
        image_size=size,
        patch_size=patch,
        channels=theirs["patch_embed.proj.weight"].shape[1],
        dim=dim,
        depth=_depth(theirs, "blocks."),
        heads=int(arguments.get("num_heads") or HEADS.get(dim) or dim // 64),
        mlp_dim=theirs["blocks.0.mlp.fc1.weight"].shape[0],
        classes=theirs["head.weight"].shape[0] if "head.weight" in theirs else 0,
        registers=registers,
        qkv_bias="blocks.0.attn.qkv.bias" in theirs,
        layer_scale=1e-5 if "blocks.0.ls1.gamma" in theirs else None,
        interpolation="timm",
    )
    preprocessing = Preprocessing(
        size=size,
        channels=shape.channels,
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        crop=float(facts.get("crop_pct") or 0.875),
        resize="shorter",
        interpolation="bicubic" if facts.get("interpolation", "bicubic") == "bicubic" else "bilinear",
    )
    labels = tuple(config.get("label_names") or facts.get("label_names") or ())
    if not labels and shape.classes == 1000:
        labels = imagenet_names()
    return _finish(shape, preprocessing, labels, TIMM.to_ours(theirs, source=source))


def shape_of(config: Mapping[str, Any], *, classes: int) -> ViTConfig:
    """The shape that a config.json of transformers describes (ViT, DINOv2); how many classes it does not always say.

    Raises UserError for what is not supported, KeyError for what is missing."""
    dino = config["model_type"] != "vit"
    dim = int(config["hidden_size"])
    if config.get("use_swiglu_ffn"):
        raise UserError("A gated feed-forward network (DINOv2 giant) is not supported.")
    return ViTConfig(
        image_size=int(config.get("image_size", 224)),
        patch_size=int(config.get("patch_size", 14 if dino else 16)),
        channels=int(config.get("num_channels", 3)),
        dim=dim,
        depth=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        mlp_dim=int(config.get("intermediate_size") or dim * int(config.get("mlp_ratio", 4))),
        classes=classes,
        registers=int(config.get("num_register_tokens", 0)),
        eps=float(config.get("layer_norm_eps", 1e-6 if dino else 1e-12)),
        activation=str(config.get("hidden_act", "gelu")),
        qkv_bias=bool(config.get("qkv_bias", True)),
        layer_scale=float(config.get("layerscale_value", 1.0)) if dino else None,
        pooling="first+mean" if dino else "first",
        interpolation="timm" if config["model_type"] == "dinov2_with_registers" else "transformers",
    )


def _read_transformers(config: Mapping[str, Any], theirs: dict[str, Tensor], source: str, processor: Path) -> Foreign:
    _, table = best_table(TABLES, theirs)
    dino = config["model_type"] != "vit"
    if config.get("use_swiglu_ffn"):
        raise UserError(f"{source} has a gated feed-forward network (DINOv2 giant), which is not supported.")
    classifier = theirs.get("classifier.weight")
    settings = read_json(processor) if processor.is_file() else {}
    size, resize, crop = _target_size(settings, int(config.get("image_size", 224)))
    shape = shape_of(config, classes=0 if classifier is None else classifier.shape[0])
    imagenet = dino
    preprocessing = Preprocessing(
        size=size,
        channels=shape.channels,
        mean=tuple(settings.get("image_mean") or (IMAGENET_MEAN if imagenet else (0.5,) * shape.channels)),
        std=tuple(settings.get("image_std") or (IMAGENET_STD if imagenet else (0.5,) * shape.channels)),
        crop=crop,
        resize=resize,
        interpolation="bicubic" if settings.get("resample", 3 if dino else 2) == 3 else "bilinear",
        floor=True,
    )
    names = config.get("id2label") or {}
    labels = tuple(str(names.get(str(number), number)) for number in range(shape.classes))
    return _finish(shape, preprocessing, labels, table.to_ours(theirs, source=source))


def _target_size(settings: Mapping[str, Any], trained: int) -> tuple[int, Any, float]:
    """Input size, way of resizing and crop share of a transformers image processor."""
    size = settings.get("size") or {}
    crop = settings.get("crop_size") or {}
    if settings.get("do_center_crop") and crop:
        target = int(crop["height"] if isinstance(crop, Mapping) else crop)
        edge = int(size.get("shortest_edge", target)) if isinstance(size, Mapping) else int(size)
        return target, "shorter", target / edge
    if isinstance(size, Mapping) and "height" in size:
        return int(size["height"]), "squash", 1.0
    return (int(size) if isinstance(size, int) else trained), "squash", 1.0


def _read_onnx(path: Path, source: str) -> Foreign:
    """The DINOv2 backbone inside an ONNX graph that transformers' Dinov2Model was exported to.

    Biases, norms and convolutions keep their names; each matrix of a linear layer is anonymous and transposed, and is
    named by the Add that follows its MatMul. The position table is stored in two anonymous parts. Checked against
    timm's `vit_small_patch14_dinov2` with the same tensors.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise missing_extra("onnx", "vision") from None
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception as error:  # protobuf raises what it likes
        raise UserError(f"{source} cannot be read as ONNX ({error}).") from None
    values = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}
    theirs = {name: value for name, value in values.items() if name.startswith("backbone.")}
    producers = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type != "Add":
            continue
        biases = [name for name in node.input if name.startswith("backbone.") and name.endswith(".bias")]
        products = [producers[name] for name in node.input if name in producers]
        if len(biases) == 1 and len(products) == 1 and products[0].op_type == "MatMul":
            matrix = next((values[name] for name in products[0].input if name in values), None)
            if matrix is not None:
                theirs[biases[0].removesuffix("bias") + "weight"] = matrix.t().contiguous()
    if not {"backbone.embeddings.cls_token", "backbone.encoder.layer.0.mlp.fc1.weight"} <= set(theirs):
        raise UserError(f"{source} holds no DINOv2 backbone.", "Other networks inside ONNX files are not read.")
    dim = theirs["backbone.embeddings.cls_token"].shape[-1]
    loose = [value for name, value in values.items() if name.startswith("onnx::") and value.ndim == 3]
    tables = sorted((value for value in loose if value.shape[::2] == (1, dim)), key=lambda value: value.shape[1])
    grids = [value for value in tables if value.shape[1] > 1] or [
        value.reshape(1, -1, dim) for name, value in values.items() if value.ndim == 4 and value.shape[-1] == dim
    ]
    if not tables or not grids:
        raise UserError(f"{source} holds no DINOv2 backbone: its position table is missing.")
    theirs["backbone.embeddings.position_embeddings"] = torch.cat([tables[0], grids[-1]], dim=1)
    patch = theirs["backbone.embeddings.patch_embeddings.projection.weight"].shape[-1]
    shape = ViTConfig(
        image_size=patch * int(grids[-1].shape[1] ** 0.5),
        patch_size=patch,
        dim=dim,
        depth=_depth(theirs, "backbone.encoder.layer."),
        heads=HEADS.get(dim) or dim // 64,
        mlp_dim=theirs["backbone.encoder.layer.0.mlp.fc1.weight"].shape[0],
        classes=0,
        layer_scale=1.0,
        pooling="first+mean",
        interpolation="transformers",
    )
    preprocessing = Preprocessing(
        size=224,
        channels=3,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        crop=0.875,
        resize="shorter",
        interpolation="bicubic",
    )
    _, table = best_table(ONNX_TABLES, theirs)
    return _finish(shape, preprocessing, (), table.to_ours(theirs, source=source))


def _finish(
    config: ViTConfig, preprocessing: Preprocessing, labels: tuple[str, ...], tensors: dict[str, Tensor]
) -> Foreign:
    """Names for classes that have none; weights in float32."""
    tensors = {name: value.float() for name, value in tensors.items()}
    if len(labels) != config.classes:
        labels = tuple(f"class {number}" for number in range(config.classes))
    if config.registers and "registers" not in tensors:
        config = replace(config, registers=0)
    return Foreign(config=config, preprocessing=preprocessing, labels=labels, tensors=tensors)


def _depth(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in tensors if name.startswith(prefix))


def _square(number: int) -> int:
    return int(number**0.5) ** 2
