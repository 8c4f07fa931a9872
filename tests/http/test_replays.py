"""Every POST with a key, sent twice: the second answer is the first one again, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.clock import now_us
from gateway.errors import ApprovalNeeded
from gateway.http.catalogue import all_endpoints
from gateway.registry.actors import Actor
from gateway.registry.approvals import Action, Approvals, Proposal
from gateway.wallet.payouts import Payouts
from tests.http.town import Said, Town

A = "/v1/accounts/{account}"
LINE = A + "/credit-line"
HOUR_US = 3_600_000_000
ELSEWHERE = {
    "/v1/taps/{tap_id}/reversal": "tests/http/test_fares.py has a tap",
    "/v1/accounts/{account_id}/purses/{purse_id}/sweep": "needs a purse that has ended",
    "/v1/accounts/{account_id}/credit-line/statements/{month}/write-off": "needs a month's end",
    "/v1/reconciliation/breaks/{break_id}/explanations": "tests/http/test_books.py has a break",
    "/v1/peer-commands/{command_key}/replay": "tests/http/test_books.py has a dead letter",
}
"""What takes too long here."""
SHOWN_ONCE = {"/v1/keys", "/v1/webhooks", "/v1/webhooks/{hook}/rotate"}
"""Answers with a secret."""


def steps() -> Iterator[tuple[str, Any]]:
    """Path and body, in an order in which each succeeds; names in braces are of earlier answers."""
    yield "/v1/tenants", {"tenant_id": "other", "kind": "hospital"}
    yield "/v1/merchants", {"tenant_id": "other", "merchant_id": 4711}
    yield "/v1/keys", {"scopes": ["accounts:read"], "owner": "somebody"}
    yield "/v1/persons", {"name": "Han Meimei"}
    consent = {"tenant_id": "school", "scope": "persons:read"}
    yield "/v1/persons/{person}/consents", consent
    yield "/v1/persons/{person}/consents/withdraw", consent
    yield "/v1/approvals/{agreed}/approve", {}
    yield "/v1/approvals/{refused}/reject", {"why": "no"}
    yield "/v1/accounts", {}
    yield A + "/category", {"rider_category": 1}
    yield A + "/tier", {"tier": 2}
    yield A + "/grants", {"tenant_id": "school"}
    yield A + "/credits", {"amount_minor": 5000, "reference": "r"}
    yield A + "/payments", {"amount_minor": 100, "purpose": 5}
    yield A + "/refunds", {"charge_id": "{charge}", "amount_minor": 60}
    yield A + "/adjustments", {"amount_minor": -10, "note": "why"}
    yield A + "/payouts", {"amount_minor": 10, "bank": "city-bank", "destination": "DE-1"}
    yield A + "/passes", {"pass_id": 7, "price_minor": 30}
    yield A + "/passes/{pass}/remove", {}
    yield A + "/concessions", {"rider_category": 2, "until_us": now_us() + HOUR_US}
    yield A + "/concessions/{category}/remove", {}
    yield A + "/purses", {"purposes": [1]}
    yield A + "/purses/{purse}/close", {}
    yield A + "/holds", {"amount_minor": 9, "purpose": 0, "expires_us": now_us() + HOUR_US}
    yield A + "/holds/{hold}/extend", {"expires_us": now_us() + 2 * HOUR_US}
    yield A + "/holds/{hold}/capture", {"amount_minor": 3}
    yield A + "/holds/{hold}/release", {}
    yield A + "/freezes", {"reason": "risk"}
    yield A + "/freezes/{freeze}/lift", {}
    yield A + "/media", {"token": "11" * 16}
    yield A + "/media/state", {"token": "11" * 16, "state": "lost"}
    yield A + "/media/replacements", {"old_token": "11" * 16, "token": "22" * 16}
    rule = {"kind": "threshold", "source": "mandate-7", "amount_minor": 100, "threshold_minor": 1}
    yield A + "/top-up-rules", rule
    yield A + "/top-up-rules/{rule}/state", {"state": "off"}
    yield A + "/budgets", {"month_minor": 1000}
    yield LINE, {"policy": "ride-first", "score": 650}
    yield LINE + "/score", {"score": 640}
    yield A + "/payments", {"amount_minor": 40_000, "purpose": 5}
    yield LINE + "/plans", {"amount_minor": 30_000, "instalments": 3}
    yield A + "/write-offs", {"amount_minor": 10, "note": "why"}
    yield A + "/credits", {"amount_minor": 60_000, "reference": "s"}
    yield LINE + "/plans/{plan}/repayments", {"amount_minor": 30_000}
    yield LINE + "/close", {}
    yield "/v1/webhooks", {"url": "http://127.0.0.1:9/hook"}
    yield "/v1/webhooks/{hook}/rotate", {}
    yield "/v1/webhooks/{hook}/enable", {}
    yield A + "/credit-limit", {"amount_minor": 0}
    yield "/v1/accounts", {}
    yield "/v1/merges", {"from_account_id": "{first}", "to_account_id": "{account}"}
    yield "/v1/accounts", {}
    yield A + "/close", {}


NAMES = {
    "person": "person_id",
    "charge": "operation_id",
    "purse": "purse_id",
    "hold": "hold_id",
    "freeze": "freeze_id",
    "rule": "rule_id",
    "hook": "webhook_id",
}


class Walk:
    """Sends each step twice."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.known: dict[str, Any] = {"pass": 7, "category": 2}
        self.seen: set[str] = set()

    async def step(self, path: str, body: Any) -> None:
        filled = {name: self._fill(value) for name, value in body.items()}
        if path.endswith("/merges"):
            await self._empty()
        key, where = self.town.fresh_key(), path.format(**self.known)
        headers = await self._version(where)
        first = await self.town.city("POST", where, filled, key=key, headers=headers)
        assert 200 <= first.status < 300, (path, first)
        await self._disturb(where, filled, first)
        again = await self.town.city("POST", where, filled, key=key, headers=headers)
        self.seen.add(path)
        if path in SHOWN_ONCE:
            assert (again.status, again.code) == (409, "API_KEY_SPENT")
            self._keep(path, first)
            return
        assert (again.status, again.body) == (first.status, first.body), path
        assert again.headers["Idempotent-Replayed"] == "true", path
        self._keep(path, first)

    async def _disturb(self, where: str, body: Any, first: Said) -> None:
        """What is there is changed in between, where that is easily done."""
        if where.endswith("/score"):
            await self.town.city.ok("POST", where, {"score": 690})
        if where.endswith("/budgets"):
            await self.town.city.ok("POST", where, body | {"month_minor": 77})

    async def _empty(self) -> None:
        shown = await self.town.city.ok("GET", f"/v1/accounts/{self.known['first']}")
        if shown["balance_minor"] < 0:
            order = {"amount_minor": -shown["balance_minor"], "reference": "e"}
            await self.town.city.ok("POST", f"/v1/accounts/{self.known['first']}/credits", order)

    async def _version(self, where: str) -> dict[str, str]:
        if not where.endswith(("/adjustments", "/write-offs")):
            return {}
        path = f"/v1/accounts/{self.known['account']}"
        return {"If-Match": (await self.town.city("GET", path)).headers["ETag"]}

    def _fill(self, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("{"):
            return self.known[value[1:-1]]
        return value

    def _keep(self, path: str, first: Said) -> None:
        if path == "/v1/accounts":
            self.known["first"] = self.known.get("account", 0)
            self.known["account"] = first.body["account_id"]
        for name, member in NAMES.items():
            if member in first.body and name not in self.known:
                self.known[name] = first.body[member]
        if path.endswith("/payments"):
            self.known["charge"] = first.body["operation_id"]
        if path.endswith("/plans"):
            self.known["plan"] = first.body["plans"][0]["plan_id"]


async def test_every_post_sent_twice_gives_the_first_answer_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = Walk(town)
    for name in ("agreed", "refused"):
        walk.known[name] = await asyncio.to_thread(_propose, town, name)
    monkeypatch.setattr(Approvals, "is_needed", lambda *_: False)
    monkeypatch.setattr(Approvals, "require", lambda *_, **__: None)
    monkeypatch.setattr(town.api.services.get(Payouts), "_banks", lambda: {"city-bank"})
    for path, body in steps():
        await walk.step(path, body)
    wanted = {one.path for one in all_endpoints() if one.method == "POST" and one.needs_key}
    assert {_shape(one) for one in walk.seen} == {_shape(one) for one in wanted - set(ELSEWHERE)}


def _shape(path: str) -> str:
    parts = ("{}" if part.startswith("{") else part for part in path.split("/"))
    return "/".join(parts)


def _propose(town: Town, about: str) -> str:
    proposal = Proposal(Action.ADJUSTMENT, "account:1", about.encode().ljust(32), 5)
    try:
        town.access.approvals.require(Actor.system("clerk"), proposal, operation_id=about)
    except ApprovalNeeded as error:
        return error.approval_id
    raise AssertionError("nobody was asked")


async def test_an_answer_is_kept_sealed(town: Town) -> None:
    hook = await town.city.ok("POST", "/v1/webhooks", {"url": "http://127.0.0.1:9/h"}, key="k")
    await town.city.ok("POST", f"/v1/webhooks/{hook['webhook_id']}/enable", {}, key="e")
    entry = await town.api.book.find("city", "e")  # type: ignore[attr-defined]
    with town.access.database.reading() as connection:
        raw = connection.exec_driver_sql("SELECT answer FROM requests").scalars().all()
    assert b"http://127.0.0.1:9/h" in entry.answer
    assert not any(b"http" in one for one in raw if one)
    secret = await town.api.book.find("city", "k")  # type: ignore[attr-defined]
    assert (secret.status, secret.answer) == (201, b"")
