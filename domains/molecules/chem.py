"""rdkit, which belongs to the extra `molecules`: one place that says so where it is missing."""

from __future__ import annotations

from ...core.errors import missing_extra

try:
    from rdkit import Chem, rdBase
except ModuleNotFoundError as error:
    raise missing_extra("rdkit", "molecules") from error

__all__ = ["Chem", "rdBase"]
