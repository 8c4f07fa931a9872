"""Of two reasons that hold, the first declared in `Reason` is told: one row per case."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import pytest

from fastpath.types import (
    AccountStatus,
    MediumState,
    MissingCheckIn,
    Reason,
    Rule,
    TapFlag,
    TapKind,
    Verdict,
)
from tests.fastpath.city import DEPOT, EAST, HILL, WEST, rider
from tests.fastpath.world import DAY_US, HOUR_US, MINUTE_US, SECOND_US, World

Spoil = Callable[[World, dict[str, int]], None]


def _medium(world: World, state: MediumState) -> None:
    assert world.medium is not None
    world.medium.state = state


def _expire(world: World, _: dict[str, int]) -> None:
    assert world.medium is not None
    world.medium.expires_us = world.now_us


def _status(bits: AccountStatus) -> Spoil:
    def spoil(world: World, _: dict[str, int]) -> None:
        world.rider.status |= bits

    return spoil


def _forget_medium(world: World, _: dict[str, int]) -> None:
    world.medium = None


def _currency(world: World, _: dict[str, int]) -> None:
    world.rider.currency = 840


def _poor(world: World, _: dict[str, int]) -> None:
    world.rider.balance_minor = 2_99


def _no_tariff(world: World, _: dict[str, int]) -> None:
    world.drop(world.book.list_versions(0)[0].key)


def _set(name: str, value: int) -> Spoil:
    return lambda _, tap: tap.update({name: value})


ENTRY: dict[Reason, Spoil] = {
    Reason.TARIFF_NOT_LOADED: _no_tariff,
    Reason.UNKNOWN_STOP: _set("stop", 999),
    Reason.UNKNOWN_MEDIUM: _forget_medium,
    Reason.DENYLISTED: lambda world, _: _medium(world, MediumState.DENYLISTED),
    Reason.MEDIUM_LOST: lambda world, _: _medium(world, MediumState.LOST),
    Reason.MEDIUM_EXPIRED: _expire,
    Reason.ACCOUNT_CLOSED: _status(AccountStatus.CLOSED),
    Reason.ACCOUNT_FROZEN: _status(AccountStatus.FROZEN_DEBIT),
    Reason.CURRENCY_MISMATCH: _currency,
    Reason.INSUFFICIENT_BALANCE: _poor,
}


def told(spoils: list[Spoil]) -> Reason:
    world = rider()
    tap = {"kind": TapKind.CHECK_IN, "stop": EAST}
    for spoil in spoils:
        spoil(world, tap)
    made = world.tap(**tap)
    assert made.verdict == Verdict.DENY
    return Reason(made.reason)


@pytest.mark.parametrize("reason", ENTRY, ids=lambda reason: reason.name)
def test_each_reason_alone(reason: Reason) -> None:
    assert told([ENTRY[reason]]) == reason


ONE_STATE = (Reason.DENYLISTED, Reason.MEDIUM_LOST)
PAIRS = [pair for pair in combinations(ENTRY, 2) if pair != ONE_STATE]


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=lambda reason: reason.name)
def test_of_two_the_first_declared_is_told(first: Reason, second: Reason) -> None:
    declared = list(Reason)
    assert declared.index(first) < declared.index(second)
    assert told([ENTRY[second], ENTRY[first]]) == first


STATES = {
    MediumState.ACTIVE: Reason.OK,
    MediumState.LOST: Reason.MEDIUM_LOST,
    MediumState.REPLACED: Reason.MEDIUM_LOST,
    MediumState.EXPIRED: Reason.MEDIUM_EXPIRED,
    MediumState.DENYLISTED: Reason.DENYLISTED,
}


@pytest.mark.parametrize("state", MediumState)
def test_medium_states(state: MediumState) -> None:
    world = rider()
    _medium(world, state)
    assert Reason(world.enter(EAST).reason) == STATES[state]


def test_free_table_entry_is_an_unknown_medium() -> None:
    world = rider()
    assert world.medium is not None
    world.medium.state = 0
    assert Reason(world.enter(EAST).reason) == Reason.UNKNOWN_MEDIUM


def test_unknown_account() -> None:
    world = rider()
    world.account = None
    assert Reason(world.enter(EAST).reason) == Reason.UNKNOWN_ACCOUNT


CLOCKS = [
    # device clock - server, flags, reason
    (0, 0, Reason.OK),
    (5 * MINUTE_US, 0, Reason.OK),
    (5 * MINUTE_US + 1, 0, Reason.OK),
    (-DAY_US, 0, Reason.OK),
    (-5 * DAY_US, 0, Reason.OK),
    (-5 * DAY_US, TapFlag.CLOCK_UNSURE, Reason.OK),
    (9 * DAY_US, TapFlag.CLOCK_UNSURE, Reason.OK),
    (-2 * DAY_US, TapFlag.OFFLINE | TapFlag.DEVICE_OPENED, Reason.OK),
    (6 * MINUTE_US, TapFlag.OFFLINE | TapFlag.DEVICE_OPENED, Reason.OK),
    (-30 * DAY_US, TapFlag.OFFLINE | TapFlag.DEVICE_OPENED, Reason.OK),
    (-30 * DAY_US - 1, TapFlag.OFFLINE | TapFlag.DEVICE_OPENED, Reason.OK),
    (-30 * DAY_US - 1, TapFlag.OFFLINE, Reason.OP_TOO_OLD),
    (-31 * DAY_US, TapFlag.OFFLINE, Reason.OP_TOO_OLD),
]


@pytest.mark.parametrize(("clock_us", "flags", "reason"), CLOCKS)
def test_clocks(clock_us: int, flags: int, reason: Reason) -> None:
    world = rider(40)
    made = world.enter(EAST, clock_us=clock_us, flags=flags)
    assert Reason(made.reason) == reason
    is_behind = clock_us < -DAY_US and not flags & TapFlag.OFFLINE
    is_before_horizon = clock_us < -30 * DAY_US  # an offline ride that was made: a wrong clock
    is_behind = is_behind or is_before_horizon
    unsure = flags & TapFlag.CLOCK_UNSURE or clock_us > 5 * MINUTE_US or is_behind
    if reason == Reason.OP_TOO_OLD:
        unsure = False
    assert made.ts_us == world.now_us + (0 if unsure else clock_us)
    assert made.rules == (Rule.RECEIVED_TIME if unsure else 0)


INSTANTS = {
    "1970": 0,
    "1970, minutes after a dead battery": 7 * MINUTE_US,
    "2038-01-19, the end of 32 bits": 2_147_483_647_000_000,
    "2106, the end of unsigned 32 bits": 4_294_967_295_000_000,
}


@pytest.mark.parametrize("name", INSTANTS)
def test_an_offline_ride_with_an_impossible_clock_is_taken_at_the_instant_of_receipt(
    name: str,
) -> None:
    world = rider(40)
    clock_us = INSTANTS[name] - world.now_us
    opened = TapFlag.OFFLINE | TapFlag.DEVICE_OPENED
    made = world.enter(EAST, clock_us=clock_us, flags=opened)
    assert (made.reason, made.ts_us) == (Reason.OK, world.now_us)
    assert made.rules == Rule.RECEIVED_TIME


@pytest.mark.parametrize("off_us", [-15 * MINUTE_US, -1_000_000, 1_000_000, 15 * MINUTE_US])
def test_an_offline_ride_a_little_off_is_believed_up_to_five_minutes_ahead(off_us: int) -> None:
    """A second is a leap second that only one side has made."""
    world = rider(40)
    opened = TapFlag.OFFLINE | TapFlag.DEVICE_OPENED
    made = world.enter(EAST, clock_us=off_us, flags=opened)
    is_off = off_us > 5 * MINUTE_US
    assert made.ts_us == world.now_us + (0 if is_off else off_us)
    assert made.rules == (Rule.RECEIVED_TIME if is_off else 0)


def test_entry_asks_for_the_minimum() -> None:
    world = rider(balance="2.99")
    made = world.enter(EAST)
    assert (made.reason, made.rules) == (Reason.INSUFFICIENT_BALANCE, Rule.ENTRY_MINIMUM)
    world.rider.subsidy_minor = 1
    assert world.enter(EAST).reason == Reason.OK
    held = rider(balance="3.00")
    held.rider.held_minor = 1
    assert held.enter(EAST).reason == Reason.INSUFFICIENT_BALANCE
    held.rider.credit_limit_minor = 1
    assert held.enter(EAST).reason == Reason.OK


def test_a_debtor_does_not_enter_even_without_a_minimum() -> None:
    world = rider(balance="-0.01", entry_minimum_minor=0)
    assert world.enter(EAST).reason == Reason.INSUFFICIENT_BALANCE
    world.rider.balance_minor = 0
    assert world.enter(EAST).reason == Reason.OK


SECOND_ENTRY = [
    # minutes after the first, where, reason, rules
    (0.5, EAST, Reason.PASSBACK, 0),
    (0.5, WEST, Reason.ALREADY_IN, 0),
    (1, EAST, Reason.ALREADY_IN, 0),
    (719, EAST, Reason.ALREADY_IN, 0),
    (720, EAST, Reason.OK, Rule.MISSING_CHECK_OUT),
]


@pytest.mark.parametrize(("minutes", "stop", "reason", "rules"), SECOND_ENTRY)
def test_second_entry(minutes: float, stop: int, reason: Reason, rules: int) -> None:
    world = rider()
    world.enter(EAST)
    made = world.wait(int(minutes * MINUTE_US)).enter(stop)
    assert (Reason(made.reason), made.rules) == (reason, rules)
    assert made.fare_minor == (28_00 if rules else 0)
    assert world.is_inside


def test_missing_check_out_needs_the_money_for_it() -> None:
    world = rider(balance="30.99")
    world.enter(EAST)
    assert world.wait(13 * HOUR_US).enter(WEST).reason == Reason.INSUFFICIENT_BALANCE
    assert world.rider.entry_stop == EAST
    world.rider.balance_minor += 1
    assert world.enter(WEST).reason == Reason.OK
    assert (world.rider.balance_minor, world.rider.entry_stop) == (3_00, WEST)
    assert world.rider.period.month_paid_minor == 0


def test_a_service_desk_closes_an_incomplete_journey() -> None:
    world = rider()
    world.enter(EAST)
    made = world.wait(2 * MINUTE_US).enter(WEST, flags=TapFlag.SERVICE_DESK)
    assert (made.reason, made.fare_minor) == (Reason.OK, 28_00)


MISSING_CHECK_IN = [
    (MissingCheckIn.REFUSE, 0, Reason.NOT_CHECKED_IN),
    (MissingCheckIn.REFUSE, TapFlag.SERVICE_DESK, Reason.NOT_CHECKED_IN),
    (MissingCheckIn.HIGHEST_AT_DESK, 0, Reason.NOT_CHECKED_IN),
    (MissingCheckIn.HIGHEST_AT_DESK, TapFlag.SERVICE_DESK, Reason.OK),
    (MissingCheckIn.HIGHEST, 0, Reason.OK),
]


@pytest.mark.parametrize(("setting", "flags", "reason"), MISSING_CHECK_IN)
def test_exit_without_entry(setting: MissingCheckIn, flags: int, reason: Reason) -> None:
    world = rider(missing_check_in=setting)
    made = world.leave(HILL, flags=flags)
    assert Reason(made.reason) == reason
    if reason == Reason.OK:
        assert (made.fare_minor, made.rules) == (30_00, Rule.MISSING_CHECK_IN)
        assert world.rider.period.month_paid_minor == 0


def test_second_exit_is_passback_first() -> None:
    world = rider(missing_check_in=MissingCheckIn.HIGHEST)
    world.ride(EAST, HILL)
    assert world.wait(59 * SECOND_US).leave(HILL).reason == Reason.PASSBACK
    assert world.leave(WEST).reason == Reason.OK
    assert world.wait(59 * SECOND_US).leave(WEST).reason == Reason.PASSBACK
    assert world.wait(SECOND_US).leave(WEST).reason == Reason.OK


def test_passback_is_asked_of_one_medium() -> None:
    """Two cards of one account at one stop: both pass; the same card twice does not."""
    world = rider()
    assert world.tap(TapKind.FLAT, EAST, card=1).reason == Reason.OK
    assert world.wait(SECOND_US).tap(TapKind.FLAT, EAST, card=2).reason == Reason.OK
    assert world.wait(SECOND_US).tap(TapKind.FLAT, EAST, card=2).reason == Reason.PASSBACK
    assert world.wait(SECOND_US).tap(TapKind.FLAT, EAST, card=1).reason == Reason.OK


def test_flat_passback_is_at_the_same_stop() -> None:
    world = rider()
    assert world.tap(TapKind.FLAT, EAST).reason == Reason.OK
    assert world.wait(SECOND_US).tap(TapKind.FLAT, EAST).reason == Reason.PASSBACK
    assert world.tap(TapKind.FLAT, WEST).reason == Reason.OK


FLATS = [
    # flat fare, device amount, balance, reason
    (-1, -1, "10.00", Reason.NOT_PRICED),
    (-1, -1, "0.00", Reason.NOT_PRICED),
    (2_00, -2, "0.00", Reason.AMOUNT_INVALID),
    (2_00, 100_000_001, "0.00", Reason.AMOUNT_INVALID),
    (2_00, -1, "1.99", Reason.INSUFFICIENT_BALANCE),
    (-1, 0, "0.00", Reason.OK),
    (2_00, -1, "2.00", Reason.OK),
]


@pytest.mark.parametrize(("flat_minor", "amount_minor", "balance", "reason"), FLATS)
def test_flat_refusals(flat_minor: int, amount_minor: int, balance: str, reason: Reason) -> None:
    world = rider(balance=balance, flat_minor=flat_minor)
    assert Reason(world.tap(TapKind.FLAT, amount_minor=amount_minor).reason) == reason


def test_pair_without_a_price() -> None:
    world = rider(balance="3.00")
    world.enter(EAST)
    world.rider.balance_minor = -1
    made = world.wait(MINUTE_US).leave(DEPOT)
    assert (Reason(made.reason), made.distance_m, made.other_stop) == (Reason.NOT_PRICED, 0, 0)
    assert world.is_inside


@pytest.mark.parametrize("kind", [0, 5, 255])
def test_unknown_kind_is_a_bad_request(kind: int) -> None:
    assert rider().tap(kind, EAST).reason == Reason.BAD_REQUEST


def test_inspection() -> None:
    world = rider()
    assert world.tap(TapKind.INSPECT).reason == Reason.NOT_CHECKED_IN
    world.enter(WEST)
    seen = world.wait(MINUTE_US).tap(TapKind.INSPECT)
    assert (seen.reason, seen.verdict, seen.other_stop) == (Reason.OK, Verdict.OPEN, WEST)
    assert seen.balance_minor == 100_00
    _medium(world, MediumState.LOST)
    assert world.tap(TapKind.INSPECT).reason == Reason.MEDIUM_LOST


def test_money_that_no_account_may_hold() -> None:
    world = rider()
    world.enter(EAST)
    world.rider.balance_minor = -(1 << 60)
    world.wait(MINUTE_US)
    assert world.leave(HILL).reason == Reason.AMOUNT_OVERFLOW
    opened = TapFlag.OFFLINE | TapFlag.DEVICE_OPENED
    assert world.leave(HILL, flags=opened).reason == Reason.OK_RISK
    assert world.is_inside
