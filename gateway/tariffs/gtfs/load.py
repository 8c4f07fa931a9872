"""Files of a feed -> Feed: every table by its columns, all faults told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from gateway.tariffs.gtfs.columns import COLUMNS, REQUIRED
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.read import FeedFiles, open_feed
from gateway.tariffs.gtfs.rows import DAY_S, Reader, parse_date
from gateway.tariffs.gtfs.settings import Switches
from gateway.tariffs.gtfs.tables import (
    Agency,
    FareAttribute,
    FareMedium,
    FareProduct,
    FareRule,
    Feed,
    JoinRule,
    LegRule,
    Membership,
    Named,
    RiderCategory,
    Route,
    Service,
    ServiceDate,
    Stop,
    StopTime,
    Timeframe,
    TransferRule,
    Trip,
)

Typed = TypeVar("Typed")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
COUNT_MAX = 255
PRIORITY_MAX = 999_999_999


def load_feed(path: Path, findings: Findings, switches: Switches) -> Feed:
    """Read every table fares need. Cost: about 1 us a value; stop_times only when needed."""
    return _Loader(open_feed(path, findings), findings, switches).load()


@dataclass(slots=True)
class _Loader:
    files: FeedFiles
    findings: Findings
    switches: Switches

    def load(self) -> Feed:
        rules = self.table("fare_rules.txt", _fare_rule)
        needs_trips = any(rule.contains_id for rule in rules)
        info = self.table("feed_info.txt", _feed_info)
        first, last, version = info[0] if info else ("", "", "")
        return Feed(
            name=self.files.name,
            files=self.files.names,
            has_priority=self.has_column("fare_leg_rules.txt", "rule_priority"),
            has_route_networks=self.has_column("routes.txt", "network_id"),
            products=self.table("fare_products.txt", _product),
            leg_rules=self.table("fare_leg_rules.txt", _leg_rule),
            join_rules=self.table("fare_leg_join_rules.txt", _join_rule),
            transfer_rules=self.table("fare_transfer_rules.txt", _transfer_rule),
            timeframes=tuple(self.timeframes()),
            categories=self.table("rider_categories.txt", _category),
            media=self.table("fare_media.txt", _medium),
            areas=self.table("areas.txt", _named("area")),
            networks=self.table("networks.txt", _named("network")),
            stop_areas=self.table("stop_areas.txt", _member("area_id", "stop_id")),
            route_networks=self.table("route_networks.txt", _member("network_id", "route_id")),
            stops=self.table("stops.txt", _stop),
            routes=self.table("routes.txt", _route),
            services=self.table("calendar.txt", _service),
            service_dates=self.table("calendar_dates.txt", _service_date),
            agencies=self.table("agency.txt", _agency),
            fares=self.table("fare_attributes.txt", _fare),
            fare_rules=rules,
            trips=self.table("trips.txt", _trip) if needs_trips else (),
            stop_times=self.table("stop_times.txt", _stop_time) if needs_trips else (),
            first_day=parse_date(first),
            last_day=parse_date(last),
            version=version,
        )

    def timeframes(self) -> Iterator[Timeframe]:
        """Rows that end after they begin; by a switch others are two, cut at midnight."""
        for one in self.table("timeframes.txt", _timeframe):
            if one.end_s > one.start_s:
                yield one
            elif one.end_s < one.start_s and self.switches.timeframe_over_midnight:
                yield replace(one, end_s=DAY_S)
                if one.end_s > 0:
                    yield replace(one, start_s=0)
            else:
                said = "is not after start_time: write two rows at midnight"
                self.findings.add(
                    "GTFS_TIME", "timeframes.txt", said, line=one.line, field="end_time"
                )

    def table(self, file: str, build: Callable[[Reader], Typed]) -> tuple[Typed, ...]:
        """Typed rows of a file; () when there is none."""
        raw = self.files.find_table(file, self.findings)
        if raw is None:
            return ()
        missing = [name for name in REQUIRED.get(file, ()) if name not in raw.columns]
        for name in missing:
            self.findings.add("GTFS_COLUMN", file, "is missing", line=1, field=name)
        for name in raw.columns:
            if file in COLUMNS and name not in COLUMNS[file]:
                self.findings.add("GTFS_UNKNOWN_COLUMN", file, "is not known", line=1, field=name)
        if missing:
            return ()
        return tuple(build(Reader(file, row, self.findings)) for row in raw.rows)

    def has_column(self, file: str, column: str) -> bool:
        """Whether a file names a column; an empty one counts."""
        raw = self.files.find_table(file, Findings())
        return raw is not None and column in raw.columns


def _product(row: Reader) -> FareProduct:
    currency = row.currency("currency")
    return FareProduct(
        line=row.row.line,
        product_id=row.needed("fare_product_id"),
        name=row.text("fare_product_name"),
        category_id=row.text("rider_category_id"),
        media_id=row.text("fare_media_id"),
        amount_minor=row.amount("amount", currency, negative=True),
        currency=currency,
        is_period=bool(row.text("duration_amount")),
    )


def _leg_rule(row: Reader) -> LegRule:
    return LegRule(
        line=row.row.line,
        group_id=row.text("leg_group_id"),
        network_id=row.text("network_id"),
        from_area_id=row.text("from_area_id"),
        to_area_id=row.text("to_area_id"),
        from_timeframe_id=row.text("from_timeframe_group_id"),
        to_timeframe_id=row.text("to_timeframe_group_id"),
        product_id=row.needed("fare_product_id"),
        priority=row.number("rule_priority", low=0, high=PRIORITY_MAX, empty=0),
    )


def _join_rule(row: Reader) -> JoinRule:
    rule = JoinRule(
        line=row.row.line,
        from_network_id=row.needed("from_network_id"),
        to_network_id=row.needed("to_network_id"),
        from_stop_id=row.text("from_stop_id"),
        to_stop_id=row.text("to_stop_id"),
    )
    if bool(rule.from_stop_id) != bool(rule.to_stop_id):
        row.fault("GTFS_PAIR", "from_stop_id", "stands without the other stop")
    return rule


def _transfer_rule(row: Reader) -> TransferRule:
    limit_s = row.number("duration_limit", low=1, high=366 * DAY_S, empty=-1)
    if limit_s < 0 and row.text("duration_limit_type"):
        row.fault("GTFS_TYPE_FORBIDDEN", "duration_limit_type", "stands without a limit")
    return TransferRule(
        line=row.row.line,
        from_group_id=row.text("from_leg_group_id"),
        to_group_id=row.text("to_leg_group_id"),
        count=_transfer_count(row),
        limit_s=limit_s,
        limit_type=row.enum("duration_limit_type", range(4)) if limit_s >= 0 else 0,
        transfer_type=row.enum("fare_transfer_type", range(3)),
        product_id=row.text("fare_product_id"),
    )


def _transfer_count(row: Reader) -> int:
    start, end = row.text("from_leg_group_id"), row.text("to_leg_group_id")
    if start != end:
        if row.text("transfer_count"):
            said = f"stands on a rule from {start or 'any'!r} to {end or 'any'!r}"
            row.fault("GTFS_COUNT_FORBIDDEN", "transfer_count", said)
        return -1
    # Between any group and any other the letter asks for a count too; what is meant is plain.
    count = row.number("transfer_count", low=-1, high=COUNT_MAX, empty=-1 if not start else None)
    if count == 0:
        row.fault("GTFS_NUMBER", "transfer_count", "is 0, not -1 or at least 1")
    return count


def _timeframe(row: Reader) -> Timeframe:
    if bool(row.text("start_time")) != bool(row.text("end_time")):
        row.fault("GTFS_PAIR", "start_time", "stands without the other time")
    return Timeframe(
        line=row.row.line,
        group_id=row.needed("timeframe_group_id"),
        start_s=row.time_of_day("start_time", 0),
        end_s=row.time_of_day("end_time", DAY_S),
        service_id=row.needed("service_id"),
    )


def _category(row: Reader) -> RiderCategory:
    return RiderCategory(
        line=row.row.line,
        category_id=row.needed("rider_category_id"),
        name=row.text("rider_category_name"),
        is_default=row.enum("is_default_fare_category", range(2), empty=0) == 1,
    )


def _medium(row: Reader) -> FareMedium:
    return FareMedium(
        line=row.row.line,
        media_id=row.needed("fare_media_id"),
        name=row.text("fare_media_name"),
        kind=row.enum("fare_media_type", range(5)),
    )


def _named(what: str) -> Callable[[Reader], Named]:
    def build(row: Reader) -> Named:
        return Named(row.row.line, row.needed(f"{what}_id"), row.text(f"{what}_name"))

    return build


def _member(group: str, member: str) -> Callable[[Reader], Membership]:
    def build(row: Reader) -> Membership:
        return Membership(row.row.line, row.needed(group), row.needed(member))

    return build


def _stop(row: Reader) -> Stop:
    return Stop(
        line=row.row.line,
        stop_id=row.needed("stop_id"),
        name=row.text("stop_name"),
        zone_id=row.text("zone_id"),
        kind=row.enum("location_type", range(5), empty=0),
        parent=row.text("parent_station"),
        zone=row.text("stop_timezone"),
    )


def _route(row: Reader) -> Route:
    return Route(
        line=row.row.line,
        route_id=row.needed("route_id"),
        agency_id=row.text("agency_id"),
        network_id=row.text("network_id"),
    )


def _service(row: Reader) -> Service:
    return Service(
        line=row.row.line,
        service_id=row.needed("service_id"),
        weekdays=tuple(row.enum(day, range(2)) == 1 for day in WEEKDAYS),
        start=row.day("start_date"),
        end=row.day("end_date"),
    )


def _service_date(row: Reader) -> ServiceDate:
    return ServiceDate(
        line=row.row.line,
        service_id=row.needed("service_id"),
        day=row.day("date"),
        is_added=row.enum("exception_type", range(1, 3)) == 1,
    )


def _agency(row: Reader) -> Agency:
    return Agency(row.row.line, row.text("agency_id"), row.needed("agency_timezone"))


def _fare(row: Reader) -> FareAttribute:
    currency = row.currency("currency_type")
    return FareAttribute(
        line=row.row.line,
        fare_id=row.needed("fare_id"),
        price_minor=row.amount("price", currency),
        currency=currency,
        payment_method=row.enum("payment_method", range(2)),
        transfers=row.number("transfers", low=0, high=COUNT_MAX, empty=-1),
        agency_id=row.text("agency_id"),
        duration_s=row.seconds("transfer_duration"),
    )


def _fare_rule(row: Reader) -> FareRule:
    return FareRule(
        line=row.row.line,
        fare_id=row.needed("fare_id"),
        route_id=row.text("route_id"),
        origin_id=row.text("origin_id"),
        destination_id=row.text("destination_id"),
        contains_id=row.text("contains_id"),
    )


def _trip(row: Reader) -> Trip:
    return Trip(row.row.line, row.needed("trip_id"), row.needed("route_id"))


def _stop_time(row: Reader) -> StopTime:
    sequence = row.number("stop_sequence", low=0, high=PRIORITY_MAX)
    return StopTime(row.row.line, row.needed("trip_id"), row.text("stop_id"), sequence)


def _feed_info(row: Reader) -> tuple[str, str, str]:
    return row.text("feed_start_date"), row.text("feed_end_date"), row.text("feed_version")
