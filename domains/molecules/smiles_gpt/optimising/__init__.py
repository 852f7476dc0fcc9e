"""Learning to draw what scores: goals read from a line, an oracle that is counted, REINVENT's loss, the report."""

from __future__ import annotations
