"""What a reversal takes back from counters, passes and chain (docs/fares.md, "Reversals").

Must import only the standard library and fastpath.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastpath.cells import CellType
from fastpath.checks import sure
from fastpath.layers import OverstayKind, SameStopKind, Window
from fastpath.reference_case import Leg, category_at
from fastpath.reference_cells import Counter, Extras, Pass
from fastpath.reference_legs import frame_at
from fastpath.reference_model import LAST_CHAIN, Account, Decision, SpecBook, Tap, Version
from fastpath.reference_period import find_window, in_scope
from fastpath.types import Act, Rule, TapKind

ACT_SHIFT = 24
NUMBER_MASK = (1 << ACT_SHIFT) - 1


def _number_of(charged: Decision, act: Act) -> int | None:
    """Number of the first rule of this kind that acted."""
    found = (one & NUMBER_MASK for one in charged.acts if one >> ACT_SHIFT == act)
    return next(found, None)


def surcharge_of(version: Version, charged: Decision) -> int:
    """What of a charge was for staying too long."""
    return version.rules.overstay_minor if charged.rules & Rule.OVERSTAY else 0


def was_counted(version: Version, original: Tap, charged: Decision, *, month: bool = False) -> bool:
    """Whether a leg was counted. month: the month counts amounts named by devices, too."""
    layers = version.layers
    layers = sure(layers)
    nowhere = Rule.MISSING_CHECK_IN | Rule.GROUP_RIDER
    if not month:
        nowhere |= Rule.DEVICE_AMOUNT
    if original.kind == TapKind.CHECK_IN or charged.rules & nowhere:
        return False
    if charged.rules & Rule.OVERSTAY and layers.overstay != OverstayKind.FEE:
        return False
    same = _number_of(charged, Act.SAME_STOP)
    is_known = same is not None and same < len(layers.same_stop)
    return not is_known or layers.same_stop[same or 0].kind == SameStopKind.FARE


@dataclass(frozen=True, slots=True)
class Counted:
    """A tap that is undone. dep_us: check-in of its leg; fare time when only money goes back."""

    version: Version
    original: Tap
    charged: Decision
    dep_us: int

    @property
    def is_later_leg(self) -> bool:
        """Whether it ended a later leg of a journey."""
        return bool(self.charged.rules & (Rule.OUT_OF_STATION | Rule.JOINED_LEG))


def uncount_counters(book: SpecBook, account: Account, extras: Extras, tap: Counted) -> None:
    """Take a leg off the counters whose window is still the same."""
    version, original, charged, dep_us = tap.version, tap.original, tap.charged, tap.dep_us
    layers = version.layers
    if layers is None or not was_counted(version, original, charged):
        return
    leg = _leg_of(account, extras, tap)
    for spec in layers.counters:
        kept = extras.find_counter(spec.counter_id)
        if kept is None or not in_scope(spec, leg):
            continue
        by_entry = spec.window == Window.MONTH and version.rules.month_by_entry
        instant_us = dep_us if by_entry else charged.ts_us
        calendar = version.find_calendar(instant_us)
        if calendar is None:
            other = book.find_at(original.tariff_slot, instant_us)
            calendar = other.find_calendar(instant_us) if other else None
        window = find_window(spec, kept.window, instant_us, calendar)
        if window is None or window != kept.window or window == 0:
            continue
        amount_minor = charged.fare_minor - surcharge_of(version, charged)
        by_cap = charged.rules & Rule.CAP and amount_minor == 0
        skips = spec.skips_free and bool(charged.rules & Rule.PASS or by_cap)
        if spec.counts_nominal:
            amount_minor = 0 if charged.rules & Rule.PASS else charged.nominal_minor
        _take_off(kept, amount_minor, 0 if skips or tap.is_later_leg else 1)
        is_rolling = spec.window in (Window.ROLLING, Window.ROLLING_DAYS)
        if is_rolling and kept.trips == 0:
            kept.window = kept.zones = kept.paid_minor = 0


def _leg_of(account: Account, extras: Extras, tap: Counted) -> Leg:
    """What decides whether counters have the leg."""
    dep_us = _departure(extras, tap)
    category, _ = category_at(tap.version, account, extras, dep_us)
    legs = tap.version.legs
    return Leg(
        nominal_minor=0,
        network=tap.charged.network,
        category=category,
        frame_in=frame_at(tap.version, legs.frames, dep_us) if legs else 0,
        medium=tap.original.medium_kind & 15,
    )


def _take_off(kept: Counter, amount_minor: int, trips: int) -> None:
    kept.paid_minor = max(0, kept.paid_minor - amount_minor)
    kept.trips = max(0, kept.trips - trips)


def _departure(extras: Extras, tap: Counted) -> int:
    """First check-in of the effective leg, where it is known."""
    may_keep = tap.version.has_chain or tap.version.has_pass_chain
    chain = extras.find_chain() if may_keep else None
    is_entry_known = tap.dep_us != tap.charged.ts_us
    return chain.journey_dep_us if tap.is_later_leg and chain and is_entry_known else tap.dep_us


def return_ride(extras: Extras, tap: Counted) -> None:
    """Give the ride back to the pass that covered the leg."""
    index = _number_of(tap.charged, Act.PASS)
    layers = tap.version.layers
    if layers is None or index is None or tap.is_later_leg or index >= len(layers.passes):
        return
    pass_id = layers.passes[index].pass_id
    found = [one for key, one in extras.list_passes() if key == pass_id]
    named = [one for one in found if one.last_used_us == tap.dep_us]
    used: Pass | None = next(iter(named or found), None)
    if used is None:
        return
    used.rides_left += 1 if used.rides_left >= 0 else 0
    used.last_used_us = 0 if used.last_used_us == tap.dep_us else used.last_used_us


def restore_chain(account: Account, extras: Extras) -> None:
    """Put the chain back to what it was before the account's last tap."""
    before = extras.find_chain(CellType.CHAIN_BEFORE)
    if account.last_flags & LAST_CHAIN and before is not None:
        extras.put_chain(before)
        span = extras.find_span()
        if span is not None:
            span.now = span.before
