"""`faregate settle`: files of what each operator and merchant earned on a service day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    UsageError,
    build_actor,
    load_settings,
    print_json,
    print_table,
)

COLUMNS = ("account", "name", "number", "lines", "payable_minor", "currency", "file")


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Settlement per operator and service day.")
    group.command("run")(run)
    app.add_typer(group, name="settle", rich_help_panel="Look after")


def run(
    date: Annotated[str, typer.Option(help="Service date, as 2026-11-28.")],
    account: Annotated[
        str, typer.Option(help="Only this ledger account, as operator:1 or merchant:5001.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to; else DATA_DIR/settlements.")
    ] = None,
    open_day: Annotated[
        bool, typer.Option("--open-day", help="Also when the day is not over yet.")
    ] = False,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a CSV with control totals, and its hash, for each account of a service day.

    Made twice it is the same file. What came late makes a complete file with the next number.

    Example: `faregate settle run --date 2026-11-28`
    """
    from gateway.bootstrap import build_ledger, build_note, build_registry
    from gateway.clock import now_us
    from gateway.ledger.settlement import Settlement, write_files

    settings = load_settings(config, replaced).config
    day = read_date(date)
    ledger, records = build_ledger(settings), build_registry(settings)
    try:
        settlement = Settlement(
            ledger,
            records,
            zone=settings.ledger.zone,
            names=settings.ledger.names,
            note=build_note(build_actor().subject),
        )
        files = settlement.run(day, now_us(), code=account or None, open_day=open_day)
        usual = settings.settlements_dir
        paths = write_files(out or usual, files)
        if out is None or out.resolve() == usual.resolve():
            settlement.mark_written(files, now_us())
    finally:
        ledger.close()
        records.close()
    if as_json:
        shown = zip(files, paths, strict=True)
        print_json([one.as_dict() | {"path": str(path)} for one, path in shown])
        return
    rows = []
    for one, path in zip(files, paths, strict=True):
        for total in one.totals or [{"lines": 0, "payable_minor": 0, "currency": 0}]:
            said = {**one.as_dict(), **total, "file": str(path)}
            rows.append([said[column] for column in COLUMNS])
    print_table(COLUMNS, rows)


def read_date(text: str) -> dt.date:
    """Raises: UsageError."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(detail=f"{text}: write a day as 2026-11-28") from error
