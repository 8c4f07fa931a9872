"""A changed registry key takes the webhooks' secrets along; old sessions are forgotten."""

from __future__ import annotations

import asyncio
import os

import pytest

from gateway.db import Database
from gateway.registry.actors import Actor
from gateway.registry.jobs import SessionJob
from gateway.wallet import resealing
from gateway.wallet.resealing import (
    count_answers_otherwise,
    count_sagas_otherwise,
    count_webhooks_otherwise,
    reseal_answers,
    reseal_sagas,
    reseal_webhooks,
)
from gateway.wallet.sealing import Sealer
from gateway.wallet.stores.requests import Requests
from gateway.wallet.stores.sagas import SagaRow, SagaStore
from gateway.wallet.stores.webhooks import HookRow, WebhookStore
from tests.registry.riders import Town

SYSTEM = Actor.system("test")


def hook(sealer: Sealer, name: str, old: bytes = b"") -> HookRow:
    sealed_old = sealer.seal(name, old) if old else b""
    sealed = sealer.seal(name, b"secret of " + name.encode())
    return HookRow(name, "metro", "https://x", "*", sealed, sealed_old, 0, "on", "", 0, 0, 1, 1)


def test_webhooks_are_sealed_under_the_new_key(database: Database) -> None:
    old, new = os.urandom(32), os.urandom(32)
    store = WebhookStore(database)
    store.add(hook(Sealer([old]), "one", b"before"), SYSTEM)
    store.add(hook(Sealer([old]), "two"), SYSTEM)
    fresh = Sealer([new])
    assert (reseal_webhooks(store, fresh), count_webhooks_otherwise(store, fresh)) == (0, 2)
    assert reseal_webhooks(store, Sealer([new, old])) == 2
    assert count_webhooks_otherwise(store, fresh) == 0
    one, two = store.list_all()
    assert fresh.open("one", one.sealed) == b"secret of one"
    assert fresh.open("one", one.old_sealed) == b"before"
    assert (fresh.open("two", two.sealed), two.old_sealed) == (b"secret of two", b"")


def test_what_sagas_under_way_carry_goes_along(database: Database) -> None:
    old, new = os.urandom(32), os.urandom(32)
    before, fresh, store = Sealer([old]), Sealer([new]), SagaStore(database)
    for number, state in enumerate(("running", "running", "done")):
        name = f"saga-{number}"
        tokens = [before.seal(name, b"card %d" % one).hex() for one in range(2)]
        sealed = {"personal": before.seal(name, b"Han").hex()} if number else {"tokens": tokens}
        body = {"from": 1, "to": 2, **sealed}
        store.add(SagaRow(name, "merge", "", "me", state, 0, body, number, 1, 0))
    assert (reseal_sagas(store, fresh), count_sagas_otherwise(store, fresh)) == (0, 2)
    assert reseal_sagas(store, Sealer([new, old])) == 2
    assert (reseal_sagas(store, fresh), count_sagas_otherwise(store, fresh)) == (0, 0)
    merge, payout = store.list_running()
    opened = [fresh.open("saga-0", bytes.fromhex(token)) for token in merge.body["tokens"]]
    assert opened == [b"card 0", b"card 1"]
    assert fresh.open("saga-1", bytes.fromhex(payout.body["personal"])) == b"Han"


def test_a_saga_that_went_on_meanwhile_is_left_for_the_next_run(database: Database) -> None:
    store, body = SagaStore(database), {"from": 1, "to": 2, "tokens": []}
    row = SagaRow("m", "merge", "", "me", "running", 0, body, 1, 1, 0)
    store.add(row)
    store.change("m", step=1, body=body | {"amount_minor": 5}, now_us=2)
    assert not store.replace_body(row, body)
    assert store.list_running()[0].body["amount_minor"] == 5


def test_a_secret_changed_meanwhile_is_left_alone(database: Database) -> None:
    sealer, store = Sealer([os.urandom(32)]), WebhookStore(database)
    row = hook(sealer, "one")
    store.add(row, SYSTEM)
    store.change("one", sealed=b"newer")
    assert not store.replace_sealed(row, sealed=b"older", old_sealed=b"")
    assert store.list_all()[0].sealed == b"newer"


async def test_kept_answers_go_along_page_by_page(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "PAGE", 2)
    old, new = os.urandom(32), os.urandom(32)
    book = Requests(database, sealer=Sealer([old]))
    for caller, key in (("a", "1"), ("a", "2"), ("b", "1"), ("b", "0"), ("c", "none")):
        await book.begin(caller, key, "POST /v1/x", bytes(32))
        if key != "none":
            await book.keep(caller, key, 201, f"{caller}{key}".encode())
    await book.close()
    fresh = Sealer([new])
    assert (reseal_answers(database, fresh), count_answers_otherwise(database, fresh)) == (0, 4)
    assert reseal_answers(database, Sealer([new, old])) == 4
    assert (reseal_answers(database, fresh), count_answers_otherwise(database, fresh)) == (0, 0)
    book = Requests(database, sealer=fresh)
    entry = await book.find("b", "0")
    assert entry is not None
    assert entry.answer == b"b0"
    await book.close()


async def test_the_job_forgets_sessions_that_are_over(database: Database) -> None:
    town = Town(database)
    await town.rider()
    await town.signed_in()
    town.later(43_200)
    await town.signed_in()
    job = SessionJob(town.sessions, every_s=60)
    running = asyncio.create_task(job.run())
    for _ in range(100):
        if job.report()["dropped"]:
            break
        await asyncio.sleep(0.05)
    running.cancel()
    assert job.report() == {"dropped": 1}
