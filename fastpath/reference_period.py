"""Layer 3 of the reference engine: counters, caps, passes.

docs/fares.md, "Layer 3", is the text. Must import only the standard library and fastpath.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fastpath import layers as spec_of
from fastpath.layers import Measure, PassProduct, PeriodKind, PeriodRule, Window
from fastpath.reference_case import Case, Charge, Leg, find_calendar
from fastpath.reference_cells import Counter, Pass
from fastpath.types import Act, Rule

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US


def fits(mask: int, number: int) -> bool:
    """Whether a network or category is among those of a rule."""
    return bool(mask >> number & 1)


def in_scope(spec: spec_of.Counter | PeriodRule | PassProduct, leg: Leg) -> bool:
    """Whether a leg is among those that a counter, a rule or a pass is for."""
    return (
        fits(spec.networks, leg.network)
        and fits(spec.categories, leg.category)
        and fits(spec.frames, leg.frame_in)
        and fits(spec.media, leg.medium)
    )


def rules_for(case: Case, leg: Leg, kind: PeriodKind) -> Iterator[tuple[int, PeriodRule]]:
    """(index, rule) of the period rules that act on a leg."""
    for index, rule in enumerate(case.layers.period_rules):
        if rule.kind == kind and in_scope(rule, leg):
            yield index, rule


# --- windows --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """A counter as a leg finds it. window: the one the leg belongs to; is_same: the stored one."""

    spec: spec_of.Counter
    window: int
    is_same: bool
    stored: Counter

    @property
    def total(self) -> int:
        return self.stored.paid_minor if self.is_same else 0

    @property
    def trips(self) -> int:
        return self.stored.trips if self.is_same else 0

    @property
    def zones(self) -> int:
        return self.stored.zones if self.is_same else 0

    def before_journey(
        self, measure: Measure, paid_minor: int, nominal_minor: int, *, has_earlier: bool
    ) -> int:
        """Total or trips before the journey began, whose earlier legs cost so much.

        has_earlier: whether the counter has counted any.
        """
        if measure == Measure.TRIPS:
            return max(0, self.trips - int(has_earlier))
        earlier_minor = nominal_minor if self.spec.counts_nominal else paid_minor
        return max(0, self.total - (earlier_minor if has_earlier else 0))


def find_window(
    spec: spec_of.Counter, stored: int, instant_us: int, calendar: tuple[int, int] | None
) -> int | None:
    """The window an instant belongs to; None = before the stored one, or outside the calendar."""
    if spec.window == Window.ROLLING:
        second = instant_us // SECOND_US
        if stored == 0 or instant_us >= stored * SECOND_US + spec.length:
            return second
        return stored if instant_us >= stored * SECOND_US else None
    if calendar is None:
        return None
    month, day = calendar
    if spec.window == Window.ROLLING_DAYS:
        if stored == 0 or day >= stored + spec.length:
            return day
        return stored if day >= stored else None
    window = {
        Window.DAY: day,
        Window.WEEK: day - (day + 3 - spec.week_start) % 7,
        Window.MONTH: month,
    }[spec.window]
    return window if window >= stored else None


def read_counter(case: Case, spec: spec_of.Counter) -> Reading | None:
    """The counter at the fare time; None = it does nothing and counts nothing."""
    stored = case.extras.find_counter(spec.counter_id) or Counter()
    by_entry = spec.window == Window.MONTH and case.is_ride and case.tariff.rules.month_by_entry
    instant_us = case.owner.entry_ts_us if by_entry else case.ts_us
    window = find_window(spec, stored.window, instant_us, find_calendar(case, instant_us))
    if window is None:
        return None
    return Reading(spec, window, window == stored.window and window != 0, stored)


def read_rule(case: Case, rule: PeriodRule) -> Reading | None:
    """The counter that a period rule compares with."""
    return read_counter(case, case.layers.counters[rule.counter])


def counted_earlier(case: Case, leg: Leg, spec: spec_of.Counter) -> bool:
    """Whether a counter has the journey's earlier legs: by the network of the one before, where a
    chain says which that was.
    """
    chain = case.extras.find_chain() if case.keeps_chain else None
    network = chain.network if chain is not None else leg.network
    return case.is_joined and in_scope(spec, replace(leg, network=network))


# --- caps and counting ----------------------------------------------------------------------------


def cap_charge(case: Case, leg: Leg, charge_minor: int) -> int:
    """At most what is left to each limit; what is given back stays."""
    for index, rule in rules_for(case, leg, PeriodKind.CAP):
        reading = read_rule(case, rule)
        if reading is None:
            continue
        zones = reading.zones | leg.zones
        limits = [one.limit_minor for one in rule.steps if zones & ~one.zones == 0]
        if not limits:
            continue
        left_minor = max(0, min(limits) - reading.total)
        if charge_minor > left_minor:
            charge_minor = left_minor
            case.out.rules |= Rule.CAP
            case.act(Act.PERIOD, index)
    return charge_minor


def count_leg(case: Case, charge: Charge) -> None:
    """Bring the counters up to date after an accepted leg."""
    leg = charge.leg
    if leg is None:
        return
    for spec in case.layers.counters:
        if not in_scope(spec, leg):
            continue
        reading = read_counter(case, spec)
        kept = case.extras.make_counter(spec.counter_id) if reading is not None else None
        if reading is None or kept is None:
            continue
        if not reading.is_same:
            kept.window, kept.zones, kept.trips, kept.paid_minor = reading.window, 0, 0, 0
        counted = charge.counted_nominal_minor if spec.counts_nominal else charge.ride_minor
        kept.paid_minor = max(0, kept.paid_minor + counted)
        kept.zones |= leg.zones
        is_trip = charge.is_new_trip and not (spec.skips_free and _was_made_free(case, charge))
        kept.trips += int(is_trip)


def _was_made_free(case: Case, charge: Charge) -> bool:
    """Whether a pass or a cap took all of a leg's charge."""
    by_cap = bool(case.out.rules & Rule.CAP) and charge.ride_minor == 0
    return charge.used_pass is not None or by_cap


# --- passes ---------------------------------------------------------------------------------------


def find_pass(case: Case, leg: Leg) -> tuple[int, Pass, bool] | None:
    """(index of its product, pass, whether it takes a ride) of the pass that covers a leg."""
    products = {one.pass_id: (index, one) for index, one in enumerate(case.layers.passes)}
    found = []
    for place, (pass_id, one) in enumerate(case.extras.list_passes()):
        index, product = products.get(pass_id, (0, None))
        if product is None or not _covers(product, one, leg):
            continue
        goes_on = case.is_joined and one.last_used_us == leg.dep_us
        if one.rides_left == 0 and not goes_on:
            continue
        ends = (one.until_us == 0, one.until_us, pass_id, place)
        found.append((ends, index, one, not goes_on))
    if not found:
        return None
    _, index, one, takes_ride = min(found, key=lambda it: it[0])
    return index, one, takes_ride


def _covers(product: PassProduct, one: Pass, leg: Leg) -> bool:
    in_time = one.from_us <= leg.dep_us and (one.until_us == 0 or leg.dep_us < one.until_us)
    return in_scope(product, leg) and leg.zones & ~product.zones == 0 and in_time


def use_pass(case: Case, charge: Charge) -> None:
    """Note on the pass that it covered an accepted leg."""
    used, leg = charge.used_pass, charge.leg
    if used is None or leg is None:
        return
    used.last_used_us = leg.dep_us
    if charge.takes_ride and used.rides_left > 0:
        used.rides_left -= 1
    if used.until_us != 0:
        return
    pass_id = next(key for key, one in case.extras.list_passes() if one is used)
    product = next(one for one in case.layers.passes if one.pass_id == pass_id)
    used.until_us = _end_of(case, product, leg.dep_us)


def _end_of_calendar(case: Case, product: PassProduct, instant_us: int) -> int:
    """When calendar months or weeks (from Monday) end, the one of an instant included."""
    table = case.tariff.spec.days
    length = 7 * product.weeks or 31 * product.months
    day = case.tariff.find_day(instant_us)
    if day is not None and product.weeks:
        end = day - (table.first_day + day + 3) % 7 + length
    elif day is not None:
        end = bisect_left(table.month, table.month[day] + product.months)
    if day is None or end >= len(table.start_us) or (not product.weeks and end == len(table.month)):
        return instant_us + length * DAY_US
    return table.start_us[end]


def _end_of(case: Case, product: PassProduct, instant_us: int) -> int:
    if product.months or product.weeks:
        return _end_of_calendar(case, product, instant_us)
    if product.service_days == 0:
        return instant_us + product.duration_us if product.duration_us else 0
    starts = case.tariff.spec.days.start_us
    day = case.tariff.find_day(instant_us)
    if day is None or day + product.service_days >= len(starts):
        return instant_us + product.service_days * DAY_US
    return starts[day + product.service_days]
