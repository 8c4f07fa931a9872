"""Timeframes on days when the clock changes, and days without a service."""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from gateway.tariffs.calendar import instant_us
from gateway.tariffs.gtfs.findings import Findings
from gateway.tariffs.gtfs.frames import FramePlan, build_frames
from gateway.tariffs.gtfs.settings import Switches
from gateway.tariffs.gtfs.tables import Feed, LegRule, Service, Timeframe

H = 3600


def plan_for(zone: str, first: date, *frames: tuple[str, int, int]) -> FramePlan:
    """Frames of three days on which one service runs."""
    feed = Feed(
        name="f",
        files=frozenset(),
        has_priority=False,
        has_route_networks=False,
        leg_rules=tuple(LegRule(1, "", "", "", "", name, "", "p", 0) for name, _, _ in frames),
        timeframes=tuple(Timeframe(1, name, start, end, "s") for name, start, end in frames),
        services=(Service(1, "s", (True,) * 7, date(2020, 1, 1), date(2030, 1, 1)),),
    )
    return build_frames(feed, ZoneInfo(zone), (first, 3), Switches(), Findings())


def groups_at(plan: FramePlan, moment: str, zone: str) -> set[str]:
    """Which groups hold at an instant, by the rule of fastpath.layers.Frames."""
    when = datetime.fromisoformat(moment)
    ts_us = instant_us(when if when.tzinfo else when.replace(tzinfo=ZoneInfo(zone)))
    at = bisect_right(plan.frames.start_us, ts_us) - 1
    return set(plan.groups[plan.frames.frame[at]])


LONDON, NEW_YORK = "Europe/London", "America/New_York"
EARLY, LATE = ("early", 1 * H, 1 * H + 1800), ("late", 2 * H, 3 * H)


@pytest.mark.parametrize(
    ("zone", "moment", "expected"),
    [
        # 2026-10-25 London: 01:00-02:00 comes twice, first as +01:00
        (LONDON, "2026-10-25T00:59:59+01:00", set()),
        (LONDON, "2026-10-25T01:00:00+01:00", {"early"}),
        (LONDON, "2026-10-25T01:29:59+01:00", {"early"}),
        (LONDON, "2026-10-25T01:30:00+01:00", set()),
        (LONDON, "2026-10-25T01:00:00+00:00", {"early"}),
        (LONDON, "2026-10-25T01:30:00+00:00", set()),
        (LONDON, "2026-10-25T02:00:00+00:00", {"late"}),
        (LONDON, "2026-10-25T03:00:00+00:00", set()),
        # 2026-03-08 New York: 02:00-03:00 never comes
        (NEW_YORK, "2026-03-08T01:59:59-05:00", set()),
        (NEW_YORK, "2026-03-08T03:00:00-04:00", set()),
        (NEW_YORK, "2026-03-08T01:15:00-05:00", {"early"}),
        (NEW_YORK, "2026-03-09T02:00:00-04:00", {"late"}),
    ],
)
def test_clock_changes(zone: str, moment: str, expected: set[str]) -> None:
    first = date.fromisoformat(moment[:10]).replace(day=8 if zone == NEW_YORK else 25)
    assert groups_at(plan_for(zone, first, EARLY, LATE), moment, zone) == expected


def test_frames_begin_with_their_day() -> None:
    plan = plan_for(LONDON, date(2026, 10, 24), EARLY)
    starts = [plan.frames.start_us[plan.frames.row[day]] for day in range(3)]
    hours = [(later - earlier) // 3_600_000_000 for earlier, later in pairwise(starts)]
    assert hours == [24, 25]


def test_overlapping_groups_are_one_frame_each() -> None:
    plan = plan_for("UTC", date(2026, 1, 1), ("a", 0, 10 * H), ("b", 5 * H, 24 * H))
    assert groups_at(plan, "2026-01-01T04:59:59", "UTC") == {"a"}
    assert groups_at(plan, "2026-01-01T05:00:00", "UTC") == {"a", "b"}
    assert groups_at(plan, "2026-01-01T10:00:00", "UTC") == {"b"}


def test_combinations_of_a_day_keep_their_number() -> None:
    plan = plan_for("UTC", date(2026, 1, 1), ("a", 6 * H, 9 * H))
    assert plan.frames.count == 2
    assert plan.groups == (frozenset(), frozenset({"a"}))
