"""What a person did that cannot work, said in one sentence with what to try next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can mend. The command line prints it without a traceback and exits with 2.

    `what` says in one sentence what happened; `hint` says what to try.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"{what} {hint}".strip())
        self.what = what
        self.hint = hint


class Interrupted(UserError):
    """Ctrl-C or SIGTERM arrived; the state is saved and the hint says how to go on."""


def near(name: str, known: Iterable[str], *, most: int = 12) -> str:
    """One hint for an unknown name: the nearest known ones first, else the whole (shortened) list.

    >>> near("vision.vti", ["vision.vit", "text.phi15_zh"])
    'Did you mean vision.vit?'
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    shown = ", ".join(names[:most]) + (", …" if len(names) > most else "")
    return f"Known are: {shown}." if names else "None is known."


def missing_extra(package: str, extra: str) -> UserError:
    """The error for an optional dependency that is not installed; `extra` is its group in pyproject.toml."""
    return UserError(
        f"This needs the package {package}, which is not installed.", f"Try: pip install 'tsuite[{extra}]'"
    )
