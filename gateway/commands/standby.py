"""`faregate standby`."""

from __future__ import annotations

import typer

from gateway.commands.common import ConfigOption, JsonOption, SetOption, load_settings, parse_flags


def register(app: typer.Typer) -> None:
    app.command("standby", rich_help_panel="Run")(standby)


def standby(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """Follow a leader's journal in Valkey and lead when it is gone, until Ctrl-C or SIGTERM.

    Needs `journal.kind = "valkey"` and the same [valkey] and secrets as the leader.

    Example: `faregate standby --config metro-b/gateway.toml`
    """
    from gateway import supervisor
    from gateway.commands.serve import build_say
    from gateway.keys import load_secrets

    loaded = load_settings(config, replaced)
    load_secrets(loaded.config)  # no other: it knows nothing of persons and clients
    status = supervisor.serve(
        loaded, build_say(as_json=as_json), flags=parse_flags(replaced), names=("standby",)
    )
    raise typer.Exit(status)
