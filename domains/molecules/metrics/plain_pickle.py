"""Arrays, numbers, text, lists and dictionaries out of a pickle, without running it.

A pickle is a program for a small machine with a stack. Python's own reader calls whatever function the program names.
This one looks at the program (`pickletools` only splits it into its instructions) and knows by itself what the few
instructions and names mean that plain data need; it never imports or calls anything a file names, and whatever else
stands in a file is a `UserError`.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from ....core.errors import UserError

TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8"}


@dataclass
class _Name:
    """A function or class that the file names; it stays a name."""

    name: str


@dataclass
class _Dtype:
    code: str


@dataclass
class _Array:
    """An array on its way: first the bare object, then its state (version, shape, dtype, by columns?, bytes)."""

    value: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass
class _Storage:
    """The numbers that a torch file keeps behind its pickles."""

    dtype: np.dtype[Any]
    count: int
    value: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass
class _View:
    """A tensor: which of a storage's numbers it holds, in what shape (strides count numbers)."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        if min((*self.shape, *self.strides, 1)) < 1 or not 0 <= self.offset <= last < len(self.storage.value):
            raise _refused("a tensor that reaches beyond its numbers")
        steps = tuple(step * self.storage.value.itemsize for step in self.strides)
        return np.lib.stride_tricks.as_strided(self.storage.value[self.offset :], self.shape, steps).copy()


class _Machine:
    """One pickle's stack and memo; `load` persistent objects by a function, if the file has them."""

    def __init__(self, persistent: Callable[[Any], Any] | None = None) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.persistent = persistent

    def run(self, file: IO[bytes]) -> Any:
        try:
            for code, argument, _ in pickletools.genops(file):
                if code.name == "STOP":
                    return self.stack.pop()
                self._step(code.name, argument)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise _refused(f"something that cannot be followed ({error})") from error
        raise _refused("no end")

    def _step(self, code: str, argument: Any) -> None:
        stack = self.stack
        if code in _PLAIN:
            stack.append(argument)
        elif code in _CONSTANTS:
            stack.append(_CONSTANTS[code]())
        elif code.endswith("BINPUT"):
            self.memo[argument] = stack[-1]
        elif code.endswith("BINGET"):
            stack.append(self.memo[argument])
        elif code == "MARK":
            self.marks.append(len(stack))
        elif code == "GLOBAL":
            stack.append(_Name(argument))
        elif code in _FIXED:
            self._finish(*_FIXED[code])
        elif code in ("TUPLE", "APPENDS", "SETITEMS"):
            self._finish(code, len(stack) - self.marks.pop())
        elif code == "REDUCE":
            name, arguments = self._take(2)
            stack.append(_made(name, arguments))
        elif code == "BUILD":
            _give_state(stack[-2], stack.pop())
        elif code == "BINPERSID" and self.persistent:
            stack.append(self.persistent(stack.pop()))
        elif code not in ("PROTO", "FRAME"):
            raise _refused(f"the instruction {code}")

    def _take(self, count: int) -> list[Any]:
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def _finish(self, code: str, count: int) -> None:
        """What is done with the last `count` items: a tuple of them, or more for the list or dictionary below."""
        items = self._take(count)
        if code == "TUPLE":
            self.stack.append(tuple(items))
        elif code == "APPENDS" and isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)
        elif code == "SETITEMS" and isinstance(self.stack[-1], dict):
            self.stack[-1].update(zip(items[::2], items[1::2], strict=True))
        else:
            raise _refused(f"{code} on something else than a list or dictionary")


_PLAIN = {"BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES", "BININT", "BININT1", "BININT2"} | {
    "LONG1",
    "BINFLOAT",
}
_FIXED = {
    "TUPLE1": ("TUPLE", 1), "TUPLE2": ("TUPLE", 2), "TUPLE3": ("TUPLE", 3),
    "APPEND": ("APPENDS", 1), "SETITEM": ("SETITEMS", 2),
}  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict,
}  # fmt: skip


def _made(name: _Name, arguments: tuple[Any, ...]) -> Any:
    """What the call of a known name gives. Every name that is known is listed here."""
    words = name.name.replace("numpy._core", "numpy.core")
    if words == "numpy.core.multiarray _reconstruct":
        return _Array()
    if words == "numpy dtype":
        return _Dtype(str(arguments[0]))
    if words == "_codecs encode" and arguments[1] == "latin1":
        return str(arguments[0]).encode("latin-1")
    if words == "__builtin__ bytes" and not arguments:
        return b""
    if words in ("collections Counter", "collections OrderedDict"):
        return dict(*arguments)
    if words == "torch._utils _rebuild_tensor_v2":
        return _View(*arguments[:4])
    raise _refused(f"a call of {name.name.replace(' ', '.')}")


def _give_state(thing: Any, state: Any) -> None:
    """What BUILD does to an array, a dtype (its byte order) or a dictionary (torch's notes on it are left out)."""
    if isinstance(thing, _Dtype):
        thing.code = {"<": "<", ">": ">", "|": "|", "=": "="}[state[1]] + thing.code
    elif isinstance(thing, _Array):
        _, shape, dtype, by_columns, content = state
        kind = dtype.code.lstrip("<>|=")
        if kind[0] in "OV":
            if not isinstance(content, list):
                raise _refused("an array of objects without its objects")
            thing.value = np.empty(len(content), dtype=object)
            thing.value[:] = content
        elif isinstance(content, bytes):
            thing.value = np.frombuffer(content, dtype=np.dtype(dtype.code))
        else:
            raise _refused("an array without its bytes")
        thing.value = thing.value.reshape(shape, order="F" if by_columns else "C")
    elif not isinstance(thing, dict):
        raise _refused("a state for something that has none")


def _settled(value: Any) -> Any:
    """The data themselves: arrays for `_Array` and `_View`, all the way down; a name left over is refused."""
    if isinstance(value, _Array):
        return _settled(value.value.item()) if value.value.dtype == object and value.value.ndim == 0 else value.value
    if isinstance(value, _View):
        return value.array()
    if isinstance(value, dict):
        return {key: _settled(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_settled(item) for item in value)
    if isinstance(value, (_Name, _Dtype, _Storage)):
        raise _refused("something that is not plain data")
    return value


def read_pickle(file: IO[bytes]) -> Any:
    """The plain data of one pickle; raises `UserError` if it holds anything else."""
    return _settled(_Machine().run(file))


def read_object_array(file: IO[bytes]) -> Any:
    """The one object of a NumPy file (`.npy`) of dtype object; raises `UserError` if it is no such file."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise _refused("another version of NumPy's format")
    _, _, dtype = np.lib.format.read_array_header_1_0(file)
    if not dtype.hasobject:
        raise _refused("no object")
    return read_pickle(file)


def read_torch(path: Path) -> Any:
    """What torch pickled before its version 1.6, with arrays for its tensors; raises `UserError` on anything else.

    Such a file holds five pickles (a magic number, a version, facts on the machine, the object, the names of its
    storages) and after them each storage: how many numbers (8 bytes), then the numbers."""
    storages: dict[str, _Storage] = {}

    def persistent(words: tuple[Any, ...]) -> _Storage:
        kind, name, key, _, count = words[:5]
        dtype = _STORAGES.get(name.name.removeprefix("torch ")) if isinstance(name, _Name) else None
        if kind != "storage" or dtype is None:
            raise _refused("numbers of an unknown kind")
        return storages.setdefault(key, _Storage(dtype=np.dtype(dtype), count=count))

    with path.open("rb") as file:
        if _Machine().run(file) != TORCH_MAGIC:
            raise _refused("no beginning of torch's")
        for _ in range(2):
            _Machine().run(file)
        value = _Machine(persistent).run(file)
        for key in _Machine().run(file):
            storage = storages[key]
            (count,) = struct.unpack("<q", file.read(8))
            content = file.read(count * storage.dtype.itemsize)
            if count != storage.count or len(content) != count * storage.dtype.itemsize:
                raise _refused("an end before its last number")
            storage.value = np.frombuffer(content, dtype=storage.dtype)
    return _settled(value)


def _refused(what: str) -> UserError:
    return UserError(f"The pickle holds {what}, and only plain data are read out of pickles.", "Is it the right file?")
