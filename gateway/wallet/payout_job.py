"""Carries placed payouts out: takes the amount from the account, gives the order to the bank's
outbox. Both steps are named by the payout, so whoever goes on after a crash repeats nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from adapters.contract import Money
from gateway.clock import parse_operation_id
from gateway.delivery.commands import ask
from gateway.delivery.funding import Payout, PayoutDesk, payout_notice
from gateway.errors import FareGatewayError
from gateway.jobs import Job
from gateway.registry.notices import NoticeStore
from gateway.wallet.payouts import KIND, PAUSE_US, key_of
from gateway.wallet.sealing import Sealer
from gateway.wallet.stores.sagas import SagaRow, SagaStore

log = logging.getLogger(__name__)
POLL_S = 1.0
LOOK_S = 60.0
"""How often it is looked whether payouts wait for a bank that is gone."""


class PayoutRunner:
    """Carries the payouts of one bank out. Thread: one. Blocking."""

    def __init__(
        self,
        desk: PayoutDesk,
        store: SagaStore,
        notices: NoticeStore,
        sealer: Sealer,
        now_us: Callable[[], int],
    ) -> None:
        self._desk = desk
        self._store = store
        self._notices = notices
        self._sealer = sealer
        self._now_us = now_us

    def run_due(self) -> int:
        """Those whose time has come. Returns how many are sent now. One that fails keeps no other
        from its turn.
        """
        sent = 0
        for row in self._store.list_due(self._now_us(), KIND, bank=self._desk.bank):
            sent += self._advance(row)
        return sent

    def _advance(self, row: SagaRow) -> bool:
        try:
            reply = self._desk.place(self._payout(row), self._now_us())
        except FareGatewayError as error:
            log.warning("payout_waits", extra={"payout": row.saga_id, "code": error.code})
            self._change(row, next_us=self._now_us() + PAUSE_US, last_error=error.code)
            return False
        if reply.ok:
            self._change(row, step=1, state="done", last_error="")
        else:
            self._tell(row, reply.code)
            self._change(row, state="failed", last_error=reply.code)
        return reply.ok

    def _tell(self, row: SagaRow, reason: str) -> None:
        key, now_us = key_of(row.saga_id), self._now_us()
        account_id, amount_minor = row.body["account"], row.body["amount_minor"]
        self._notices.add(payout_notice(key, account_id, amount_minor, reason, now_us))

    def _payout(self, row: SagaRow) -> Payout:
        body = row.body
        show = {"account_id": body["account"]}
        account = ask(self._desk.commands, "account_show", show)
        currency = int(account.result["currency"]) if account.ok else 0
        personal = json.loads(self._sealer.open(row.saga_id, bytes.fromhex(body["personal"])))
        return Payout(
            parse_operation_id(row.saga_id),
            body["account"],
            Money(body["amount_minor"], currency),
            personal["to"],
            personal["name"],
            actor=row.actor,
            idempotency_key=body["key"],
        )

    def _change(self, row: SagaRow, **more: Any) -> None:
        step = more.pop("step", row.step)
        more.setdefault("attempts", row.attempts + 1)
        body = dict(row.body)
        if "state" in more:
            body["personal"] = ""  # it is over: only the bank's order says where it went
        self._store.change(row.saga_id, step=step, body=body, now_us=self._now_us(), **more)


class PayoutJob(Job):
    """Looks every second."""

    def __init__(self, runner: PayoutRunner, bank: str) -> None:
        self.name = f"payouts-{bank}"
        self._runner = runner
        self._sent = 0

    async def run(self) -> None:
        while True:
            self._sent += await asyncio.to_thread(self._runner.run_due)
            await asyncio.sleep(POLL_S)

    def report(self) -> Mapping[str, Any]:
        return {"sent": self._sent}


class LeftPayoutsJob(Job):
    """Tells of payouts that no job carries out: their bank is not in the settings any more."""

    name = "payouts-left"

    def __init__(self, store: SagaStore, banks: Collection[str]) -> None:
        self._store = store
        self._banks = banks
        self._left: Counter[str] = Counter()

    async def run(self) -> None:
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Count them, and say so when there are others than before. Blocking."""
        named = (row.body["bank"] for row in self._store.list_running() if row.kind == KIND)
        left = Counter(bank for bank in named if bank not in self._banks)
        if left != self._left:
            for bank, count in left.items():
                log.warning("payouts_left", extra={"bank": bank, "count": count})
        self._left = left

    def report(self) -> Mapping[str, Any]:
        return {"waiting": self._left.total()}
