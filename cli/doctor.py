"""tsuite doctor: what this machine can do, by doing it."""

from __future__ import annotations

import typer

from . import options as cli


def main(
    device: str = typer.Option("auto", help="auto, cpu, cuda …"),
    as_json: bool = typer.Option(False, "--json", help="print exactly one JSON object"),
    debug: bool = typer.Option(False, "--debug", help="show where an error came from"),
) -> None:
    """What runs on this machine: versions, device, memory, and real kernels rather than version strings.

    On a Jetson also the board, its JetPack, whose torch this is, memory and swap, power mode, clocks, heat and storage,
    and for everything that fails where to take the package from. Exit code 1 where something needed fails.

    Examples:

      tsuite doctor

      tsuite doctor --json
    """
    from ..core import doctor

    found = doctor.examine(device)
    if as_json:
        cli.print_json(found.to_json())
    else:
        from rich.console import Console

        Console().print(found.table())
    if not found.healthy:
        raise SystemExit(1)
