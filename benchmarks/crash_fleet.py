"""Load for the real gateway: validators that never give up a tap, and an operator.

Each keeps what is unanswered and sends it again under its own id after every restart, as
docs/protocol.md asks. What they are told goes into `Told`.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.crash_parts import answer_row
from benchmarks.crash_recount import Told
from benchmarks.crash_tariffs import BUS, DISTANCES_M, TRAM
from fastpath.types import Op, TapKind
from gateway.clock import new_operation_id
from gateway.control import frames as control
from gateway.control.arguments import client_number
from gateway.errors import FareGatewayError, Uncertain, WireError
from gateway.link.client import DeviceIdentity, LinkSession, open_session
from gateway.link.frames import Answer, TapEvent

IN_FLIGHT = 12
KEPT = 8
"""Answered taps that are sent once more on every new connection."""
RETRY_S = 0.02
STOPS = (101, 102, 103, 104)
TOWN_STOPS = (11, 12, 13, 14)
METRO_SHARE = 0.3
NOT_DONE_PAUSE_S = 0.05
BUSY = "WIRE_BUSY"
NOT_DONE = frozenset({"WIRE_JOURNAL_FULL", "WIRE_SHUTTING_DOWN", "WIRE_INTERNAL"})
"""What a gateway may say while its journal's servers change places: ask again."""
CLIENT = "crash harness"


@dataclass(slots=True)
class Fleet:
    """All clients. `address` changes with every restart; None = nobody is there."""

    told: Told
    rng: random.Random
    address: tuple[str, int] | None = None
    making: bool = False
    """Whether new taps and commands are made; what is unanswered is asked for regardless."""
    validators: list[Validator] = field(default_factory=list)
    operator: Operator | None = None
    acked: int = 0
    is_town: bool = False
    """Whether they ride in the town with layers, not in Beijing."""
    patient: bool = False
    """Whether the journal is one that may be away for a while."""
    refused: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def in_flight(self) -> int:
        """Requests sent on a living connection whose answer has not come."""
        return sum(validator.in_flight for validator in self.validators)

    @property
    def unanswered(self) -> int:
        """Operations that somebody still waits for."""
        waiting = sum(len(validator.unanswered) for validator in self.validators)
        return waiting + (self.operator is not None and self.operator.current is not None)


class Validator:
    """One device with many taps in flight."""

    def __init__(self, fleet: Fleet, identity: DeviceIdentity, tokens: list[bytes]) -> None:
        self.fleet = fleet
        self.identity = identity
        self.tokens = tokens
        self.unanswered: dict[int, TapEvent] = {}
        self.answered: deque[TapEvent] = deque(maxlen=KEPT)
        self.in_flight = 0
        self._seqs = itertools.count(1)
        self._room = asyncio.Event()
        self._not_done: list[TapEvent] = []
        self._rides = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            address = self.fleet.address
            if address is None:
                await asyncio.sleep(RETRY_S)
                continue
            try:
                session, _ = await open_session(*address, self.identity, timeout_s=5)
            except (OSError, FareGatewayError, TimeoutError):
                await asyncio.sleep(RETRY_S)
                continue
            try:
                await self._ride(session)
            except Uncertain:
                pass  # the connection ended between two taps
            finally:
                self.in_flight = 0
                self._not_done = []
                session.abort()

    async def _ride(self, session: LinkSession) -> None:
        """What is unanswered first, and some of what was answered before, as a device does that
        lost its notes; all under the same numbers. Then new taps."""
        again = [*self.answered, *self.unanswered.values()]
        while not session.closed.done():
            self._room.clear()
            if self._not_done:
                await asyncio.sleep(NOT_DONE_PAUSE_S)
                again += self._not_done
                self._not_done = []
            while again and self.in_flight < IN_FLIGHT:
                self._send(session, again.pop())
            while self.fleet.making and not again and self.in_flight < IN_FLIGHT:
                self._send(session, self._new_tap())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._room.wait(), 0.05)

    def _new_tap(self) -> TapEvent:
        event = TapEvent(
            boot=self.identity.boot_epoch,
            seq=next(self._seqs),
            token=self.fleet.rng.choice(self.tokens),
            device_ts_us=time.time_ns() // 1000,
            **self._draw_ride(),
        )
        self.unanswered[event.seq] = event
        return event

    def _draw_ride(self) -> dict[str, int]:
        """In and out by metro; in the town mostly bus and tram."""
        rng, is_town = self.fleet.rng, self.fleet.is_town
        if is_town and rng.random() > METRO_SHARE:
            ride = {"kind": TapKind.FLAT, "line": rng.choice((BUS, TRAM))}
            return ride | {"stop": rng.choice(TOWN_STOPS)}
        self._rides += 1
        ride = {"kind": TapKind.CHECK_IN if self._rides % 2 else TapKind.CHECK_OUT}
        if not is_town:
            return ride | {"stop": rng.choice(STOPS)}
        return ride | {"stop": rng.choice(TOWN_STOPS), "distance_m": rng.choice(DISTANCES_M)}

    def _send(self, session: LinkSession, event: TapEvent) -> None:
        self.in_flight += 1
        session.tap(event).add_done_callback(lambda future: self._answered(event, future))

    def _answered(self, event: TapEvent, future: asyncio.Future[Answer]) -> None:
        self.in_flight -= 1
        self._room.set()
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._take(future.result())
        elif isinstance(error, WireError) and self._may_ask_again(error.code):
            self.fleet.refused += 1
            self._not_done.append(event)
        elif isinstance(error, WireError) and not isinstance(error, Uncertain):
            self.fleet.faults.append(f"device {self.identity.device_id}: {error}")

    def _may_ask_again(self, code: str) -> bool:
        return code == BUSY or (self.fleet.patient and code in NOT_DONE)

    def _take(self, answer: Answer) -> None:
        if answer.position == 0:
            if answer.verdict != 3:
                self.fleet.faults.append(f"an answer without a record: {answer}")
            return
        key = (self.identity.device_id, answer.boot, answer.seq)
        self.fleet.told.tap(key, answer.position, answer_row(answer))
        event = self.unanswered.pop(answer.seq, None)
        if event is not None:
            self.answered.append(event)
            self.fleet.acked += 1


class Operator:
    """Credits accounts, holds money and takes it, gives it back: one command after the other, each
    asked until its outcome is known.
    """

    def __init__(self, fleet: Fleet, socket: Path, accounts: int) -> None:
        self.fleet = fleet
        self.socket = socket
        self.accounts = accounts
        self.current: control.Request | None = None
        self.holds = 0
        self.last_hold: dict[str, Any] | None = None
        self.last_charge: control.Request | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if self.fleet.making and self.current is None:
                op, args = self._draw()
                self.current = control.Request(op, new_operation_id(), CLIENT, args)
            if self.current is not None and self.fleet.address is not None:
                await self._ask(self.current)
            await asyncio.sleep(RETRY_S)

    def _draw(self) -> tuple[str, dict[str, Any]]:
        """Holds end after a second, if nobody captures them: often while the gateway is down."""
        rng = self.fleet.rng
        account = {"account_id": rng.randint(1, self.accounts)}
        what = rng.random()
        if what < 0.25:
            self.holds += 1
            self.last_hold = account | {"key": self.holds}
            lasts = {"amount_minor": 100, "expires_us": time.time_ns() // 1000 + 1_000_000}
            return "hold_place", self.last_hold | lasts
        if what < 0.45 and self.last_hold is not None:
            return "hold_capture", self.last_hold | {"amount_minor": rng.choice((40, 60, 100))}
        if what < 0.55 and self.last_charge is not None:
            charge = {"client": CLIENT, "id": self.last_charge.id.hex()}
            account = {"account_id": self.last_charge.args["account_id"]}
            return "refund", account | {"amount_minor": 30, "charge": charge}
        return "credit", account | {"amount_minor": 20_000}

    async def _ask(self, request: control.Request) -> None:
        with suppress(OSError, FareGatewayError, TimeoutError, asyncio.IncompleteReadError):
            reply = await asyncio.wait_for(exchange(self.socket, request), 5)
            if reply.ok or reply.result.get("position"):
                self._take(request, reply)

    def _take(self, request: control.Request, reply: control.Reply) -> None:
        result = reply.result
        key = (client_number(CLIENT), *halves(request.id))
        amount_minor, balance_minor = result["amount_minor"], result["balance_minor"]
        said = (int(Op[request.op.upper()]), reply.reason, amount_minor, balance_minor)
        self.fleet.told.command(key, result["position"], said)
        self.fleet.acked += 1
        self.current = None
        if reply.ok and request.op == "hold_capture":
            self.last_charge = request


def halves(operation_id: bytes) -> tuple[int, int]:
    """Both halves of an operation id, as a record holds them."""
    return int.from_bytes(operation_id[:8]), int.from_bytes(operation_id[8:])


async def exchange(socket: Path, request: control.Request) -> control.Reply:
    """One request on a connection of its own. Raises: OSError, IncompleteReadError."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        writer.write(control.encode(request))
        size = control.body_bytes(await reader.readexactly(control.LENGTH_BYTES))
        return control.decode_reply(await reader.readexactly(size))
    finally:
        writer.close()
