"""An engine in memory for handlers: balances, versions, and operation ids that answer once.

As in the engine, an id that was used for other contents is a conflict, and instants in ids lie
not in the future.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from gateway.control.frames import Reply
from gateway.errors import CommandError, Uncertain

NOTES = ("reference", "note")
AHEAD_US = 300_000_000


class Engine:
    """Plays the control socket. trouble: raised before or after the next commands."""

    def __init__(self, *accounts: int, currency: int = 156) -> None:
        self.balances = dict.fromkeys(accounts, 0)
        self.versions = dict.fromkeys(accounts, 1)
        self.currency = currency
        self.answers: dict[bytes, Reply] = {}
        self.contents: dict[bytes, tuple[str, dict[str, Any]]] = {}
        self.now_us = 0
        """0 = any instant is taken."""
        self.refusals: dict[int, str] = {}
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.trouble: deque[str] = deque()
        self.moves_between = 0

    def exchange(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> Reply:
        args = args or {}
        if op == "operation_show":
            return self._show_operation(bytes.fromhex(args["id"]))
        trouble = self.trouble.popleft() if self.trouble else ""
        if trouble == "down":
            raise CommandError("COMMAND_NOT_SENT")
        if trouble == "busy":
            return Reply(b"", False, "COMMAND_BUSY", retry="safe")
        if op == "account_show":
            reply = self._show(args["account_id"])
            if self.moves_between:
                self.moves_between -= 1
                self.versions[args["account_id"]] += 1
            return reply
        assert operation_id is not None
        self.sent.append((op, args))
        reply = self._carry_out(operation_id, op, args)
        if trouble == "lost":
            raise Uncertain(detail="no answer")
        return reply

    def _carry_out(self, operation_id: bytes, op: str, args: dict[str, Any]) -> Reply:
        made_us = int.from_bytes(operation_id[:6]) * 1_000
        contents = op, {name: args[name] for name in args if name not in NOTES}
        if self.contents.setdefault(operation_id, contents) != contents:
            return _reply("op_conflict")
        if self.now_us and made_us > self.now_us + AHEAD_US:
            del self.contents[operation_id]
            return _reply("bad_time")
        if operation_id not in self.answers:
            self.answers[operation_id] = self._decide(op, args)
        return self.answers[operation_id]

    def _show_operation(self, operation_id: bytes) -> Reply:
        reply = self.answers.get(operation_id)
        if reply is None:
            return _reply("unknown_operation")
        return _reply("", {"reason": reply.code})

    def _show(self, account_id: int) -> Reply:
        if account_id not in self.balances:
            return _reply("unknown_account")
        found = {"currency": self.currency, "version": self.versions[account_id]}
        return _reply("", found)

    def _decide(self, op: str, args: dict[str, Any]) -> Reply:
        account_id = args["account_id"]
        if refusal := self.refusals.get(account_id):
            return _reply(refusal)
        if op == "adjust" and args["expected_version"] != self.versions[account_id]:
            return _reply("version_conflict")
        sign = -1 if op == "debit" else 1
        if op == "debit" and self.balances[account_id] < args["amount_minor"]:
            return _reply("insufficient_balance")
        self.balances[account_id] += sign * args["amount_minor"]
        self.versions[account_id] += 1
        return _reply("", {"balance_minor": self.balances[account_id]})


def _reply(code: str, result: dict[str, Any] | None = None) -> Reply:
    return Reply(id=b"", ok=not code, code=code or "ok", result=result or {})
