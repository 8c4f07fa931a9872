"""One of everything a path of /v1 can name, made for a tenant, and a right body for each call."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from gateway.clock import now_us
from gateway.delivery.outbox import Left, Outbox, State
from gateway.http.endpoint import Endpoint
from gateway.ledger.breaks import BreakBook, Run
from gateway.ledger.reconcile import Break, BreakType, Comparison, Source
from gateway.registry.tenants import Merchant
from gateway.shapes import hints_of
from tests.http.town import SYSTEM, Caller, Town
from tests.support.peer import credit

DAY = date(2026, 11, 3)
MINUTE_US = 60_000_000
LOGIN_PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Things:
    """What there is of a tenant."""

    names: dict[str, Any]
    token: str
    charge: str

    def path(self, endpoint: Endpoint) -> str:
        """The endpoint's address with these."""
        path = endpoint.path.format(**self.names)
        wants_period = endpoint.query is not None and "period" in hints_of(endpoint.query)
        return f"{path}?period=2026-11" if wants_period else path


async def make_things(town: Town, tenant_id: str, caller: Caller) -> Things:
    """An account with all that hangs on it, a person, a merchant, a webhook, a key."""
    token = secrets.token_hex(16)
    merchant = await asyncio.to_thread(
        town.access.tenants.add_merchant, SYSTEM, Merchant(0, tenant_id, "till")
    )
    account = await town.city.account(10_000, tenant_id=tenant_id)
    path, mine = f"/v1/accounts/{account}", {"merchant_id": merchant.merchant_id}
    await town.city.ok("POST", f"{path}/media", {"token": token})
    hold = {"amount_minor": 50, "purpose": 1, "expires_us": now_us() + 10 * MINUTE_US}
    held = await caller.ok("POST", f"{path}/holds", hold | mine)
    paid = await caller.ok("POST", f"{path}/payments", {"amount_minor": 50, "purpose": 1} | mine)
    await town.city.ok("POST", f"{path}/tier", {"tier": 2})
    line = {"policy": "ride-first", "score": 650}
    await town.city.ok("POST", f"{path}/credit-line", line)
    frozen = await town.city.ok("POST", f"{path}/freezes", {"reason": "risk", "what": "credit"})
    rule = {"kind": "threshold", "source": "salary", "threshold_minor": 5, "amount_minor": 5}
    ruled = await caller.ok("POST", f"{path}/top-up-rules", rule)
    await caller.ok("POST", f"{path}/budgets", {"month_minor": 500, "purpose": 1})
    person = await caller.ok("POST", "/v1/persons", {"name": "李雷"})
    hook = await caller.ok("POST", "/v1/webhooks", {"url": "https://example.org/hook"})
    key = await caller.ok("POST", "/v1/keys", {"scopes": ["events:read"], "owner": "ward 3"})
    await asyncio.to_thread(town.project)
    found = await asyncio.to_thread(keep_break, town, f"merchant:{merchant.merchant_id}")
    names = {
        "break_id": found,
        "command_key": await asyncio.to_thread(bury, town, f"bank:{tenant_id}"),
        "ledger_account": f"merchant:{merchant.merchant_id}",
        "service_date": "2026-11-03",
        "account_id": account,
        "hold_id": held["hold_id"],
        "freeze_id": frozen["freeze_id"],
        "rule_id": ruled["rule_id"],
        "person_id": person["person_id"],
        "webhook_id": hook["webhook_id"],
        "credential_id": key["key"]["credential_id"],
        "merchant_id": merchant.merchant_id,
        "purpose": 1,
        "pass_id": 7,
        "rider_category": 2,
        "tenant_id": "hospital",
    }
    return Things(names, token, paid["operation_id"])


def keep_break(town: Town, code: str, key: str = "501-1-2", now_us: int = 1) -> int:
    """A break of a ledger account, as a run leaves it; its number. Blocking."""
    found = Break(Source.TAPS, key, BreakType.AMOUNT_DIFFERS, DAY, 7, 300, 350, "journal: 300")
    book = BreakBook(town.access.database)
    run = Run(code, DAY, DAY + timedelta(days=1), 1, (Source.TAPS,))
    book.keep(run, Comparison({}, [found]), now_us)
    return next(one.id for one in book.list(name=code) if one.key == key)


def bury(town: Town, key: str) -> str:
    """A dead letter of this key. Blocking."""
    outbox = Outbox(town.access.database)
    outbox.put("bank", key, credit(key), 1)
    (letter,) = [one for one in outbox.claim("bank", 100, 2) if one.command.key == key]
    outbox.leave(letter, Left(State.UNCERTAIN, error="Timeout: nothing came"), letter.until_us)
    return key


def _consent(things: Things) -> dict[str, Any]:
    return {"tenant_id": "city", "scope": "persons:read"}


BODIES: dict[str, Callable[[Things], dict[str, Any]]] = {
    "credits": lambda t: _paid(t) | {"reference": secrets.token_hex(8)},
    "payments": lambda t: _paid(t) | {"purpose": 1},
    "holds": lambda t: _paid(t) | {"purpose": 1, "expires_us": now_us() + MINUTE_US},
    "capture": lambda t: {"amount_minor": 1},
    "release": lambda t: {},
    "extend": lambda t: {"expires_us": now_us() + 20 * MINUTE_US},
    "passes": lambda t: {"pass_id": 7, "price_minor": 1},
    "remove": lambda t: {},
    "concessions": lambda t: {"rider_category": 2, "until_us": now_us() + MINUTE_US},
    "refunds": lambda t: {"amount_minor": 1, "charge_id": t.charge},
    "media": lambda t: {"token": secrets.token_hex(16)},
    "media/state": lambda t: {"token": t.token, "state": "lost"},
    "replacements": lambda t: {"old_token": t.token, "token": secrets.token_hex(16)},
    "top-up-rules": lambda t: {
        "kind": "threshold",
        "source": "salary",
        "threshold_minor": 5,
        "amount_minor": 5,
    },
    "{rule_id}/state": lambda t: {"state": "off"},
    "budgets": lambda t: {"month_minor": 5},
    "grants": lambda t: {"tenant_id": "hospital"},
    "freezes": lambda t: {"reason": "risk"},
    "lift": lambda t: {"note": "settled"},
    "credit-line": lambda t: {"policy": "ride-first", "score": 650},
    "credit-line/close": lambda t: {},
    "score": lambda t: {"score": 650},
    "plans": lambda t: {"amount_minor": 30_000, "instalments": 3},
    "webhooks": lambda t: {"url": "https://example.org/other"},
    "persons": lambda t: {"name": "韩梅梅"},
    "keys": lambda t: {"scopes": ["events:read"], "owner": "ward 4"},
    "tenants": lambda t: {"tenant_id": f"t-{secrets.token_hex(4)}", "kind": "school"},
    "merchants": lambda t: {"tenant_id": "city", "merchant_id": 4711},
    "rotate": lambda t: {},
    "enable": lambda t: {},
    "{person_id}": lambda t: {"phone": "110"},
    "login": lambda t: {"login": f"{secrets.token_hex(6)}@a.cn", "password": LOGIN_PASSWORD},
    "consents": _consent,
    "explanations": lambda t: {"note": "paid twice, given back"},
    "withdraw": _consent,
}
"""By the end of the path; the longest that fits."""


def _paid(things: Things) -> dict[str, Any]:
    return {"amount_minor": 1, "merchant_id": things.names["merchant_id"]}


def body_of(endpoint: Endpoint, things: Things) -> dict[str, Any] | None:
    """A body that is right; None = it takes none. Raises: LookupError: say one in BODIES."""
    if endpoint.body is None:
        return None
    fits = [end for end in BODIES if endpoint.path.endswith(f"/{end}")]
    if not fits:
        raise LookupError(f"no body is known for {endpoint.method} {endpoint.path}")
    return BODIES[max(fits, key=len)](things)
