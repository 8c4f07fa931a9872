"""The book of requests lost its newest rows: a registry older than the journal beside it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select

from gateway.clock import new_operation_id, parse_operation_id
from gateway.config import Config
from gateway.fitting import fit_restored
from gateway.registry.actors import Actor
from gateway.registry.credentials import Credentials, NewCredential
from gateway.registry.scopes import Scope, TenantKind
from gateway.registry.store import open_registry
from gateway.registry.tenants import Tenant, Tenants
from gateway.wallet.book import note_of, request_id
from gateway.wallet.commands import Cause
from gateway.wallet.stores.rebuilding import SKEW_US, Keyed, build_rows, newest_us
from gateway.wallet.stores.tables import REQUESTS
from tests.http.conftest import serving
from tests.http.town import Caller, Said
from tests.support.plane import running

LONG = "k" * 200
PAY = {"amount_minor": 1, "purpose": 0}
ROOT = Actor.system("cli:test")


def lose(config: Config, keys: tuple[str, ...]) -> dict[str, int]:
    """The rows of these keys are gone; what a fit of the registry did."""
    registry = open_registry(config.registry.file)
    with registry.transaction() as connection:
        gone = connection.execute(delete(REQUESTS).where(REQUESTS.c.key.in_(keys))).rowcount
    assert gone == len(keys)
    done = fit_restored(config, registry, "cli:test").as_dict()
    assert not any(fit_restored(config, registry, "cli:test").as_dict().values())
    registry.close()
    return done


async def pay(caller: Caller, account: int, key: str, **more: Any) -> Said:
    return await caller("POST", f"/v1/accounts/{account}/payments", PAY | more, key=key)


async def test_a_key_whose_row_is_lost_pays_once_and_gets_the_first_answer(config: Config) -> None:
    async with running(config), serving(config) as town:
        account = await town.city.account(100)
        first = [await pay(town.city, account, key) for key in ("short", LONG)]
        poor = await pay(town.city, account, "poor", amount_minor=1_000)
        assert [one.status for one in (*first, poor)] == [201, 201, 402]
    done = await asyncio.to_thread(lose, config, ("short", LONG, "poor"))
    assert done == dict.fromkeys(done, 0) | {"keys": 3}
    async with running(config), serving(config) as town:
        for key, was in zip(("short", LONG), first, strict=True):
            again = await pay(town.city, account, key)
            assert (again.status, again.body) == (201, was.body)
            assert again.headers["Idempotent-Replayed"] == "true"
            state = await town.city.ok("GET", f"/v1/requests/{key}")
            assert (state["state"], state["operation_id"]) == ("done", was.body["operation_id"])
        refused = await pay(town.city, account, "poor", amount_minor=1_000)
        assert refused.body["operation"]["position"] == poor.body["operation"]["position"]
        conflict = await pay(town.city, account, "short", amount_minor=2)
        assert (conflict.status, conflict.code) == (422, "op_conflict")
        assert await town.city.balance(account) == 98


def test_what_a_record_says_leads_to_the_callers_row(tmp_path: Path) -> None:
    """Also the record of one of several commands: its id has the instant of the whole."""
    database = open_registry(tmp_path / "registry.sqlite", create=True)
    credentials = Credentials(database)
    Tenants(database).add(ROOT, Tenant("school", TenantKind.SCHOOL))
    wanted = NewCredential("school", frozenset({Scope.PAYMENTS_WRITE}), "a")
    key_id = credentials.create(ROOT, wanted).credential.credential_id
    at_us = 1_790_000_000_123_000
    whole = Cause(request_id(at_us, "school", "k1"), "k1")
    seen = [
        Keyed(f"key:{key_id}", "k1", whole.part("out")),
        Keyed(f"key:{key_id}", "k1", whole.part("in")),
        Keyed("person:per_1", note_of(LONG), request_id(at_us, "/person:per_1", LONG)),
        Keyed("key:fgk_of_nobody", "k2", new_operation_id()),
        Keyed("cli:root", "k3", new_operation_id()),
    ]
    with database.transaction() as connection:
        assert newest_us(connection) == 0
        assert build_rows(connection, seen) == 2
        assert build_rows(connection, seen) == 0
        assert newest_us(connection) == at_us - SKEW_US
        rows = {(row.caller, row.key): row for row in connection.execute(select(REQUESTS))}
    assert {name: parse_operation_id(row.operation_id) for name, row in rows.items()} == {
        ("school", "k1"): whole.operation_id,
        ("/person:per_1", note_of(LONG)): seen[2].operation_id,
    }
