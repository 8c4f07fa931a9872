"""`faregate reconcile`: a peer's files against the ledger; breaks, their age, their explanation."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    ConfigOption,
    JsonOption,
    SetOption,
    UsageError,
    build_actor,
    load_settings,
    print_fields,
    print_json,
    print_result,
    print_table,
)

if TYPE_CHECKING:
    from gateway.ledger.reconcile import Source

COLUMNS = ("id", "kind", "name", "key", "type", "service_date", "age_days", "state", "detail")


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Three-way reconciliation and its breaks.")
    group.command("run")(run)
    group.command("report")(report)
    group.command("explain")(explain)
    app.add_typer(group, name="reconcile", rich_help_panel="Look after")


def run(
    account: Annotated[
        str, typer.Argument(help="Ledger account: operator:1, merchant:5001, funding.")
    ],
    period: Annotated[
        str, typer.Option(help="Service dates: 2026-11-28, 2026-11 or 2026-11-01..2026-11-07.")
    ],
    taps: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The operator's own taps (CSV).")
    ] = None,
    bill: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Clearing, bank or hospital bill (CSV).")
    ] = None,
    key: Annotated[str, typer.Option(help="Column that names the payment.")] = "key",
    amount: Annotated[str, typer.Option(help="Column of amounts.")] = "amount_minor",
    day: Annotated[str, typer.Option("--date", help="Column of dates.")] = "date",
    status: Annotated[str, typer.Option(help="Column that says refused, reversed.")] = "status",
    major: Annotated[
        bool, typer.Option("--major", help="Amounts are 12.34, not minor units.")
    ] = False,
    currency: Annotated[
        str, typer.Option(help="Of amounts by --major: ISO 4217 letters; else the settings'.")
    ] = "",
    encoding: Annotated[str, typer.Option(help="Of the files: utf-8-sig, gb18030.")] = "utf-8-sig",
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare files with the ledger and keep every difference as a break. Exit 1 on a break.

    A tap is named DEVICE-BOOT-SEQUENCE, a payment by its reference or else its operation id.

    Example: `faregate reconcile run operator:1 --period 2026-11-28 --taps taps.csv`
    """
    from gateway.bootstrap import build_ledger, build_note, build_registry
    from gateway.clock import now_us
    from gateway.ledger.breaks import BreakBook
    from gateway.ledger.peers_file import Columns
    from gateway.ledger.periods import parse_period
    from gateway.ledger.reconciling import Order, reconcile

    settings = load_settings(config, replaced).config
    try:
        dates = parse_period(period, settings.ledger.zone)
    except ValueError as error:
        raise UsageError(detail=str(error)) from error
    digits = _digits(currency, settings.ledger.currency)
    columns = Columns(key, amount, day, status, major, encoding, digits)
    order = Order(account, dates.first, dates.behind, _files(taps, bill), columns)
    ledger, records = build_ledger(settings), build_registry(settings)
    try:
        number, found = reconcile(
            ledger, BreakBook(records, build_note(build_actor().subject)), order, now_us()
        )
    finally:
        ledger.close()
        records.close()
    counts = Counter(str(one.type) for one in found.breaks)
    print_result(
        {"run": number, "matched": found.matched, "breaks": len(found.breaks), "types": counts},
        as_json=as_json,
    )
    if found.breaks:
        raise typer.Exit(EXIT_FINDINGS)


def _digits(code: str, number: int) -> int:
    """Of the minor unit. Raises: UsageError: not a currency that is known here."""
    from gateway.tariffs.units import CURRENCIES, CURRENCY_BY_NUMBER

    known = CURRENCIES.get(code.upper()) if code else CURRENCY_BY_NUMBER.get(number)
    if known is None:
        raise UsageError(detail=f"--currency: one of {', '.join(CURRENCIES)}")
    return known.exponent


def _files(taps: Path | None, bill: Path | None) -> dict[Source, Path]:
    from gateway.ledger.reconcile import Source

    given = {Source.TAPS: taps, Source.BILL: bill}
    found = {source: path for source, path in given.items() if path is not None}
    if not found:
        raise UsageError(detail="name a file: --taps, --bill, or both")
    return found


def report(
    account: Annotated[str, typer.Option(help="Only this ledger account.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Breaks that are open or explained, the oldest first, and how old they are together.

    Example: `faregate reconcile report --account operator:1`
    """
    from gateway.bootstrap import build_registry
    from gateway.clock import now_us
    from gateway.ledger.breaks import BreakBook, BreakState, ageing

    settings = load_settings(config, replaced).config
    states = () if everything else (BreakState.OPEN, BreakState.EXPLAINED)
    records = build_registry(settings)
    try:
        found = BreakBook(records).list(name=account, states=states)
    finally:
        records.close()
    now = now_us()
    rows = [one.as_dict(now) for one in found]
    ages = ageing(found, now)
    if as_json:
        print_json({"breaks": rows, "ageing": ages})
        return
    print_table(COLUMNS, [[row[column] for column in COLUMNS] for row in rows])
    print_fields(
        {name: f"{one['count']} ({one['difference_minor']})" for name, one in ages.items()}
    )


def explain(
    number: Annotated[int, typer.Argument(metavar="BREAK", min=1, help="Its number.")],
    note: Annotated[str, typer.Option(help="What it is, or what was done about it.")],
    close: Annotated[bool, typer.Option("--close", help="Nothing is left to do.")] = False,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a break is; kept with who and when.

    Example: `faregate reconcile explain 12 --note "paid twice, given back" --close`
    """
    from gateway.bootstrap import build_note, build_registry
    from gateway.clock import now_us
    from gateway.ledger.breaks import BreakBook

    records = build_registry(load_settings(config, replaced).config)
    now = now_us()
    try:
        book = BreakBook(records, build_note(build_actor().subject))
        kept = book.explain(number, note, build_actor().subject, now, close=close)
    finally:
        records.close()
    print_result(kept.as_dict(now), as_json=as_json)
