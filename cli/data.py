"""tsuite data list | fetch | info: data sets as manifests."""

from __future__ import annotations

from typing import Any

import typer

from . import options as cli

AS_JSON = typer.Option(False, "--json", help="print exactly one JSON object")
NAME = typer.Argument(help="a name of `tsuite data list`")


def list(as_json: bool = AS_JSON) -> None:
    """The data sets there are, and which of them are on this machine.

    Examples:

      tsuite data list
    """
    from ..core import manifest

    found = [item.info() for item in manifest.manifests().values()]
    if as_json:
        cli.print_json({"data": found})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(header_style="bold")
    for column in ("name", "what it is", "rows", "licence", "here"):
        table.add_column(column, justify="right" if column == "rows" else "left")
    for item in found:
        here = f"{item['bytes_on_disk'] / 1e6:.1f} MB" if item["cached"] else "no"
        table.add_row(item["name"], item["summary"], f"{item['rows']:,}", item["licence"], here)
    Console().print(table)


def fetch(name: str = NAME, as_json: bool = AS_JSON) -> None:
    """Fetch a data set now, verified, into the cache; later commands then need no network.

    Examples:

      tsuite data fetch mnist_5k
    """
    from ..core import manifest
    from ..core.progress import fetching

    found = manifest.manifest(name)
    with fetching(cli.console()):
        files = found.fetch()
    if as_json:
        cli.print_json({"name": name, "files": {key: str(path) for key, path in files.items()}, "sha256": found.sha256})
        return
    for path in files.values():
        typer.echo(f"{path}")
    if found.licence_note:
        typer.echo(f"licence: {found.licence}. {found.licence_note.strip()}", err=True)


def info(name: str = NAME, as_json: bool = AS_JSON) -> None:
    """What a data set holds: source, licence, columns with units, classes, the fixed split.

    Examples:

      tsuite data info mnist_5k
    """
    from ..core import manifest

    facts = manifest.manifest(name).info()
    if as_json:
        cli.print_json(facts)
    else:
        _show(facts)


def _show(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key in ("name", "summary", "licence", "licence_note", "homepage", "citation"):
        table.add_row(key.replace("_", " "), str(facts[key]).strip())
    table.add_row("rows", f"{facts['rows']:,}")
    for name, item in facts["sources"].items():
        table.add_row("source", f"{name}: {item['source']} ({item['bytes'] / 1e6:.1f} MB)")
    if facts["recipe"]:
        told = ", ".join(f"{key} {value}" for key, value in facts["recipe"]["settings"].items())
        table.add_row("made by", f"{facts['recipe']['domain']}: {told}")
    for column in facts["columns"]:
        unit = f", {column['unit']}" if column["unit"] else ""
        table.add_row("column", f"{column['name']} ({column['role']}, {column['kind']}{unit}): {column['about']}")
    table.add_row("split", facts["split"]["words"])
    table.add_row(
        "here", f"{facts['bytes_on_disk'] / 1e6:.1f} MB in the cache" if facts["cached"] else "not fetched yet"
    )
    Console().print(table)
