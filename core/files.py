"""Files and folders that a person asked for: a table, a list. (Folders of weights are `core.checkpoint`'s.)"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError


def made(folder: Path, hint: str) -> Path:
    """The folder, there. UserError with `hint` where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be made ({error.strerror}).", hint) from None
    return folder


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A new file beside `path` to write to, which takes its place once all is written: there is a whole file, or the
    former one. Folders are made on the way. Raises UserError where it cannot be written."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        try:
            yield Path(name)
            os.chmod(name, 0o644)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
