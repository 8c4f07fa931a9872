"""`faregate statement`: one account in one period, from the ledger."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    UsageError,
    load_settings,
    print_fields,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.ledger.consumption import Budget, Spent
    from gateway.ledger.statements import Explain, Statement, Wanted

COLUMNS = ("date", "what", "counterpart_name", "purpose", "amount_minor", "balance_minor", "why")


class By(StrEnum):
    """What totals are by."""

    DAY = "day"
    MONTH = "month"
    PURPOSE = "purpose"
    MERCHANT = "merchant"


def register(app: typer.Typer) -> None:
    app.command("statement", rich_help_panel="Operate")(statement)


def statement(
    account_id: Annotated[int, typer.Argument(metavar="ACCOUNT", min=1, help="Its number.")],
    period: Annotated[
        str, typer.Option(help="2026-11, 2026-11-28, or 2026-11-01..2026-11-15 (both inside).")
    ],
    by: Annotated[By | None, typer.Option(help="Totals instead of entries.")] = None,
    purpose: Annotated[str, typer.Option(help="Only this purpose: transit, meal ...")] = "",
    merchant: Annotated[int | None, typer.Option(min=0, help="Only this merchant.")] = None,
    consumption: Annotated[
        bool, typer.Option("--consumption", help="What was spent, by month, purpose, merchant.")
    ] = False,
    budget: Annotated[
        int | None, typer.Option(min=0, help="A month's budget, minor units; --period a month.")
    ] = None,
    explained: Annotated[
        bool, typer.Option("--explain", help="Each fare's rules with their file and line.")
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV on standard output.")] = False,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Opening balance, entries with why, closing balance; as old as `as_of` says.

    Example: `faregate statement 1001 --period 2026-11 --by purpose`
    """
    from gateway.ledger.consumption import check_budget
    from gateway.ledger.consumption import consumption as spent
    from gateway.ledger.statements import Group

    settings = load_settings(config, replaced).config
    wanted = _wanted(settings, account_id, period, purpose, merchant)
    found = _find(settings, wanted, explained=explained)
    if budget is not None:
        _print_budget(check_budget(found.entries, period, budget), as_json=as_json)
    elif consumption:
        _print_consumption(spent(found), found, csv=csv, as_json=as_json)
    else:
        _print_statement(found, Group(by) if by else None, csv=csv, as_json=as_json)


def _wanted(
    settings: Config, account_id: int, period: str, purpose: str, merchant: int | None
) -> Wanted:
    from gateway.ledger.periods import parse_period
    from gateway.ledger.statements import Wanted
    from gateway.ledger.words import parse_purpose

    try:
        time = parse_period(period, settings.ledger.zone)
        number = parse_purpose(purpose) if purpose else None
    except ValueError as error:
        raise UsageError(detail=str(error)) from error
    return Wanted(account_id, time, number, merchant)


def _find(settings: Config, wanted: Wanted, *, explained: bool) -> Statement:
    from gateway.bootstrap import build_ledger
    from gateway.ledger.statements import Statements

    explain = build_explain(settings) if explained else None
    database = build_ledger(settings)
    try:
        return Statements(database, names=settings.ledger.names, explain=explain).of_account(wanted)
    finally:
        database.close()


def build_explain(settings: Config) -> Explain:
    """Explains records by the tariffs of these settings."""
    from gateway.ledger.records import Record
    from gateway.ledger.statements import read_acts
    from gateway.resources import calendar_dirs, list_tariffs
    from gateway.tariffs.explain_record import RecordExplainer, facts_of

    tariffs = settings.tariffs
    explainer = RecordExplainer(list_tariffs(tariffs), calendar_dirs(tariffs))

    def explain(record: Record) -> list[dict[str, object]]:
        head = record.head
        if head.is_command or not head.tariff_key:
            return []
        facts = facts_of(head.op, stop=head.stop, other_stop=head.other_stop, at_us=head.fare_ts_us)
        notes = explainer.explain(
            rules=head.rules, acts=read_acts(record), tariff_key=head.tariff_key, facts=facts
        )
        return [note.as_dict() for note in notes]

    return explain


def _print_statement(found: Statement, group: object, *, csv: bool, as_json: bool) -> None:
    from gateway.ledger.csvs import render_all
    from gateway.ledger.statements import Group

    by = group if isinstance(group, Group) else None
    if csv:
        sys.stdout.write(render_all(found.rows(by)))
    elif as_json:
        print_json(found.as_dict(by))
    else:
        head = found.as_dict(by)
        rows = found.rows(by)
        columns = tuple(rows[0]) if by is not None and rows else COLUMNS
        print_fields({k: v for k, v in head.items() if k not in ("entries", "totals")})
        print_table(columns, [[row[column] for column in columns] for row in rows])


def _print_consumption(rows: list[Spent], found: Statement, *, csv: bool, as_json: bool) -> None:
    from gateway.ledger.csvs import render_all
    from gateway.ledger.statements import describe_as_of

    spent = [row.as_dict() for row in rows]
    if csv:
        sys.stdout.write(render_all(spent))
    elif as_json:
        print_json({"as_of": describe_as_of(found.as_of), "consumption": spent})
    else:
        columns = tuple(spent[0]) if spent else ("month",)
        print_table(columns, [[row[column] for column in columns] for row in spent])


def _print_budget(budget: Budget, *, as_json: bool) -> None:
    if as_json:
        print_json(budget.as_dict())
        return
    print_fields(budget.as_dict())
    if budget.warning != "none":
        say(f"the budget is {'spent' if budget.warning == 'over' else 'nearly spent'}")
