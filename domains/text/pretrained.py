"""Any language model's checkpoint in our terms: a folder of safetensors, or a GGUF file.

A GGUF file is dequantised and its tokenizer rebuilt once; the result is kept below the cache folder:

    converted/<sha256 of the file and of the format>/model.safetensors, config.json, tokenizer files, manifest.json
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...core import checkpoint
from ...core.errors import UserError
from ...core.pretrained import CONFIG, WEIGHTS, read_config, read_foreign_tensors, read_json
from ...core.sources import cache_folder, sha256_file
from ...core.sources.cache import locked
from ...core.sources.digest import silent
from . import families
from .families import FamilyConfig
from .tokenizer import Tokenizer, match_rows

if TYPE_CHECKING:
    from .gguf import Contents

FORMAT = 1
"""Goes up when what is kept changes, so that older entries are made anew."""


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """A pretrained model: its shape, its weights by our names, its tokenizer, and where they are from.

    sha256: of the weights as they came. notices: what a user should know.
    """

    config: FamilyConfig
    tensors: dict[str, Tensor]
    tokenizer: Tokenizer
    source: str
    sha256: str
    notices: tuple[str, ...] = ()


def load(path: Path, *, source: str, dtype: torch.dtype | None = None) -> Foundation:
    """The checkpoint at `path`: a folder with config.json, safetensors and tokenizer, or a GGUF file (or a folder
    with one). Tensors are of `dtype`, else as stored (GGUF: float32).

    Raises UserError for another format, a file that is cut short, a model that is not supported, a tokenizer of
    another model.
    """
    path = Path(path)
    file = _gguf(path)
    found = _with_pad_row(_from_gguf(file, source) if file else _from_folder(path, source))
    match_rows(found.tokenizer, found.config.vocabulary, source)
    if dtype is not None:
        found = replace(found, tensors=_cast(found.tensors, dtype))
    return found


def _gguf(path: Path) -> Path | None:
    """The GGUF file that `path` is, or holds in place of safetensors."""
    if path.is_file():
        return path if path.suffix == ".gguf" else None
    files = sorted(path.glob("*.gguf"))
    if not files or (path / CONFIG).is_file():
        return None
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise UserError(f"{path} holds {len(files)} GGUF files ({names}).", "Name one of them.")
    return files[0]


# -- folders of safetensors -------------------------------------------------------------------------------------------


def _from_folder(path: Path, source: str) -> Foundation:
    folder = path if path.is_dir() else path.parent
    config = families.from_hf(read_config(folder))
    tensors = config.read_hf(_uniform(read_foreign_tensors(path)), source=source)
    files = [path] if path.is_file() else sorted(folder.glob("*.safetensors"))
    return Foundation(
        config=config, tensors=tensors, tokenizer=Tokenizer.from_folder(folder), source=source, sha256=_digest(files)
    )


def _uniform(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """All of one precision: a file that mixes them (norms in float32, matrices in half) is read as float32."""
    kinds = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    return tensors if len(kinds) == 1 else _cast(tensors, torch.float32)


# -- GGUF files, converted once ---------------------------------------------------------------------------------------


def _from_gguf(file: Path, source: str) -> Foundation:
    digest = _digest([file])
    entry = cache_folder() / "converted" / _joint([digest, f"format {FORMAT}"])
    if (kept := _kept(entry, source, digest)) is not None:
        return kept
    from . import gguf

    fresh = gguf.read(file)
    notices: tuple[str, ...] = ()
    try:
        with locked(entry.name, silent, file.name):
            checkpoint.write(entry, lambda folder: _keep(folder, fresh))
        if (kept := _kept(entry, source, digest)) is not None:  # in the file, where it takes no memory
            return kept
    except UserError as error:  # a cache that cannot be written costs time, and nothing else
        notices = (f"The converted checkpoint could not be kept: {error.what}",)
    return Foundation(
        config=fresh.config, tensors=fresh.tensors.all(), tokenizer=fresh.tokenizer, source=source, sha256=digest,
        notices=notices,
    )  # fmt: skip


def _keep(folder: Path, found: Contents) -> None:
    checkpoint.write_tensors(folder / WEIGHTS, found.tensors.makers)
    found.tokenizer.save(folder)
    text = json.dumps({"family": found.config.family, "fields": found.config.fields()}, indent=1)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def _kept(entry: Path, source: str, digest: str) -> Foundation | None:
    """The entry of the cache; None where there is none, or it is damaged.

    Sizes are compared with the manifest's, not hashes: those of 500 MB would take longer than all the rest.
    """
    try:
        listed = read_json(entry / checkpoint.MANIFEST)["files"]
        if any((entry / name).stat().st_size != facts["bytes"] for name, facts in listed.items()):
            return None
        saved = read_json(entry / CONFIG)
        return Foundation(
            config=families.build(saved["family"], saved["fields"]),
            tensors=checkpoint.load_tensors(entry / WEIGHTS),
            tokenizer=Tokenizer.from_folder(entry),
            source=source,
            sha256=digest,
        )
    except (UserError, OSError, KeyError, TypeError, AttributeError):
        return None


# -- hashes -----------------------------------------------------------------------------------------------------------


def _digest(files: list[Path]) -> str:
    """The sha256 of the weights: that of their file, or of the hashes where there are several."""
    digests = [_file_digest(file) for file in files]
    return digests[0] if len(digests) == 1 else _joint(digests)


def _joint(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _file_digest(file: Path) -> str:
    """The sha256 of a file, remembered for as long as its size and time of change stay."""
    file = file.resolve()
    facts = file.stat()
    memo = cache_folder() / "converted" / "hashes" / f"{_joint([str(file)])}.json"
    known = {"bytes": facts.st_size, "changed": facts.st_mtime_ns}
    with contextlib.suppress(UserError, OSError):
        saved = read_json(memo)
        if saved == {**known, "sha256": saved.get("sha256")}:
            return str(saved["sha256"])
    digest = sha256_file(file)
    with contextlib.suppress(UserError, OSError):
        memo.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_text(memo, json.dumps({**known, "sha256": digest}))
    return digest


# -- tensors ----------------------------------------------------------------------------------------------------------


def _cast(tensors: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """In another precision; names of one tensor stay names of one tensor."""
    made: dict[int, Tensor] = {}
    return {
        name: made.setdefault(id(tensor), tensor.to(dtype) if tensor.is_floating_point() else tensor)
        for name, tensor in tensors.items()
    }


def _with_pad_row(found: Foundation) -> Foundation:
    """A row more for a padding token that the tokenizer had to add and the checkpoint has no row for (GPT-2).

    It is the mean of all rows, so that it is never the likeliest.
    """
    rows = found.config.vocabulary
    if not len(found.tokenizer) - 1 == found.tokenizer.pad_id == rows:
        return found
    made: dict[int, Tensor] = {}
    tensors = {
        name: made.setdefault(id(tensor), torch.cat([tensor, tensor.float().mean(0, keepdim=True).to(tensor.dtype)]))
        if name in ("tokens.weight", "head.projection.weight", "head.projection.bias")
        else tensor
        for name, tensor in found.tensors.items()
    }
    notice = f"{found.source} has no token to pad with; one was added, of the id {rows}."
    return replace(
        found,
        config=replace(found.config, vocabulary=rows + 1),
        tensors=tensors,
        notices=(*found.notices, notice),
    )
