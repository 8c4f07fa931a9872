"""Rules of days, weeks and months: counters, caps, tiers, passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastpath.layers import COUNTERS_MAX, PERIOD_RULES_MAX, STEPS_MAX, Measure, PassStart, Window
from gateway.tariffs.calendar import US_PER_S
from gateway.tariffs.load_calendar import WEEKDAYS
from gateway.tariffs.load_names import (
    Known,
    Origins,
    check_unique,
    pick,
    pick_media,
    pick_one,
    read_title,
)
from gateway.tariffs.reader import Table
from gateway.tariffs.source_layers import CapRule, CounterRule, Names, PassRule, Scope, TierRule
from gateway.tariffs.units import Currency

US_PER_HOUR = 3600 * US_PER_S
_WINDOWS = {
    "day": Window.DAY,
    "week": Window.WEEK,
    "month": Window.MONTH,
    "rolling_days": Window.ROLLING_DAYS,
    "rolling_hours": Window.ROLLING,
}
_ROLLING = ("rolling_days", "rolling_hours")


@dataclass(frozen=True, slots=True)
class Periods:
    """Everything of layer 3 but the simple month."""

    counters: tuple[CounterRule, ...]
    caps: tuple[CapRule, ...]
    tiers: tuple[TierRule, ...]
    passes: tuple[PassRule, ...]


def load_periods(root: Table, currency: Currency, known: Known, origins: Origins) -> Periods:
    """[[counter]], [[cap]], [[tier]], [[pass]]."""
    counters = tuple(_read_counter(row, known) for row in root.tables("counter", needed=False))
    names = [one.name for one in counters]
    check_unique(root, "counter", names)
    periods = Periods(
        counters,
        tuple(
            _read_cap(row, currency, known, names, origins)
            for row in root.tables("cap", needed=False)
        ),
        tuple(
            _read_tier(row, currency, known, names, origins)
            for row in root.tables("tier", needed=False)
        ),
        tuple(
            _read_pass(row, currency, known, origins) for row in root.tables("pass", needed=False)
        ),
    )
    _check_counts(root, periods)
    return periods


def _check_counts(root: Table, periods: Periods) -> None:
    if len(periods.counters) > COUNTERS_MAX:
        root.fault("counter", f"there are {len(periods.counters)}", f"at most {COUNTERS_MAX}")
    rules = len(periods.caps) + len(periods.tiers)
    if rules > PERIOD_RULES_MAX:
        root.fault("cap", f"{rules} caps and tiers", f"at most {PERIOD_RULES_MAX}")
    if sum(one.is_split for one in periods.tiers) > 1:
        root.fault("tier", "two are split", "one rule of a tariff may cut rides in two")
    check_unique(root, "pass", [one.name for one in periods.passes])


def _read_scope(row: Table, known: Known) -> Scope:
    return Scope(
        networks=pick(row, "networks", known.networks),
        categories=pick(row, "categories", known.categories),
        frames=pick(row, "frames", known.frames),
        media=pick_media(row),
    )


def _read_counter(row: Table, known: Known) -> CounterRule:
    window = row.choice("window", tuple(_WINDOWS))
    length = row.whole("length", low=1, high=10_000) if window in _ROLLING else 0
    counter = CounterRule(
        name=row.text("name"),
        window=_WINDOWS[window],
        length=length * US_PER_HOUR if window == "rolling_hours" else length,
        week_start=WEEKDAYS.index(row.choice("week_start", WEEKDAYS, "monday")),
        counts_nominal=row.choice("counts", ("paid", "nominal"), "paid") == "nominal",
        skips_free=row.choice("free_trips", ("counted", "left_out"), "counted") == "left_out",
        scope=_read_scope(row, known),
    )
    row.close()
    return counter


def _read_cap(
    row: Table, currency: Currency, known: Known, counters: list[str], origins: Origins
) -> CapRule:
    name, title = row.text("name"), read_title(row, needed=True)
    if row.has("limit") == row.has("limits"):
        row.fault("limit", "write either `limit` or `limits`")
    limits: list[tuple[Names, int]] = []
    if row.has("limit"):
        limits.append(((), row.amount("limit", currency.exponent)))
    for part in row.tables("limits", needed=False):
        limits.append((pick(part, "zones", known.zones), part.amount("limit", currency.exponent)))
        part.close()
    if len(limits) > STEPS_MAX:
        row.fault("limits", f"there are {len(limits)}", f"at most {STEPS_MAX}")
    cap = CapRule(
        name=name,
        title=title,
        counter=pick_one(row, "counter", counters),
        limits=tuple(limits),
        scope=_read_scope(row, known),
        origin=origins.add(row, name, title),
    )
    row.close()
    return cap


def _read_tier(
    row: Table, currency: Currency, known: Known, counters: list[str], origins: Origins
) -> TierRule:
    name, title = row.text("name"), read_title(row, needed=True)
    basis = row.choice("basis", ("paid", "trips"), "paid")
    is_split = row.choice("crossing", ("whole", "split"), "whole") == "split"
    if is_split and basis == "trips":
        row.fault("crossing", "a trip cannot be cut in two", "take whole, or basis = paid")
    tier = TierRule(
        name=name,
        title=title,
        counter=pick_one(row, "counter", counters),
        measure=Measure.TRIPS if basis == "trips" else Measure.PAID,
        is_split=is_split,
        steps=tuple(read_steps(row, "steps", currency, is_trips=basis == "trips")),
        scope=_read_scope(row, known),
        origin=origins.add(row, name, title),
    )
    if not 0 < len(tier.steps) <= STEPS_MAX:
        row.fault("steps", f"there are {len(tier.steps)}", f"1 to {STEPS_MAX}")
    row.close()
    return tier


def read_steps(
    row: Table, key: str, currency: Currency, *, is_trips: bool
) -> Iterator[tuple[int, int]]:
    """(amount or trips from which on, factor), rising."""
    last = -1
    for part in row.tables(key, needed=False):
        if is_trips:
            start = part.whole("after_trips", high=1_000_000)
        else:
            start = part.amount("from", currency.exponent)
        if start <= last:
            part.fault("after_trips" if is_trips else "from", "does not rise", "smallest first")
        last = start
        yield start, part.factor("factor")
        part.close()


def _read_pass(row: Table, currency: Currency, known: Known, origins: Origins) -> PassRule:
    name, title = row.text("name"), read_title(row, needed=True)
    lengths = [key for key in ("hours", "days", "weeks", "months") if row.has(key)]
    if len(lengths) > 1:
        row.fault(lengths[1], f"stands beside `{lengths[0]}`", "one of them, or neither")
    one = PassRule(
        name=name,
        title=title,
        price_minor=row.amount("price", currency.exponent),
        start=PassStart[row.choice("starts", ("purchase", "first_use"), "purchase").upper()],
        duration_us=row.whole("hours", 0, high=100_000) * US_PER_HOUR,
        service_days=row.whole("days", 0, high=3650),
        months=row.whole("months", 0, high=120),
        weeks=row.whole("weeks", 0, high=255),
        rides=row.whole("rides", -1, low=-1, high=60_000),
        zones=pick(row, "zones", known.zones),
        scope=_read_scope(row, known),
        origin=origins.add(row, name, title),
    )
    row.close()
    return one
