"""Published benchmarks' metrics of what was drawn, beside published values."""

from __future__ import annotations
