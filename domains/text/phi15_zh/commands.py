"""Commands of this model's own: `tsuite tokenizer extend`."""

from __future__ import annotations

from pathlib import Path

import typer

TEXTS = typer.Argument(help="files, folders, hf://org/name or names of `tsuite data list`")
OUTPUT = typer.Option("extended", help="folder for tokenizer and weights, as Hugging Face has them")


def extend(
    texts: list[str] = TEXTS,
    *,
    base: str = typer.Option("", help="whose tokenizer: a path, a GGUF, org/name (default: phi-1.5 if reachable)"),
    rows: str = typer.Option("spare", help="new tokens: a number, or spare: as many as the model has rows for"),
    output: Path = OUTPUT,
    reserve: int = typer.Option(9, min=0, help="rows that stay free, for marks of turns and the like"),
    tokenizer_only: bool = typer.Option(False, "--tokenizer-only", help="save no weights"),
    as_json: bool = typer.Option(False, "--json", help="print exactly one JSON object"),
) -> None:
    """Teach a byte-level BPE tokenizer another language: fewer tokens for it, the same ids for English.

    Examples:

      tsuite tokenizer extend zh_chat dpo_zh_demo --base microsoft/phi-1_5 --output phi-zh

      tsuite tokenizer extend my_texts/ --base smollm2-135m --rows 2048
    """
    import json

    from rich.console import Console

    from ....core.progress import fetching
    from ....core.registry import card
    from .. import tokenizer_command

    with fetching(Console(stderr=True)):
        done = tokenizer_command.run(
            card("text.phi15_zh"), texts,
            base=base, rows=rows, reserve=reserve, output=output, tokenizer_only=tokenizer_only,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(done.to_json(), ensure_ascii=False))
        return
    for notice in done.base.notices:
        typer.echo(f"note: {notice}", err=True)
    typer.echo(done.to_text())
