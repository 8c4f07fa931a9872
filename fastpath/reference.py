"""The engine in plain Python: the specification that the compiled core is compared with, and the
oracle of audits.

Written for reading, not for speed: prices are exact fractions, and every check collects *all*
objections that hold; the one declared first in `Reason` is told. Accounts are changed in place, as
in C. Must import only the standard library and fastpath. Beside this file: reference_model (state
and tariffs), reference_reversal, reference_commands.

How a tap is decided
1. Fare time is the device's clock; a device that doubts its clock gets the server's. Clocks too far
   off are bad_time; an offline tap older than the horizon is op_too_old.
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

Prices
- A journey costs the fare from its origin to its exit: the time discount (fixed at the first
  check-in) on the discountable part, then medium factor and monthly tier, rounded half up once. An
  out-of-station interchange continues the journey: what earlier legs cost is subtracted, and the
  tier is the one before the journey began.
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

from dataclasses import dataclass
from fractions import Fraction

from fastpath.reference_commands import decide_command
from fastpath.reference_model import (
    DISCOUNT_MASK,
    FARE_MAX,
    LAST_LEGS_SHIFT,
    LAST_NO_JOURNEY,
    LAST_PREV_DONE,
    LEGS_MAX,
    PREV_DISCOUNT_SHIFT,
    Account,
    Command,
    Decision,
    Medium,
    Pair,
    Period,
    SpecBook,
    Tap,
    Version,
    first_told,
    fits,
)
from fastpath.reference_reversal import decide_reversal
from fastpath.types import (
    FACTOR_ONE_PPM,
    AccountStatus,
    CapOwner,
    JourneyState,
    MediumState,
    MissingCheckIn,
    MonthBasis,
    Reason,
    Rule,
    TapFlag,
    TapKind,
    TariffRules,
    Verdict,
)

__all__ = [
    "Account",
    "Command",
    "Decision",
    "Medium",
    "Pair",
    "Period",
    "SpecBook",
    "Tap",
    "Version",
    "decide_command",
    "decide_reversal",
    "decide_tap",
    "wants_medium_period",
]


# --- one tap on its way through the rules ---------------------------------------------------------


@dataclass(slots=True)
class _Case:
    book: SpecBook
    medium: Medium | None
    account: Account | None
    tap: Tap
    out: Decision
    version: Version | None = None
    period: Period | None = None
    ts_us: int = 0
    month: int = 0
    day: int = 0

    @property
    def is_offline(self) -> bool:
        return self.tap.kind != TapKind.INSPECT and bool(self.tap.flags & TapFlag.OFFLINE)

    @property
    def is_opened(self) -> bool:
        return self.is_offline and bool(self.tap.flags & TapFlag.DEVICE_OPENED)

    @property
    def is_late(self) -> bool:
        account = self.account
        if account is None or not self.is_offline:
            return False
        if self.tap.kind == TapKind.FLAT:
            return self.ts_us < account.last_ts_us
        newest = {JourneyState.OPEN: account.entry_ts_us, JourneyState.DONE: account.exit_ts_us}
        return self.ts_us < newest.get(JourneyState(account.journey_state), self.ts_us)

    @property
    def is_ride(self) -> bool:
        """Whether this is a check-out that ends the open journey."""
        return bool(
            self.tap.kind == TapKind.CHECK_OUT
            and self.account
            and self.account.is_open
            and not self.is_late
        )

    @property
    def tariff(self) -> Version:
        assert self.version is not None
        return self.version

    @property
    def owner(self) -> Account:
        assert self.account is not None
        return self.account

    @property
    def totals(self) -> Period:
        assert self.period is not None
        return self.period


@dataclass(slots=True)
class _Charge:
    """What a tap costs: the ride counts towards journey and month, the surcharge nowhere."""

    ride_minor: int = 0
    surcharge_minor: int = 0
    nominal_minor: int = 0
    is_new_trip: bool = True

    @property
    def fare_minor(self) -> int:
        return self.ride_minor + self.surcharge_minor


def _refuse(case: _Case, reason: Reason) -> Decision:
    out = case.out
    out.reason, out.verdict = reason, Verdict.DENY
    out.rules &= Rule.RECEIVED_TIME | Rule.ENTRY_MINIMUM
    out.distance_m = out.other_stop = 0
    if case.account is not None:
        out.balance_minor = case.account.spendable_minor
    return out


def _post_risk(case: _Case, fare_minor: int) -> Decision:
    out = case.out
    out.reason, out.verdict = Reason.OK_RISK, Verdict.OPEN_WITH_DEBT
    out.rules |= Rule.OFFLINE_ACCEPTED
    out.fare_minor = out.nominal_minor = fare_minor
    if case.account is not None:
        out.balance_minor = case.account.spendable_minor
    return out


def decide_tap(
    book: SpecBook,
    medium: Medium | None,
    account: Account | None,
    medium_period: Period | None,
    tap: Tap,
) -> Decision:
    """Decide one tap; an accepted one changes `account` (and the period that counts) in place.

    Args: account.version and account.position are the caller's. medium_period: used instead of the
        account's when the tariff gives the monthly totals to the medium.
    """
    case = _Case(book, medium, account if medium is not None else None, tap, Decision())
    if tap.kind not in set(TapKind):
        return _refuse(case, Reason.BAD_REQUEST)
    told = first_told(_message_objections(case))
    if told is not None:
        return _refuse(case, told)
    if medium is None or medium.state == 0:
        return _decide_stranger(case, Reason.UNKNOWN_MEDIUM)
    if case.account is None:
        return _decide_stranger(case, Reason.UNKNOWN_ACCOUNT)
    if case.account.currency != case.tariff.spec.currency:
        told = first_told({Reason.CURRENCY_MISMATCH} | _standing_objections(case))
        return _decide_stranger(case, told or Reason.CURRENCY_MISMATCH)
    _find_totals(case, medium_period)
    return {
        TapKind.CHECK_IN: _check_in,
        TapKind.CHECK_OUT: _check_out,
        TapKind.FLAT: _flat,
        TapKind.INSPECT: _inspect,
    }[TapKind(tap.kind)](case)


def wants_medium_period(book: SpecBook, tap: Tap) -> bool:
    """Whether this tap needs the running totals of its medium."""
    version = book.find_at(tap.tariff_slot, _fare_time(tap))
    if version is None or not version.spec.monthly_tiers:
        return False
    return version.rules.cap_owner == CapOwner.MEDIUM


def _fare_time(tap: Tap) -> int:
    return tap.now_us if tap.flags & TapFlag.CLOCK_UNSURE else tap.device_ts_us


def _message_objections(case: _Case) -> set[Reason]:
    """What is wrong with the tap whoever made it; finds fare time and tariff on the way."""
    tap, out = case.tap, case.out
    now_version = case.book.find_at(tap.tariff_slot, tap.now_us)
    limits = now_version.rules if now_version else TariffRules()
    case.ts_us = out.ts_us = _fare_time(tap)
    if tap.flags & TapFlag.CLOCK_UNSURE:
        out.rules |= Rule.RECEIVED_TIME
    objections = set()
    age_us = tap.now_us - case.ts_us
    if case.is_offline and age_us > limits.offline_horizon_us:
        objections.add(Reason.OP_TOO_OLD)
    if -age_us > limits.clock_ahead_us or (not case.is_offline and age_us > limits.clock_behind_us):
        objections.add(Reason.BAD_TIME)
    if objections:
        return objections
    case.version = (
        _entry_version(case) if case.is_ride else case.book.find_at(tap.tariff_slot, case.ts_us)
    )
    if case.version is None:
        return {Reason.TARIFF_NOT_LOADED}
    out.tariff_key = case.version.key
    has_place = tap.kind in (TapKind.CHECK_IN, TapKind.CHECK_OUT)
    return {Reason.UNKNOWN_STOP} if has_place and tap.stop not in case.version.index_of else set()


def _entry_version(case: _Case) -> Version | None:
    account = case.owner
    kept = case.book.find_by_key(account.entry_tariff)
    return kept or case.book.find_at(case.tap.tariff_slot, account.entry_ts_us)


def _decide_stranger(case: _Case, reason: Reason) -> Decision:
    """Somebody we cannot charge: refused, or, when the ride was made, priced for the operator."""
    if not case.is_opened:
        return _refuse(case, reason)
    if case.tap.kind == TapKind.CHECK_OUT:
        return _post_risk(case, _price_missing_check_in(case).fare_minor)
    if case.tap.kind == TapKind.FLAT:
        charge, fault = _price_flat(case)
        return _refuse(case, fault) if fault else _post_risk(case, charge.fare_minor)
    return _post_risk(case, 0)


def _standing_objections(case: _Case) -> set[Reason]:
    """Whether medium and account may make new journeys."""
    medium, status = case.medium, case.owner.status
    assert medium is not None
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


# --- money ----------------------------------------------------------------------------------------


def _money_objections(case: _Case, fare_minor: int, *, least_minor: int = 0) -> set[Reason]:
    """Whether the account can pay the fare and have `least_minor` left."""
    account = case.owner
    limit_minor = account.spendable_minor + account.credit_limit_minor
    is_entry = case.tap.kind == TapKind.CHECK_IN
    if not fits(account.balance_minor - fare_minor):
        return {Reason.AMOUNT_OVERFLOW}
    if limit_minor >= fare_minor + least_minor or (fare_minor == 0 and not is_entry):
        return set()
    may_overdraw = case.tap.kind == TapKind.CHECK_OUT and case.tariff.rules.exit_overdraft
    return set() if may_overdraw and limit_minor >= 0 else {Reason.INSUFFICIENT_BALANCE}


def _admit(case: _Case, objections: set[Reason], charge: _Charge, *, is_debt: bool = False) -> bool:
    """Turn objections into a verdict and draw the fare. False = refused: nothing changes."""
    told = first_told(objections)
    if told is None and case.is_offline and not case.is_opened:
        told = Reason.OFFLINE_REFUSED
    is_entry = case.tap.kind == TapKind.CHECK_IN
    if told == Reason.INSUFFICIENT_BALANCE and is_entry:
        case.out.rules |= Rule.ENTRY_MINIMUM
    if told is not None and not case.is_opened:
        _refuse(case, told)
        return False
    if not fits(case.owner.balance_minor - charge.fare_minor):
        _post_risk(case, charge.fare_minor)
        return False
    if told is not None:
        case.out.rules |= Rule.OFFLINE_ACCEPTED
    _draw(case, charge, is_debt=is_debt or told is not None)
    return True


def _draw(case: _Case, charge: _Charge, *, is_debt: bool) -> None:
    """Take the fare: subsidy, stored value, credit line; a debt goes below any limit."""
    account, out, fare_minor = case.owner, case.out, charge.fare_minor
    limit_minor = account.spendable_minor + account.credit_limit_minor
    is_overdraft = not is_debt and fare_minor > 0 and limit_minor < fare_minor
    out.subsidy_minor = min(fare_minor, account.subsidy_minor)
    account.subsidy_minor -= out.subsidy_minor
    account.balance_minor -= fare_minor - out.subsidy_minor
    out.fare_minor, out.nominal_minor = fare_minor, charge.nominal_minor
    out.balance_minor = account.spendable_minor
    if is_debt:
        out.reason = Reason.OK_DEBT
    elif is_overdraft:
        out.reason = Reason.OK_OVERDRAFT
        out.rules |= Rule.EXIT_OVERDRAFT
    elif fare_minor > out.subsidy_minor and account.balance_minor < 0:
        out.rules |= Rule.CREDIT_LINE
    if out.subsidy_minor:
        out.rules |= Rule.SUBSIDY
    out.verdict = Verdict.OPEN_WITH_DEBT if is_debt else Verdict.OPEN


# --- monthly totals -------------------------------------------------------------------------------


def _find_totals(case: _Case, medium_period: Period | None) -> None:
    """Whose totals count, and which month and day this tap belongs to."""
    rules = case.tariff.rules
    of_medium = medium_period is not None and rules.cap_owner == CapOwner.MEDIUM
    case.period = medium_period if of_medium else case.owner.period
    if not case.tariff.spec.monthly_tiers:
        return
    instant_us = case.owner.entry_ts_us if case.is_ride and rules.month_by_entry else case.ts_us
    found = case.tariff.find_calendar(instant_us)
    if found is None:
        other = case.book.find_at(case.tap.tariff_slot, instant_us)
        found = other.find_calendar(instant_us) if other else None
    case.month, case.day = found or (0, 0)


def _is_countable(case: _Case) -> bool:
    """Only the two newest months are kept."""
    return case.month != 0 and case.month >= case.totals.prev_month


def _count(case: _Case, charge: _Charge) -> int:
    """Count a trip; returns its month, 0 = not counted."""
    if not _is_countable(case):
        return 0
    period = case.totals
    period.open_month(case.month)
    period.open_day(case.day)
    is_nominal = case.tariff.rules.month_basis == MonthBasis.NOMINAL
    counted_minor = charge.nominal_minor if is_nominal else charge.ride_minor
    trips = int(charge.is_new_trip)
    period.add(month=case.month, day=case.day, paid_minor=counted_minor, trips=trips)
    return case.month


# --- prices ---------------------------------------------------------------------------------------


def _tier_ppm(case: _Case, total_minor: int) -> int:
    """Factor of the tier that a monthly total lies in."""
    reached = [one for one in case.tariff.spec.monthly_tiers if one.from_minor <= total_minor]
    return reached[-1].factor_ppm if reached and _is_countable(case) else FACTOR_ONE_PPM


def _discounted(case: _Case, pair: Pair, *, time_ppm: int, tier_ppm: int) -> int:
    """All factors in one exact product, rounded half up once; an untouched fare is not rounded."""
    factors = {
        Rule.TIME_DISCOUNT: time_ppm if pair.discountable_minor else FACTOR_ONE_PPM,
        Rule.MEDIUM_FACTOR: case.tariff.spec.medium_factor_ppm[case.tap.medium_kind & 15],
        Rule.MONTHLY_TIER: tier_ppm,
    }
    acting = [rule for rule, ppm in factors.items() if ppm != FACTOR_ONE_PPM]
    for rule in acting:
        case.out.rules |= rule
    if not acting:
        return pair.fare_minor
    fixed_minor = pair.fare_minor - pair.discountable_minor
    price = fixed_minor + pair.discountable_minor * Fraction(
        factors[Rule.TIME_DISCOUNT], FACTOR_ONE_PPM
    )
    price *= Fraction(factors[Rule.MEDIUM_FACTOR], FACTOR_ONE_PPM) * Fraction(
        tier_ppm, FACTOR_ONE_PPM
    )
    unit = case.tariff.rules.round_to_minor
    return int((price / unit + Fraction(1, 2)) // 1) * unit


def _price_ride(case: _Case) -> _Charge | None:
    """Price the journey that this check-out ends; None = the tariff has no price."""
    account, version, out = case.owner, case.tariff, case.out
    out.other_stop = account.origin_stop
    pair = version.find_pair(account.origin_stop, case.tap.stop)
    if pair is None:
        return None
    is_joined = account.leg_count > 1
    so_far = version.find_pair(account.origin_stop, account.exit_stop) if is_joined else None
    earlier_minor = so_far.fare_minor if so_far else 0
    total_minor = case.totals.total(case.month)
    if is_joined:
        is_nominal = version.rules.month_basis == MonthBasis.NOMINAL
        total_minor -= earlier_minor if is_nominal else account.journey_paid_minor
        out.rules |= Rule.OUT_OF_STATION
    out.rules |= pair.rules
    out.distance_m = pair.distance_m
    price_minor = _discounted(
        case,
        pair,
        time_ppm=_entry_discount_ppm(account, version),
        tier_ppm=_tier_ppm(case, max(0, total_minor)),
    )
    return _Charge(
        ride_minor=max(0, price_minor - account.journey_paid_minor),
        surcharge_minor=_overstay(case),
        nominal_minor=max(0, pair.fare_minor - earlier_minor),
        is_new_trip=not is_joined,
    )


def _entry_discount_ppm(account: Account, version: Version) -> int:
    number = account.entry_flags & DISCOUNT_MASK
    discounts = version.spec.time_discounts
    return discounts[number - 1].factor_ppm if 0 < number <= len(discounts) else FACTOR_ONE_PPM


def _overstay(case: _Case) -> int:
    rules = case.tariff.rules
    if rules.max_stay_us < 0 or case.ts_us - case.owner.entry_ts_us <= rules.max_stay_us:
        return 0
    case.out.rules |= Rule.OVERSTAY
    return rules.overstay_minor


def _price_missing_check_in(case: _Case) -> _Charge:
    case.out.rules |= Rule.MISSING_CHECK_IN
    highest_minor = case.tariff.highest_minor(case.tap.stop)
    return _Charge(surcharge_minor=highest_minor, nominal_minor=highest_minor)


def _price_missing_check_out(case: _Case) -> _Charge:
    account = case.owner
    version = _entry_version(case) or case.tariff
    if account.origin_stop not in version.index_of:
        return _Charge()
    left_minor = max(0, version.highest_minor(account.origin_stop) - account.journey_paid_minor)
    return _Charge(surcharge_minor=left_minor, nominal_minor=left_minor)


def _price_flat(case: _Case) -> tuple[_Charge, Reason | None]:
    amount_minor, flat_minor = case.tap.amount_minor, case.tariff.rules.flat_minor
    if amount_minor != -1:
        if not 0 <= amount_minor <= FARE_MAX:
            return _Charge(), Reason.AMOUNT_INVALID
        case.out.rules |= Rule.DEVICE_AMOUNT
        return _Charge(ride_minor=amount_minor, nominal_minor=amount_minor), None
    if flat_minor < 0:
        return _Charge(), Reason.NOT_PRICED
    case.out.rules |= Rule.FLAT_FARE
    ride_minor = flat_minor
    if case.period is not None:
        pair = Pair(flat_minor, 0, 0, Rule(0))
        tier_ppm = _tier_ppm(case, case.period.total(case.month))
        ride_minor = _discounted(case, pair, time_ppm=FACTOR_ONE_PPM, tier_ppm=tier_ppm)
    return _Charge(ride_minor=ride_minor, nominal_minor=flat_minor), None


# --- the four kinds of tap ------------------------------------------------------------------------


def _remember(case: _Case, *, fare_minor: int = 0, month: int = 0, flags: int = 0) -> None:
    """Note the account's last accepted tap: what a reversal needs."""
    account, tap = case.owner, case.tap
    account.last_device, account.last_boot, account.last_seq = tap.device, tap.boot, tap.seq
    account.last_kind, account.last_stop, account.last_ts_us = tap.kind, tap.stop, case.ts_us
    account.last_medium_kind = tap.medium_kind
    account.last_fare_minor = fare_minor
    account.last_subsidy_minor = case.out.subsidy_minor if fare_minor else 0
    account.last_flags, account.last_month = flags, month


def _tell_progress(case: _Case) -> Decision:
    case.out.period_paid_minor = case.totals.total(case.month)
    return case.out


def _repeats_last(case: _Case) -> bool:
    account, tap = case.owner, case.tap
    is_same = account.last_device != 0 and (account.last_kind, account.last_stop) == (
        tap.kind,
        tap.stop,
    )
    return is_same and 0 <= case.ts_us - account.last_ts_us < case.tariff.rules.passback_us


def _entry_objections(case: _Case) -> set[Reason]:
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


def _check_in(case: _Case) -> Decision:
    account = case.owner
    objections = _standing_objections(case)
    if case.is_late:
        return _tell_progress(case) if _admit(case, objections, _Charge()) else case.out
    is_closing = account.is_open
    charge = _price_missing_check_out(case) if is_closing else _Charge()
    objections |= _entry_objections(case)
    least_minor = case.tariff.rules.entry_minimum_minor
    objections |= _money_objections(case, charge.fare_minor, least_minor=least_minor)
    if not _admit(case, objections, charge):
        return case.out
    if is_closing:
        case.out.rules |= Rule.MISSING_CHECK_OUT
        case.out.other_stop = account.origin_stop
    _open_journey(case)
    return _tell_progress(case)


def _continues(case: _Case) -> bool:
    """Whether this check-in is the second half of an out-of-station interchange."""
    account, version = case.owner, case.tariff
    if account.journey_state != JourneyState.DONE or account.leg_count >= LEGS_MAX:
        return False
    gap_us = case.ts_us - account.exit_ts_us
    knows_origin = account.origin_stop in version.index_of and account.exit_stop in version.index_of
    return knows_origin and version.has_interchange(account.exit_stop, case.tap.stop, gap_us)


def _carried_discount(account: Account, version: Version, ts_us: int) -> int:
    """The discount that the journey so far was given, as this version of the tariff sees it."""
    if account.entry_tariff == version.key:
        return account.entry_flags & DISCOUNT_MASK
    return version.find_discount(account.origin_stop, ts_us)


def _open_journey(case: _Case) -> None:
    account, tap, version = case.owner, case.tap, case.tariff
    is_joined = _continues(case)
    was_done = account.journey_state == JourneyState.DONE
    flags = LAST_PREV_DONE if was_done else 0
    _remember(case, flags=flags | account.leg_count << LAST_LEGS_SHIFT)
    account.prev_origin_stop = account.origin_stop
    account.prev_paid_minor = account.journey_paid_minor
    carried = _carried_discount(account, version, case.ts_us)
    if is_joined:
        case.out.rules |= Rule.OUT_OF_STATION
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


def _exit_objections(case: _Case) -> set[Reason]:
    """What speaks against a check-out without an open journey."""
    setting = case.tariff.rules.missing_check_in
    is_desk = bool(case.tap.flags & TapFlag.SERVICE_DESK)
    at_desk = setting == MissingCheckIn.HIGHEST_AT_DESK and is_desk
    found = {Reason.PASSBACK} if _repeats_last(case) else set()
    if not (setting == MissingCheckIn.HIGHEST or at_desk):
        found.add(Reason.NOT_CHECKED_IN)
    return found


def _check_out(case: _Case) -> Decision:
    standing = _standing_objections(case)
    if not case.is_ride:
        charge = _price_missing_check_in(case)
        objections = standing | _exit_objections(case) | _money_objections(case, charge.fare_minor)
        is_late = case.is_late
        if not _admit(case, objections, charge):
            return case.out
        if not is_late:
            _remember(case, fare_minor=charge.fare_minor, flags=LAST_NO_JOURNEY)
        return _tell_progress(case)
    priced = _price_ride(case)
    charge = priced or _price_missing_check_in(case)
    objections = _money_objections(case, charge.fare_minor)
    if standing:
        objections -= {Reason.INSUFFICIENT_BALANCE}
    if priced is None:
        objections.add(Reason.NOT_PRICED)
    if not _admit(case, objections, charge, is_debt=bool(standing)):
        return case.out
    _close_journey(case, charge, _count(case, charge) if priced else 0)
    return _tell_progress(case)


def _close_journey(case: _Case, charge: _Charge, month: int) -> None:
    account = case.owner
    _remember(case, fare_minor=charge.fare_minor, month=month)
    account.prev_origin_stop, account.prev_paid_minor = (
        account.exit_stop,
        account.journey_paid_minor,
    )
    account.exit_ts_us, account.exit_stop = case.ts_us, case.tap.stop
    account.journey_paid_minor += charge.ride_minor
    account.journey_state = JourneyState.DONE


def _flat(case: _Case) -> Decision:
    objections = _standing_objections(case)
    charge, fault = _price_flat(case)
    if _repeats_last(case):
        objections.add(Reason.PASSBACK)
    if fault is not None:
        told = fault if case.is_opened else first_told(objections | {fault})
        return _refuse(case, told or fault)
    objections |= _money_objections(case, charge.fare_minor)
    is_late = case.is_late
    if not _admit(case, objections, charge):
        return case.out
    month = _count(case, charge)
    if not is_late:
        _remember(case, fare_minor=charge.fare_minor, month=month)
        case.owner.last_flat_ts_us = case.ts_us
    return _tell_progress(case)


def _inspect(case: _Case) -> Decision:
    """Says what an inspector needs to know; changes nothing."""
    objections = _standing_objections(case)
    if not case.owner.is_open:
        objections.add(Reason.NOT_CHECKED_IN)
    told = first_told(objections)
    if told is not None:
        return _refuse(case, told)
    case.out.verdict = Verdict.OPEN
    case.out.other_stop = case.owner.entry_stop
    case.out.balance_minor = case.owner.spendable_minor
    return _tell_progress(case)
