"""The reference engine's reversals: what an accepted tap did is taken back (fastpath/reference.py).

Must import only the standard library and fastpath.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastpath.reference_cells import Extras
from fastpath.reference_funding import put_parts, split_parts
from fastpath.reference_limits import uncount_spend
from fastpath.reference_model import (
    LAST_LEGS_SHIFT,
    LAST_NO_JOURNEY,
    LAST_PREV_DONE,
    PREV_DISCOUNT_SHIFT,
    Account,
    Decision,
    Period,
    SpecBook,
    Tap,
    Version,
    fits,
)
from fastpath.reference_uncount import (
    Counted,
    restore_chain,
    return_ride,
    surcharge_of,
    uncount_counters,
    was_counted,
)
from fastpath.types import CapOwner, JourneyState, MonthBasis, Reason, Rule, TapKind, Verdict


@dataclass(slots=True)
class _Undo:
    """What a reversal gives back; month 0 = the tap was not counted."""

    fare_minor: int = 0
    subsidy_minor: int = 0
    counted_minor: int = 0
    month: int = 0
    day: int = 0
    trips: int = 0


@dataclass(slots=True)
class _Case:
    book: SpecBook
    account: Account
    medium_period: Period | None
    original: Tap
    charged: Decision
    out: Decision
    extras: Extras
    spent_us: int


def decide_reversal(
    book: SpecBook,
    account: Account | None,
    medium_period: Period | None,
    original: Tap,
    charged: Decision,
    *,
    extras: Extras | None = None,
    spent_us: int = 0,
) -> Decision:
    """Undo an accepted tap: as a whole while it is the account's last one, else its money only.

    The caller sees to it that a tap is undone once. extras: the account's cells, when
    reversal_owner names an owner. spent_us: the server's instant when the tap was decided.
    """
    out = Decision(ts_us=charged.ts_us, tariff_key=charged.tariff_key)
    if not Reason(charged.reason).accepted or original.kind == TapKind.INSPECT:
        out.reason = Reason.NOTHING_TO_REVERSE
    elif charged.reason == Reason.OK_RISK:
        _reverse_risk(charged, out)
    elif account is None:
        out.reason = Reason.UNKNOWN_ACCOUNT
    else:
        out.reason = _reverse(
            _Case(
                *(book, account, medium_period, original, charged, out),
                *(Extras() if extras is None else extras, spent_us),
            )
        )
    if account is not None:
        out.balance_minor = account.spendable_minor
    return out


def reversal_owner(book: SpecBook, original: Tap, charged: Decision) -> int | None:
    """Key of the owner of chain and counters, when the tariff that priced the tap has layers.

    0 when only the limits counted it. None: it has none, or is no longer loaded.
    """
    version = book.find_by_key(charged.tariff_key)
    if version is None or version.layers is None:
        return 0 if charged.rules & Rule.COUNTED else None
    of_medium = version.rules.cap_owner == CapOwner.MEDIUM
    return int.from_bytes(original.token[:8], "little") if of_medium else 0


def _reverse_risk(charged: Decision, out: Decision) -> None:
    out.reason = Reason.OK_RISK if charged.fare_minor else Reason.NOTHING_TO_REVERSE
    if charged.fare_minor:
        _fill_reversal(out, charged, _Undo(fare_minor=charged.fare_minor), is_whole=False)


def _reverse(case: _Case) -> Reason:
    account, original, charged, out = case.account, case.original, case.charged, case.out
    version = case.book.find_by_key(charged.tariff_key)
    last = (account.last_device, account.last_boot, account.last_seq, account.last_kind)
    named = (original.device, original.boot, original.seq, original.kind)
    is_whole = account.last_device != 0 and last == named
    undo = _undo_whole(account, charged) if is_whole else _undo_money(version, original, charged)
    if not is_whole and undo.fare_minor == 0 and not charged.rules & Rule.PASS:
        return Reason.NOTHING_TO_REVERSE
    if not _give_back(case, undo):
        return Reason.AMOUNT_OVERFLOW
    of_medium = version is None or version.rules.cap_owner == CapOwner.MEDIUM
    period = case.medium_period if case.medium_period and of_medium else account.period
    _uncount(case, version, period, undo, is_whole=is_whole)
    if charged.rules & Rule.COUNTED:
        uncount_spend(case.book.limits, case.extras, undo.fare_minor, case.spent_us)
    if version is not None and version.layers is not None:
        _undo_layers(case, version, is_whole=is_whole)
    _fill_reversal(out, charged, undo, is_whole=is_whole)
    out.period_paid_minor = period.total(undo.month)
    if is_whole:
        _restore_journey(account)
    return Reason.OK


def _give_back(case: _Case, undo: _Undo) -> bool:
    """Money to the purses it came from; False = one would hold too much, nothing has changed."""
    account, original = case.account, case.original
    parts = case.charged.parts if original.kind != TapKind.CHECK_IN else ()
    of_main = undo.fare_minor - undo.subsidy_minor - sum(amount for _, amount in parts)
    main_minor, given = split_parts(case.extras, parts, original.now_us)
    balance_minor = account.balance_minor + of_main + main_minor
    subsidy_minor = account.subsidy_minor + undo.subsidy_minor
    if not fits(balance_minor) or not fits(subsidy_minor) or not put_parts(case.extras, given):
        return False
    account.balance_minor, account.subsidy_minor = balance_minor, subsidy_minor
    case.out.parts = given
    return True


def _undo_layers(case: _Case, version: Version, *, is_whole: bool) -> None:
    """What counters, passes and chain know of the tap."""
    account, original, charged = case.account, case.original, case.charged
    is_exit = original.kind == TapKind.CHECK_OUT and not account.last_flags & LAST_NO_JOURNEY
    entry_us = account.entry_ts_us if is_whole and is_exit else charged.ts_us
    tap = Counted(version, original, charged, entry_us)
    uncount_counters(case.book, account, case.extras, tap)
    return_ride(case.extras, tap)
    if is_whole:
        restore_chain(account, case.extras)


def _undo_whole(account: Account, charged: Decision) -> _Undo:
    is_exit = account.last_kind == TapKind.CHECK_OUT
    is_later = bool(charged.rules & (Rule.OUT_OF_STATION | Rule.JOINED_LEG))
    return _Undo(
        fare_minor=account.last_fare_minor,
        subsidy_minor=account.last_subsidy_minor,
        counted_minor=account.journey_paid_minor - account.prev_paid_minor
        if is_exit
        else account.last_fare_minor,
        month=account.last_month,
        trips=0 if is_exit and is_later else 1,
    )


def _undo_money(version: Version | None, original: Tap, charged: Decision) -> _Undo:
    """What the record says was charged. A check-in only ever charges for the journey before it."""
    if original.kind == TapKind.CHECK_IN:
        return _Undo()
    undo = _Undo(charged.fare_minor, charged.subsidy_minor)
    if version is None or not version.spec.monthly_tiers or charged.rules & Rule.MISSING_CHECK_IN:
        return undo
    if version.layers is not None and not was_counted(version, original, charged, month=True):
        return undo
    undo.counted_minor = charged.fare_minor - surcharge_of(version, charged)
    undo.month = (version.find_calendar(charged.ts_us) or (0, 0))[0]
    undo.trips = 0 if charged.rules & (Rule.OUT_OF_STATION | Rule.JOINED_LEG) else 1
    return undo


def _uncount(
    case: _Case, version: Version | None, period: Period, undo: _Undo, *, is_whole: bool
) -> None:
    if undo.month == 0:
        return
    counted_minor, day = undo.counted_minor, 0
    if version is not None:
        if version.rules.month_basis == MonthBasis.NOMINAL:
            counted_minor = 0 if case.charged.rules & Rule.PASS else case.charged.nominal_minor
        is_exit = is_whole and case.original.kind == TapKind.CHECK_OUT
        by_entry = is_exit and version.rules.month_by_entry
        instant_us = case.account.entry_ts_us if by_entry else case.charged.ts_us
        day = (version.find_calendar(instant_us) or (0, 0))[1]
    period.add(month=undo.month, day=day, paid_minor=-counted_minor, trips=-undo.trips)


def _fill_reversal(out: Decision, charged: Decision, undo: _Undo, *, is_whole: bool) -> None:
    out.verdict = Verdict.OPEN
    out.fare_minor, out.subsidy_minor = -undo.fare_minor, -undo.subsidy_minor
    out.nominal_minor = -charged.nominal_minor if undo.fare_minor else 0
    out.distance_m, out.other_stop = charged.distance_m, charged.other_stop
    out.rules = (0 if is_whole else Rule.MONEY_ONLY) | (Rule.SUBSIDY if undo.subsidy_minor else 0)


def _restore_journey(account: Account) -> None:
    """Put the journey line back to what it was before the last tap, and forget that tap."""
    flags = account.last_flags
    if account.last_kind == TapKind.CHECK_IN:
        was_done = bool(flags & LAST_PREV_DONE)
        account.journey_state = JourneyState.DONE if was_done else JourneyState.NONE
        account.leg_count = flags >> LAST_LEGS_SHIFT
        account.origin_stop, account.journey_paid_minor = (
            account.prev_origin_stop,
            account.prev_paid_minor,
        )
        account.entry_flags >>= PREV_DISCOUNT_SHIFT
    elif account.last_kind == TapKind.CHECK_OUT and not flags & LAST_NO_JOURNEY:
        account.journey_state = JourneyState.OPEN
        account.exit_stop, account.journey_paid_minor = (
            account.prev_origin_stop,
            account.prev_paid_minor,
        )
    elif account.last_kind == TapKind.FLAT:
        account.last_flat_ts_us = 0
    account.last_device = account.last_boot = account.last_seq = account.last_stop = 0
    account.last_ts_us = account.last_fare_minor = account.last_subsidy_minor = 0
    account.last_kind = account.last_medium_kind = account.last_flags = account.last_month = 0
    account.prev_origin_stop = account.prev_paid_minor = account.last_token = 0
