"""Which row of a table acted where a decision says only that one did: factors, pairs, stays,
categories.

From what is known of the ride. A row is named when it is the only one that can have been it; what
is not known leaves rows open, and then none is named.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from fastpath.layers import ALL_ZONES
from fastpath.types import Rule, TariffSpec
from gateway.tariffs.compile_legs import category_name, zone_bits
from gateway.tariffs.source import TariffSource
from gateway.tariffs.source_layers import OTHER_FRAME, LongestStay


@dataclass(frozen=True, slots=True, kw_only=True)
class RideFacts:
    """What is known of a ride beside its decision; -1 or 0 (stops) = not known.

    left_stop: where the ride before ended; entry_stop: where this one began; origin_stop: where
    the journey began that this ride is priced with.
    """

    entry_us: int = -1
    exit_us: int = -1
    category: int = -1
    medium: int = -1
    network: int = -1
    left_stop: int = 0
    entry_stop: int = 0
    origin_stop: int = 0
    exit_stop: int = 0


NOTHING_KNOWN = RideFacts()


@dataclass(frozen=True, slots=True)
class Place:
    """A row of the tariff's file, and what people call it."""

    key: str
    title: dict[str, str]


def find_row(rule: Rule, source: TariffSource, spec: TariffSpec, facts: RideFacts) -> Place | None:
    """The row by which a rule acted; None = several may have."""
    find = _FINDERS.get(rule)
    rows = list(dict.fromkeys(find(source, spec, facts))) if find is not None else []
    return _place(rule, source, rows[0]) if len(rows) == 1 else None


def has_rows(rule: Rule, source: TariffSource) -> bool:
    """Whether a rule is written in rows of a table, one of which acts."""
    if rule is Rule.OVERSTAY:
        return bool(source.layers.longest_stays)
    return rule in _FINDERS


def find_frame(source: TariffSource, spec: TariffSpec, ts_us: int) -> str:
    """The name of the frame of an instant."""
    number = _frame_number(spec, ts_us)
    return source.layers.frames[number - 1].name if number else OTHER_FRAME


def _frame_number(spec: TariffSpec, ts_us: int) -> int:
    legs = spec.layers.legs if spec.layers else None
    starts = spec.days.start_us
    if legs is None or not (legs.frames.start_us and starts[0] <= ts_us < starts[-1]):
        return 0
    return legs.frames.frame[bisect_right(legs.frames.start_us, ts_us) - 1]


def _factors(source: TariffSource, spec: TariffSpec, facts: RideFacts) -> Iterator[int]:
    """Factors that can have been the first to fit: up to the first that must have."""
    name = category_name(source, facts.category) if facts.category >= 0 else ""
    frame = find_frame(source, spec, facts.entry_us) if facts.entry_us >= 0 else ""
    for number, one in enumerate(source.layers.factors):
        asked = (
            (bool(name), one.categories, name),
            (bool(frame), one.frames, frame),
            (facts.medium >= 0, one.media, facts.medium),
        )
        if any(known and wanted and has not in wanted for known, wanted, has in asked):
            continue
        yield number
        if all(known or not wanted for known, wanted, _ in asked):
            return


def _pairs(source: TariffSource, _: TariffSpec, facts: RideFacts) -> Iterator[int]:
    """Pairs of stations that lie between the ride before and this one."""
    ids = {one.zh: one.stop_id for one in source.network.stations}
    wanted = {stop for stop in (facts.left_stop, facts.entry_stop) if stop}
    for number, pair in enumerate(source.network.pairs):
        if wanted <= {ids[pair.first], ids[pair.second]}:
            yield number


def _stays(source: TariffSource, spec: TariffSpec, facts: RideFacts) -> Iterator[int]:
    """Longest stays that can have been the first to fit: up to the first that must have."""
    zones = _zones(spec, facts)
    frame = find_frame(source, spec, facts.entry_us) if facts.entry_us >= 0 else ""
    for number, one in enumerate(source.layers.longest_stays):
        if one.frames and frame and frame not in one.frames:
            continue
        if zones is not None and not _covers(source, one, zones):
            continue
        yield number
        if (frame or not one.frames) and (zones is not None or not one.zones):
            return


def _covers(source: TariffSource, stay: LongestStay, zones: int) -> bool:
    return not stay.zones or not zones & ~zone_bits(source, stay.zones)


def _zones(spec: TariffSpec, facts: RideFacts) -> int | None:
    """The zones of the leg from the journey's origin to the exit, as bits; None = not known."""
    legs = spec.layers.legs if spec.layers else None
    if legs is None or min(facts.entry_us, facts.exit_us, facts.category, facts.network) < 0:
        return None
    ends = [_class_of(spec, stop) for stop in (facts.origin_stop, facts.exit_stop)]
    if ends[0] is None or ends[1] is None:
        return None
    if not legs.zones:
        return ALL_ZONES
    frames = [_frame_number(spec, ts_us) for ts_us in (facts.entry_us, facts.exit_us)]
    at = (facts.network * legs.frames.count + frames[0]) * legs.frames.count + frames[1]
    column = legs.column[at * legs.category_count + facts.category]
    return legs.zones[(column * legs.class_count + ends[0]) * legs.class_count + ends[1]]


def _class_of(spec: TariffSpec, stop: int) -> int | None:
    index = bisect_left(spec.stop_ids, stop)
    if not stop or index == len(spec.stop_ids) or spec.stop_ids[index] != stop:
        return None
    return spec.layers.legs.stop_class[index] if spec.layers and spec.layers.legs else None


def _categories(source: TariffSource, _: TariffSpec, facts: RideFacts) -> Iterator[int]:
    for number, one in enumerate(source.layers.categories):
        if facts.category in {-1, one.number} and (one.number or facts.category == 0):
            yield number


_FINDERS = {
    Rule.LEG_FACTOR: _factors,
    Rule.OUT_OF_STATION: _pairs,
    Rule.OVERSTAY: _stays,
    Rule.CONCESSION: _categories,
}


def _place(rule: Rule, source: TariffSource, number: int) -> Place:
    if rule is Rule.LEG_FACTOR:
        factor = source.layers.factors[number]
        return Place(f"factor.{factor.name}", factor.title)
    if rule is Rule.CONCESSION:
        category = source.layers.categories[number]
        return Place(f"category.{category.name}", category.title)
    if rule is Rule.OUT_OF_STATION:
        pair = source.network.pairs[number]
        names = {one.zh: one for one in source.network.stations}
        ends = names[pair.first], names[pair.second]
        english, chinese = ([one.latin or one.zh for one in ends], [one.zh for one in ends])
        title = {"en": " - ".join(english), "zh": " - ".join(chinese)}
        return Place(f"out_of_station[{number}]", title)
    return Place(f"longest_stay[{number}]", {})
