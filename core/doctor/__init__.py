"""What this machine can do, found out by doing it: version strings and architecture lists are not trusted."""

from __future__ import annotations

from .examination import Check, Examination, examine

__all__ = ["Check", "Examination", "examine"]
