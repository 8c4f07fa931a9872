"""`faregate operation`: what became of an operation whose answer was not heard."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    load_settings,
    print_result,
)


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="What became of an operation.")
    group.command("show")(show)
    app.add_typer(group, name="operation", rich_help_panel="Operate")


def show(
    operation_id: Annotated[str, typer.Argument(metavar="ID", help="As the command printed it.")],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the outcome of an operation. One that is not known had no effect.

    Example: `faregate operation show 0199b0c2-5f7e-7000-8000-0123456789ab`
    """
    from gateway.bootstrap import build_control_client
    from gateway.clock import format_operation_id
    from gateway.commands.money import read_operation_id

    shown = format_operation_id(read_operation_id(operation_id, "ID"))
    client = build_control_client(load_settings(config, replaced).config)
    print_result(client.call("operation_show", {"id": shown}), as_json=as_json)
