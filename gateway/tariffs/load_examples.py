"""Example journeys of a tariff file -> Example."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from fastpath.types import MediumKind, Reason
from gateway.tariffs.reader import Table
from gateway.tariffs.source import Example, ExampleLeg, Network
from gateway.tariffs.units import Currency

RIDE = timedelta(minutes=40)
"""How long a ride of an example takes when it does not say."""
NO_TAP = ""
UNKNOWN_BALANCE = -1
_REASONS = tuple(reason.name.lower() for reason in Reason)
_MEDIA = tuple(kind.name.lower() for kind in MediumKind)


def load_examples(root: Table, currency: Currency, network: Network) -> tuple[Example, ...]:
    """All [[example]] tables."""
    known = {station.zh for station in network.stations}
    return tuple(_read(row, currency, known) for row in root.tables("example", needed=False))


def _read(row: Table, currency: Currency, known: set[str]) -> Example:
    exponent = currency.exponent
    flat_at = row.moment("at") if row.has("flat") and row.flag("flat") else None
    example = Example(
        name=row.text("name"),
        line=row.document.line_of(row.path),
        legs=() if flat_at else tuple(_read_legs(row, known)),
        flat_at=flat_at,
        medium=row.choice("medium", _MEDIA, "card"),
        trips=row.whole("trips", 1, low=1, high=1000),
        month_paid_minor=row.amount("month_paid", exponent, 0),
        balance_minor=row.amount("balance", exponent) if row.has("balance") else UNKNOWN_BALANCE,
        desk=row.flag("service_desk", False),
        total_minor=row.amount("total", exponent) if row.has("total") else None,
        reason=row.choice("reason", _REASONS) if row.has("reason") else "",
        distance_m=row.whole("distance_m", 0, high=10_000_000),
        why=row.text("why", ""),
    )
    if not row.has("total") and not row.has("reason"):
        row.fault(None, "expects nothing", "write total, or the reason of a refusal")
    row.close()
    return example


def _read_legs(row: Table, known: set[str]) -> Iterator[ExampleLeg]:
    if row.has("legs"):
        for leg in row.tables("legs"):
            yield _read_leg(leg, known)
            leg.close()
        return
    yield _read_leg(row, known)


def _read_leg(row: Table, known: set[str]) -> ExampleLeg:
    """`from` without `to` is a forgotten check-out; `to` without `from` a forgotten check-in."""
    names = [row.text(key) if row.has(key) else NO_TAP for key in ("from", "to")]
    for key, name in zip(("from", "to"), names, strict=True):
        if name and name not in known:
            row.fault(key, f"{name!r} is not a station")
    if not any(names):
        row.fault(None, "has neither `from` nor `to`")
    entry = row.moment("at")
    end: datetime = row.moment("exit") if row.has("exit") else entry + RIDE
    if end < entry:
        row.fault("exit", "is before `at`")
    return ExampleLeg(names[0], names[1], entry, end)
