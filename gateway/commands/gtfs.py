"""`faregate tariff import-gtfs`, and `faregate quote --feed`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    JsonOption,
    UsageError,
    print_fields,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from gateway.tariffs.gtfs.build import Built
    from gateway.tariffs.gtfs.settings import Switches

SwitchOption = Annotated[
    list[str] | None,
    typer.Option("--switch", metavar="NAME", help="Read the feed as some engines do; repeatable."),
]
LikeOtpOption = Annotated[
    bool, typer.Option("--like-otp", help="All switches: as OpenTripPlanner reads it.")
]
PassOption = Annotated[
    list[str] | None,
    typer.Option("--pass", metavar="PRODUCT", help="A fare product that is no single ride."),
]


def import_feed(
    feed: Annotated[Path, typer.Argument(metavar="FEED", help="A GTFS folder or zip file.")],
    tariff_id: Annotated[str, typer.Option("--id", help="Tariff id; else the feed's name.")] = "",
    into: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the tariff's two files are written.")
    ] = Path("tariffs"),
    valid_from: Annotated[
        str, typer.Option(metavar="DATE", help="First day, else the feed's.")
    ] = "",
    valid_until: Annotated[
        str, typer.Option(metavar="DATE", help="First day it no longer holds, else the feed's.")
    ] = "",
    media: Annotated[
        list[str] | None,
        typer.Option("--medium", metavar="KIND=ID", help="Fare medium that card, phone ... mean."),
    ] = None,
    passes: PassOption = None,
    switches: SwitchOption = None,
    like_otp: LikeOtpOption = False,
    category_fallback: Annotated[
        bool, typer.Option(help="What is not sold to a category costs it the default price.")
    ] = False,
    check_only: Annotated[bool, typer.Option("--check", help="Only tell what is found.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a tariff of a GTFS feed (Fares v1 or v2). All errors and warnings are told at once.

    Then `faregate tariff load DIR/ID.toml --slot N` brings it into the running gateway.

    Example: `faregate tariff import-gtfs feeds/utsunomiya.zip --id utsunomiya --into tariffs`
    """
    from gateway.tariffs.gtfs.loaded import inspect
    from gateway.tariffs.gtfs.register import register_feed
    from gateway.tariffs.gtfs.settings import FeedSettings

    settings = FeedSettings(
        tariff_id=tariff_id or feed.name.split(".")[0].lower(),
        valid_from=_day("--valid-from", valid_from),
        valid_until=_day("--valid-until", valid_until),
        switches=parse_switches(switches, like_otp=like_otp),
        passes=frozenset(passes or ()),
        media=_media(media),
        category_fallback=category_fallback,
    )
    findings = inspect(feed, settings)
    is_usable = not any(one.severity == "error" for one in findings)
    report: dict[str, Any] = {"feed": str(feed), "ok": is_usable}
    if is_usable and not check_only:
        path, loaded = register_feed(feed, into, settings)
        report |= {"tariff": str(path), **_describe(loaded.built)}
    report["findings"] = [one.as_dict() for one in findings]
    if as_json:
        print_json(report)
    else:
        print_fields({name: value for name, value in report.items() if name != "findings"})
        for one in findings:
            typer.echo(f"{one.severity}: {one}")
    if not is_usable:
        raise typer.Exit(EXIT_FINDINGS)


def print_feed_quotes(quotes: list[dict[str, Any]], why: Iterable[str], *, as_json: bool) -> None:
    """Print what journeys cost on a feed; exit 1 when one has no price or not the expected one."""
    if as_json:
        print_json(quotes)
    else:
        columns = ("journey", "total", "", "expected", "rules", "why not")
        print_table(columns, [_row(one) for one in quotes])
        for text in why:
            typer.echo(text)
    wrong = [one for one in quotes if not one.get("as_expected", one["total"] is not None)]
    if wrong:
        raise typer.Exit(EXIT_FINDINGS)


def parse_switches(names: list[str] | None, *, like_otp: bool) -> Switches:
    """Switches by name. Raises: UsageError."""
    from gateway.tariffs.gtfs.settings import LIKE_OTP, SWITCH_NAMES, Switches

    unknown = sorted(set(names or ()) - set(SWITCH_NAMES))
    if unknown:
        raise UsageError(detail=f"--switch {unknown[0]}: one of {', '.join(SWITCH_NAMES)}")
    return LIKE_OTP if like_otp else Switches(**dict.fromkeys(names or (), True))


def _row(quote: dict[str, Any]) -> tuple[object, ...]:
    rows = [rule for leg in quote["legs"] for rule in leg["rules"]]
    rules = " ".join(f"{rule['file']}:{rule['line']}" for rule in rows)
    expected = "" if "expected" not in quote else "yes" if quote["as_expected"] else "NO"
    return quote["id"], quote["total"], quote["currency"], expected, rules, quote.get("reason", "")


def _describe(built: Built) -> dict[str, object]:
    spec = built.spec
    return {
        "id": spec.tariff_id,
        "version": spec.version,
        "currency": built.currency.code,
        "stops": len(spec.stop_ids),
        "categories": {str(number): one for number, one in enumerate(built.riders.categories)},
    }


def _day(option: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise UsageError(detail=f"{option} {text}: write 2026-03-01") from error


def _media(pairs: list[str] | None) -> dict[str, str]:
    from fastpath.types import MediumKind

    kinds = [kind.name.lower() for kind in MediumKind]
    media = {}
    for pair in pairs or ():
        kind, equals, media_id = pair.partition("=")
        if not equals or kind not in kinds:
            raise UsageError(
                detail=f"--medium {pair}: write KIND=ID, KIND one of {', '.join(kinds)}"
            )
        media[kind] = media_id
    return media
