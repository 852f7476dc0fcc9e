"""Molecules as a person asks for them: with properties, around a scaffold, like another molecule."""

from __future__ import annotations
