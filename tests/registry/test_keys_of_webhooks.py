"""A changed registry key takes the webhooks' secrets along; old sessions are forgotten."""

from __future__ import annotations

import asyncio
import os

import pytest

from gateway.db import Database
from gateway.errors import ConfigError
from gateway.registry.actors import Actor
from gateway.registry.jobs import SessionJob
from gateway.wallet.resealing import reseal_webhooks
from gateway.wallet.sealing import Sealer
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
    with pytest.raises(ConfigError, match="CONFIG_SECRET"):
        reseal_webhooks(store, Sealer([new]))
    assert reseal_webhooks(store, Sealer([new, old])) == 2
    fresh = Sealer([new])
    one, two = store.list_all()
    assert fresh.open("one", one.sealed) == b"secret of one"
    assert fresh.open("one", one.old_sealed) == b"before"
    assert (fresh.open("two", two.sealed), two.old_sealed) == (b"secret of two", b"")


def test_a_secret_changed_meanwhile_is_left_alone(database: Database) -> None:
    sealer, store = Sealer([os.urandom(32)]), WebhookStore(database)
    row = hook(sealer, "one")
    store.add(row, SYSTEM)
    store.change("one", sealed=b"newer")
    assert not store.replace_sealed(row, sealed=b"older", old_sealed=b"")
    assert store.list_all()[0].sealed == b"newer"


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
