"""Feed + settings -> TariffSpec, and what is needed to explain its prices."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastpath.layers import Layers, Legs
from fastpath.types import DayTable, TariffRules, TariffSpec
from gateway.tariffs.gtfs.calendar import days_between, extent_of
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.frames import FramePlan, build_frames, midnight_us, plain_frames
from gateway.tariffs.gtfs.grid import Grid, Shape, build_grid, build_legs, highest_by_class
from gateway.tariffs.gtfs.joins import build_joins
from gateway.tariffs.gtfs.matching import LegMatcher
from gateway.tariffs.gtfs.networks import Networks, build_networks
from gateway.tariffs.gtfs.offers import LegOffers, renumber_groups, warn_of_offers
from gateway.tariffs.gtfs.origins import Origins
from gateway.tariffs.gtfs.places import Places, build_area_places
from gateway.tariffs.gtfs.products import PriceTable, build_prices
from gateway.tariffs.gtfs.riders import Riders, build_riders
from gateway.tariffs.gtfs.settings import FeedSettings
from gateway.tariffs.gtfs.tables import Feed, LegRule
from gateway.tariffs.gtfs.transfers import TransferTools, build_transfers
from gateway.tariffs.gtfs.v1 import build_book
from gateway.tariffs.gtfs.v1_transfers import build_v1_transfers, warn_of_itineraries
from gateway.tariffs.units import Currency

EPOCH_DAY = date(1970, 1, 1)
OPEN_FIRST, OPEN_LAST = date(2018, 1, 1), date(2035, 12, 31)
"""Validity of a feed that names no dates."""
YEARS_MAX = 30
SPARE_DAYS = 32
"""Days behind the end: late taps of the last day still have a calendar."""


@dataclass(frozen=True, slots=True)
class Built:
    """A compiled feed, with what names its prices."""

    spec: TariffSpec
    places: Places
    networks: Networks
    riders: Riders
    origins: Origins
    currency: Currency
    zone: ZoneInfo
    prices: PriceTable | None
    """None for Fares v1."""
    matched: frozenset[LegRule]
    """Leg rules that some leg can match."""
    prices_of: dict[str, set[int]]
    """What legs of each leg group cost the default category, minor units."""

    @property
    def any_stop(self) -> bool:
        """Whether fares do not ask for a stop."""
        layers = self.spec.layers
        return layers is not None and layers.legs is not None and layers.legs.any_stop


@dataclass(frozen=True, slots=True)
class _Days:
    """Validity and the calendar of the tariff."""

    first: date
    count: int
    until: date
    zone: ZoneInfo
    starts: array[int]


@dataclass(frozen=True, slots=True)
class _Priced:
    """Layers 1 and 2 of either version of Fares."""

    grid: Grid
    layers: Layers
    highest: list[int]
    currency: Currency
    riders: Riders
    prices: PriceTable | None
    matched: frozenset[LegRule]
    prices_of: dict[str, set[int]]


def build_tariff(feed: Feed, settings: FeedSettings, findings: Findings) -> Built:
    """Compile a feed whose tables have no errors. New findings are added; check them after.

    Cost: cells of the grid (columns x classes²) x about 1 us.
    """
    days = _find_days(feed, settings, findings)
    origins = Origins()
    build = _build_v2 if feed.is_v2 else _build_v1
    priced = build(feed, settings, days, _Shared(origins, findings))
    places = priced.grid.shape.places
    count = len(places.stop_ids)
    spec = TariffSpec(
        tariff_id=settings.tariff_id or feed.name,
        version=settings.version or feed.version or days.first.isoformat(),
        currency=priced.currency.number,
        valid_from_us=days.starts[0],
        valid_until_us=midnight_us(days.until, days.zone),
        stop_ids=places.stop_ids,
        od_fare_minor=array("i", [-1]) * count**2,
        od_distance_m=array("I", [0]) * count**2,
        od_part=bytes(count**2),
        highest_minor=array("i", [priced.highest[one] for one in places.stop_class]),
        days=_day_table(days),
        od_discountable_minor=array("i", [0]) * count**2,
        rules=TariffRules(),
        layers=priced.layers,
    )
    return Built(
        spec=spec,
        places=places,
        networks=priced.grid.shape.networks,
        riders=priced.riders,
        origins=origins,
        currency=priced.currency,
        zone=days.zone,
        prices=priced.prices,
        matched=priced.matched,
        prices_of=priced.prices_of,
    )


@dataclass(frozen=True, slots=True)
class _Shared:
    origins: Origins
    findings: Findings


def _build_v2(feed: Feed, settings: FeedSettings, days: _Days, shared: _Shared) -> _Priced:
    origins, findings = shared.origins, shared.findings
    riders = build_riders(feed, settings, findings)
    prices = build_prices(feed, riders, settings, findings)
    networks = build_networks(feed, findings)
    places = build_area_places(feed, findings)
    frames = _frames(feed, settings, days, findings)
    shape = Shape(networks, places, frames.frames, len(riders.categories))
    matcher = LegMatcher(feed, settings.switches, networks_defined=networks.are_defined)
    offers = LegOffers(feed, matcher, prices, passes=settings.passes, origins=origins)
    grid = build_grid(shape, lambda *key: offers.build_column(shape, frames, key), findings)
    warn_of_offers(offers, prices, findings)
    tools = TransferTools(settings.switches, origins, findings)
    plan = build_transfers(feed, offers.group_sets, prices, tools)
    grid = renumber_groups(grid, [plan.group_of[one] for one in offers.group_sets])
    sets = list(prices.sets)
    highest = highest_by_class(grid, lambda fare: prices.default_minor(sets[fare]))
    legs = _legs(feed, grid, prices.build(), highest)
    layers = Layers(
        legs=legs,
        joins=build_joins(feed, networks, places, origins, findings),
        group_count=plan.group_count,
        transfers=plan.transfers,
    )
    return _Priced(
        grid=grid,
        layers=layers,
        highest=highest,
        currency=prices.currency,
        riders=riders,
        prices=prices,
        matched=frozenset(offers.matched),
        prices_of=offers.prices_of,
    )


def _build_v1(feed: Feed, settings: FeedSettings, days: _Days, shared: _Shared) -> _Priced:
    origins, findings = shared.origins, shared.findings
    book = build_book(feed, origins, findings)
    riders = build_riders(feed, settings, findings)
    shape = Shape(book.networks, book.places, plain_frames(days.starts).frames, 1)
    grid = build_grid(shape, lambda network, *_: book.build_column(shape, network), findings)
    transfers = build_v1_transfers(
        feed, book.conditions, origins, at_arrival=settings.v1_measured_at_arrival
    )
    warn_of_itineraries(feed, book.conditions, findings)
    highest = highest_by_class(grid, lambda fare: fare)
    legs = _legs(feed, grid, array("i"), highest)
    layers = Layers(legs=legs, group_count=len(feed.fares), transfers=transfers)
    return _Priced(
        grid=grid,
        layers=layers,
        highest=highest,
        currency=feed.fares[0].currency,
        riders=riders,
        prices=None,
        matched=frozenset(),
        prices_of={},
    )


def _frames(feed: Feed, settings: FeedSettings, days: _Days, findings: Findings) -> FramePlan:
    if not feed.timeframes:
        return plain_frames(days.starts)
    span = (days.first, days.count)
    return build_frames(feed, days.zone, span, settings.switches, findings)


def _legs(feed: Feed, grid: Grid, products: array[int], highest: list[int]) -> Legs:
    """Where no rule asks for a place, any stop will do."""
    return build_legs(
        grid,
        products=products,
        any_stop=len(grid.shape.places.classes) == 1 or not _asks_for_places(feed),
        highest_minor=max(highest),
    )


def _asks_for_places(feed: Feed) -> bool:
    if feed.is_v2:
        return any(rule.from_area_id or rule.to_area_id for rule in feed.leg_rules)
    return any(
        rule.origin_id or rule.destination_id or rule.contains_id for rule in feed.fare_rules
    )


def _find_days(feed: Feed, settings: FeedSettings, findings: Findings) -> _Days:
    first, last = extent_of(feed) or (OPEN_FIRST, OPEN_LAST)
    first = settings.valid_from or first
    until = settings.valid_until or last + timedelta(days=1)
    if not first < until <= first + timedelta(days=YEARS_MAX * 366):
        said = f"valid from {first} until {until}: at least a day, at most {YEARS_MAX} years"
        findings.add("GTFS_SETTING", feed.name, said, field="valid_until")
        until = first + timedelta(days=1)
    zone = _find_zone(feed, settings, findings)
    count = (until - first).days + SPARE_DAYS
    starts = array("q", [midnight_us(day, zone) for day in days_between(first, count + 1)])
    return _Days(first, count, until, zone, starts)


def _find_zone(feed: Feed, settings: FeedSettings, findings: Findings) -> ZoneInfo:
    name = settings.zone or next((one.zone for one in feed.agencies if one.zone), "UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        findings.add("GTFS_ZONE", "agency.txt", f"is {name!r}", field="agency_timezone")
        return ZoneInfo("UTC")


def _day_table(days: _Days) -> DayTable:
    months = [day.year * 12 + day.month - 1 for day in days_between(days.first, days.count)]
    return DayTable((days.first - EPOCH_DAY).days, days.starts, array("I", months))
