"""Random months of a rider: core and reference agree after every step, money laws hold."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fastpath import reference
from fastpath.types import (
    FACTOR_ONE_PPM,
    MissingCheckIn,
    MonthBasis,
    Reason,
    Rule,
    TapFlag,
    TapKind,
    TariffSpec,
)
from tests.fastpath.strategies import (
    HISTORIES,
    MEDIUM_STATES,
    MIDDLE_US,
    STATUSES,
    CommandStep,
    SwitchStep,
    TapStep,
    UndoStep,
    specs,
)
from tests.fastpath.world import DAY_US, SLOT, World

SWITCH_US = MIDDLE_US + 3 * DAY_US
ROOMY = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)


class Life:
    """Plays steps in a world; remembers what a switch took away."""

    def __init__(self, world: World, loaded: list[TariffSpec]) -> None:
        self.world = world
        self.loaded = loaded
        for spec in loaded:
            world.load(spec)

    def play(self, step: object) -> None:
        match step:
            case TapStep():
                self.tap(step)
            case UndoStep(back=back) if back < len(self.world.history):
                self.undo(back)
            case CommandStep(op=op, fields=fields):
                self.world.command(op, **fields)
            case SwitchStep(what=what):
                self.switch(what)

    def tap(self, step: TapStep) -> None:
        stops = self.loaded[0].stop_ids
        stop = stops[step.place] if step.place < len(stops) else 5 * (step.place % 2)
        self.world.wait(step.gap_us).tap(
            step.kind,
            stop,
            clock_us=step.clock_us,
            flags=step.flags,
            amount_minor=step.amount_minor,
            device=step.device,
        )

    def undo(self, back: int) -> None:
        """A tap is undone once: that is the caller's part of the bargain."""
        tap, charged = self.world.history[-1 - back]
        if self.world.reverse(tap, charged).reason == Reason.OK:
            self.world.history[-1 - back] = (tap, replace(charged, reason=Reason.BUSY))

    def switch(self, what: str) -> None:
        world = self.world
        if what == "owner":
            world.medium_period = None if world.medium_period else reference.Period()
        elif what == "load":
            for spec in self.loaded:
                world.load(spec)
        elif world.book.list_versions(0):
            world.drop(world.book.list_versions(0)[0].key)


ACCOUNTS = st.builds(
    reference.Account,
    account_id=st.just(77),
    version=st.just(1),
    currency=st.sampled_from([156, 156, 156, 156, 840]),
    balance_minor=st.sampled_from([0, 300, 1000, 100_000, -50, -(1 << 60)]),
    subsidy_minor=st.sampled_from([0, 0, 250, 5000]),
    credit_limit_minor=st.sampled_from([0, 0, 700]),
    held_minor=st.sampled_from([0, 0, 200]),
    status=STATUSES,
)
MEDIA = st.builds(
    reference.Medium,
    account_slot=st.sampled_from([SLOT, SLOT, SLOT, 6]),
    kind=st.integers(1, 6),
    state=MEDIUM_STATES,
    expires_us=st.sampled_from([0, 0, MIDDLE_US + DAY_US]),
)


@ROOMY
@given(
    first=specs(version="1"),
    second=st.none() | specs(version="2", from_us=SWITCH_US, until_us=SWITCH_US + 9 * DAY_US),
    account=ACCOUNTS,
    medium=MEDIA,
    steps=HISTORIES,
)
def test_compiled_core_equals_reference(
    first: TariffSpec,
    second: TariffSpec | None,
    account: reference.Account,
    medium: reference.Medium,
    steps: list[object],
) -> None:
    world = World(MIDDLE_US, account=deepcopy(account), medium=deepcopy(medium))
    life = Life(world, [first] if second is None else [first, second])
    for step in steps:
        life.play(step)


@ROOMY
@given(spec=specs(), account_known=st.booleans(), steps=HISTORIES)
def test_strangers_cost_nobody(spec: TariffSpec, account_known: bool, steps: list[object]) -> None:
    world = World(MIDDLE_US)
    if account_known:
        world.medium = None
    else:
        world.account = None
    life = Life(world, [spec])
    for step in steps:
        if isinstance(step, TapStep):
            life.play(step)
            decision = world.history[-1][1]
            assert not Reason(decision.reason).accepted or decision.reason == Reason.OK_RISK


@ROOMY
@given(spec=specs(), steps=HISTORIES)
def test_an_undone_tap_can_be_made_again(spec: TariffSpec, steps: list[object]) -> None:
    world = World(MIDDLE_US)
    life = Life(world, [spec])
    for step in steps:
        life.play(step)
        if not isinstance(step, TapStep) or not Reason(world.history[-1][1].reason).accepted:
            continue
        tap, charged = world.history[-1]
        closes = charged.rules & Rule.MISSING_CHECK_OUT
        is_last = world.account is not None and world.account.last_seq == tap.seq
        if tap.kind == TapKind.INSPECT or closes or not is_last:
            continue
        assert world.reverse(tap, charged).reason == Reason.OK
        again = world.decide(replace(tap, seq=world.seq + 1))
        world.seq += 1
        assert again == charged


@ROOMY
@given(spec=specs(), steps=HISTORIES)
def test_month_total_is_the_sum_of_its_rides(spec: TariffSpec, steps: list[object]) -> None:
    """Without undoing, surcharges and old months, the paid total is what rides cost."""
    plain = replace(
        spec.rules,
        overstay_minor=0,
        missing_check_in=MissingCheckIn.REFUSE,
        missing_check_out_after_us=-1,
        month_basis=MonthBasis.PAID,
        offline_horizon_us=20 * DAY_US,
    )
    world = World(MIDDLE_US)
    life = Life(world, [replace(spec, rules=plain)])
    charged = 0
    for step in steps:
        if (
            not isinstance(step, TapStep)
            or step.flags & TapFlag.DEVICE_OPENED
            or step.gap_us > DAY_US
        ):
            continue
        life.play(step)
        charged += world.history[-1][1].fare_minor
        period = world.rider.period
        paid = period.month_paid_minor + period.prev_month_paid_minor
        assert paid == (charged if spec.monthly_tiers else 0)


@given(st.integers(0, 10**8), st.integers(0, 10**8), st.sampled_from([1, 5, 10, 100]))
def test_rounding_is_half_up_of_the_exact_product(fare: int, share: int, unit: int) -> None:
    """Factors of a third and the like, at the largest fares."""
    spec = specs_of_one_fare(fare, min(share, fare), unit)
    world = World(MIDDLE_US)
    world.rider.balance_minor = 10**12
    world.load(spec)
    assert world.ride(1, 2).reason == Reason.OK
    exact = (fare - min(share, fare)) * FACTOR_ONE_PPM + min(share, fare) * 333_333
    exact *= 1_999_999 * 950_001
    scale = FACTOR_ONE_PPM**3 * unit
    assert world.history[-1][1].fare_minor == (2 * exact + scale) // (2 * scale) * unit


def specs_of_one_fare(fare: int, share: int, unit: int) -> TariffSpec:
    """Two stops, one price, all three factors."""
    from array import array

    from fastpath.types import DayTable, MonthlyTier, TariffRules, TimeDiscount

    begin = MIDDLE_US - 2 * DAY_US
    starts = array("q", [begin + i * DAY_US for i in range(11)])
    always = TimeDiscount("x", 333_333, b"\1\1", starts[:-1], starts[1:])
    return TariffSpec(
        tariff_id="one",
        version="1",
        currency=156,
        valid_from_us=0,
        valid_until_us=0,
        stop_ids=array("I", [1, 2]),
        od_fare_minor=array("i", [fare] * 4),
        od_distance_m=array("I", [0] * 4),
        od_part=bytes(4),
        highest_minor=array("i", [fare, fare]),
        days=DayTable(20_000, starts, array("I", [24_000] * 10)),
        od_discountable_minor=array("i", [share] * 4),
        rules=TariffRules(round_to_minor=unit),
        time_discounts=(always,),
        monthly_tiers=(MonthlyTier(0, 1_999_999),),
        medium_factor_ppm=(950_001,) * 16,
    )
