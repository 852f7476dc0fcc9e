"""Settings in other projects' configurations: the ones that have to be there, the ones that we cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.errors import UserError


def need(config: Mapping[str, Any], name: str) -> Any:
    """A positive number that has to be there; UserError that names it otherwise."""
    value = config.get(name)
    if value is None:
        raise UserError(f"The checkpoint's configuration lacks {name!r}.", "Is the file whole?")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise UserError(f"The checkpoint's configuration sets {name} to {value!r}, where a positive number belongs.")
    return value


def refuse(config: Mapping[str, Any], **allowed: tuple[Any, ...]) -> None:
    """Raise UserError for a setting that is present with a value that is not among those `allowed`."""
    for name, values in allowed.items():
        value = config.get(name)
        if value is not None and value not in values:
            raise UserError(
                f"The checkpoint's configuration sets {name} to {value!r}, which is not supported.",
                f"Supported: {', '.join(map(repr, values))}.",
            )


def single(value: float) -> float:
    """A float32 of a file as the short decimal that was meant: 9.999999747378752e-06 -> 1e-05."""
    return float(f"{value:.7g}")
