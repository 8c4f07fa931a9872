"""The engine in plain Python: the specification that the compiled core is compared with, and the
oracle of audits.

Written for reading, not for speed: prices are exact fractions, and every check collects *all*
objections that hold; the one declared first in `Reason` is told. Accounts are changed in place, as
in C. Must import only the standard library and fastpath. Beside this file: reference_model (state
and tariffs), reference_cells, reference_case (a tap on its way), reference_objections and _verdict,
reference_legs, _factors, _journey and _period (the layers of docs/fares.md), reference_pricing,
reference_reversal and _uncount, reference_limits (docs/wallet.md), reference_commands and
_commands_cells.

How a tap is decided
1. Fare time is the device's clock. A device that doubts its clock, or whose clock is off by more
   than its limit, gets the server's, and the tap is flagged (RECEIVED_TIME). So does an offline tap
   older than the horizon that the device let through; one that it refused is op_too_old.
2. The tariff is the version in force at the fare time; a check-out of an open journey is priced by
   the version of its entry (if that is no longer loaded: by the one in force at the entry).
3. A medium or account we do not know is refused. If the device let the rider through it becomes
   OK_RISK: priced at the highest fare of the stop (check-out) or the flat fare, borne by nobody's
   account.
4. Objections are collected: standing of medium and account, pass-back, journey, price, funds.
   - A check-out of an open journey is a ride already authorised: bad standing makes it a debt, not
     a refusal.
   - A tap that an offline device already let through (OFFLINE and DEVICE_OPENED) is never refused
     for its state: with an objection it posts as debt (OK_DEBT). What cannot be priced at all is
     still refused.
   - A tap that an offline device refused has no effect (OFFLINE_REFUSED, after every other reason).
5. Money is drawn from the subsidy first, then from the stored value, the credit line and, for a
   check-out, one overdraft.
6. Limits of the account's tier (docs/wallet.md): a check-in is refused when nothing more may be
   spent, a flat tap when its fare is too much. A check-out is never asked. Every fare that an
   account bears is counted, at the server's instant.

Prices
- A journey costs the fare from its origin to its exit: the time discount (fixed at the first
  check-in) on the discountable part, then medium factor and monthly tier, rounded half up once. An
  out-of-station interchange continues the journey: what earlier legs cost is subtracted, and the
  tier is the one before the journey began. Not when it leads back to the origin: the way back is a
  journey of its own.
- Overstay and the highest fares of incomplete journeys are surcharges: no discount touches them and
  they count neither towards the month nor as paid part of the journey. Prices named by the device
  (flat taps) are taken as they are.
- Only tariffs with monthly tiers count trips. Totals are kept for the two newest months; taps for
  older months get no tier and are not counted.

Taps that arrive late (offline only; "late" = before the open journey's entry, or the finished one's
exit; for flat taps: before the last accepted tap)
- a late check-in is recorded and costs nothing: its journey is over or was closed already;
- a late check-out cannot end the newer journey: it is charged as a check-out without check-in, at
  the highest fare of its stop, and the newer journey stays as it is. Nothing is lost, and re-rating
  from history puts the surplus right;
- a late flat tap is an ordinary fare. None of them becomes the account's "last tap", so undoing one
  gives back money only.
- A check-in that is not late while a journey is open (accepted offline, after the time limit, or at
  a service desk) first closes that journey at the highest fare from its origin, less its earlier
  legs. That charge stays when the check-in is undone.
"""

from __future__ import annotations

from fastpath.cells import CellType
from fastpath.reference_case import (
    Case,
    Charge,
    count_month,
    entry_version,
    fare_time,
    find_totals,
    is_clock_off,
    network_of,
)
from fastpath.reference_cells import Cell, Chain, Concession, Counter, Extras, Pass
from fastpath.reference_commands import decide_command
from fastpath.reference_commands_cells import Rerate
from fastpath.reference_journey import (
    find_continuation,
    keep_entry,
    keep_leg,
    keep_riders,
    takes_rider,
)
from fastpath.reference_limits import find_limits
from fastpath.reference_model import (
    DISCOUNT_MASK,
    LAST_LEGS_SHIFT,
    LAST_NO_JOURNEY,
    LAST_PREV_DONE,
    PREV_DISCOUNT_SHIFT,
    Account,
    Command,
    Decision,
    LimitVersion,
    Medium,
    Pair,
    Period,
    SpecBook,
    Tap,
    Version,
    first_told,
)
from fastpath.reference_objections import (
    entry_objections,
    exit_objections,
    limit_objections,
    money_objections,
    repeats_last,
    room_objections,
    standing_objections,
)
from fastpath.reference_period import count_leg, use_pass
from fastpath.reference_pricing import (
    price_flat,
    price_missing_check_in,
    price_missing_check_out,
    price_ride,
)
from fastpath.reference_reversal import decide_reversal, reversal_owner
from fastpath.reference_verdict import admit, post_risk, refuse
from fastpath.reference_wallet import Paid
from fastpath.types import (
    Act,
    CapOwner,
    JourneyState,
    Reason,
    Rule,
    TapKind,
    TariffRules,
    Verdict,
)
from fastpath.wallet import Facts

__all__ = [
    "Account",
    "Cell",
    "CellType",
    "Chain",
    "Command",
    "Concession",
    "Counter",
    "Decision",
    "Extras",
    "Facts",
    "LimitVersion",
    "Medium",
    "Paid",
    "Pair",
    "Pass",
    "Period",
    "Rerate",
    "SpecBook",
    "Tap",
    "Version",
    "decide_command",
    "decide_reversal",
    "decide_tap",
    "reversal_owner",
    "wants_extras",
    "wants_medium_period",
]

ANYTHING_MINOR = 1
"""What a check-in asks the limits for: whether anything may be spent at all."""


def decide_tap(
    book: SpecBook,
    medium: Medium | None,
    account: Account | None,
    medium_period: Period | None,
    tap: Tap,
    *,
    extras: Extras | None = None,
) -> Decision:
    """Decide one tap; an accepted one changes `account` (and the period that counts) in place.

    Args: account.version and account.position are the caller's. medium_period: used instead of the
        account's when the tariff gives the monthly totals to the medium. extras: the account's
        cells, when wants_extras; changed in place. None = as if it had no cells, none are kept, and
        no tap is refused for want of room.
    """
    case = Case(
        book,
        medium,
        account if medium is not None else None,
        tap,
        Decision(),
        extras=Extras() if extras is None else extras,
        asks_room=extras is not None,
    )
    if tap.kind not in set(TapKind):
        return refuse(case, Reason.BAD_REQUEST)
    told = first_told(_message_objections(case))
    if told is not None:
        return refuse(case, told)
    if medium is None or medium.state == 0:
        return _decide_stranger(case, Reason.UNKNOWN_MEDIUM)
    if case.account is None:
        return _decide_stranger(case, Reason.UNKNOWN_ACCOUNT)
    if case.account.currency != case.tariff.spec.currency:
        told = first_told({Reason.CURRENCY_MISMATCH} | standing_objections(case))
        return _decide_stranger(case, told or Reason.CURRENCY_MISMATCH)
    find_totals(case, medium_period)
    return {
        TapKind.CHECK_IN: _check_in,
        TapKind.CHECK_OUT: _check_out,
        TapKind.FLAT: _flat,
        TapKind.INSPECT: _inspect,
    }[TapKind(tap.kind)](case)


def wants_medium_period(book: SpecBook, tap: Tap) -> bool:
    """Whether this tap needs the running totals of its medium."""
    version = book.find_at(tap.tariff_slot, fare_time(book, tap))
    if version is None or not version.spec.monthly_tiers:
        return False
    return version.rules.cap_owner == CapOwner.MEDIUM


def wants_extras(book: SpecBook, account: Account | None, tap: Tap) -> int | None:
    """Key of the owner of chain and counters, when the tariff that will price this tap has layers.

    0 when only limits of the account's tier need its cells; None: nothing does, or nobody pays.
    """
    case = Case(book, None, account, tap, Decision(), ts_us=fare_time(book, tap))
    if account is None:
        return None
    version = _pricing_version(case)
    if version is None or version.layers is None:
        is_limited = version is not None and find_limits(book.limits, account, tap.now_us)
        return 0 if is_limited else None
    of_medium = version.rules.cap_owner == CapOwner.MEDIUM
    return int.from_bytes(tap.token[:8], "little") if of_medium else 0


def _pricing_version(case: Case) -> Version | None:
    if case.is_ride:
        return entry_version(case)
    return case.book.find_at(case.tap.tariff_slot, case.ts_us)


def _message_objections(case: Case) -> set[Reason]:
    """What is wrong with the tap whoever made it; finds fare time and tariff on the way."""
    tap, out = case.tap, case.out
    now_version = case.book.find_at(tap.tariff_slot, tap.now_us)
    limits = now_version.rules if now_version else TariffRules()
    case.ts_us = out.ts_us = fare_time(case.book, tap)
    if is_clock_off(case.book, tap):
        out.rules |= Rule.RECEIVED_TIME
    if case.is_offline and tap.now_us - case.ts_us > limits.offline_horizon_us:
        return {Reason.OP_TOO_OLD}
    case.version = _pricing_version(case)
    if case.version is None:
        return {Reason.TARIFF_NOT_LOADED}
    out.tariff_key = case.version.key
    if tap.kind != TapKind.INSPECT:
        out.network = network_of(case)
    has_place = tap.kind in (TapKind.CHECK_IN, TapKind.CHECK_OUT)
    return {Reason.UNKNOWN_STOP} if has_place and not case.version.knows(tap.stop) else set()


def _decide_stranger(case: Case, reason: Reason) -> Decision:
    """Somebody we cannot charge: refused, or, when the ride was made, priced for the operator."""
    if not case.is_opened:
        return refuse(case, reason)
    if case.tap.kind == TapKind.CHECK_OUT:
        return post_risk(case, price_missing_check_in(case).fare_minor)
    if case.tap.kind == TapKind.FLAT:
        charge, fault = price_flat(case, is_rider=False)
        return refuse(case, fault) if fault else post_risk(case, charge.fare_minor)
    return post_risk(case, 0)


# --- the four kinds of tap ------------------------------------------------------------------------


def _remember(case: Case, *, fare_minor: int = 0, month: int = 0, flags: int = 0) -> None:
    """Note the account's last accepted tap: what a reversal needs."""
    account, tap = case.owner, case.tap
    account.last_device, account.last_boot, account.last_seq = tap.device, tap.boot, tap.seq
    account.last_kind, account.last_stop, account.last_ts_us = tap.kind, tap.stop, case.ts_us
    account.last_medium_kind, account.last_token = tap.medium_kind, tap.token[0]
    account.last_fare_minor = fare_minor
    account.last_subsidy_minor = case.out.subsidy_minor if fare_minor else 0
    account.last_flags, account.last_month = flags, month


def _tell_progress(case: Case) -> Decision:
    case.out.period_paid_minor = case.totals.total(case.month)
    return case.out


def _check_in(case: Case) -> Decision:
    account = case.owner
    objections = standing_objections(case)
    if case.is_late:
        return _tell_progress(case) if admit(case, objections, Charge()) else case.out
    is_closing = account.is_open
    charge = price_missing_check_out(case) if is_closing else Charge()
    objections |= entry_objections(case)
    least_minor = case.tariff.rules.entry_minimum_minor
    objections |= money_objections(case, charge.fare_minor, least_minor=least_minor)
    objections |= limit_objections(case, ANYTHING_MINOR)
    objections |= room_objections(case, ANYTHING_MINOR)
    if not admit(case, objections, charge):
        return case.out
    if is_closing:
        case.out.rules |= Rule.MISSING_CHECK_OUT
        case.out.other_stop = account.origin_stop
    _open_journey(case, is_closing=is_closing)
    return _tell_progress(case)


def _carried_discount(account: Account, version: Version, ts_us: int) -> int:
    """The discount that the journey so far was given, as this version of the tariff sees it."""
    if account.entry_tariff == version.key:
        return account.entry_flags & DISCOUNT_MASK
    return version.find_discount(account.origin_stop, ts_us)


def _open_journey(case: Case, *, is_closing: bool) -> None:
    account, tap, version = case.owner, case.tap, case.tariff
    joined = find_continuation(case)
    is_joined = joined is not None
    was_done = account.journey_state == JourneyState.DONE
    flags = LAST_PREV_DONE if was_done else 0
    _remember(case, flags=flags | account.leg_count << LAST_LEGS_SHIFT)
    account.prev_origin_stop = account.origin_stop
    account.prev_paid_minor = account.journey_paid_minor
    carried = _carried_discount(account, version, case.ts_us)
    if joined is not None:
        case.out.rules |= joined[0]
        if joined[0] == Rule.JOINED_LEG:
            case.act(Act.JOIN, joined[1])
        case.out.other_stop = account.origin_stop
        account.leg_count += 1
    else:
        account.leg_count, account.origin_stop, account.journey_paid_minor = 1, tap.stop, 0
    discount = carried if is_joined else version.find_discount(tap.stop, case.ts_us)
    account.entry_flags = discount | carried << PREV_DISCOUNT_SHIFT
    account.entry_device, account.entry_boot, account.entry_seq = tap.device, tap.boot, tap.seq
    account.entry_ts_us, account.entry_stop = case.ts_us, tap.stop
    account.entry_tariff, account.entry_medium_kind = version.key, tap.medium_kind
    account.journey_state = JourneyState.OPEN
    keep_entry(case, is_joined=is_joined, is_closing=is_closing)


def _check_out(case: Case) -> Decision:
    standing = standing_objections(case)
    if not case.is_ride:
        charge = price_missing_check_in(case)
        objections = standing | exit_objections(case) | money_objections(case, charge.fare_minor)
        is_late = case.is_late
        if not admit(case, objections, charge):
            return case.out
        if not is_late:
            _remember(case, fare_minor=charge.fare_minor, flags=LAST_NO_JOURNEY)
            keep_leg(case, charge, journey_minor=0)
        return _tell_progress(case)
    priced = price_ride(case)
    charge = priced or price_missing_check_in(case)
    objections = money_objections(case, charge.fare_minor)
    if standing:
        objections -= {Reason.INSUFFICIENT_BALANCE}
    if priced is None:
        objections.add(Reason.NOT_PRICED)
    if not admit(case, objections, charge, is_debt=bool(standing)):
        return case.out
    _close_journey(case, charge)
    return _tell_progress(case)


def _close_journey(case: Case, charge: Charge) -> None:
    account = case.owner
    _remember(case, fare_minor=charge.fare_minor, month=count_month(case, charge))
    keep_leg(case, charge, journey_minor=account.journey_paid_minor if case.is_joined else 0)
    count_leg(case, charge)
    use_pass(case, charge)
    account.prev_origin_stop, account.prev_paid_minor = (
        account.exit_stop,
        account.journey_paid_minor,
    )
    account.exit_ts_us, account.exit_stop = case.ts_us, case.tap.stop
    account.journey_paid_minor += charge.ride_minor
    account.journey_state = JourneyState.DONE


def _flat(case: Case) -> Decision:
    objections = standing_objections(case)
    repeats = repeats_last(case)
    is_rider = repeats and takes_rider(case)
    charge, fault = price_flat(case, is_rider=is_rider)
    if is_rider:
        case.out.rules |= Rule.GROUP_RIDER
    elif repeats:
        objections.add(Reason.PASSBACK)
    if fault is not None:
        told = fault if case.is_opened else first_told(objections | {fault})
        return refuse(case, told or fault)
    objections |= money_objections(case, charge.fare_minor)
    objections |= limit_objections(case, charge.fare_minor)
    objections |= room_objections(case, charge.fare_minor)
    is_late = case.is_late
    if not admit(case, objections, charge):
        return case.out
    _keep_flat(case, charge, is_late=is_late)
    if not is_late and (is_rider or not repeats):
        keep_riders(case, is_rider=is_rider)
    return _tell_progress(case)


def _keep_flat(case: Case, charge: Charge, *, is_late: bool) -> None:
    month = count_month(case, charge)
    if not is_late:
        _remember(case, fare_minor=charge.fare_minor, month=month)
        case.owner.last_flat_ts_us = case.ts_us
        keep_leg(case, charge, journey_minor=0)
    count_leg(case, charge)
    use_pass(case, charge)


def _inspect(case: Case) -> Decision:
    """Says what an inspector needs to know; changes nothing."""
    objections = standing_objections(case)
    if not case.owner.is_open:
        objections.add(Reason.NOT_CHECKED_IN)
    told = first_told(objections)
    if told is not None:
        return refuse(case, told)
    case.out.verdict = Verdict.OPEN
    case.out.other_stop = case.owner.entry_stop
    case.out.balance_minor = case.owner.spendable_minor
    return _tell_progress(case)
