"""Rules of one journey: transfers, joins, leaving where one entered, longest stays."""

from __future__ import annotations

from collections.abc import Iterator

from fastpath.layers import Begins, Measured, SameStopKind, TransferEffect
from gateway.errors import TariffError
from gateway.tariffs.calendar import US_PER_S
from gateway.tariffs.load_names import (
    Known,
    Origins,
    pick,
    pick_media,
    pick_one,
    pick_one_or_more,
    read_title,
)
from gateway.tariffs.names import StationNames
from gateway.tariffs.reader import Table
from gateway.tariffs.source import Network
from gateway.tariffs.source_layers import JoinRule, LongestStay, SameStation, TransferRule
from gateway.tariffs.units import Currency

US_PER_MIN = 60 * US_PER_S
DAY_MIN = 24 * 60
_COSTS = {
    "nothing": SameStopKind.FREE,
    "fare": SameStopKind.FARE,
    "highest": SameStopKind.HIGHEST,
}
_EFFECTS = {
    "free": TransferEffect.FIRST_AND_TRANSFER,
    "fixed": TransferEffect.FIRST_AND_TRANSFER,
    "add": TransferEffect.ALL,
    "instead": TransferEffect.TRANSFER_ONLY,
    "minus": TransferEffect.MINUS,
    "difference": TransferEffect.DIFFERENCE,
    "through": TransferEffect.THROUGH,
}
_NEEDS_AMOUNT = ("fixed", "add", "instead", "minus")
_MEASURED = {kind.name.lower(): kind for kind in Measured}


def load_same_station(root: Table, currency: Currency, origins: Origins) -> Iterator[SameStation]:
    """[[same_station_time]], from the shortest stay to the longest."""
    last = 0
    for row in root.tables("same_station_time", needed=False):
        until = row.whole("until_min", -1, low=-1, high=DAY_MIN)
        kind = _COSTS[row.choice("costs", tuple(_COSTS))]
        if last < 0 or 0 <= until <= last:
            row.fault("until_min", "does not rise", "only the last row may leave it out")
        last = until
        has_fare = kind is SameStopKind.FARE and row.has("fare")
        one = SameStation(
            until_us=-1 if until < 0 else until * US_PER_MIN,
            kind=kind,
            fare_minor=row.amount("fare", currency.exponent) if has_fare else -1,
            times=row.whole("times", 1, low=1, high=15) if kind is SameStopKind.HIGHEST else 1,
            origin=origins.add(row, "same_station_time"),
        )
        row.close()
        yield one


def load_stays(root: Table, known: Known) -> Iterator[LongestStay]:
    """[[longest_stay]]."""
    for row in root.tables("longest_stay", needed=False):
        yield LongestStay(
            zones=pick(row, "zones", known.zones),
            frames=pick(row, "frames", known.frames),
            limit_us=row.whole("minutes", low=1, high=7 * DAY_MIN) * US_PER_MIN,
        )
        row.close()


def load_joins(root: Table, known: Known, network: Network, origins: Origins) -> Iterator[JoinRule]:
    """[[join]]."""
    for row in root.tables("join", needed=False):
        yield JoinRule(
            start=pick_one(row, "from", known.networks),
            end=pick_one(row, "to", known.networks),
            from_stop=_find_stop(row, "from_stop", network),
            to_stop=_find_stop(row, "to_stop", network),
            window_us=_window_us(row),
            origin=origins.add(row, "join"),
        )
        row.close()


def load_transfers(
    root: Table, currency: Currency, known: Known, groups: set[str], origins: Origins
) -> Iterator[TransferRule]:
    """[[transfer]]."""
    for row in root.tables("transfer", needed=False):
        rule = _read_transfer(row, currency, known, groups, origins)
        row.close()
        yield rule


def _read_transfer(
    row: Table, currency: Currency, known: Known, groups: set[str], origins: Origins
) -> TransferRule:
    name, title = row.text("name"), read_title(row, needed=True)
    effect = row.choice("effect", tuple(_EFFECTS))
    measured = _MEASURED[row.choice("measured", tuple(_MEASURED), "departure_to_departure")]
    if effect in _NEEDS_AMOUNT and not row.has("amount"):
        row.fault("amount", f"is missing: {effect} needs it", 'as "1.00"')
    if effect == "free" and row.has("amount"):
        row.fault("amount", "is given for a free transfer", "write effect = fixed")
    return TransferRule(
        name=name,
        title=title,
        start=pick_one_or_more(row, "from", groups),
        end=pick_one_or_more(row, "to", groups),
        effect=_EFFECTS[effect],
        amount_minor=row.amount("amount", currency.exponent, 0),
        window_us=_window_us(row),
        measured=measured,
        begins=Begins.SPAN if row.flag("from_first", False) else Begins.LEG,
        count_max=row.whole("count", -1, low=-1, high=255),
        categories=pick(row, "categories", known.categories),
        media=pick_media(row),
        origin=origins.add(row, name, title),
    )


def _window_us(row: Table) -> int:
    if not row.has("within_min"):
        return -1
    return row.whole("within_min", low=1, high=31 * DAY_MIN) * US_PER_MIN


def _find_stop(row: Table, key: str, network: Network) -> int:
    if not row.has(key):
        return 0
    try:
        return StationNames(network.stations).get(row.text(key)).stop_id
    except TariffError as error:
        row.fault(key, error.detail, error.hint)
        return 0
