"""`faregate clearing`: files exchanged with a clearing house, and what became of each row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    UsageError,
    build_actor,
    load_settings,
    print_result,
    print_rows,
)

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.delivery.clearing.book import ClearingBook

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As in [adapters.NAME].")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Clearing houses: files, rows, totals.")
    group.command("files")(files)
    group.command("file")(file_content)
    group.command("rows")(rows)
    group.command("totals")(totals)
    group.command("retry")(retry)
    group.command("make")(make)
    app.add_typer(group, name="clearing", rich_help_panel="Operate")


def files(
    name: NameArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every file that went out or came in, with its code. With --json one line each.

    Example: `faregate clearing files city-clearing`
    """
    found = _book(load_settings(config, replaced).config, name).list_files()
    columns = ("direction", "name", "state", "code", "row_count", "total_minor", "detail")
    print_rows(found, columns, as_json=as_json)


def file_content(
    name: NameArgument,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file's name.")],
    target: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="A folder to write the bytes into.")
    ],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a file as it was sent or came; two that came under one name get a number.

    Example: `faregate clearing file cc CITYCC_CITYGW_SETTLE_20261128_000001_00.txt --to .`
    """
    found = _book(load_settings(config, replaced).config, name).find_content(file)
    written = []
    for number, (_, data) in enumerate(found):
        path = target / (file if number == 0 else f"{file}.{number}")
        path.write_bytes(data)
        written.append(str(path))
    print_result({"files": written}, as_json=as_json)


def rows(
    name: NameArgument,
    state: Annotated[
        str, typer.Option(metavar="STATE", help="sent, accepted, rejected or open.")
    ] = "rejected",
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List rows of a state, with the file they are in and why. With --json one line each.

    Example: `faregate clearing rows city-clearing --state rejected`
    """
    found = _book(load_settings(config, replaced).config, name).list_rows(state)
    print_rows(found, ("row_id", "amount_minor", "reason", "name"), as_json=as_json)


def totals(
    name: NameArgument,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show rows and sums by state: together they are every fare ever given to it.

    Example: `faregate clearing totals city-clearing`
    """
    found: dict[str, Any] = _book(load_settings(config, replaced).config, name).totals()
    print_result(found, as_json=as_json)


def retry(
    name: NameArgument,
    row: Annotated[list[str], typer.Argument(metavar="ROW...", help="Rejected rows.")],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give rejected rows back: they are in the next file. All of them, or none.

    Example: `faregate clearing retry city-clearing 10452 10460`
    """
    from gateway.bootstrap import build_note
    from gateway.clock import now_us

    book = _book(load_settings(config, replaced).config, name)
    count = book.retry(row, now_us(), build_note(build_actor().subject))
    print_result({"open": count}, as_json=as_json)


def make(
    name: NameArgument,
    date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="A business day that is over.")],
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close a business day now and make its files. The running worker does it by itself.

    Example: `faregate clearing make city-clearing --date 2026-11-28`
    """
    import datetime

    from gateway.bootstrap import build_registry, open_built_ledger
    from gateway.clock import now_us
    from gateway.delivery.clearing.job import build_outgoing, build_source
    from gateway.delivery.kinds import load_adapter

    settings = load_settings(config, replaced).config
    try:
        day = datetime.date.fromisoformat(date)
    except ValueError as error:
        raise UsageError(detail=f"--date {date}: YYYY-MM-DD") from error
    one = load_adapter(settings, name)
    source = build_source(settings, one, open_built_ledger(settings))
    made = build_outgoing(settings, one, build_registry(settings)).make_day(source, day, now_us())
    for file in made:
        print_result(
            {"file": file.name, "rows": file.rows, "total_minor": file.total_minor},
            as_json=as_json,
        )


def _book(settings: Config, name: str) -> ClearingBook:
    from gateway.bootstrap import build_registry
    from gateway.delivery.clearing.book import ClearingBook
    from gateway.delivery.kinds import load_adapter

    load_adapter(settings, name)
    return ClearingBook(name, build_registry(settings))
