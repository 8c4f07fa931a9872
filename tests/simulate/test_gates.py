"""Gates against a real gateway: every twist, a cut connection, and two gateways in a row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fastpath.types import Op, Reason, TapKind
from gateway.errors import EnvironmentFault, WireError
from gateway.simulate.crowd import Crowd, GatePlan, Pace, connect_all, gate_rng
from gateway.simulate.gates import Gate, Work
from gateway.simulate.orders import Orders
from gateway.simulate.riders import Life, Outcome, Persona, Present, Profile, Step, Twist
from gateway.simulate.roster import Roster, announce_devices, open_accounts
from tests.simulate.people import gate_at, make_roster, present, profile
from tests.support.plane import Running, load_settings, make_folder, records_of, running

RIDER = profile(1, account_id=0)
CHECK_IN, CHECK_OUT, FLAT = TapKind.CHECK_IN, TapKind.CHECK_OUT, TapKind.FLAT


class Counter:
    """One stop with gates, and whoever stands there."""

    def __init__(self, hands: Running, roster: Roster) -> None:
        self.crowd = Crowd([], keep_log=True)
        self.outcomes: list[Outcome] = []
        self.crowd.done = self._done  # type: ignore[method-assign]
        self._roster = roster
        self._hands = hands
        self._gates: dict[int, Gate] = {}
        self._came = asyncio.Event()

    def _done(self, work: Work, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._came.set()

    async def gate(self, stop: int) -> Gate:
        if stop not in self._gates:
            device = gate_at(self._roster, stop)
            address = ("127.0.0.1", self._hands.port)
            gate = Gate(device, address, self.crowd, gate_rng(1, stop))
            await connect_all([gate], timeout_s=10)
            self._gates[stop] = gate
        return self._gates[stop]

    async def tap(
        self, kind: TapKind, stop: int, twist: Twist = Twist.NONE, who: Profile = RIDER
    ) -> Outcome:
        """Present a medium and wait for what comes of it."""
        gate = await self.gate(stop)
        self._came.clear()
        gate.enqueue(Work(0, present(time.time_ns() // 1000, kind, stop, who, twist)))
        async with asyncio.timeout(20):
            await self._came.wait()
        return self.outcomes[-1]

    async def close(self) -> None:
        for gate in self._gates.values():
            await gate.stop()


async def open_one(hands: Running, who: Profile = RIDER) -> Roster:
    """Validators known, one account opened."""
    roster = make_roster(hands.config)
    async with Orders(hands.config.control.socket, connections=2) as orders:
        await announce_devices(orders, roster)
        await open_accounts(orders, [who])
    return roster


@pytest.mark.parametrize(
    ("twist", "opened", "ops", "fares"),
    [
        (Twist.NONE, True, [Op.FLAT], [150]),
        (Twist.TWICE, True, [Op.FLAT], [150]),
        (Twist.TURNED_BACK, False, [Op.FLAT, Op.REVERSAL], [150, -150]),
        (Twist.REFUSED_ALONE, False, [Op.FLAT, Op.SETTLEMENT], [150, -150]),
        (Twist.OPENED_ALONE, True, [Op.FLAT], [150]),
        (Twist.OFFLINE, True, [Op.FLAT], [150]),
    ],
)
async def test_a_twist_ends_as_the_protocol_says(
    tmp_path: Path, twist: Twist, opened: bool, ops: list[Op], fares: list[int]
) -> None:
    config = make_folder(tmp_path)
    async with running(config) as hands:
        counter = Counter(hands, await open_one(hands))
        outcome = await counter.tap(FLAT, 0, twist)
        await counter.close()
    taps = [record for record in records_of(config) if record.op < Op.ACCOUNT_OPEN]
    assert outcome.opened is opened
    assert [record.op for record in taps] == ops
    assert [record.fare_minor for record in taps] == fares
    assert counter.crowd.stats.revenue_minor == sum(fares)
    assert counter.crowd.stats.stray == 0


async def test_a_gate_that_opened_though_refused_makes_a_debt(tmp_path: Path) -> None:
    config = make_folder(tmp_path)
    frozen = profile(2, Persona.FROZEN, account_id=0)
    async with running(config) as hands:
        counter = Counter(hands, await open_one(hands, frozen))
        refused = await counter.tap(FLAT, 0, who=frozen)
        settled = await counter.tap(FLAT, 0, Twist.OPENED_ALONE, who=frozen)
        await counter.close()
    assert (refused.opened, refused.reason) == (False, Reason.ACCOUNT_FROZEN)
    assert (settled.opened, settled.reason) == (True, Reason.OK_DEBT)
    assert records_of(config)[-1].op == Op.SETTLEMENT


async def test_a_journey_from_gate_to_gate(tmp_path: Path) -> None:
    config = make_folder(tmp_path)
    async with running(config) as hands:
        counter = Counter(hands, await open_one(hands))
        await counter.tap(CHECK_IN, 11)
        await counter.tap(CHECK_OUT, 14)
        await counter.close()
    assert counter.crowd.stats.revenue_minor == 500
    assert counter.crowd.stats.latency.count == 2
    assert [answer.position > 0 for _, _, answer in counter.crowd.log] == [True, True]


async def test_an_answer_lost_with_its_connection_is_asked_for_again(tmp_path: Path) -> None:
    config = make_folder(tmp_path)
    async with running(config) as hands:
        counter = Counter(hands, await open_one(hands))
        gate = await counter.gate(0)
        session = gate._session
        assert session is not None
        send = session.send

        def send_and_cut(*fields: object) -> None:
            send(*fields)  # type: ignore[arg-type]
            session._transport.close()  # type: ignore[union-attr]

        session.send = send_and_cut  # type: ignore[method-assign]
        outcome = await counter.tap(FLAT, 0)
        await counter.close()
    stats = counter.crowd.stats
    taps = [record for record in records_of(config) if record.op == Op.FLAT]
    assert outcome == Outcome(True, Reason.OK)
    assert len(taps) == 1, "the same tap_id has its effect once"
    assert (stats.resent, stats.disconnects) == (1, 1)
    assert stats.latency.count == 0, "a wait for a connection is no latency"
    assert stats.outage.count == 1


async def test_riders_wait_until_the_gateway_is_back(tmp_path: Path) -> None:
    config = make_folder(tmp_path)
    async with running(config) as hands:
        counter = Counter(hands, await open_one(hands))
        await counter.tap(FLAT, 0)
        roster, port = counter._roster, hands.port
    waiting = asyncio.ensure_future(counter.tap(FLAT, 0))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    again = load_settings(tmp_path, link__port=str(port))
    async with running(again) as hands:
        async with Orders(config.control.socket, connections=2) as orders:
            await announce_devices(orders, roster)
        outcome = await waiting
        await counter.close()
    # The tariff has pass-back of 5 s: the second tap on the bus is refused, by the recovered state.
    assert outcome == Outcome(False, Reason.PASSBACK)
    [outage] = counter.crowd.outages
    assert outage.recovery_us > 100_000
    assert outage.ended_ns > 0


async def test_a_gate_with_a_wrong_key_says_so(tmp_path: Path) -> None:
    config = make_folder(tmp_path)
    async with running(config) as hands:
        roster = await open_one(hands)
        device = type(gate_at(roster, 0))(4_999, bytes(32), 1, 1, 0)
        gate = Gate(device, ("127.0.0.1", hands.port), Crowd([]), gate_rng(1, 1))
        with pytest.raises(WireError) as caught:
            await connect_all([gate], timeout_s=30)
        await gate.stop()
    assert caught.value.code == "WIRE_AUTH_FAILED"


async def test_no_gateway_is_a_fault_of_the_environment(tmp_path: Path) -> None:
    roster = make_roster(make_folder(tmp_path))
    gate = Gate(gate_at(roster, 0), ("127.0.0.1", 1), Crowd([]), gate_rng(1, 1))
    with pytest.raises(EnvironmentFault) as caught:
        await connect_all([gate], timeout_s=0.3)
    await gate.stop()
    assert caught.value.code == "ENV_TIMEOUT"


def life_of(*steps: Step) -> Life:
    """A life that ends after these steps."""
    waiting = list(steps)
    while waiting:
        yield waiting.pop(0)


def test_riders_come_in_the_order_of_their_clocks() -> None:
    crowd = Crowd([life_of(_step(at, who)) for who, at in enumerate([30, 10, 20])])
    assert [crowd._heap[0][0], len(crowd._heap)] == [10, 3]


async def test_a_run_ends_when_the_day_does() -> None:
    crowd = Crowd([life_of(_step(1, 0), _step(2, 0)), life_of(_step(3, 1))])
    await crowd.run(GatePlan({}, (), ()), Pace(seconds=86_400, taps_per_s=1_000))
    assert crowd.is_day_over
    assert crowd.clock_us == 3


async def test_a_run_ends_when_it_is_told_to() -> None:
    stopping = asyncio.Event()
    stopping.set()
    crowd = Crowd([life_of(_step(1, 0))])
    await crowd.run(GatePlan({}, (), ()), Pace(seconds=86_400, taps_per_s=1_000), stopping)
    assert (crowd.clock_us, crowd.is_day_over) == (0, False)


def _step(at_us: int, who: int, make: Callable[..., Present] = present) -> Present:
    return make(at_us, CHECK_IN, 11, profile(who), Twist.NONE)
