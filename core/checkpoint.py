"""A checkpoint is a folder that is either wholly there or not there at all, and never holds code.

    best/
      model.safetensors   weights
      config.json         what is needed to build the network
      …                   other files of the model
      manifest.json       {"files": {name: {"sha256": …, "bytes": …}}}

Writing goes `.best.new` (filled, flushed to the disk) -> `best` aside to `.best.old` -> `.best.new` to `best` ->
`.best.old` deleted. A kill at any instant leaves the former or the new one; `resolve` finds whichever it is.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .errors import UserError
from .rehearsal import note, rehearsing

MANIFEST = "manifest.json"
MAPPED = 1 << 16
"""Bytes from which on a tensor is mapped rather than read: a mapping takes whole pages."""
TIED = "tied"
"""Metadata key of a tensor file: which names are other names of a stored tensor."""
HOLLOW = "hollow"
"""Metadata key of a tensor file: the shapes of tensors that are not stored, for something else stands in for them."""


# -- folders --------------------------------------------------------------------------------------------------------


def write(folder: Path, fill: Callable[[Path], None]) -> None:
    """Replace the checkpoint `folder` by what `fill` writes into the empty folder it is given.

    Raises `UserError` where the disk refuses (full, read-only); the former checkpoint is then untouched. Whatever
    `fill` itself raises passes through, and leaves the former checkpoint too.
    """
    folder = Path(folder)
    fresh = folder.with_name(f".{folder.name}.new")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        recover(folder)
        fresh.mkdir()
        fill(fresh)
        _seal(fresh)
        _swap(fresh, folder)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"The checkpoint {folder} could not be written: {error}. What was there before is untouched.",
            "Free some space, or choose another place (--run, --output)."
            if _is_full(error)
            else "Is the folder writable?",
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def recover(folder: Path) -> None:
    """Mend what a kill left of `folder`: put an aside copy back in place, delete the unfinished new one."""
    aside, fresh = _aside(folder), folder.with_name(f".{folder.name}.new")
    if aside.is_dir() and not folder.exists():
        aside.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
    shutil.rmtree(fresh, ignore_errors=True)


def _aside(folder: Path) -> Path:
    """Where the former checkpoint waits while the new one takes its name."""
    return folder.with_name(f".{folder.name}.old")


def _is_full(error: Exception) -> bool:
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "os error 28" in str(error)


def _seal(folder: Path) -> None:
    """Write the manifest of what is in `folder` (one that is there already keeps what it says besides) and push
    everything to the disk."""
    manifest = folder / MANIFEST
    told = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != manifest)
    facts = {path.relative_to(folder).as_posix(): _facts(path) for path in files}
    manifest.write_text(json.dumps({**told, "files": facts}, indent=2) + "\n", encoding="utf-8")
    inner = [path for path in folder.rglob("*") if path.is_dir()]
    for path in [*files, manifest, *inner, folder]:
        flush(path)


def _facts(path: Path) -> dict[str, str | int]:
    return {"sha256": digest(path), "bytes": path.stat().st_size}


def _swap(fresh: Path, folder: Path) -> None:
    """Give `fresh` the name `folder`; if that fails half-way, the former keeps it."""
    aside = _aside(folder)
    if folder.exists():
        folder.rename(aside)
    try:
        fresh.rename(folder)
    except OSError:
        if aside.exists():
            aside.rename(folder)
        raise
    flush(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def flush(path: Path) -> None:
    """Push a file or a folder's list of names to the disk (fsync)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Replace a small file so that a kill leaves the former or the new text, never half of it."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        flush(fresh)
        fresh.replace(path)
        flush(path.parent)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise UserError(
            f"{path} could not be written: {error}.", "Is the disk full or the folder read-only?"
        ) from error


def digest(path: Path) -> str:
    """The sha256 of a file, as 64 hexadecimal digits."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def verify(folder: Path) -> None:
    """Check every file against the manifest; the `UserError` says which one is missing, cut short or changed."""
    folder = Path(folder)
    if rehearsing():
        return
    again = "Copy or download the checkpoint again, or use another one."
    for name, facts in _manifest(folder).items():
        path = folder / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise UserError(f"The manifest of {folder} names {name!r}, which lies outside the checkpoint.", again)
        if not path.is_file():
            raise UserError(f"{path} is missing, though the manifest lists it.", again)
        size = path.stat().st_size
        if size != facts["bytes"]:
            raise UserError(f"{path} has {size} bytes where {facts['bytes']} are expected: it is damaged.", again)
        if digest(path) != facts["sha256"]:
            raise UserError(f"{path} does not have the sha256 that the manifest gives: it is damaged.", again)


def _manifest(folder: Path) -> dict[str, dict[str, str | int]]:
    path = folder / MANIFEST
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {
            str(name): {"sha256": str(facts["sha256"]), "bytes": int(facts["bytes"])} for name, facts in files.items()
        }
    except FileNotFoundError:
        raise UserError(
            f"{folder} has no {MANIFEST}, so it is not a whole checkpoint.", "Is it the right folder?"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise UserError(f"{path} cannot be read: {error!r}.", "Copy or download the checkpoint again.") from error


def resolve(path: str | Path) -> Path:
    """The checkpoint folder that `path` names: the folder itself, or the `best/` of a run folder.

    Nothing is changed on the disk; where a kill struck between two renames, the aside copy is the answer.
    """
    path = Path(path)
    for folder in (path, path / "best"):
        for place in (folder, _aside(folder)):
            if (place / MANIFEST).is_file():
                return place
    if not path.exists():
        raise UserError(
            f"There is no checkpoint at {path}: no such folder.", "Give a run folder or a checkpoint folder."
        )
    raise UserError(
        f"{path} is not a checkpoint.",
        f"Expected a run folder with best/ in it, or a checkpoint folder with {MANIFEST} in it.",
    )


# -- tensors --------------------------------------------------------------------------------------------------------


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors of any layout and device to a safetensors file; names of one tensor (tied weights) share its bytes.

    The same input gives the same bytes. Raises `OSError` where the disk refuses.
    """
    kept: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    seen: dict[tuple[object, ...], str] = {}
    owned: set[int] = set()
    for name, given in tensors.items():
        tensor = given.detach()
        where = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and where in seen:
            tied[name] = seen[where]
            continue
        seen[where] = name
        plain = tensor.cpu().contiguous()
        if plain.untyped_storage().data_ptr() in owned:
            plain = plain.clone()  # a view of what another stored tensor is a view of
        owned.add(plain.untyped_storage().data_ptr())
        kept[name] = plain
    notes = dict(metadata or {}) | ({TIED: json.dumps(tied, sort_keys=True)} if tied else {})
    try:
        save_file(kept, path, metadata=notes or None)
        _order_header(path)
        mask = os.umask(0)  # the library makes files for their owner alone; ours are as readable as any other
        os.umask(mask)
        path.chmod(0o666 & ~mask)
    except SafetensorError as error:
        raise OSError(errno.ENOSPC if _is_full(error) else errno.EIO, str(error), str(path)) from error


def write_tensors(path: Path, makers: Mapping[str, Callable[[], Tensor]]) -> None:
    """As `save_tensors`, for tensors that are made here, one at a time: they need not all fit into the memory. Names
    with one maker are names of one tensor."""
    room = 64 + sum(2 * len(json.dumps(name)) + 192 for name in makers)
    room += -room % 8
    places: dict[str, Any] = {}
    tied: dict[str, str] = {}
    first: dict[Callable[[], Tensor], str] = {}
    with path.open("wb") as file:
        file.seek(8 + room)  # the header goes there when all shapes are known, filled up with blanks
        for name, make in makers.items():
            if make in first:
                tied[name] = first[make]
                continue
            first[make] = name
            tensor = make().detach().cpu().contiguous()
            begin = file.tell() - 8 - room
            file.write(tensor.flatten().view(torch.uint8).numpy().data)
            places[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape),
                            "data_offsets": [begin, file.tell() - 8 - room]}  # fmt: skip
        notes = {"__metadata__": {TIED: json.dumps(tied, sort_keys=True)}} if tied else {}
        file.seek(0)
        header = json.dumps(notes | places, separators=(",", ":"), ensure_ascii=False).encode()
        file.write(room.to_bytes(8, "little") + header.ljust(room))


def _order_header(path: Path) -> None:
    """Put the metadata in order: safetensors writes it in a random one, so equal checkpoints would differ in bytes."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        notes = header.pop("__metadata__", None)
        ordered = ({"__metadata__": dict(sorted(notes.items()))} if notes else {}) | header
        text = json.dumps(ordered, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > length:  # an escape that the writer spells shorter; its order is then left as it is
            return
        file.seek(8)
        file.write(text.ljust(length))


def halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """In half precision, which is finer than what a training leaves uncertain; whole numbers as they are."""
    return {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}


def load_tensors(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Every tensor of a safetensors file by name, on `device`; names that were tied hold the same tensor again.

    Those that are not stored (`HOLLOW`) lie on the meta device. On the CPU a large one is a part of the file.
    Raises `UserError` where the file is missing, cut short or of another format.
    """
    with _opened(path, device) as file:
        if rehearsing():
            read = partial(_shape_alone, file)
        else:
            read = _reader(path, file) if str(device) == "cpu" else file.get_tensor
        tensors = {name: read(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        notes = file.metadata() or {}
        tied, hollow = json.loads(notes.get(TIED, "{}")), json.loads(notes.get(HOLLOW, "{}"))
    tensors |= {name: torch.empty(shape, device="meta") for name, shape in hollow.items()}
    return tensors | {name: tensors[first] for name, first in tied.items()}


def _reader(path: Path, file: Any) -> Callable[[str], Tensor]:
    """Reads a tensor by its name. A large one is the stretch of the file, in a mapping of its own, that is read when it
    is touched and goes with the tensor: the library maps the file as one piece, whose pages stay for as long as any
    tensor lives, and a loader that widens or narrows one layer after another would hold all of it beside the result.
    What is written into the tensor never reaches the file."""
    size = path.stat().st_size
    with path.open("rb") as raw:
        length = int.from_bytes(raw.read(8), "little")
        places = json.loads(raw.read(length))

    def read(name: str) -> Tensor:
        place = places[name]
        dtype = _DTYPES.get(place["dtype"])
        begin, end = place["data_offsets"]
        start = 8 + length + begin
        if dtype is None or end - begin < MAPPED or start % dtype.itemsize:
            return file.get_tensor(name).clone()  # the library's tensor would keep the whole file mapped
        mapping: Any = torch.UntypedStorage.from_file(str(path), False, size)
        whole = torch.empty(0, dtype=dtype).set_(mapping)
        return whole[start // dtype.itemsize :][: (end - begin) // dtype.itemsize].view(place["shape"])

    return read


_FACTS = 1 << 16
_DTYPES = {"BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32,
           "I64": torch.int64, "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32,
           "F64": torch.float64}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def _shape_alone(file: Any, name: str) -> Tensor:
    """A tensor of a file on the meta device: its numbers are not read, unless they are so few that they may be facts
    rather than weights."""
    stored = file.get_slice(name)
    shape = torch.Size(stored.get_shape())
    if shape.numel() <= _FACTS:
        return file.get_tensor(name)
    found = torch.empty(shape, dtype=_DTYPES.get(stored.get_dtype(), torch.float32), device="meta")
    note("file", found)
    return found


def read_metadata(path: Path) -> dict[str, str]:
    """The text that was stored beside the tensors; reads no tensor."""
    with _opened(path, "cpu") as file:
        notes = dict(file.metadata() or {})
    for name in (TIED, HOLLOW):
        notes.pop(name, None)
    return notes


def _opened(path: Path, device: torch.device | str):
    try:
        return safe_open(path, framework="pt", device=str(device))
    except FileNotFoundError:
        raise UserError(f"There is no file {path}.", "Is the checkpoint whole?") from None
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} cannot be read as safetensors ({error}): it is cut short, damaged or of another format.",
            "Copy or download it again; other formats are not read, since they can run code.",
        ) from error
