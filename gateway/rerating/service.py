"""Carrying re-ratings out: reads an account, prices its history again, sends the difference.

A plan is for one version of the account. If that moved on meanwhile nothing happens, and the
account is read again. The operation's id follows from account, version and digest, so a plan sent
twice, by whomever and after whatever crash, takes effect once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fastpath.records import RecordView
from fastpath.types import Reason
from gateway.clock import derived_operation_id, now_us
from gateway.control.client import CommandRefused, ControlClient
from gateway.errors import FareGatewayError, RerateError, Retry, Uncertain
from gateway.rerating.books import Books
from gateway.rerating.events import Claim
from gateway.rerating.history import History
from gateway.rerating.plan import Plan, Standing, make_plan, say_why

TRIES = 5
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one account. outcome: "unchanged", "rerated" or "failed"."""

    account_id: int
    outcome: str
    plan: Plan | None = None
    reply: dict[str, Any] | None = None
    error: FareGatewayError | None = None


class Rerater:
    """Prices accounts again. Thread: one. Blocking: call it in a thread of its own."""

    def __init__(
        self,
        commands: ControlClient,
        history: History,
        load_books: Callable[[], Books],
        *,
        cells_max: int,
        now_us: Callable[[], int] = now_us,
    ) -> None:
        self._commands = commands
        self._history = history
        self._load_books = load_books
        self._cells_max = cells_max
        self._now_us = now_us

    def plan(
        self, account_id: int, *, claim: Claim | None = None, since_us: int | None = None
    ) -> Plan:
        """What would be done now. Raises: RerateError, CommandError and what reading raises."""
        books = self._load_books()
        return self._plan(account_id, self._read(account_id), books, claim, since_us)

    def run(self, account_id: int, *, claim: Claim | None = None) -> Result:
        """Price one account again.

        Raises: RerateError, CommandError and what reading raises.
        """
        return self._run(account_id, self._read(account_id), self._load_books(), claim)

    def run_many(self, account_ids: Iterable[int]) -> Iterator[Result]:
        """Price several accounts again, their records read at once; a failure is a value."""
        ids = sorted(set(account_ids))
        records, books = self._history.collect(ids), self._load_books()
        for account_id in ids:
            try:
                yield self._run(account_id, records.get(account_id, []), books, None)
            except FareGatewayError as error:
                yield Result(account_id, "failed", error=error)

    def read(self, account_id: int) -> list[RecordView]:
        """The account's records as they are known."""
        return self._read(account_id)

    def _read(self, account_id: int) -> list[RecordView]:
        return self._history.collect([account_id]).get(account_id, [])

    def _run(
        self, account_id: int, records: list[RecordView], books: Books, claim: Claim | None
    ) -> Result:
        for _ in range(TRIES):
            plan = self._plan(account_id, records, books, claim, None)
            if not plan.is_needed:
                return Result(account_id, "unchanged", plan)
            try:
                return Result(account_id, "rerated", plan, self._send(plan))
            except CommandRefused as refusal:
                if refusal.reason != Reason.VERSION_CONFLICT:
                    raise
            except Uncertain:
                # Read again: it had its effect, or the same plan goes out under the same id.
                pass
            records = self._read(account_id)
        said = f"account {account_id} was changed {TRIES} times while it was priced again"
        raise RerateError("RERATE_BUSY_ACCOUNT", said, retry=Retry.SAFE)

    def _plan(
        self,
        account_id: int,
        records: list[RecordView],
        books: Books,
        claim: Claim | None,
        since_us: int | None,
    ) -> Plan:
        shown = self._commands.call("cells_show", {"account_id": account_id})
        now = Standing(account_id, shown["version"], shown["account"], shown["images"])
        return make_plan(
            now,
            records,
            books,
            cells_max=self._cells_max,
            claim=claim,
            since_us=since_us,
        )

    def _send(self, plan: Plan) -> dict[str, Any]:
        arguments = plan.arguments() | {
            "reference": f"rerate {len(plan.changed)} of {len(plan.taps)}",
            "note": say_why(plan),
        }
        day_us = self._now_us() // DAY_US * DAY_US
        parts = ("rerate", str(plan.account_id), str(plan.version), plan.digest)
        operation_id = derived_operation_id(day_us, *parts)
        return self._commands.call("rerate", arguments, operation_id=operation_id)
