"""A bank with state, for tests: every order once a reference, and its side of statements."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from adapters.funding.bank.statement import FIELDS, FORMAT, MAGIC
from adapters.testing.remote import ScriptedRemote, Trouble
from adapters.webhook import sign

TOKEN = "token-of-the-test-bank"
WEBHOOK_KEY = "key-of-the-test-bank"
ACCOUNT = "CN-FG-0001"
CLOSED_ACCOUNT = "closed-account"


@dataclass(frozen=True, slots=True)
class Movement:
    """One entry as the bank writes it."""

    entry_ref: str
    amount_minor: int
    reference: str = ""
    direction: str = "credit"
    reverses: str = ""
    booked: str = "2026-11-28"
    currency: int = 156

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FIELDS}


def statement(*movements: Movement, name: str = "S1", account: str = ACCOUNT) -> bytes:
    """A statement in the format of docs/bank.md."""
    lines = [f"{MAGIC},{FORMAT},{account},{name},2026-11-28", ",".join(FIELDS)]
    lines += [",".join(str(value) for value in one.as_dict().values()) for one in movements]
    sums = [
        sum(one.amount_minor for one in movements if one.direction == side)
        for side in ("credit", "debit")
    ]
    lines.append(f"END,{len(movements)},{sums[0]},{sums[1]}")
    return "".join(f"{line}\n" for line in lines).encode()


def webhook(movement: Movement, account: str = ACCOUNT) -> bytes:
    """The body of a message about one entry."""
    message = {"type": "entry.booked", "account": account, "entry": movement.as_dict()}
    return json.dumps(message).encode()


def signed(body: bytes, at_us: int, key: str = WEBHOOK_KEY) -> dict[str, str]:
    """Headers as the bank sends them."""
    return sign(key, "msg-1", at_us // 1_000_000, body)


class BankRemote(ScriptedRemote):
    """Orders by reference: payouts, and recalls of them."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: dict[str, dict[str, Any]] = {}
        self.paid_minor = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/status", self._status),
            web.get("/v1/orders", self._question),
            web.post("/v1/payouts", self._payout),
            web.post("/v1/recalls", self._recall),
        ]

    def wrong(self, response: web.Response) -> web.Response:
        other = {"reference": "another", "state": "booked", "order_id": "o-0"}
        return web.json_response(other | {"amount_minor": 1, "currency": 156})

    async def _status(self, request: web.Request) -> web.Response:
        return self._refused(request) or web.json_response({"version": "1"})

    async def _payout(self, request: web.Request) -> web.Response:
        message = await request.json()
        return self._refused(request) or self._book(message, message["amount_minor"])

    async def _recall(self, request: web.Request) -> web.Response:
        message = await request.json()
        recalled = self.orders.get(message["recalls"], {})
        return self._refused(request) or self._book(message, -recalled.get("amount_minor", 0))

    def _book(self, message: dict[str, Any], paid_minor: int) -> web.Response:
        reference = message["reference"]
        if message.get("to") == CLOSED_ACCOUNT:
            self.orders.setdefault(
                reference,
                {"reference": reference, "state": "refused", "reason": "account_closed"},
            )
            return web.json_response(self.orders[reference], status=422)
        if reference not in self.orders:
            self.effects[reference] += 1
            self.paid_minor += paid_minor
            self.orders[reference] = {
                "reference": reference,
                "state": "booked",
                "order_id": f"o-{len(self.orders) + 1}",
                "amount_minor": abs(paid_minor),
                "currency": message.get("currency", 156),
            }
        queued = {"state": "queued"} if self.trouble is Trouble.PENDING else {}
        return web.json_response(self.orders[reference] | queued)

    async def _question(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        reference = request.query["reference"]
        if reference not in self.orders or self.trouble is Trouble.HIDDEN:
            return web.json_response({"reference": reference, "known": False}, status=404)
        return web.json_response(self.orders[reference])

    def _refused(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") == f"Bearer {TOKEN}":
            return None
        return web.Response(status=401)
