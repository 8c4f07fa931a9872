"""What speaks against a tap: every check collects all objections that hold, and changes nothing."""

from __future__ import annotations

from fastpath.checks import sure
from fastpath.reference_case import Case
from fastpath.reference_funding import funds_objections, main_minor, purses_minor
from fastpath.reference_limits import check_spend, lacks_limits_cell
from fastpath.reference_model import fits
from fastpath.types import (
    AccountStatus,
    MediumState,
    MissingCheckIn,
    Purpose,
    Reason,
    TapFlag,
    TapKind,
)


def standing_objections(case: Case) -> set[Reason]:
    """Whether medium and account may make new journeys."""
    medium, status = case.medium, case.owner.status
    medium = sure(medium)
    found = {
        Reason.DENYLISTED: medium.state == MediumState.DENYLISTED,
        Reason.MEDIUM_LOST: medium.state in (MediumState.LOST, MediumState.REPLACED),
        Reason.MEDIUM_EXPIRED: medium.state == MediumState.EXPIRED
        or 0 < medium.expires_us <= case.ts_us
        or medium.expires_us < 0,
        Reason.ACCOUNT_CLOSED: bool(status & AccountStatus.CLOSED),
        Reason.ACCOUNT_FROZEN: bool(status & AccountStatus.FROZEN_DEBIT),
    }
    return {reason for reason, holds in found.items() if holds}


def room_objections(case: Case, amount_minor: int) -> set[Reason]:
    """Whether what tariff and limits may keep has no room; a ride that was made is not asked."""
    if not case.asks_room or case.is_opened:
        return set()
    needed = 0
    if case.tariff.layers is not None:
        ids = [one.counter_id for one in case.layers.counters]
        needed += case.extras.count_needed(
            has_chain=case.keeps_chain, has_span=case.tariff.has_span, counter_ids=ids
        )
    if amount_minor > 0:
        limits, now_us = case.book.limits, case.tap.now_us
        needed += lacks_limits_cell(limits, case.owner, case.extras, now_us)
    return {Reason.TOO_MANY_CELLS} if needed > case.extras.room else set()


def limit_objections(case: Case, amount_minor: int) -> set[Reason]:
    """Whether the limits of the account's tier let it spend so much at the server's instant."""
    if not case.asks_room:
        return set()
    return check_spend(case.book.limits, case.owner, case.extras, amount_minor, case.tap.now_us)


def money_objections(case: Case, fare_minor: int, *, least_minor: int = 0) -> set[Reason]:
    """Whether the account can pay the fare and have `least_minor` left."""
    account = case.owner
    is_entry = case.tap.kind == TapKind.CHECK_IN
    if not fits(account.balance_minor - fare_minor):
        return {Reason.AMOUNT_OVERFLOW}
    purses = purses_minor(account, case.extras, Purpose.TRANSIT, case.ts_us)
    found = funds_objections(
        account,
        case.extras,
        fare_minor + least_minor,
        purses=purses,
        is_way_home=_is_way_home(case),
    )
    if not found or (fare_minor <= 0 and not is_entry):
        return set()
    may_overdraw = case.tap.kind == TapKind.CHECK_OUT and case.tariff.rules.exit_overdraft
    return set() if may_overdraw and limit_minor(case) >= 0 else found


def _is_way_home(case: Case) -> bool:
    """A late credit line does not keep the rider inside."""
    return case.is_ride


def limit_minor(case: Case) -> int:
    """What the account can pay now."""
    purses = purses_minor(case.owner, case.extras, Purpose.TRANSIT, case.ts_us)
    return purses + main_minor(case.owner, case.extras, is_way_home=_is_way_home(case))


def repeats_last(case: Case) -> bool:
    """Whether the same medium does again what it did last, so soon that it is passed back."""
    account, tap = case.owner, case.tap
    is_same = account.last_device != 0 and (account.last_kind, account.last_stop) == (
        tap.kind,
        tap.stop,
    )
    # Of accounts from before this was kept the last tap may have been of the same medium.
    is_other = 0 not in (account.last_token, tap.token[0]) and account.last_token != tap.token[0]
    return (
        is_same
        and not is_other
        and 0 <= case.ts_us - account.last_ts_us < case.tariff.rules.passback_us
    )


def entry_objections(case: Case) -> set[Reason]:
    """What an open journey has against another check-in."""
    account, rules = case.owner, case.tariff.rules
    if not account.is_open:
        return set()
    age_us = case.ts_us - account.entry_ts_us
    found = set()
    if account.entry_stop == case.tap.stop and age_us < rules.passback_us:
        found.add(Reason.PASSBACK)
    is_desk = bool(case.tap.flags & TapFlag.SERVICE_DESK)
    may_close = rules.missing_check_out_after_us >= 0
    if not (may_close and (is_desk or age_us >= rules.missing_check_out_after_us)):
        found.add(Reason.ALREADY_IN)
    return found


def exit_objections(case: Case) -> set[Reason]:
    """What speaks against a check-out without an open journey."""
    setting = case.tariff.rules.missing_check_in
    is_desk = bool(case.tap.flags & TapFlag.SERVICE_DESK)
    at_desk = setting == MissingCheckIn.HIGHEST_AT_DESK and is_desk
    found = {Reason.PASSBACK} if repeats_last(case) else set()
    if not (setting == MissingCheckIn.HIGHEST or at_desk):
        found.add(Reason.NOT_CHECKED_IN)
    return found
