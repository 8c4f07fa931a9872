"""Shipped tariffs, taps in any order of arrival: across midnight and the month's end, through caps
and the trip that crosses a monthly tier.
"""

from __future__ import annotations

from functools import cache
from itertools import chain, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import reference
from fastpath.types import CapOwner, Reason, TapKind, TariffSpec
from gateway.tariffs.loaded import load
from tests.fastpath.world import DAY_US, HOUR_US, MINUTE_US
from tests.rerating.arrivals import Arrivals, Made
from tests.rerating.test_orders import SOME, shuffled

CONFIG = Path(__file__).resolve().parents[2] / "config"
NAMES = ("beijing-subway", "london-2025", "guangzhou", "new-york-2026", "qingdao")
FEW = settings(SOME, max_examples=8)
LINES = {"london-2025": (0, 0, 7), "new-york-2026": (0, 1, 7), "guangzhou": (0, 0, 7)}


@cache
def shipped(name: str) -> TariffSpec:
    return load(CONFIG / "tariffs" / f"{name}.toml", calendars=(CONFIG / "calendars",)).spec


def month_end(spec: TariffSpec) -> int:
    """The instant at which the fourth month of the tariff's calendar begins."""
    days = spec.days
    turns = [at for at, pair in enumerate(pairwise(days.month), start=1) if pair[0] != pair[1]]
    return days.start_us[turns[3]]


@st.composite
def weeks(draw: st.DrawFn, name: str) -> list[Made]:
    """Rides around the end of a month, several a day, now and then past midnight."""
    spec = shipped(name)
    stops = list(spec.stop_ids)[:: max(1, len(spec.stop_ids) // 9)] or [0]
    at_us, found = month_end(spec) - 2 * DAY_US, []
    gaps = st.sampled_from([5 * MINUTE_US, 40 * MINUTE_US, 3 * HOUR_US, 20 * HOUR_US])
    for _ in range(draw(st.integers(4, 12))):
        at_us += draw(gaps)
        line = draw(st.sampled_from(LINES.get(name, (0,))))
        once = bool(line) or len(stops) == 1
        origin, destination = draw(st.sampled_from(stops)), draw(st.sampled_from(stops))
        if once:
            found.append(Made(TapKind.FLAT, origin, at_us, line))
            continue
        found.append(Made(TapKind.CHECK_IN, origin, at_us, line))
        at_us += draw(st.sampled_from([10 * MINUTE_US, 45 * MINUTE_US]))
        if draw(st.integers(0, 7)):
            found.append(Made(TapKind.CHECK_OUT, destination, at_us, line))
    return found


def let_arrive(name: str, steps: list[Made | str], paid_minor: int) -> tuple[Arrivals, int]:
    """The account after all of it, and how many taps were accepted."""
    spec = shipped(name)
    end_us = month_end(spec)
    calendar = reference.Version(1, spec).find_calendar(end_us - 1)
    assert calendar is not None
    period = reference.Period(month=calendar[0], month_paid_minor=paid_minor)
    of_medium = spec.rules.cap_owner == CapOwner.MEDIUM
    arrivals = Arrivals([spec], end_us + 15 * DAY_US, of_medium, period=period)
    count = 0
    for step in steps:
        if isinstance(step, str):
            arrivals.rerate()
        else:
            count += Reason(arrivals.arrive(step).reason).accepted
    return arrivals, count


@pytest.mark.parametrize("name", NAMES)
@FEW
@given(data=st.data(), paid_minor=st.sampled_from([0, 9_700, 14_800]))
def test_any_order_of_arrival(name, data, paid_minor):
    taps = data.draw(weeks(name))
    in_turn, count = let_arrive(name, list(taps), paid_minor)
    assert not in_turn.plan().is_needed
    some_order, accepted = let_arrive(name, data.draw(shuffled(taps)), paid_minor)
    some_order.rerate()
    assert accepted == count > 0
    assert some_order.charged_minor == in_turn.charged_minor
    assert some_order.standing() == in_turn.standing()


def test_the_crossing_trip_of_beijing_arrives_last():
    """Paid 97.00: the trip that crosses 100.00 costs the full fare, the ones behind it 80 %."""
    spec = shipped("beijing-subway")
    begin_us = month_end(spec) - 10 * DAY_US
    trips = [
        [
            Made(TapKind.CHECK_IN, 101, begin_us + day * DAY_US),
            Made(TapKind.CHECK_OUT, 119, begin_us + day * DAY_US + HOUR_US),
        ]
        for day in range(3)
    ]
    in_turn, _ = let_arrive("beijing-subway", [*chain(*trips)], 9_700)
    crossing, *behind = trips
    late, _ = let_arrive("beijing-subway", [*chain(*behind, crossing)], 9_700)
    fares = [one.fare_minor for one in in_turn.records if one.op == TapKind.CHECK_OUT]
    assert fares[1] * 10 == fares[0] * 8
    assert fares[2] == fares[1]
    assert late.charged_minor != in_turn.charged_minor
    plan = late.rerate()
    assert late.charged_minor == in_turn.charged_minor == sum(fares)
    assert [one.made.fare_minor for one in plan.taps if one.tap.kind == TapKind.CHECK_OUT] == fares


def test_the_last_minute_of_a_month_arrives_in_the_next():
    """A ride of the old month counts there: the new month's total does not move."""
    spec = shipped("beijing-subway")
    end_us = month_end(spec)
    old = [Made(TapKind.CHECK_IN, 101, end_us - 2 * HOUR_US), Made(2, 119, end_us - HOUR_US)]
    new = [Made(TapKind.CHECK_IN, 101, end_us + HOUR_US), Made(2, 119, end_us + 2 * HOUR_US)]
    in_turn, _ = let_arrive("beijing-subway", [*old, *new], 14_800)
    late, _ = let_arrive("beijing-subway", [*new, *old], 14_800)
    late.rerate()
    assert late.charged_minor == in_turn.charged_minor
    assert late.standing() == in_turn.standing()
