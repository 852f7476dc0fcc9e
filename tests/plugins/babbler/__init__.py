"""A second distribution with one small model of another kind than the ones that ship: it writes text."""
