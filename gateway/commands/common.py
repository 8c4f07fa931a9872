"""What all commands share: options, settings, printing. Imports little, so that --help is quick."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.errors import FareGatewayError

if TYPE_CHECKING:
    from rich.table import Table

    from gateway.config import LoadedConfig
    from gateway.control.client import ControlClient
    from gateway.registry.actors import Actor

WIDTH_MAX = 2_000
EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3

AccountArgument = Annotated[int, typer.Argument(metavar="ACCOUNT", min=1, help="Its number.")]
AmountArgument = Annotated[
    str, typer.Argument(metavar="AMOUNT", help='As "12.34", in the account\'s currency.')
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Settings; else $FAREGATE_CONFIG, else ./gateway.toml.",
        rich_help_panel="Everywhere",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Replace one setting, as in --set link.port=7401.",
        rich_help_panel="Everywhere",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="JSON on standard output.", rich_help_panel="Everywhere"),
]
OperationIdOption = Annotated[
    str | None,
    typer.Option(
        "--operation-id",
        metavar="ID",
        help="Repeat an operation under its id: it has its effect once.",
    ),
]
NoteOption = Annotated[str, typer.Option(help="Why; kept in the journal (64 bytes of UTF-8).")]
ReferenceOption = Annotated[str, typer.Option(help="Your own reference, kept in the journal.")]


class UsageError(FareGatewayError):
    """The command line itself is wrong."""

    default_code = "USAGE_INVALID"


def build_actor() -> Actor:
    """Who gives this command: the user of the machine, as its kernel says, with every scope."""
    import os
    import pwd

    from gateway.registry.actors import Actor

    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return Actor.system(f"cli:{name}")


def open_client(config: Path | None, replaced: list[str] | None) -> ControlClient:
    """The running data plane of these settings; it connects when it is first asked."""
    from gateway.bootstrap import build_control_client

    return build_control_client(load_settings(config, replaced).config)


def load_settings(config: Path | None, replaced: list[str] | None) -> LoadedConfig:
    """The settings of this command. Raises: ConfigError, UsageError."""
    from gateway.config import load_config

    return load_config(config, flags=parse_flags(replaced))


def parse_flags(replaced: list[str] | None) -> dict[str, str]:
    """`--set` options as dotted names and values. Raises: UsageError."""
    flags: dict[str, str] = {}
    for pair in replaced or []:
        name, equals, value = pair.partition("=")
        if not equals or "." not in name:
            raise UsageError(detail=f"--set {pair}: write section.name=value")
        flags[name] = value
    return flags


def read_text(file: Path, option: str) -> str:
    """What a file holds, `-` = standard input. Raises: UsageError: it cannot be read."""
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(detail=f"{option} {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(detail=f"{option} {file}: is not UTF-8 text") from error


def print_json(data: object) -> None:
    """One JSON value on one line."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def print_fields(data: Mapping[str, Any], *, title: str = "") -> None:
    """Names and values below each other."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, show_header=False, box=None, pad_edge=False)
    for name, value in data.items():
        table.add_row(Text(name, style="dim"), Text(_shown(value)))
    _print(table)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; says so when it is empty."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row))
    if table.row_count:
        _print(table)
    else:
        typer.echo("none")


def print_rows(
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    as_json: bool,
    missing: object = None,
) -> None:
    """A list of results: one JSON object a line each, or a table of these columns."""
    if as_json:
        for row in rows:
            print_json(row)
        return
    print_table(columns, [[row.get(name, missing) for name in columns] for row in rows])


def print_result(data: Mapping[str, Any], *, as_json: bool, title: str = "") -> None:
    """A result as one JSON object, or as fields."""
    if as_json:
        print_json(data)
    else:
        print_fields(data, title=title)


def say(text: str) -> None:
    """A remark to the person, on standard error: never mixed with results."""
    sys.stderr.write(text + "\n")


def _print(table: Table) -> None:
    """At its full width: a key or a digest cut short would be of no use."""
    from rich.console import Console

    Console(width=WIDTH_MAX).print(table, no_wrap=True, overflow="ignore", crop=False)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {item}" for name, item in value.items()) or "-"
    return "-" if value in ("", None) else str(value)
