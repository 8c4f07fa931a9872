"""`faregate serve`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    load_settings,
    parse_flags,
    print_json,
)


class Part(StrEnum):
    """One process of the gateway."""

    DATA = "data"
    HTTP = "http"
    SNAPSHOTTER = "snapshotter"
    LEDGER = "ledger"
    WORKER = "worker"


def register(app: typer.Typer) -> None:
    app.command("serve", rich_help_panel="Run")(serve)


def serve(
    config: ConfigOption = None,
    only: Annotated[
        list[Part] | None, typer.Option("--only", help="Start only this process; repeatable.")
    ] = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start the gateway and keep it running, until Ctrl-C or SIGTERM: then it drains and stops.

    Its processes: the data plane (validators, money), http (/v1), the snapshotter, the ledger and
    the worker. One that dies is started again; the others go on.

    Example: `faregate init --dir metro && faregate serve --config metro/gateway.toml`
    """
    from gateway import supervisor
    from gateway.keys import check_secrets

    loaded = load_settings(config, replaced)
    names = tuple(part.value for part in only) if only else supervisor.NAMES
    # Refuse here, with all findings, rather than in each process.
    check_secrets(loaded.config, names)
    say = build_say(as_json=as_json)
    status = supervisor.serve(loaded, say, flags=parse_flags(replaced), names=names)
    raise typer.Exit(status)


def build_say(*, as_json: bool) -> Callable[[str, Mapping[str, object]], None]:
    """How the supervisor tells what happens."""
    return _say_json if as_json else _Speaker().say


def _say_json(event: str, fields: Mapping[str, object]) -> None:
    print_json({"event": event, **fields})


class _Speaker:
    """Tells a person what happens, in one line each."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)

    def say(self, event: str, fields: Mapping[str, object]) -> None:
        mark = {"serving": "[bold green]●[/]", "refused": "[bold red]●[/]"}.get(event, "[dim]·[/]")
        details = "  ".join(
            f"[dim]{name}[/] {value}" for name, value in fields.items() if value != ""
        )
        self._console.print(f"{mark} {event:10} {details}")
