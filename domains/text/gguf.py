"""GGUF files, the format of llama.cpp: metadata by keys, then tensors, quantised or not.

Read through the `gguf` package, which maps the file into memory; every kind that it can dequantise is read as float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ...core import checkpoint
from ...core.errors import UserError, missing_extra
from ...core.weights import Lazy
from . import families
from .families import FamilyConfig
from .tokenizer import Tokenizer
from .tokenizer_gguf import write_fields

Kind = Literal["f16", "q8_0", "q4_0"]
"""How matrices are stored: in half precision, or as numbers of 8 or 4 bits with a scale for every 32 (Q8_0, Q4_0)."""
KINDS = {"f16": "F16", "q8_0": "Q8_0", "q4_0": "Q4_0"}
"""As the `gguf` package names them."""
SLICE = 1 << 20
"""Bytes of the file that are dequantised at once, which takes many times as much for a moment."""


class Fields(Mapping[str, Any]):
    """The metadata of a file; a value is only read when it is asked for."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def __getitem__(self, key: str) -> Any:
        return self._reader.fields[key].contents()

    def __iter__(self) -> Iterator[str]:
        return iter(self._reader.fields)

    def __len__(self) -> int:
        return len(self._reader.fields)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a GGUF file holds, in our terms."""

    config: FamilyConfig
    tensors: Lazy
    tokenizer: Tokenizer


def library() -> Any:
    """The `gguf` package. UserError where it is not installed."""
    try:
        import gguf
    except ModuleNotFoundError:
        raise missing_extra("gguf", "text") from None
    return gguf


def read(path: Path) -> Contents:
    """Configuration, tensors (float32, our names, each dequantised when it is asked for) and tokenizer of a GGUF file.

    Raises UserError for a file that is cut short or no GGUF, and for a model or tokenizer that is not supported; an
    encoding that cannot be read shows when a tensor is asked for.
    """
    gguf = library()
    with _readable(path):
        reader = gguf.GGUFReader(path)
        theirs = Lazy({tensor.name: partial(_floats, path, tensor) for tensor in reader.tensors})
        fields = Fields(reader)
        config = families.from_gguf(fields, theirs)
        tokenizer = Tokenizer.from_gguf(fields)
    return Contents(config=config, tensors=config.read_gguf(theirs, source=str(path)), tokenizer=tokenizer)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What the library says of a damaged file, as a sentence."""
    try:
        yield
    except (ValueError, IndexError, KeyError, OSError, NotImplementedError) as error:
        raise UserError(
            f"{path} cannot be read as GGUF ({error}): it is cut short, damaged or of another format.",
            "Copy or download it again.",
        ) from error


def write_gguf(
    path: Path, config: FamilyConfig, tensors: Mapping[str, Tensor], tokenizer: Tokenizer, kind: Kind = "f16"
) -> None:
    """Write a GGUF file that llama.cpp answers from: matrices as `kind`, everything else in float32.

    Either the whole file appears, or none. Raises UserError where the disk refuses, or the tokenizer has no name there.
    """
    gguf = library()
    theirs = config.write_gguf(tensors)
    fresh = path.with_name(f".{path.name}.new")
    writer = gguf.GGUFWriter(None, config.gguf_architecture)
    for key, value in _metadata(config, tokenizer, kind).items():
        _put(writer, key, value)
    kinds = {name: _kind(name, tensor, kind) for name, tensor in theirs.items()}
    for name, tensor in theirs.items():
        shape = gguf.quants.quant_shape_to_byte_shape(tensor.shape, kinds[name])
        writer.add_tensor_info(name, shape, np.dtype(np.uint8), math.prod(shape), raw_dtype=kinds[name])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer.write_header_to_file(fresh)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, tensor in theirs.items():  # one at a time: a second copy of the model would not fit everywhere
            writer.write_tensor_data(gguf.quants.quantize(tensor.detach().float().cpu().numpy(), kinds[name]))
        writer.close()
        checkpoint.flush(fresh)
        fresh.replace(path)
    except OSError as error:
        raise UserError(
            f"{path} could not be written: {error}.", "Is the disk full or the folder read-only?"
        ) from error
    finally:
        writer.close()
        fresh.unlink(missing_ok=True)


def _metadata(config: FamilyConfig, tokenizer: Tokenizer, kind: Kind) -> dict[str, Any]:
    architecture = config.gguf_architecture
    file_type = getattr(library().LlamaFileType, f"MOSTLY_{KINDS[kind]}")
    return {
        "general.type": "model",
        "general.name": architecture,
        "general.file_type": int(file_type),
        "general.quantization_version": 2,
        **{f"{architecture}.{key}": value for key, value in config.to_gguf().items()},
        **write_fields(tokenizer, config.vocabulary, phi=architecture == "phi2"),
    }


def _put(writer: Any, key: str, value: Any) -> None:
    adders = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    adders.get(type(value), writer.add_array)(key, value)


def _kind(name: str, tensor: Tensor, kind: Kind) -> Any:
    """How a tensor is stored: vectors and positions exactly, rows that do not divide into blocks of 32 as f16."""
    types = library().GGMLQuantizationType
    if tensor.ndim < 2 or name == "position_embd.weight":
        return types.F32
    return types[KINDS[kind]] if tensor.shape[-1] % 32 == 0 else types.F16


def _floats(path: Path, tensor: Any) -> Tensor:
    """A tensor of the file as float32, dequantised where it has to be."""
    with _readable(path):
        held = tensor.data.reshape(-1, tensor.data.shape[-1])
        rows = max(1, SLICE // held.shape[1])
        values = np.empty(tuple(map(int, reversed(tensor.shape))), dtype=np.float32)
        filled = values.reshape(len(held), -1)
        for start in range(0, len(held), rows):
            part = slice(start, start + rows)
            filled[part] = library().quants.dequantize(held[part], tensor.tensor_type)
    return torch.from_numpy(values)
