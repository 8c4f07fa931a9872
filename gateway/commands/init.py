"""`faregate init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.common import JsonOption, print_json


def register(app: typer.Typer) -> None:
    app.command("init", rich_help_panel="Run")(init)


def init(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="The folder to make.")
    ] = Path("faregate-data"),
    as_json: JsonOption = False,
) -> None:
    """Make a data folder: gateway.toml and random secrets that only you may read.

    Nothing is ever overwritten. Example: `faregate init --dir ~/metro`
    """
    from gateway.config_file import make_data_dir

    file = make_data_dir(folder)
    next_command = f"faregate serve --config {file}"
    if as_json:
        print_json({"config": str(file), "next": next_command})
    else:
        typer.echo(f"made {file}\nnext: {next_command}")
