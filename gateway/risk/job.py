"""The worker's risk job: follows the ledger's records, holds them against the rules, freezes.

It goes on where it stopped: the cursor names the last record whose alarms are dealt with, and the
oldest one that some window still holds; records between the two are only counted again. A freeze
has the operation id of its rule, account and record, so a crash in between freezes once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from fastpath.records import RecordView, view_record
from gateway.clock import derived_operation_id
from gateway.control.client import CommandRefused
from gateway.db import Database
from gateway.delivery.cursors import get_cursor, set_cursor
from gateway.jobs import Job, Tools
from gateway.ledger.history import EVENTS_MAX, History, HistoryRow
from gateway.registry.actors import Actor
from gateway.registry.changes import note_change
from gateway.resources import find_risk_rules
from gateway.risk.rules import RiskRule, load_rules
from gateway.risk.watch import Alarm, Watch
from gateway.wallet.commands import Cause
from gateway.wallet.freezes import FreezeOrder

log = logging.getLogger(__name__)

MARK_EVERY_US = 60_000_000
PAUSE_S = 0.5
WHAT: dict[str, Literal["debit", "both"]] = {"freeze_debit": "debit", "freeze_both": "both"}


class PlaceFreeze(Protocol):
    """gateway/wallet/freezes.py Freezes."""

    async def place(
        self, actor: Actor, cause: Cause, account_id: int, order: FreezeOrder
    ) -> object:
        """Freeze an account, once under the cause's operation id."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """done: alarms up to this record are dealt with. since: oldest record a window still holds."""

    done: int = 0
    since: int = 0

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """As `text` wrote it; nothing yet for an empty text."""
        done, _, since = text.partition(":")
        return cls(int(done), int(since)) if done else cls()

    def text(self) -> str:
        """As the registry keeps it."""
        return f"{self.done}:{self.since}"


class RiskJob(Job):
    """Watches all accounts. Thread: the loop's; the database in a worker thread."""

    name = "risk"

    def __init__(
        self,
        rules: Iterable[RiskRule],
        registry: Database,
        open_ledger: Callable[[], Database],
        freezes: PlaceFreeze,
        now_us: Callable[[], int],
        *,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._rules = tuple(rules)
        self._registry = registry
        self._open_ledger = open_ledger
        self._freezes = freezes
        self._now_us = now_us
        self._close = close
        self._alarms = 0
        self._frozen = 0
        self._cursor = Cursor()
        self._marks: deque[tuple[int, int]] = deque()

    def report(self) -> Mapping[str, Any]:
        """For the worker's page."""
        return {"seq": self._cursor.done, "alarms": self._alarms, "frozen": self._frozen}

    async def run(self) -> None:
        """Follow the ledger until cancelled."""
        try:
            history = History(await asyncio.to_thread(self._open_ledger))
            await self._follow(history)
        finally:
            if self._close is not None:
                await self._close()

    async def _follow(self, history: History) -> None:
        watch = Watch(self._rules)
        self._cursor, self._marks = await asyncio.to_thread(self._load), deque()
        at = max(self._cursor.since - 1, 0)
        while True:
            rows = await asyncio.to_thread(history.events_after, at, EVENTS_MAX)
            for row in rows:
                await self._take(watch, row)
            if rows:
                at = rows[-1].seq
                await asyncio.to_thread(self._save, max(at, self._cursor.done))
            else:
                await asyncio.sleep(PAUSE_S)

    async def _take(self, watch: Watch, row: HistoryRow) -> None:
        record = view_record(row.raw, row.position)
        self._mark(record, watch.span_us)
        alarms = watch.feed(record, row.currency)
        if record.seq > self._cursor.done:
            for alarm in alarms:
                await self._act(alarm)

    def _mark(self, record: RecordView, span_us: int) -> None:
        """Remember where a restart has to begin: a mark a minute, as far back as windows look."""
        if not self._marks or record.ts_us - self._marks[-1][0] >= MARK_EVERY_US:
            self._marks.append((record.ts_us, record.seq))
        while len(self._marks) > 1 and self._marks[1][0] <= record.ts_us - span_us:
            self._marks.popleft()

    async def _act(self, alarm: Alarm) -> None:
        rule = alarm.rule
        self._alarms += 1
        log.warning("risk_alarm", extra={"rule": rule.name, "seq": alarm.seq})
        await asyncio.to_thread(self._note, alarm)
        if rule.action not in WHAT:
            return
        op_id = derived_operation_id(
            alarm.ts_us, "risk", rule.name, str(alarm.account_id), str(alarm.seq)
        )
        until_us = alarm.ts_us + rule.freeze_s * 1_000_000 if rule.freeze_s else 0
        if until_us and until_us <= self._now_us():
            return  # read so late that it would be over already
        order = FreezeOrder(WHAT[rule.action], _reason(alarm), rule.name, until_us)
        try:
            await self._freezes.place(_actor(rule), Cause(op_id), alarm.account_id, order)
        except CommandRefused as error:  # closed meanwhile, or no account any more
            log.info("risk_freeze_refused", extra={"rule": rule.name, "code": error.code})
            return
        self._frozen += 1

    def _note(self, alarm: Alarm) -> None:
        """Into the audit trail: a rule said so."""
        with self._registry.transaction() as connection:
            note_change(
                connection,
                _actor(alarm.rule),
                "risk.alarm",
                f"account:{alarm.account_id}",
                self._now_us(),
                rule=alarm.rule.name,
                count=alarm.count,
                seq=alarm.seq,
            )

    def _load(self) -> Cursor:
        with self._registry.transaction() as connection:
            return Cursor.parse(get_cursor(connection, "risk", "records"))

    def _save(self, done: int) -> None:
        since = self._marks[0][1] if self._marks else done
        self._cursor = Cursor(done, since)
        with self._registry.transaction() as connection:
            set_cursor(connection, "risk", "records", self._cursor.text(), self._now_us())


def _actor(rule: RiskRule) -> Actor:
    return Actor.system(f"rule:{rule.name}")


def _reason(alarm: Alarm) -> str:
    rule = alarm.rule
    return f"{rule.kind} {alarm.count} in {rule.window_s} s, more than {rule.threshold}"


def build_risk_jobs(tools: Tools) -> Iterable[Job]:
    """The risk job, when rules are named. Raises: ConfigError."""
    rules = [
        rule
        for name in tools.config.risk.rules
        for rule in load_rules(find_risk_rules(name, tools.config.risk))
    ]
    if not rules:
        return []
    freezes, close = tools.open_freezes()
    job = RiskJob(rules, tools.registry, tools.open_ledger, freezes, tools.now_us, close=close)
    return [job]
