"""`faregate quote`: what a ride costs, and why."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    JsonOption,
    UsageError,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from gateway.tariffs.loaded import LoadedTariff

DirOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--dir", metavar="DIR", help="Folder of tariffs, before those that come with faregate."
    ),
]


def register(app: typer.Typer) -> None:
    app.command("quote", rich_help_panel="Fares")(quote)


def quote(
    tariff: Annotated[
        list[str], typer.Option("--tariff", help="Tariff id or file; repeatable with --journeys.")
    ] = ["beijing-subway"],  # noqa: B006 - typer copies it
    start: Annotated[str, typer.Option("--from", metavar="STOP", help="Entry, id or name.")] = "",
    end: Annotated[str, typer.Option("--to", metavar="STOP", help="Exit, id or name.")] = "",
    at: Annotated[str, typer.Option(metavar="TIME", help="Entry, as 2026-11-23T08:00.")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Exit; else 40 minutes later.")] = "",
    medium: Annotated[str, typer.Option(help="Kind of medium: card, phone, qr, emv ...")] = "card",
    month_paid: Annotated[str, typer.Option(help="Paid this month before, as 120.00.")] = "0.00",
    journeys: Annotated[
        Path | None,
        typer.Option("--journeys", metavar="FILE", help="Price many (JSON); - = stdin."),
    ] = None,
    folders: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Price a ride and say why: distance, band, discounts, rules. Or price a file of journeys.

    Example: `faregate quote --tariff beijing-subway --from 苹果园 --to 国贸 --at 2026-11-23T08:00`
    """
    tariffs = [_load(name, folders) for name in tariff]
    if journeys is not None:
        _quote_many(tariffs, journeys, month_paid, as_json=as_json)
        return
    if not at:
        raise UsageError(detail="--at is missing: fares depend on the time")
    from gateway.tariffs.explained import SingleRequest, quote_single

    request = SingleRequest(start, end, at, until, medium, month_paid)
    explanation = quote_single(tariffs[0], request)
    if as_json:
        print_json(explanation.as_dict())
    else:
        for line in explanation.lines():
            typer.echo(line)


def _load(name: str, folders: list[Path] | None) -> LoadedTariff:
    from gateway.commands.tariff import load_named

    return load_named(name, folders)


def _quote_many(tariffs: list[LoadedTariff], file: Path, month_paid: str, *, as_json: bool) -> None:
    from gateway.tariffs.quote import quote_journeys
    from gateway.tariffs.units import AmountError, parse_amount

    try:
        paid = parse_amount(month_paid, tariffs[0].source.currency.exponent)
    except AmountError as error:
        raise UsageError(detail=f"--month-paid: {error}") from error
    quotes = quote_journeys(tariffs, _read_json(file), month_paid_minor=paid)
    if as_json:
        print_json(quotes)
    else:
        rows = [(q["id"], q["total"], q["currency"], q.get("reason", "")) for q in quotes]
        print_table(("journey", "total", "", "why not"), rows)
        if any(one["total"] is None for one in quotes):
            raise typer.Exit(EXIT_FINDINGS)


def _read_json(file: Path) -> object:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(detail=f"--journeys {file}: {error}") from error
