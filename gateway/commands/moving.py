"""`faregate import`: cards and balances of another system, once, with a report of both sides."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    ConfigOption,
    JsonOption,
    SetOption,
    UsageError,
    load_settings,
    print_fields,
    print_json,
    say,
)

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.moving.carry import Carried
    from gateway.moving.known import KnownStep
    from gateway.moving.report import CutOver, Expected
    from gateway.moving.rows import CardFile
    from gateway.moving.steps import Batch

LINES_SHOWN = 50
ENTERED_AT_ONCE = 500


def register(app: typer.Typer) -> None:
    app.command("import", rich_help_panel="Look after")(import_cards)


@dataclass(frozen=True, slots=True)
class _Move:
    """One run of a batch."""

    config: Config
    batch: Batch
    file: CardFile
    expected: Expected


def import_cards(
    source: Annotated[Path, typer.Argument(metavar="FILE.csv", help="docs/moving-in.md.")],
    batch: Annotated[str, typer.Option(help="Name of this move: the same for every run of it.")],
    cutover: Annotated[
        str,
        typer.Option(metavar="INSTANT", help="When the other system stopped: 2026-12-01T03:00+08."),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file and its totals; send nothing.")
    ] = False,
    currency: Annotated[str, typer.Option(help="Of lines that name none.")] = "CNY",
    encoding: Annotated[str, typer.Option(help="Of the file, as in gb18030.")] = "utf-8-sig",
    rows: Annotated[
        int | None, typer.Option("--expect-rows", min=0, help="Lines the other system announced.")
    ] = None,
    total: Annotated[
        list[str] | None,
        typer.Option("--expect-total", metavar="CUR=AMOUNT", help="Value it announced, debts off."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the cut-over report here (JSON).")
    ] = None,
    config: ConfigOption = None,
    replaced: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Carry cards, balances and debts of another system over, each exactly once.

    Run it again after a crash, or to see the report again: what is done is not done twice.

    Example: `faregate import cards.csv --batch yikatong --cutover 2026-12-01T03:00+08 --dry-run`
    """
    settings = load_settings(config, replaced).config
    move = _Move(
        settings,
        _read_batch(batch, cutover, settings.engine.op_horizon_days),
        _read_file(settings, source, encoding, currency),
        _read_expected(rows, total),
    )
    _check_totals(move)
    if dry_run:
        _print_dry(move, as_json=as_json)
        return
    for warning in _list_warnings(move):
        say(warning)
    carried = _carry(move)
    known = _known(move)
    _keep_references(move, known)
    cut_over = _compare(move, known)
    _print_report(cut_over, carried, report, as_json=as_json)
    if carried.findings or cut_over.breaks:
        raise typer.Exit(EXIT_FINDINGS)


def _read_batch(name: str, cutover: str, horizon_days: int) -> Batch:
    from gateway.clock import now_us
    from gateway.errors import MovingError
    from gateway.moving.steps import Batch

    try:
        instant = datetime.fromisoformat(cutover)
    except ValueError as error:
        raise UsageError(detail=f"--cutover {cutover}: write 2026-12-01T03:00+08:00") from error
    if instant.tzinfo is None:
        raise MovingError("MOVING_CUTOVER", f"{cutover} has no offset")
    at_us, now = int(instant.timestamp()) * 1_000_000, now_us()
    if at_us > now:
        raise MovingError("MOVING_CUTOVER", f"{cutover} is still to come")
    if at_us < now - horizon_days * 86_400_000_000:
        raise MovingError(
            "MOVING_CUTOVER",
            f"{cutover} is more than engine.op_horizon_days = {horizon_days} days ago: what was "
            "done then could no longer be told from what was not",
        )
    return Batch(name, at_us)


def _read_file(settings: Config, source: Path, encoding: str, currency: str) -> CardFile:
    from gateway.keys import card_token, read_secret
    from gateway.moving.rows import load_cards

    master_key = read_secret(settings.security.master_key_file)
    return load_cards(
        source,
        lambda text: card_token(master_key, text),
        encoding=encoding,
        currency=currency,
        amount_max_minor=settings.control.credit_max_minor,
    )


def _read_expected(rows: int | None, totals: list[str] | None) -> Expected:
    from gateway.commands.money import parse_minor
    from gateway.moving.report import Expected
    from gateway.tariffs.units import CURRENCIES

    net_minor: dict[int, int] = {}
    for pair in totals or []:
        code, _, amount = pair.partition("=")
        if code.upper() not in CURRENCIES:
            raise UsageError(detail=f"--expect-total {pair}: write it as CNY=1234.50")
        number = CURRENCIES[code.upper()].number
        minor = parse_minor(amount.removeprefix("-"), number)
        net_minor[number] = -minor if amount.startswith("-") else minor
    return Expected(rows, net_minor)


def _check_totals(move: _Move) -> None:
    """Before anything is sent: the file has to be the one that was announced."""
    from gateway.errors import MovingError
    from gateway.moving.report import check_expected

    if findings := list(check_expected(move.file, move.expected)):
        raise MovingError(findings=findings)


def _known(move: _Move) -> dict[bytes, KnownStep]:
    from gateway.errors import JournalError
    from gateway.journals import open_reader
    from gateway.moving.known import read_known

    try:
        journal = open_reader(move.config)
    except JournalError as error:
        if error.code == "JOURNAL_NOT_FOUND":
            return {}
        raise
    try:
        return read_known(journal.read(journal.start_before(0)), move.batch)
    finally:
        journal.close()


def _carry(move: _Move) -> Carried:
    import asyncio

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from gateway.errors import CommandError, Retry
    from gateway.moving.carry import Carrier, CarrySettings

    columns = (BarColumn(), MofNCompleteColumn(), "accounts", TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("accounts", total=len(move.file.accounts))
        carrier = Carrier(
            CarrySettings(move.config.control.socket),
            move.batch,
            _known(move),
            tell=lambda done: bar.update(task, completed=done),
        )
        try:
            return asyncio.run(carrier.run(move.file.accounts))
        except TimeoutError as error:
            raise CommandError(
                "COMMAND_NOT_SENT",
                f"{error} at {move.config.control.socket}; {carrier.result.accounts} accounts "
                "are done: run the same command again",
                retry=Retry.SAFE,
            ) from error


def _list_warnings(move: _Move) -> list[str]:
    """What is no fault of the file, and most likely not meant."""
    without = [one for one in move.file.accounts if one.tier is None]
    profile = move.config.limits.profile
    if not profile or not without:
        return []
    return [
        f"limits are on ({profile}) and {len(without)} accounts have no tier, the first on line "
        f"{without[0].rows[0].line}: those of tier 0 hold for them (docs/limits.md)"
    ]


def _keep_references(move: _Move, known: dict[bytes, KnownStep]) -> None:
    """What the other system called its accounts, into the registry; again is nothing."""
    from gateway.bootstrap import build_access
    from gateway.clock import format_operation_id
    from gateway.moving.steps import open_step
    from gateway.wallet.stores.accounts import AccountStore, Ownership

    owned = []
    for account in move.file.accounts:
        op_id = open_step(move.batch, account).operation_id
        step = known.get(op_id)
        if account.reference and step is not None and step.accepted:
            named = format_operation_id(op_id)
            owned.append(Ownership(step.account_id, "", account.reference, named, step.ts_us))
    if not owned:
        return
    store = AccountStore(build_access(move.config).database)
    for first in range(0, len(owned), ENTERED_AT_ONCE):
        store.add_all(owned[first : first + ENTERED_AT_ONCE])


def _compare(move: _Move, known: dict[bytes, KnownStep]) -> CutOver:
    from gateway.moving.report import compare

    return compare(move.batch, move.file, known, move.expected)


def _print_dry(move: _Move, *, as_json: bool) -> None:
    from gateway.moving.report import CutOver

    fields = CutOver(move.batch, move.file, {}, ()).as_dict()
    shown: dict[str, Any] = {name: fields[name] for name in ("batch", "file_sha256", "rows")}
    shown["currencies"] = {code: one["file"] for code, one in fields["currencies"].items()}
    shown["sent"] = 0
    warnings = _list_warnings(move)
    if as_json:
        print_json(shown | {"warnings": warnings})
        return
    for warning in warnings:
        say(warning)
    print_fields({name: value for name, value in shown.items() if name != "currencies"})
    for code, totals in shown["currencies"].items():
        print_fields(totals, title=code)


def _print_report(cut_over: CutOver, carried: Carried, path: Path | None, *, as_json: bool) -> None:
    fields = cut_over.as_dict() | {
        "done": carried.done,
        "repeated": carried.repeated,
        "findings": carried.findings,
    }
    if path is not None:
        path.write_text(json.dumps(fields, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print_json(fields)
        return
    names = ("batch", "rows", "done", "repeated", "reconciled")
    print_fields({name: fields[name] for name in names})
    for code, sides in fields["currencies"].items():
        print_fields({side: totals["net"] for side, totals in sides.items()}, title=code)
    lines = [*carried.findings, *cut_over.breaks]
    for line in lines[:LINES_SHOWN]:
        sys.stdout.write(line + "\n")
    if len(lines) > LINES_SHOWN:
        say(f"and {len(lines) - LINES_SHOWN} more: --json or --report FILE has them all")
