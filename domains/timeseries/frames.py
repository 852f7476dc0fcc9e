"""pandas, which belongs to the extra `timeseries`: one place that says so where it is missing."""

from __future__ import annotations

from ...core.errors import missing_extra

try:
    import pandas as pd
except ModuleNotFoundError as error:
    raise missing_extra("pandas", "timeseries") from error

__all__ = ["pd"]
