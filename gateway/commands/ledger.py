"""`faregate ledger`: how far the projection has come, and building it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    load_settings,
    print_fields,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config

Result = TypeVar("Result")


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="The ledger: double entry from the journal.")
    group.command("status")(status)
    group.command("rebuild")(rebuild)
    app.add_typer(group, name="ledger", rich_help_panel="Look after")


def status(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """How far it has come, whether it balances, and what each ledger account holds.

    Counts every account; exit 1 when debits and credits differ.

    Example: `faregate ledger status`
    """
    from gateway.bootstrap import build_ledger
    from gateway.ledger.status import find_totals

    settings = load_settings(config, replaced).config
    database = build_ledger(settings)
    try:
        totals = find_totals(database)
    finally:
        database.close()
    chart = [line.as_dict(settings.ledger.names) for line in totals.chart]
    fields: dict[str, Any] = {
        "position": totals.mark.position,
        "seq": totals.mark.next_seq - 1,
        "ts_us": totals.mark.ts_us,
        **_lag(settings),
        "accounts": totals.accounts,
        "postings": totals.postings,
        "debits_minor": totals.debits,
        "riders_minor": totals.riders,
    }
    if as_json:
        print_json(fields | {"chart": chart})
        return
    print_fields(fields)
    columns = ("account", "name", "side", "currency", "debit_minor", "credit_minor")
    print_table(columns, [[line[column] for column in columns] for line in chart])


def _lag(settings: Config) -> dict[str, object]:
    from gateway.observability.ledger_metrics import find_lag
    from gateway.observability.page import PageReader

    view = PageReader(settings.ledger_page_path).read()
    if view is None or not view.writer_lives():
        return {"projector": "not running"}
    records, age_us = find_lag(view, PageReader(settings.page_path).read())
    return {"projector": "running", "lag_records": records, "lag_us": age_us}


def rebuild(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """Empty the ledger and project the whole journal again; works beside a running gateway.

    Settlement numbers, breaks and checkpoints are kept: they are not in the ledger's database.

    Example: `faregate ledger rebuild`
    """
    from gateway.bootstrap import build_ledger
    from gateway.ledger.rebuild import rebuild as build_again

    settings = load_settings(config, replaced).config
    database = build_ledger(settings)
    try:
        reached = with_bar(lambda told: build_again(settings, database, told))
    finally:
        database.close()
    if as_json:
        print_json({"position": reached})
    else:
        print_fields({"position": reached})


def with_bar(work: Callable[[Callable[[int, int], None]], Result]) -> Result:
    """Do it with a progress bar on standard error, when that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("journal", total=None)
        return work(lambda reached, goal: bar.update(task, completed=reached, total=goal))
