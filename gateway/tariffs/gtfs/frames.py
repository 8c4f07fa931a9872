"""Timeframes -> Frames: which timeframe groups hold at an instant, as one number.

The time of day is the clock's, the day the calendar day, whatever the trip's service day. On days
when clocks change, a time that comes twice holds twice and one that is skipped never.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from fastpath.layers import FRAMES_MAX, Frames
from gateway.tariffs.calendar import EPOCH, US_PER_DAY, US_PER_S, ClockChange, local_us
from gateway.tariffs.gtfs.calendar import ServiceCalendar, days_between
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.settings import Switches
from gateway.tariffs.gtfs.tables import Feed, Timeframe

Groups = frozenset[str]
NO_GROUPS: Groups = frozenset()
FILE = "timeframes.txt"
_ONE_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class FramePlan:
    """The frames of the engine, and which timeframe groups each of them means."""

    frames: Frames
    groups: tuple[Groups, ...]


@dataclass(frozen=True, slots=True)
class _Span:
    """A timeframe of one day, in microseconds after midnight by the clock; end excluded."""

    group: str
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A part of a day without a clock change."""

    start_us: int
    clock_us: int
    """What the clock shows then, after midnight."""
    length_us: int


def plain_frames(day_starts: array[int]) -> FramePlan:
    """One frame for all time. Args: day_starts: of each day, and the end of the last."""
    days = len(day_starts) - 1
    row = array("I", range(days + 1))
    return FramePlan(Frames(1, row, day_starts[:days], bytes(days)), (NO_GROUPS,))


def build_frames(
    feed: Feed, zone: ZoneInfo, span: tuple[date, int], switches: Switches, findings: Findings
) -> FramePlan:
    """Frames of so many days from the first one on. Only groups that leg rules name count.

    Raises nothing: too many different combinations are a finding.
    """
    named = {rule.from_timeframe_id for rule in feed.leg_rules}
    named |= {rule.to_timeframe_id for rule in feed.leg_rules}
    rows = [one for one in feed.timeframes if one.group_id in named]
    spans = [(one.service_id, _span(one, switches)) for one in rows]
    calendar = ServiceCalendar(feed)
    numbers: dict[Groups, int] = {NO_GROUPS: 0}
    starts, frames, places = array("q"), bytearray(), array("I", [0])
    for day in days_between(*span):
        services = calendar.services_of(day)
        active = [one for service, one in spans if service in services]
        for start_us, groups in _entries(active, day, zone):
            frame = numbers.setdefault(groups, len(numbers))
            starts.append(start_us)
            frames.append(min(frame, FRAMES_MAX - 1))
        places.append(len(starts))
    if len(numbers) > FRAMES_MAX:
        said = f"{len(numbers)} combinations of timeframe groups, at most {FRAMES_MAX}"
        findings.add("GTFS_TOO_LARGE", FILE, said)
        numbers = dict(list(numbers.items())[:FRAMES_MAX])
    return FramePlan(Frames(len(numbers), places, starts, bytes(frames)), tuple(numbers))


def _span(row: Timeframe, switches: Switches) -> _Span:
    end_us = row.end_s * US_PER_S
    if switches.timeframe_end_included:
        end_us = min(end_us + 1, US_PER_DAY)
    return _Span(row.group_id, row.start_s * US_PER_S, end_us)


def _entries(active: list[_Span], day: date, zone: ZoneInfo) -> Iterator[tuple[int, Groups]]:
    """Instants of a day from which on the groups are others, the day's start first."""
    stretches = list(_stretches(day, zone))
    last: Groups | None = None
    for stretch in stretches:
        until_us = stretch.clock_us + stretch.length_us
        edges = {edge for one in active for edge in (one.start_us, one.end_us)}
        inside = sorted(edge for edge in edges if stretch.clock_us < edge < until_us)
        for clock_us in (stretch.clock_us, *inside):
            groups = frozenset(one.group for one in active if one.start_us <= clock_us < one.end_us)
            if groups != last:
                yield stretch.start_us + clock_us - stretch.clock_us, groups
            last = groups


def _stretches(day: date, zone: ZoneInfo) -> Iterator[_Stretch]:
    """The day from midnight to midnight, cut where the clock changes."""
    start_us, end_us = midnight_us(day, zone), midnight_us(day + timedelta(days=1), zone)
    while start_us < end_us:
        offset = _offset_us(start_us, zone)
        until_us = end_us
        if _offset_us(end_us - 1, zone) != offset:
            until_us = _change_us(start_us, end_us - 1, zone)
        clock_us = start_us + offset - (datetime.combine(day, time(), UTC) - EPOCH) // _ONE_US
        yield _Stretch(start_us, clock_us, until_us - start_us)
        start_us = until_us


def midnight_us(day: date, zone: ZoneInfo) -> int:
    """The first instant of a calendar day."""
    return local_us(datetime.combine(day, time()), zone, ClockChange.EARLIER)


def _offset_us(ts_us: int, zone: ZoneInfo) -> int:
    moment = (EPOCH + timedelta(microseconds=ts_us)).astimezone(zone)
    return (moment.utcoffset() or timedelta()) // _ONE_US


def _change_us(low_us: int, high_us: int, zone: ZoneInfo) -> int:
    """The first instant behind low_us with another offset; at high_us it is another."""
    offset = _offset_us(low_us, zone)
    while high_us - low_us > 1:
        middle_us = (low_us + high_us) // 2
        if _offset_us(middle_us, zone) == offset:
            low_us = middle_us
        else:
            high_us = middle_us
    return high_us
