"""How generated molecules compare with real ones: the MOSES suite, and the Fréchet ChemNet distance it needs."""

from __future__ import annotations
