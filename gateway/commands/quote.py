"""`faregate quote`: what a ride costs, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    JsonOption,
    UsageError,
    print_json,
    print_table,
    read_text,
)
from gateway.commands.gtfs import (
    LikeOtpOption,
    PassOption,
    SwitchOption,
    parse_switches,
    print_feed_quotes,
)

if TYPE_CHECKING:
    from gateway.tariffs.explained import SingleRequest
    from gateway.tariffs.gtfs.settings import FeedSettings
    from gateway.tariffs.loaded import LoadedTariff


class Language(StrEnum):
    """Of what is told about rules."""

    BOTH = "both"
    EN = "en"
    ZH = "zh"

    @property
    def code(self) -> str:
        """ "" = both."""
        return "" if self is Language.BOTH else self.value

    @property
    def codes(self) -> tuple[str, ...]:
        """The languages, one by one."""
        return ("en", "zh") if self is Language.BOTH else (self.value,)


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
    category: Annotated[str, typer.Option(help="Rider category, name or number.")] = "",
    line: Annotated[int, typer.Option(min=0, help="Line, as validators send it.")] = 0,
    distance_m: Annotated[
        int, typer.Option("--distance-m", min=0, help="Metres sent with the tap.")
    ] = 0,
    month_paid: Annotated[str, typer.Option(help="Paid this month before, as 120.00.")] = "0.00",
    journeys: Annotated[
        Path | None,
        typer.Option("--journeys", metavar="FILE", help="Price many (JSON); - = stdin."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="With --journeys: say why, for each ride.")
    ] = False,
    language: Annotated[
        Language, typer.Option("--language", help="Of the reasons; both if not given.")
    ] = Language.BOTH,
    feed: Annotated[
        Path | None,
        typer.Option("--feed", metavar="DIR|ZIP", help="A GTFS feed for --journeys, no tariff."),
    ] = None,
    switches: SwitchOption = None,
    like_otp: LikeOtpOption = False,
    passes: PassOption = None,
    all_options: Annotated[
        bool, typer.Option("--all-options", help="With --feed: every product of each leg.")
    ] = False,
    folders: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Price a ride and say why: distance, band, discounts, each rule with its file and line. Or
    price a file of journeys.

    Example: `faregate quote --tariff beijing-subway --from 苹果园 --to 国贸 --at 2026-11-23T08:00`
    """
    asked = _Asked(month_paid, explain, language, as_json)
    if feed is not None:
        from gateway.tariffs.gtfs.settings import FeedSettings

        read_as = parse_switches(switches, like_otp=like_otp)
        settings = FeedSettings(switches=read_as, passes=frozenset(passes or ()))
        _quote_feed(feed, journeys, settings, asked, all_options=all_options)
        return
    tariffs = [_load(name, folders) for name in tariff]
    if journeys is not None:
        _quote_many(tariffs, journeys, asked)
        return
    from gateway.tariffs.explained import SingleRequest

    request = SingleRequest(start, end, at, until, medium, month_paid, category, line, distance_m)
    _quote_one(tariffs[0], request, asked)


def _load(name: str, folders: list[Path] | None) -> LoadedTariff:
    from gateway.commands.tariff import load_named

    return load_named(name, folders)


@dataclass(frozen=True)
class _Asked:
    month_paid: str
    explain: bool
    language: Language
    as_json: bool


def _quote_one(tariff: LoadedTariff, request: SingleRequest, asked: _Asked) -> None:
    from gateway.tariffs.explained import quote_single

    if not request.at:
        raise UsageError(detail="--at is missing: fares depend on the time")
    explanation = replace(quote_single(tariff, request), language=asked.language.code)
    if asked.as_json:
        print_json(explanation.as_dict())
        return
    for text in explanation.lines():
        typer.echo(text)


def _quote_many(tariffs: list[LoadedTariff], file: Path, asked: _Asked) -> None:
    from gateway.tariffs.quote import quote_journeys
    from gateway.tariffs.units import AmountError, parse_amount

    try:
        paid = parse_amount(asked.month_paid, tariffs[0].source.currency.exponent)
    except AmountError as error:
        raise UsageError(detail=f"--month-paid: {error}") from error
    quotes = quote_journeys(
        tariffs, read_json(file), month_paid_minor=paid, explained=asked.explain
    )
    if asked.as_json:
        print_json(quotes)
        return
    rows = [(q["id"], q["total"], q["currency"], q.get("reason", "")) for q in quotes]
    print_table(("journey", "total", "", "why not"), rows)
    for one in quotes if asked.explain else ():
        for text in _why(one, asked.language):
            typer.echo(text)
    if any(one["total"] is None for one in quotes):
        raise typer.Exit(EXIT_FINDINGS)


def _quote_feed(
    feed: Path, file: Path | None, settings: FeedSettings, asked: _Asked, *, all_options: bool
) -> None:
    from gateway.tariffs.gtfs.loaded import load
    from gateway.tariffs.gtfs.quote import Options, quote_journeys

    if file is None:
        raise UsageError(detail="--journeys is missing: --feed prices a file of journeys")
    options = Options(all_options, asked.explain)
    quotes = quote_journeys(load(feed, settings), read_json(file), options)
    why = (text for one in quotes if asked.explain for text in _why(one, asked.language))
    print_feed_quotes(quotes, why, as_json=asked.as_json)


def _why(quoted: dict[str, Any], language: Language) -> Iterator[str]:
    """The rides of a journey and the rules that acted on each."""
    for number, leg in enumerate(quoted["legs"], start=1):
        yield f"\n{quoted['id']} ride {number}: {leg['fare']} {quoted['currency']}"
        for note in leg["why"]:
            yield f"  {note_line(note, language)}"


def note_line(note: dict[str, Any], language: Language) -> str:
    """A rule that acted, as JSON has it, in one language or both, and where it is written."""
    said = " ".join(note[code] for code in language.codes)
    where = f"{note['file']}:{note['line']} {note['key']}".rstrip()
    return f"{said}  [{where}]" if note["line"] else said


def read_json(file: Path) -> object:
    try:
        return json.loads(read_text(file, "--journeys"))
    except ValueError as error:
        raise UsageError(detail=f"--journeys {file}: no JSON: {error}") from error
