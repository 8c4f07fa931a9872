"""LayerSource -> fastpath.layers.Layers: names become numbers, rules become rows of tables."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TypedDict

from fastpath.layers import (
    ALL_CATEGORIES,
    ALL_FRAMES,
    ALL_MEDIA,
    ALL_NETWORKS,
    ALL_ZONES,
    MEDIA_MAX,
    Counter,
    Frames,
    Join,
    Layers,
    PassProduct,
    PeriodKind,
    PeriodRule,
    SameStop,
    Step,
    Transfer,
)
from gateway.tariffs.compile_frames import build_frames
from gateway.tariffs.compile_legs import (
    LegTables,
    Products,
    build_legs,
    category_count,
    category_name,
    group_numbers,
    zone_bits,
)
from gateway.tariffs.source import TariffSource
from gateway.tariffs.source_layers import ANY, OTHER_FRAME, Names, Scope, TransferRule


@dataclass(frozen=True, slots=True)
class Compiled:
    """Layers; highest fares by stop when the prices are theirs (else None)."""

    layers: Layers
    highest_minor: array[int] | None


class _Bits(TypedDict):
    networks: int
    categories: int
    frames: int
    media: int


def compile_layers(
    source: TariffSource, days: list[date], starts: array[int], index: dict[str, int]
) -> Compiled | None:
    """Everything beyond the plain tables; None when the tariff uses none of it.

    Args: starts: first instants of the service days and the end of the last; index: stop by name.
    Raises: TariffError.
    """
    if source.layers.is_plain:
        return None
    products, groups = Products(category_count(source)), group_numbers(source)
    transfers = tuple(_transfers(source, groups, products))
    tables: LegTables | None = None
    if source.layers.uses_legs:
        tables = build_legs(source, _frames(source, days, starts), products)
    layers = Layers(
        legs=tables.legs if tables else None,
        same_stop=tuple(
            SameStop(one.until_us, one.kind, one.fare_minor, one.times, one.origin)
            for one in source.layers.same_station
        ),
        joins=tuple(_joins(source, index)),
        group_count=len(groups),
        transfers=transfers,
        counters=tuple(_counters(source)),
        period_rules=tuple(_period_rules(source)),
        passes=tuple(_passes(source)),
        overstay=source.layers.overstay,
        round_mode=source.layers.round_mode,
        group_riders_max=source.layers.group_riders,
        span_networks=sum(
            1 << number for number, one in enumerate(source.layers.networks) if one.keeps_span
        ),
    )
    return Compiled(layers, tables.highest_minor if tables else None)


def counter_id(name: str) -> int:
    """The number of a counter or a pass: CRC-32 of its name."""
    return zlib.crc32(name.encode())


def _frames(source: TariffSource, days: list[date], starts: array[int]) -> Frames:
    if source.layers.frames:
        return build_frames(source, days, starts)
    return Frames(1, array("I", [0]) * (len(days) + 1), array("q"), b"")


def _joins(source: TariffSource, index: dict[str, int]) -> Iterator[Join]:
    numbers = {one.name: number for number, one in enumerate(source.layers.networks)}
    stops = {one.stop_id: index[one.zh] for one in source.network.stations}
    for one in source.layers.joins:
        yield Join(
            from_network=numbers[one.start],
            to_network=numbers[one.end],
            from_idx=stops.get(one.from_stop, -1),
            to_idx=stops.get(one.to_stop, -1),
            window_us=one.window_us,
            source=one.origin,
        )


def _transfers(
    source: TariffSource, groups: dict[str, int], products: Products
) -> Iterator[Transfer]:
    """One row for each pair of groups, in the order of the rules."""
    for rule in source.layers.transfers:
        number = _product_of(source, rule, products)
        for start in _groups(rule.start, groups):
            for end in _groups(rule.end, groups):
                yield Transfer(
                    from_group=start,
                    to_group=end,
                    effect=rule.effect,
                    amount_minor=rule.amount_minor,
                    product=number,
                    count_max=rule.count_max,
                    window_us=rule.window_us,
                    measured=rule.measured,
                    begins=rule.begins,
                    source=rule.origin,
                )


def _groups(names: Names, groups: dict[str, int]) -> list[int]:
    return list(groups.values()) if names == (ANY,) else [groups[name] for name in names]


def _product_of(source: TariffSource, rule: TransferRule, products: Products) -> int:
    """A product that only those have whom the rule is for; -1 when it is for all."""
    if not (rule.categories or rule.media):
        return -1
    prices = []
    for number in range(category_count(source)):
        is_sold = not rule.categories or category_name(source, number) in rule.categories
        for kind in range(MEDIA_MAX):
            on_medium = not rule.media or kind in rule.media
            prices.append(rule.amount_minor if is_sold and on_medium else -1)
    return products.number(tuple(prices))


def _counters(source: TariffSource) -> Iterator[Counter]:
    for one in source.layers.counters:
        yield Counter(
            name=one.name,
            counter_id=counter_id(one.name),
            window=one.window,
            length=one.length,
            week_start=one.week_start,
            counts_nominal=one.counts_nominal,
            skips_free=one.skips_free,
            **_scope(source, one.scope),
        )


def _period_rules(source: TariffSource) -> Iterator[PeriodRule]:
    """Tiers, then caps, each in the order of the file."""
    counters = [one.name for one in source.layers.counters]
    for tier in source.layers.tiers:
        yield PeriodRule(
            name=tier.name,
            kind=PeriodKind.TIERS,
            counter=counters.index(tier.counter),
            steps=tuple(Step(from_value=start, factor_ppm=ppm) for start, ppm in tier.steps),
            measure=tier.measure,
            is_split=tier.is_split,
            source=tier.origin,
            **_scope(source, tier.scope),
        )
    for cap in source.layers.caps:
        yield PeriodRule(
            name=cap.name,
            kind=PeriodKind.CAP,
            counter=counters.index(cap.counter),
            steps=tuple(
                Step(limit_minor=limit, zones=_zone_bits(source, zones))
                for zones, limit in cap.limits
            ),
            source=cap.origin,
            **_scope(source, cap.scope),
        )


def _passes(source: TariffSource) -> Iterator[PassProduct]:
    for one in source.layers.passes:
        yield PassProduct(
            name=one.name,
            pass_id=counter_id(one.name),
            price_minor=one.price_minor,
            start=one.start,
            duration_us=one.duration_us,
            service_days=one.service_days,
            rides=one.rides,
            months=one.months,
            weeks=one.weeks,
            zones=_zone_bits(source, one.zones),
            source=one.origin,
            **_scope(source, one.scope),
        )


def _scope(source: TariffSource, scope: Scope) -> _Bits:
    """What a counter, rule or pass is for, as the engine's bits."""
    names = [OTHER_FRAME, *(one.name for one in source.layers.frames)]
    frames = sum(1 << names.index(name) for name in scope.frames)
    media = sum(1 << kind for kind in scope.media)
    return {
        "networks": _network_bits(source, scope.networks),
        "categories": _category_bits(source, scope.categories),
        "frames": frames or ALL_FRAMES,
        "media": media or ALL_MEDIA,
    }


def _network_bits(source: TariffSource, names: Names) -> int:
    if not names:
        return ALL_NETWORKS
    all_names = [one.name for one in source.layers.networks]
    return sum(1 << all_names.index(name) for name in names)


def _category_bits(source: TariffSource, names: Names) -> int:
    if not names:
        return ALL_CATEGORIES
    numbers = range(category_count(source))
    return sum(1 << number for number in numbers if category_name(source, number) in names)


def _zone_bits(source: TariffSource, names: Names) -> int:
    return zone_bits(source, names) if names else ALL_ZONES
