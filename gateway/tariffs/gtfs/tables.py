"""The tables of a feed that fares need, as typed rows with their lines.

Only what is there is read: every table may be missing. References are checked in check.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from gateway.tariffs.units import Currency


@dataclass(frozen=True, slots=True)
class FareProduct:
    """A row of fare_products.txt: what a product costs one category with one medium ("" = any)."""

    line: int
    product_id: str
    name: str
    category_id: str
    media_id: str
    amount_minor: int
    currency: Currency
    is_period: bool
    """It names a duration, as passes do: no fare of one ride."""


@dataclass(frozen=True, slots=True)
class LegRule:
    """A row of fare_leg_rules.txt; "" = empty."""

    line: int
    group_id: str
    network_id: str
    from_area_id: str
    to_area_id: str
    from_timeframe_id: str
    to_timeframe_id: str
    product_id: str
    priority: int


@dataclass(frozen=True, slots=True)
class JoinRule:
    """A row of fare_leg_join_rules.txt."""

    line: int
    from_network_id: str
    to_network_id: str
    from_stop_id: str
    to_stop_id: str


@dataclass(frozen=True, slots=True)
class TransferRule:
    """A row of fare_transfer_rules.txt. count and limit_s: -1 = none."""

    line: int
    from_group_id: str
    to_group_id: str
    count: int
    limit_s: int
    limit_type: int
    transfer_type: int
    product_id: str


@dataclass(frozen=True, slots=True)
class Timeframe:
    """A row of timeframes.txt: start included, end excluded, seconds by the clock."""

    line: int
    group_id: str
    start_s: int
    end_s: int
    service_id: str


@dataclass(frozen=True, slots=True)
class RiderCategory:
    """A row of rider_categories.txt."""

    line: int
    category_id: str
    name: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class FareMedium:
    """A row of fare_media.txt. kind: 0 none, 1 paper, 2 transit card, 3 cEMV, 4 app."""

    line: int
    media_id: str
    name: str
    kind: int


@dataclass(frozen=True, slots=True)
class Named:
    """A row of areas.txt or networks.txt."""

    line: int
    row_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Membership:
    """A row of stop_areas.txt or route_networks.txt: `member` belongs to `group`."""

    line: int
    group: str
    member: str


@dataclass(frozen=True, slots=True)
class Stop:
    """A row of stops.txt."""

    line: int
    stop_id: str
    name: str
    zone_id: str
    kind: int
    parent: str
    zone: str


@dataclass(frozen=True, slots=True)
class Route:
    """A row of routes.txt."""

    line: int
    route_id: str
    agency_id: str
    network_id: str


@dataclass(frozen=True, slots=True)
class Service:
    """A row of calendar.txt: seven flags from Monday on, both days included."""

    line: int
    service_id: str
    weekdays: tuple[bool, ...]
    start: date
    end: date


@dataclass(frozen=True, slots=True)
class ServiceDate:
    """A row of calendar_dates.txt."""

    line: int
    service_id: str
    day: date
    is_added: bool


@dataclass(frozen=True, slots=True)
class Agency:
    """A row of agency.txt."""

    line: int
    agency_id: str
    zone: str


@dataclass(frozen=True, slots=True)
class FareAttribute:
    """A row of fare_attributes.txt. transfers and duration_s: -1 = no limit."""

    line: int
    fare_id: str
    price_minor: int
    currency: Currency
    payment_method: int
    transfers: int
    agency_id: str
    duration_s: int


@dataclass(frozen=True, slots=True)
class FareRule:
    """A row of fare_rules.txt; "" = empty."""

    line: int
    fare_id: str
    route_id: str
    origin_id: str
    destination_id: str
    contains_id: str


@dataclass(frozen=True, slots=True)
class Trip:
    """A row of trips.txt."""

    line: int
    trip_id: str
    route_id: str


@dataclass(frozen=True, slots=True)
class StopTime:
    """A row of stop_times.txt, as far as zones on the way need it."""

    line: int
    trip_id: str
    stop_id: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Feed:
    """Everything fares need of one feed."""

    name: str
    files: frozenset[str]
    has_priority: bool
    """fare_leg_rules.txt has the column rule_priority, which changes what empty fields mean."""
    has_route_networks: bool
    """routes.txt has the column network_id."""
    products: tuple[FareProduct, ...] = ()
    leg_rules: tuple[LegRule, ...] = ()
    join_rules: tuple[JoinRule, ...] = ()
    transfer_rules: tuple[TransferRule, ...] = ()
    timeframes: tuple[Timeframe, ...] = ()
    categories: tuple[RiderCategory, ...] = ()
    media: tuple[FareMedium, ...] = ()
    areas: tuple[Named, ...] = ()
    networks: tuple[Named, ...] = ()
    stop_areas: tuple[Membership, ...] = ()
    route_networks: tuple[Membership, ...] = ()
    stops: tuple[Stop, ...] = ()
    routes: tuple[Route, ...] = ()
    services: tuple[Service, ...] = ()
    service_dates: tuple[ServiceDate, ...] = ()
    agencies: tuple[Agency, ...] = ()
    fares: tuple[FareAttribute, ...] = ()
    fare_rules: tuple[FareRule, ...] = ()
    trips: tuple[Trip, ...] = ()
    stop_times: tuple[StopTime, ...] = ()
    first_day: date | None = None
    last_day: date | None = None
    version: str = ""
    """feed_info.txt."""

    @property
    def is_v2(self) -> bool:
        """Whether Fares v2 is used: the reference gives it precedence."""
        return bool(self.leg_rules)
