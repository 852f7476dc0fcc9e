"""The example of this domain: one molecule, as a string and with what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...core.task import Example


@dataclass(frozen=True, kw_only=True)
class Molecule(Example):
    """One molecule. `smiles` is canonical, `given` what stood in the file ("": the same), `properties` the numbers
    that came with it, by name."""

    smiles: str
    given: str = ""
    properties: Mapping[str, float] = field(default_factory=dict)
