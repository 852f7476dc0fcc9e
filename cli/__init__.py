"""The command line: `tsuite VERB NAME …`. One file for each verb; nothing heavy is imported before it is needed."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `tsuite` command."""
    from .app import start

    start()
