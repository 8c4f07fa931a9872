"""What every kind of round shares: the riders, the clients, the comparison, the report."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.crash_fares import TownFares
from benchmarks.crash_fleet import CLIENT, Fleet, Operator, Validator, exchange
from benchmarks.crash_process import FLAGS, until
from benchmarks.crash_recount import BrokenLawError, Recount, Told
from benchmarks.crash_tariffs import IN_ROUNDS
from gateway.bootstrap import build_devices
from gateway.clock import new_operation_id
from gateway.config import Config
from gateway.control import frames as control
from gateway.errors import EnvironmentFault
from gateway.keys import load_secrets
from gateway.link.client import DeviceIdentity
from gateway.link.handshake import derive_device_key
from gateway.registry.devices import Device

VALIDATORS = 6
ACCOUNTS = 8
ACKED_A_ROUND = 500
SETTLE_TIMEOUT_S = 60.0
UNDER_WAY_TIMEOUT_S = 5.0
CANCEL_AGAIN_S = 0.5
WRONG_FARES_SHOWN = 3
ORDER_TIMEOUT_S = 60.0
NOT_COUNTED = ("restart_ms", "takeover_ms", "standby_ms", "scenarios")
IN_FLIGHT_PERCENT = 90
"""Of the kills, so many have to meet somebody with an operation under way."""
STANDBY_MS = 2_000
"""So soon a standby leads when its leader is killed."""


@dataclass(slots=True)
class RoundsReport:
    """What the rounds came to. `lost`, `doubled` and `altered` have to be 0."""

    rounds: int = 0
    acked: int = 0
    kills: int = 0
    in_flight_at_kill: int = 0
    """Kills with at least one operation in flight."""
    operations_in_flight: int = 0
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    records: int = 0
    repriced: int = 0
    """Boardings of the town whose fare the recount reckoned by itself."""
    restarts: int = 0
    restart_ms: list[int] = field(default_factory=list)
    takeover_ms: list[int] = field(default_factory=list)
    """From the death of a leader until its standby is in the directory and listens."""
    standby_ms: list[int] = field(default_factory=list)
    """Of those, where the leader alone was killed: the standby had nothing else to wait for."""
    scenarios: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the laws held, and the kills met what they have to meet."""
        met = 100 * self.in_flight_at_kill >= IN_FLIGHT_PERCENT * self.kills
        return met and not (self.lost or self.doubled or self.altered or self.findings)

    @property
    def missed(self) -> list[str]:
        """Bars of time that were not held: figures of this machine, not laws."""
        slow = [took for took in self.standby_ms if took > STANDBY_MS]
        return [f"a standby led after {took} ms, not {STANDBY_MS}" for took in slow]

    def as_dict(self) -> dict[str, Any]:
        """As it goes into JSON."""
        counted = {n: getattr(self, n) for n in self.__slots__ if n not in NOT_COUNTED}
        spans = _span("restart_ms", self.restart_ms) | _span("takeover_ms", self.takeover_ms)
        spans |= _span("standby_ms", self.standby_ms)
        return counted | spans | {"scenarios": dict(self.scenarios), "missed": self.missed}


def _span(name: str, values: Iterable[int]) -> dict[str, int]:
    ordered = sorted(values)
    if not ordered:
        return {}
    return {f"{name}_p50": ordered[len(ordered) // 2], f"{name}_max": ordered[-1]}


Scenario = Callable[[], Awaitable[None]]


class Bench:
    """One town with its clients. `config` is that of the gateway that serves."""

    config: Config

    def __init__(self, report: RoundsReport, seed: int, tariff: str) -> None:
        self.report = report
        self.rng = random.Random(seed)
        self.told = Told()
        self.fleet = Fleet(self.told, self.rng, is_town=tariff == "layered")
        self.flags = FLAGS | {"tariffs.slots.1": IN_ROUNDS[tariff]}
        self.recount = self.new_recount()
        self._tasks: list[asyncio.Task[None]] = []
        self._boot = self.rng.getrandbits(62) | 1

    def new_recount(self) -> Recount:
        """From the first byte; what was once found sound is not computed again."""
        sound = self.recount.sound if hasattr(self, "recount") else set()
        if not self.fleet.is_town:
            return Recount(self.segment, sound=sound)
        return Recount(self.segment, TownFares(), sound)

    # --- what each kind has of its own

    def segment(self, base: int) -> bytes | None:
        """The journal's segment with this base, None when there is none."""
        raise NotImplementedError

    def scenarios(self) -> Mapping[str, Scenario]:
        """The faults a round draws from."""
        raise NotImplementedError

    def all_scenarios(self) -> Mapping[str, Scenario]:
        """Those and what is only run when asked for by name."""
        return self.scenarios()

    async def before_settling(self) -> None:
        """Bring back what a fault has left dead beside the gateway."""

    def refresh(self) -> None:
        """Let the recount see what the journal holds now."""

    # --- beginning and end

    def register(self, config: Config) -> None:
        """The validators into a gateway's registry."""
        build_devices(config).add_many(
            Device(device_id=number, label="crash", tariff_slot=1)
            for number in range(1, VALIDATORS + 1)
        )

    async def open_clients(self) -> None:
        """Accounts and media of the riders, then validators and an operator."""
        tokens = [bytes([100 + number]) * 16 for number in range(ACCOUNTS)]
        for number, token in enumerate(tokens, start=1):
            await self._order("account_open", account_id=number)
            await self._order("credit", account_id=number, amount_minor=100_000)
            await self._order("medium_link", account_id=number, token=token)
        master = load_secrets(self.config).master_key
        for number in range(1, VALIDATORS + 1):
            key = derive_device_key(master, number, 1)
            identity = DeviceIdentity(number, key, self._boot)
            self.fleet.validators.append(Validator(self.fleet, identity, tokens))
        self.fleet.operator = Operator(self.fleet, self.config.control.socket, ACCOUNTS)
        runs = [*(one.run() for one in self.fleet.validators), self.fleet.operator.run()]
        self._tasks = [asyncio.create_task(run) for run in runs]

    async def close_clients(self) -> None:
        """More than once, if need be: before 3.12 `wait_for` loses a cancellation that comes
        together with what it waited for."""
        left = set(self._tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)

    async def _order(self, op: str, **args: Any) -> dict[str, Any]:
        request = control.Request(op, new_operation_id(), CLIENT, args)
        try:
            reply = await asyncio.wait_for(
                exchange(self.config.control.socket, request), ORDER_TIMEOUT_S
            )
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise EnvironmentFault(detail=f"{op} is not answered: {error!r}") from error
        if not reply.ok:
            raise EnvironmentFault(detail=f"{op}: {reply.code} {reply.detail}")
        return reply.result

    # --- one round

    async def round(self, only: str | None = None) -> None:
        """Load, a fault, a restart, everybody answered, the comparison."""
        before = self.fleet.acked
        self.fleet.making = True
        await self.until_acked(ACKED_A_ROUND)
        await asyncio.sleep(self.rng.random() * 0.2)
        scenarios = self.scenarios() if only is None else self.all_scenarios()
        name = only or self.rng.choice(list(scenarios))
        self.report.scenarios[name] += 1
        await scenarios[name]()
        await self.settle()
        await self.compare()
        self.report.rounds += 1
        self.report.acked += self.fleet.acked - before

    async def until_acked(self, count: int) -> None:
        """So many more operations. Raises: EnvironmentFault: they do not come."""
        goal = self.fleet.acked + count
        if not await until(lambda: self.fleet.acked >= goal, within_s=SETTLE_TIMEOUT_S):
            raise EnvironmentFault(detail=f"{goal - self.fleet.acked} answers do not come")

    async def settle(self) -> None:
        """No new operations; everything unanswered gets its answer."""
        self.fleet.making = False
        await self.before_settling()
        if not await until(lambda: not self.fleet.unanswered, within_s=SETTLE_TIMEOUT_S):
            raise EnvironmentFault(detail=f"{self.fleet.unanswered} operations unanswered")
        await self._until_no_hold()

    async def _until_no_hold(self) -> None:
        """Holds end by themselves, each with a record: the journal rests when there are none."""
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                for account in range(1, ACCOUNTS + 1):
                    await self._until_free(account)
        except TimeoutError as error:
            raise EnvironmentFault(detail="holds do not end") from error

    async def _until_free(self, account: int) -> None:
        shown = await self._order("account_show", account_id=account)
        while shown["holds"]:
            await asyncio.sleep(0.1)
            shown = await self._order("account_show", account_id=account)

    async def compare(self) -> None:
        """Recount, then hold it against what clients were told, and the gateway's own balances."""
        report = self.report
        self.count()
        for account in range(1, ACCOUNTS + 1):
            shown = await self._order("account_show", account_id=account)
            line = self.recount.money[account]
            if (shown["balance_minor"], shown["version"]) != (line.stored, line.version):
                report.altered += 1
                report.findings.append(f"account {account} shows {shown}, the journal {line}")

    def count(self) -> None:
        """The journal and what clients were told; needs no gateway."""
        report = self.report
        self.refresh()
        try:
            self.recount.advance()
            self.recount.check_totals()
        except BrokenLawError as error:
            report.findings.append(str(error))
        verdict = self.told.compare(self.recount)
        report.lost += len(verdict.lost)
        report.doubled += len(verdict.doubled)
        report.altered += len(verdict.altered) + self.count_wrong_fares(self.recount)
        report.findings += self.fleet.faults
        self.fleet.faults = []
        self.recount.doubled.clear()
        self.told.taps.clear()
        self.told.commands.clear()

    def count_wrong_fares(self, recount: Recount) -> int:
        """Fares of the town that are not what the recount reckons."""
        if not isinstance(recount.check, TownFares):
            return 0
        wrong, recount.check.wrong = recount.check.wrong, []
        self.report.findings += wrong[:WRONG_FARES_SHOWN]
        return len(wrong)

    def check_again(self) -> None:
        """The whole journal from its first byte once more: it is what the rounds have seen."""
        again = self.new_recount()
        try:
            again.advance()
        except BrokenLawError as error:
            self.report.findings.append(str(error))
        self.report.records += len(again.records)
        if isinstance(again.check, TownFares):
            self.report.repriced += again.check.priced
        self.report.doubled += len(again.doubled)
        if again.records != self.recount.records:
            self.report.altered += 1
            self.report.findings.append("the journal is not what it was after its rounds")

    async def note_kill(self) -> None:
        """To be called right before it: somebody has something under way at that moment."""
        await until(lambda: self.fleet.in_flight > 0, within_s=UNDER_WAY_TIMEOUT_S)
        self.report.kills += 1
        self.report.in_flight_at_kill += bool(self.fleet.in_flight)
        self.report.operations_in_flight += self.fleet.in_flight
