"""`faregate mode`: what validators do when the operator says so."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    load_settings,
    print_result,
)
from gateway.link.codes import DeviceMode

MODES = ", ".join(mode.name.lower() for mode in DeviceMode)


def register(app: typer.Typer) -> None:
    app.command("mode", rich_help_panel="Operate")(mode)


def mode(
    name: Annotated[str, typer.Argument(metavar="MODE", help=f"One of: {MODES}.")],
    device: Annotated[int, typer.Option(min=0, help="Only this validator; 0 = all.")] = 0,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Order a mode of all validators in session, or one; those that come later are told at hello.

    Example: `faregate mode emergency_release`, and back with `faregate mode normal`
    """
    from gateway.bootstrap import build_control_client

    args: dict[str, Any] = {"mode": name, "device_id": device}
    settings = load_settings(config, replaced).config
    print_result(build_control_client(settings).call("mode_set", args), as_json=as_json)
