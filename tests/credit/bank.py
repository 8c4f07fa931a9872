"""A data plane played for credit tests: accounts with limit, late state and plans as docs/wallet.md
says, operation ids that have their effect once, and calls that die before or after their effect.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fastpath import _journal as codec
from fastpath.types import Item, Op
from gateway.control.client import CommandRefused
from gateway.control.frames import Reply

LINE_0 = struct.Struct("<QQqqqqQHHBBBB")


class Died(BaseException):
    """The process ended here."""


@dataclass(slots=True)
class Account:
    balance_minor: int = 0
    limit_minor: int = 0
    late: bool = False
    version: int = 1
    tier: int = 3
    plans: dict[int, int] = field(default_factory=dict)


class Bank:
    """Commands and records of one data plane."""

    def __init__(self, now_us: int = 0) -> None:
        self.now_us = now_us
        self.accounts: dict[int, Account] = {}
        self.records: dict[int, list[codec.RecordView]] = {}
        self.answers: dict[bytes, tuple[str, dict[str, Any], Reply]] = {}
        self.die_in: int | None = None
        """So many more points before and behind effects until the process dies; None = never."""
        self._seq = 0
        self.lag = 0
        """So many records the ledger is behind."""

    def clock(self) -> int:
        return self.now_us

    def open(self, account_id: int) -> Account:
        self.records[account_id] = []
        self.accounts[account_id] = Account()
        return self.accounts[account_id]

    def move(
        self, account_id: int, amount_minor: int, op: Op = Op.CREDIT, *, client: int = 0
    ) -> None:
        """Something that is not credit's business: a ride, money put in."""
        account = self.accounts[account_id]
        account.balance_minor += amount_minor
        self._record(account_id, op, client)

    def list_from(self, account_id: int, seq: int) -> Iterator[codec.RecordView]:
        return (one for one in self.records[account_id] if one.seq >= seq)

    def position(self) -> int:
        return self._seq - self.lag

    # --- the control socket -------------------------------------------------------------------

    def call(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> dict[str, Any]:
        reply = self.exchange(op, args, operation_id=operation_id)
        if not reply.ok:
            raise CommandRefused(reply)
        return reply.result

    def exchange(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> Reply:
        args = args or {}
        if op == "status":
            return Reply(bytes(16), True, result={"position": self._seq})
        if op == "account_show":
            return Reply(bytes(16), True, result=self._show(args["account_id"]))
        assert operation_id is not None
        known = self.answers.get(operation_id)
        if known is not None:
            assert known[:2] == (op, args), "an operation id was used for something else"
            return known[2]
        self._point()
        code = self._apply(op, self.accounts[args["account_id"]], args)
        reply = Reply(operation_id, not code, code=code or "ok", reason=40 if code else 0)
        self.answers[operation_id] = (op, args, reply)
        if not code:
            self._record(args["account_id"], getattr(Op, op.upper()))
        self._point()
        return reply

    def _point(self) -> None:
        if self.die_in is not None:
            self.die_in -= 1
            if self.die_in < 0:
                self.die_in = None
                raise Died

    def _show(self, account_id: int) -> dict[str, Any]:
        account = self.accounts[account_id]
        plans = [{"key": key, "outstanding_minor": left} for key, left in account.plans.items()]
        return {
            "account_id": account_id,
            "currency": 156,
            "tier": account.tier,
            "version": account.version,
            "balance_minor": account.balance_minor,
            "held_minor": 0,
            "credit_limit_minor": account.limit_minor,
            "plans": [one for one in plans if one["outstanding_minor"]],
        }

    def _apply(self, op: str, account: Account, args: dict[str, Any]) -> str:
        amount_minor = args.get("amount_minor", 0)
        if op == "set_credit_limit":
            account.limit_minor = amount_minor
        elif op == "debit":
            if amount_minor > account.balance_minor + account.limit_minor:
                return "insufficient_balance"
            account.balance_minor -= amount_minor
        elif op == "credit_state":
            account.late = bool(args["late"])
        elif op == "plan_open":
            if amount_minor > -account.balance_minor:
                return "amount_invalid"
            account.balance_minor += amount_minor
            account.plans[args["key"]] = amount_minor
        elif op == "plan_repay":
            if args.get("expected_version", account.version) != account.version:
                return "version_conflict"
            if amount_minor > account.plans[args["key"]]:
                return "amount_invalid"
            account.balance_minor -= amount_minor
            account.plans[args["key"]] -= amount_minor
        elif op == "write_off":
            if args["expected_version"] != account.version:
                return "version_conflict"
            account.balance_minor += amount_minor
        else:
            raise AssertionError(op)
        return ""

    def _record(self, account_id: int, op: Op, client: int = 0) -> None:
        account = self.accounts[account_id]
        account.version += 1
        self._seq += 1
        line = LINE_0.pack(
            account_id,
            account.version,
            account.balance_minor,
            0,
            account.limit_minor,
            0,
            0,
            0,
            156,
            0,
            account.tier,
            0,
            0,
        )
        record = codec.build_record(
            op=op,
            seq=self._seq,
            ts_us=self.now_us,
            account_id=account_id,
            id_a=client,
            items=[codec.build_item(Item.ACCOUNT_LINE, 0, 1, line)],
        )
        self.records[account_id].append(codec.view_record(record))
