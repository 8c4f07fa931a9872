"""Random tariffs and random months of a rider's life."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from hypothesis import strategies as st

from fastpath.types import (
    AccountStatus,
    CapOwner,
    DayTable,
    MediumState,
    MissingCheckIn,
    MonthBasis,
    MonthlyTier,
    Op,
    OutOfStation,
    TapFlag,
    TapKind,
    TariffRules,
    TariffSpec,
    TimeDiscount,
)
from tests.fastpath.world import DAY_US, HOUR_US, MINUTE_US, SECOND_US

FIRST_DAY = 20_700
DAYS = 120
START_US = FIRST_DAY * DAY_US + 20 * HOUR_US
MIDDLE_US = START_US + 40 * DAY_US
"""Where histories begin: room for late taps before, and for two more months behind."""
STOPS_MAX = 5
PPM = st.sampled_from(
    [0, 250_000, 500_000, 800_000, 900_000, 950_000, 1_000_000, 1_000_000, 1_333_333]
)


def days(draw: st.DrawFn) -> DayTable:
    """Four months of service days; one is an hour short, one an hour long."""
    shift = draw(st.sampled_from([0, 4 * HOUR_US]))
    short, long = draw(st.tuples(st.integers(1, 60), st.integers(61, 119)))
    starts, at = [], START_US + shift
    for day in range(DAYS + 1):
        starts.append(at)
        at += DAY_US - HOUR_US * (day == short) + HOUR_US * (day == long)
    months = [24_320 + day // 30 for day in range(DAYS)]
    return DayTable(FIRST_DAY, array("q", starts), array("I", months))


@st.composite
def discounts(draw: st.DrawFn, table: DayTable, stops: int) -> TimeDiscount:
    """A window of some days, at some stops."""
    begin, length = draw(st.tuples(st.integers(0, 20), st.integers(1, 4)))
    works = draw(st.lists(st.booleans(), min_size=7, max_size=7))
    start_us = [
        at + begin * HOUR_US if works[i % 7] else 0 for i, at in enumerate(table.start_us[:-1])
    ]
    end_us = [at + length * HOUR_US if at else 0 for at in start_us]
    flags = bytes(draw(st.lists(st.integers(0, 1), min_size=stops, max_size=stops)))
    return TimeDiscount("early", draw(PPM), flags, array("q", start_us), array("q", end_us))


@st.composite
def rules(draw: st.DrawFn) -> TariffRules:
    """Every setting at work, with values that histories run into."""
    amount = st.sampled_from([0, 100, 300])
    return TariffRules(
        entry_minimum_minor=draw(amount),
        exit_overdraft=draw(st.booleans()),
        same_stop_fare_minor=draw(st.sampled_from([-1, 0, 300])),
        max_stay_us=draw(st.sampled_from([-1, 0, 2 * HOUR_US])),
        overstay_minor=draw(amount),
        missing_check_in=draw(st.sampled_from(MissingCheckIn)),
        missing_check_out_after_us=draw(st.sampled_from([-1, 0, 3 * HOUR_US])),
        passback_us=draw(st.sampled_from([0, 90 * SECOND_US])),
        flat_minor=draw(st.sampled_from([-1, 0, 200, 333])),
        cap_owner=draw(st.sampled_from(CapOwner)),
        month_basis=draw(st.sampled_from(MonthBasis)),
        month_by_entry=draw(st.booleans()),
        clock_ahead_us=draw(st.sampled_from([0, 5 * MINUTE_US])),
        clock_behind_us=draw(st.sampled_from([0, DAY_US])),
        offline_horizon_us=draw(st.sampled_from([HOUR_US, 30 * DAY_US])),
        round_to_minor=draw(st.sampled_from([1, 5, 10, 100])),
    )


@st.composite
def tiers(draw: st.DrawFn) -> tuple[MonthlyTier, ...]:
    bounds = draw(st.lists(st.sampled_from([0, 500, 900, 1500, 4000]), unique=True, max_size=4))
    return tuple(MonthlyTier(bound, draw(PPM)) for bound in sorted(bounds))


@st.composite
def specs(
    draw: st.DrawFn, *, version: str = "1", from_us: int = 0, until_us: int = 0
) -> TariffSpec:
    """A tariff of a small network."""
    stops = sorted(
        draw(
            st.sets(
                st.sampled_from([1, 2, 3, 17, 300, 65_536, 4_000_000_000]),
                min_size=1,
                max_size=STOPS_MAX,
            )
        )
    )
    count = len(stops)
    pairs = count * count
    fares = draw(
        st.lists(st.sampled_from([-1, 0, 300, 401, 505, 999, 2500]), min_size=pairs, max_size=pairs)
    )
    shares = draw(st.lists(st.integers(0, 2), min_size=pairs, max_size=pairs))
    table = days(draw)
    return TariffSpec(
        tariff_id="random",
        version=version,
        currency=156,
        valid_from_us=from_us or table.start_us[0],
        valid_until_us=until_us,
        stop_ids=array("I", stops),
        od_fare_minor=array("i", fares),
        od_distance_m=array("I", [10 * at for at in range(pairs)]),
        od_part=bytes(at % 5 for at in range(pairs)),
        highest_minor=array(
            "i", draw(st.lists(st.sampled_from([-1, 900, 2500]), min_size=count, max_size=count))
        ),
        days=table,
        od_discountable_minor=array(
            "i", [max(0, fare) * share // 2 for fare, share in zip(fares, shares, strict=True)]
        ),
        rules=draw(rules()),
        time_discounts=tuple(draw(st.lists(discounts(table, count), max_size=2))),
        out_of_station=tuple(
            OutOfStation(origin, destination, window * MINUTE_US)
            for (origin, destination), window in draw(
                st.dictionaries(
                    st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)),
                    st.sampled_from([0, 30, 600]),
                    max_size=6,
                )
            ).items()
        ),
        monthly_tiers=draw(tiers()),
        medium_factor_ppm=tuple(draw(st.lists(PPM, min_size=16, max_size=16))),
    )


@dataclass(frozen=True)
class TapStep:
    """`place` picks a stop; STOPS_MAX and above are unknown ones."""

    gap_us: int
    kind: int
    place: int
    clock_us: int
    flags: int
    amount_minor: int
    device: int


@dataclass(frozen=True)
class UndoStep:
    """Undo the n-th tap from the end (0 = the last), with what was decided then."""

    back: int


@dataclass(frozen=True)
class CommandStep:
    op: int
    fields: dict[str, int]


@dataclass(frozen=True)
class SwitchStep:
    """Drop a tariff or load all again; give the totals to the medium or not."""

    what: str


GAPS = st.sampled_from(
    [0, 5 * SECOND_US, 20 * MINUTE_US, 20 * MINUTE_US, HOUR_US, 3 * HOUR_US, DAY_US, 20 * DAY_US]
)
CLOCKS = st.sampled_from(
    [
        0,
        0,
        0,
        0,
        -SECOND_US,
        -40 * MINUTE_US,
        -5 * HOUR_US,
        -12 * DAY_US,
        -40 * DAY_US,
        MINUTE_US,
        HOUR_US,
    ]
)
FLAGS = st.sampled_from(
    [
        TapFlag(0),
        TapFlag(0),
        TapFlag(0),
        TapFlag.OFFLINE | TapFlag.DEVICE_OPENED,
        TapFlag.OFFLINE | TapFlag.DEVICE_OPENED,
        TapFlag.OFFLINE | TapFlag.DEVICE_OPENED | TapFlag.CLOCK_UNSURE,
        TapFlag.OFFLINE,
        TapFlag.SERVICE_DESK,
        TapFlag.CLOCK_UNSURE,
        TapFlag.DEVICE_OPENED,
    ]
)
KINDS = st.sampled_from(
    [TapKind.CHECK_IN] * 5
    + [TapKind.CHECK_OUT] * 5
    + [TapKind.FLAT] * 3
    + [TapKind.INSPECT, 0, 5, 255]
)
TAPS = st.builds(
    TapStep,
    gap_us=GAPS,
    kind=KINDS,
    place=st.integers(0, STOPS_MAX + 1),
    clock_us=CLOCKS,
    flags=FLAGS,
    amount_minor=st.sampled_from([-1, -1, -1, -1, 0, 777, -2, 100_000_001]),
    device=st.integers(1, 2),
)
AMOUNTS = st.sampled_from(
    [0, 1, 300, 2000, 100_000, -1, -300, 1 << 60, (1 << 60) + 1, (1 << 63) - 1, -(1 << 63)]
)
COMMANDS = st.builds(
    CommandStep,
    op=st.sampled_from([*Op, 0, 99]),
    fields=st.fixed_dictionaries(
        {},
        optional={
            "amount_minor": AMOUNTS,
            "purse": st.sampled_from([0, 0, 1, 1, 2]),
            "currency": st.sampled_from([0, 156, 840, 1000]),
            "expected_version": st.sampled_from([0, 1, 2, 3, 9]),
            "status_bits": st.integers(0, 8),
            "rider_category": st.integers(0, 255),
            "medium_kind": st.integers(0, 7),
            "medium_state": st.integers(0, 6),
            "expires_us": st.sampled_from([0, 0, MIDDLE_US + DAY_US, -1]),
            "from_us": st.sampled_from([0, MIDDLE_US, MIDDLE_US + DAY_US, -1]),
            "pass_id": st.sampled_from([0, 11, 12]),
            "rides": st.sampled_from([-1, 1, 0]),
        },
    ),
)
STEPS = st.one_of(
    TAPS,
    TAPS,
    TAPS,
    TAPS,
    st.builds(UndoStep, back=st.integers(0, 3)),
    COMMANDS,
    st.builds(SwitchStep, what=st.sampled_from(["drop", "load", "owner"])),
)
HISTORIES = st.lists(STEPS, min_size=1, max_size=25)
STATUSES = st.sampled_from([AccountStatus(0), AccountStatus(0), *AccountStatus])
MEDIUM_STATES = st.sampled_from([MediumState.ACTIVE, MediumState.ACTIVE, *MediumState, 0])
