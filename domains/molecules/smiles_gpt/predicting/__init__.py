"""Properties that were measured, predicted from the same network: `finetune --target`."""

from __future__ import annotations
