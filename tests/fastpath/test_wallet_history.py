"""Random lives of a wallet: core and reference agree, and the laws of money hold, at each step."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastpath import reference
from fastpath.reference_cells import Cell, Hold, Plan, Purse, Refunded
from fastpath.types import OWN_MONEY, AccountStatus, Op, Reason, TapFlag
from fastpath.wallet import Facts
from tests.fastpath.city import EAST, WEST, at, town
from tests.fastpath.strategies_wallet import (
    LIVES,
    RideStep,
    StatusStep,
    UndoStep,
    WalletStep,
    debts,
    purses,
)
from tests.fastpath.world import DAY_US, World

BEGIN_US = at(9, "09:00")
CHARGES = (Op.DEBIT, Op.HOLD_CAPTURE)
DRAWS = (Op.DEBIT, Op.HOLD_PLACE, Op.PASS_ADD)


class Life:
    """Plays steps; knows what was charged, so that it can be given back."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.charges: list[tuple[Facts, reference.Paid]] = []
        self.paid_back: dict[int, int] = {}

    def play(self, step: object) -> None:
        match step:
            case WalletStep():
                self.command(step)
            case RideStep(kind=kind, gap_us=gap_us, flags=flags):
                stop = WEST if self.world.is_inside else EAST
                self.world.wait(gap_us).tap(kind, stop, flags=flags)
            case UndoStep(back=back) if back < len(self.world.history):
                self.undo(back)
            case StatusStep():
                self.world.rider.status = step.status
                self.world.rider.credit_limit_minor = step.credit_limit_minor
        self.check()

    def undo(self, back: int) -> None:
        """A tap is undone once: that is the caller's part of the bargain."""
        tap, charged = self.world.history[-1 - back]
        if self.world.reverse(tap, charged).reason == Reason.OK:
            self.world.history[-1 - back] = (tap, replace(charged, reason=Reason.BUSY))

    def command(self, step: WalletStep) -> None:
        world = self.world.wait(step.gap_us)
        facts = Facts(**step.facts)
        paid = None
        if step.op == Op.REFUND and step.charge < len(self.charges):
            named, paid = self.charges[-1 - step.charge]
            facts = replace(
                facts, charge_client=5, charge_high=named.charge_high, charge_low=named.charge_low
            )
        order = reference.Command(
            op=step.op,
            account_id=77,
            now_us=world.now_us,
            amount_minor=step.amount_minor,
            expires_us=world.now_us + step.ends_us if step.ends_us else 0,
            purse=step.purse,
            expected_version=world.rider.version if step.expected else 0,
            facts=facts,
        )
        before = self.main_minor()
        decision = world.wallet_command(order, paid)
        if decision.reason == Reason.OK:
            self.check_floor(order, before)
            self.note(order, decision)

    def note(self, order: reference.Command, decision: reference.Decision) -> None:
        number = len(self.charges)
        if order.op in CHARGES:
            is_subsidy = order.op == Op.DEBIT and order.purse == 1
            named = Facts(charge_high=1, charge_low=number)
            amount = -decision.amount_minor
            subsidy = amount if is_subsidy else decision.subsidy_minor
            own = order.facts.flags & OWN_MONEY if order.op == Op.DEBIT else 0
            paid = reference.Paid(amount, subsidy, decision.parts, order.now_us, own_money=own)
            self.charges.append((named, paid))
        if order.op == Op.REFUND:
            low = order.facts.charge_low
            self.paid_back[low] = self.paid_back.get(low, 0) + order.amount_minor
            assert self.paid_back[low] <= self.charges[low][1].charged_minor

    # The laws.

    def payloads(self, kind: type) -> list[object]:
        return [cell.payload for cell in self.world.cells if isinstance(cell.payload, kind)]

    def plans_minor(self) -> int:
        return sum(one.outstanding_minor for one in self.payloads(Plan))  # type: ignore[attr-defined]

    def main_minor(self) -> int:
        """What is left of main purse and credit line: below 0 = a debt."""
        rider = self.world.rider
        credit = max(0, rider.credit_limit_minor - self.plans_minor())
        return rider.balance_minor - rider.held_minor + credit

    def check_floor(self, order: reference.Command, before: int) -> None:
        """Nothing new is drawn beyond the credit line; what is late draws no credit at all."""
        rider, after = self.world.rider, self.main_minor()
        if order.op == Op.DEBIT and order.facts.flags & OWN_MONEY and order.purse == 0:
            assert rider.balance_minor >= rider.held_minor, "no credit goes out"
        if order.op != Op.ADJUST:
            assert after >= min(0, before), order
        way_home = order.facts.flags & 4
        if order.op in DRAWS and rider.status & AccountStatus.CREDIT_LATE and not way_home:
            assert rider.balance_minor - rider.held_minor >= min(0, before)

    def check(self) -> None:
        rider = self.world.rider
        holds = self.payloads(Hold)
        assert rider.held_minor == sum(one.left_minor for one in holds)  # type: ignore[attr-defined]
        for hold in holds:
            assert isinstance(hold, Hold)
            assert hold.left_minor > 0
            assert hold.left_minor + hold.captured_minor <= hold.placed_minor
        for refund in self.payloads(Refunded):
            assert isinstance(refund, Refunded)
            assert 0 < refund.refunded_minor <= refund.charged_minor
        for plan in self.payloads(Plan):
            assert isinstance(plan, Plan)
            assert 0 < plan.outstanding_minor <= plan.principal_minor
        for purse in self.payloads(Purse):
            assert isinstance(purse, Purse)
            assert purse.balance_minor >= 0
        assert len({(cell.type, cell.key) for cell in self.world.cells}) == len(self.world.cells)


CHARGED = [
    reference.Paid(400, 0, (), BEGIN_US),
    reference.Paid(400, 100, ((3, 100), (2, 50)), BEGIN_US - 29 * DAY_US),
    reference.Paid(250, 250, (), BEGIN_US),
    reference.Paid(400, 0, ((9, 300), (3, 100)), BEGIN_US),
]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    money=st.tuples(
        st.sampled_from([0, 300, 1000, 1000, -200, 1 << 60]),
        st.sampled_from([0, 0, 250]),
        st.sampled_from([0, 300, 1000]),
    ),
    room=st.sampled_from([16, 16, 16, 8]),
    cells=st.tuples(purses(BEGIN_US), debts(BEGIN_US)),
    charges=st.lists(st.sampled_from(CHARGED), max_size=3, unique=True),
    steps=LIVES,
)
def test_core_and_reference_agree_and_money_keeps_its_laws(
    money: tuple[int, int, int],
    room: int,
    cells: tuple[list[Cell], list[Cell]],
    charges: list[reference.Paid],
    steps: list[object],
) -> None:
    world = World(BEGIN_US, cells_max=room, cells=deepcopy([*cells[0], *cells[1]]))
    world.load(town(passback_us=0))
    world.rider.balance_minor, world.rider.subsidy_minor, world.rider.credit_limit_minor = money
    life = Life(world)
    world.rider.held_minor = sum(one.left_minor for one in life.payloads(Hold))  # type: ignore[attr-defined]
    life.charges = [(Facts(charge_high=1, charge_low=at), one) for at, one in enumerate(charges)]
    for step in steps:
        life.play(step)


def test_offline_rides_after_a_freeze_are_debts() -> None:
    """What the strategies rarely put together."""
    world = World(BEGIN_US)
    world.load(town(passback_us=0))
    world.rider.balance_minor = 0
    world.rider.status = AccountStatus.FROZEN_DEBIT
    made = world.tap(1, EAST, flags=TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)
    assert made.reason == Reason.OK_DEBT
