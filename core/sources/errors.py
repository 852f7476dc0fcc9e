"""What can go wrong between a source and a verified file, beyond a plain mistake, and one name for each."""

from __future__ import annotations

from ..errors import UserError


class Unreachable(UserError):
    """A network, registry or host could not be reached. Another source may be tried instead."""


class HubUnreachable(Unreachable):
    """The model hub could not be reached: no network, a wall in between, or offline mode."""


class WrongHash(UserError):
    """The bytes that arrived are not those that the source names. Nothing of them is kept."""

    def __init__(self, label: str, expected: str, found: str) -> None:
        super().__init__(
            f"{label} has the wrong content: expected sha256 {expected}, found {found}; nothing was kept.",
            "Check the sha256 in the source; if it is right, the file was changed or damaged where it comes from.",
        )
        self.expected, self.found = expected, found


class NoSuchMember(UserError):
    """An archive or repository has no file of the name asked for."""
