"""timeseries.patchtst: forecasts with bands, for series of any kind.

from tsuite.domains.timeseries.patchtst import ForecastModel, PatchTST, PatchTSTConfig
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....core.lazy import lazy_names

if TYPE_CHECKING:
    from .config import DecoderConfig, ITransformerConfig, PatchTSTConfig
    from .decoder import DecoderForecaster
    from .estimator import ForecastModel
    from .model import PatchTST
    from .task import ForecastTask
    from .variates import ITransformer

_HOME = {
    "DecoderConfig": "config",
    "DecoderForecaster": "decoder",
    "ForecastModel": "estimator",
    "ForecastTask": "task",
    "ITransformer": "variates",
    "ITransformerConfig": "config",
    "PatchTST": "model",
    "PatchTSTConfig": "config",
}

__getattr__ = lazy_names(__name__, _HOME)
