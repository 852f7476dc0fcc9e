"""Reader of CTranslate2's `model.bin` (binary versions 5 and 6) that holds a Whisper model: plain data, no code.

    u32 version | string specification | u32 revision | u32 count
    count x: string name | u8 rank | rank x u32 | u8 type | u32 bytes | data
    u32 count | count x: string alias | string name                           (all little-endian)

A string is a u16 length that counts the NUL at its end. Matrices of integers have a neighbour `<name>_scale` with what
they were multiplied by, for each row or once.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ....core.errors import UserError

VERSIONS = (5, 6)
SPECIFICATION = "WhisperSpec"
_TYPES: dict[int, torch.dtype] = {
    0: torch.float32, 1: torch.int8, 2: torch.int16, 3: torch.int32, 4: torch.float16, 5: torch.bfloat16,
}  # fmt: skip


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The weights, float32 under CTranslate2's names, and whole-number settings such as `encoder/num_heads`.

    Raises UserError where the file is cut short, of another format or version, or of another kind of model.
    """
    file = _File(path)
    version = file.number("I")
    if version not in VERSIONS:
        raise file.wrong(f"its version is {version}, not {' or '.join(map(str, VERSIONS))}")
    specification = file.string()
    if specification != SPECIFICATION:
        raise file.wrong(f"it holds a {specification!r}, not a {SPECIFICATION}")
    file.number("I")  # the specification's revision: what changed between them is in the variables
    variables = {}
    for _ in range(file.number("I")):
        name = file.string()
        variables[name] = file.tensor(name)
    for _ in range(file.number("I")):
        alias, name = file.string(), file.string()
        if name not in variables:
            raise file.wrong(f"it calls {alias!r} what it names {name!r} and does not hold")
        variables[alias] = variables[name]
    file.end()
    return _parted(variables, file.wrong)


def _parted(
    variables: dict[str, Tensor], wrong: Callable[[str], UserError]
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Weights (out of their scales) and settings."""
    weights: dict[str, Tensor] = {}
    settings: dict[str, int] = {}
    made: dict[int, Tensor] = {}  # tied weights stay one tensor
    for name, tensor in variables.items():
        if name.endswith("_scale"):
            continue
        if not tensor.ndim:  # a lone number tells of the network, and is no weight of it
            settings[name] = int(tensor)
        else:
            if id(tensor) not in made:
                made[id(tensor)] = _weight(name, tensor, variables.get(f"{name}_scale"), wrong)
            weights[name] = made[id(tensor)]
    return weights, settings


def _weight(name: str, tensor: Tensor, scale: Tensor | None, wrong: Callable[[str], UserError]) -> Tensor:
    if tensor.is_floating_point():
        return tensor.float()
    if scale is None or scale.numel() not in (1, len(tensor)):
        raise wrong(f"{name!r} is of whole numbers without a fitting scale")
    return tensor.float() / scale.float().reshape(-1, *[1] * (tensor.ndim - 1))


class _File:
    """The bytes of a file and a place in them; every step is checked against the end."""

    def __init__(self, path: Path) -> None:
        self.path, self.place = path, 0
        try:
            # Mapped copy-on-write: what is not read stays on the disk, and torch gets memory it may call its own.
            self.data = np.memmap(path, dtype=np.uint8, mode="c") if path.stat().st_size else np.empty(0, np.uint8)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error}).") from None

    def wrong(self, why: str) -> UserError:
        return UserError(
            f"{self.path} is no Whisper model of CTranslate2: {why}.", "Copy or download it again, or use safetensors."
        )

    def take(self, count: int) -> np.ndarray:
        """The next `count` bytes."""
        if count > len(self.data) - self.place:
            raise self.wrong(f"it ends after {len(self.data)} bytes, in the middle of something")
        self.place += count
        return self.data[self.place - count : self.place]

    def number(self, form: str) -> int:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(form)).tobytes())[0]

    def string(self) -> str:
        text = self.take(self.number("H")).tobytes()
        try:
            return text.removesuffix(b"\0").decode()
        except UnicodeDecodeError:
            raise self.wrong("a name in it is no text") from None

    def tensor(self, name: str) -> Tensor:
        shape = [self.number("I") for _ in range(self.number("B"))]
        kind, size = self.number("B"), self.number("I")
        if kind not in _TYPES:
            raise self.wrong(f"{name!r} is of the unknown type {kind}")
        dtype = _TYPES[kind]
        if size != math.prod(shape) * dtype.itemsize or not size:
            raise self.wrong(f"{name!r} of shape {shape} cannot have {size} bytes")
        return torch.from_numpy(self.take(size)).clone().view(dtype).reshape(shape)

    def end(self) -> None:
        if self.place != len(self.data):
            raise self.wrong(f"{len(self.data) - self.place} bytes follow its end")
