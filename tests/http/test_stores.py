"""The wallet's tables on SQLite and on PostgreSQL: what is entered twice is there once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import insert

from gateway.db import Database
from gateway.delivery.looking import Wanted, list_commands
from gateway.delivery.outbox import Outbox
from gateway.ledger.breaks import BreakBook, BreakState, Run
from gateway.ledger.days import date_of
from gateway.ledger.reconcile import Break, BreakType, Comparison, Source
from gateway.ledger.record_tables import SETTLEMENTS
from gateway.ledger.settled import Asked, SettlementBook
from gateway.registry.actors import Actor
from gateway.registry.audit import iter_events, list_events, was_done
from gateway.registry.changes import note_by
from gateway.registry.notices import NewNotice, NoticeStore
from gateway.registry.store import open_registry
from gateway.wallet.stores import webhooks as stored_webhooks
from gateway.wallet.stores.accounts import AccountStore, Ownership
from gateway.wallet.stores.freezes import FreezeRow, FreezeStore
from gateway.wallet.stores.requests import Requests, prune_requests
from gateway.wallet.stores.rules import BudgetRow, RuleStore
from gateway.wallet.stores.sagas import SagaRow, SagaStore
from gateway.wallet.stores.webhooks import HookRow, WebhookStore
from gateway.windows import Window
from tests.support.peer import credit
from tests.support.postgres import running_postgres

DAY = date(2026, 11, 3)
SYSTEM = Actor.system("test")


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    place: str | Path = tmp_path / "registry.sqlite"
    if request.param == "postgres":
        place = request.getfixturevalue("postgres_url")
    made = open_registry(place, create=True)
    yield made
    made.close()


async def test_keys_are_kept_once_also_by_many_at_once(database: Database) -> None:
    book = Requests(database)
    entries = await asyncio.gather(*(book.begin("c", "k", "e", b"\1" * 32) for _ in range(50)))
    assert len({entry.operation_id for entry in entries}) == 1
    others = await asyncio.gather(*(book.begin("c", f"k{n}", "e", b"\1" * 32) for n in range(50)))
    assert len({entry.operation_id for entry in others}) == 50
    keys = ["new", "k", "k3", "newer", "new"]
    mixed = await asyncio.gather(*(book.begin("c", key, "e", b"\1" * 32) for key in keys))
    first, k, k3, _, again = (entry.operation_id for entry in mixed)
    assert (k, k3) == (entries[0].operation_id, others[3].operation_id)
    assert first == again
    assert [entry.is_new for entry in mixed[:4]] == [True, False, False, True]
    book.settle("c", "k", 201, account_id=7)
    await book.close()
    reopened = Requests(database)
    entry = await reopened.find("c", "k")
    assert entry is not None
    assert (entry.status, entry.account_id, entry.digest) == (201, 7, b"\1" * 32)
    await reopened.close()
    assert await asyncio.to_thread(prune_requests, database, 1 << 60) == 53


def test_accounts_grants_and_freezes(database: Database) -> None:
    accounts, freezes = AccountStore(database), FreezeStore(database)
    for _ in range(2):
        accounts.add(Ownership(5, "school", "ref", "op-5", 1))
        accounts.grant(Actor.system("test"), 5, "hospital", 2)
    found = accounts.find(5)
    assert found is not None
    assert (found.tenant_id, found.granted) == ("school", frozenset({"hospital"}))
    assert accounts.own_among([5, 6], "hospital") == {5}
    row = FreezeRow("f", 5, "debit", "why", "", "me", "placing", 1, 0, 9)
    for _ in range(2):
        freezes.begin(row)
        freezes.settle("f", position=3, placed_us=2, notice="account_frozen")
    assert [one.freeze_id for one in freezes.list_due(10)] == ["f"]
    freezes.end("f", state="expired", by="worker", now_us=11, notice="account_unfrozen", position=7)
    kinds = [one.kind for one in NoticeStore(database).list(5, after=0, limit=9)]
    assert kinds == ["account_frozen", "account_unfrozen"]


def test_notices_rules_sagas_and_webhooks(database: Database) -> None:
    notices, rules = NoticeStore(database), RuleStore(database)
    for _ in range(2):
        notices.add(NewNotice("n", 8, "kind", {"a": 1}, 1))
        rules.put_budget(SYSTEM, BudgetRow(8, -1, 100, 80, 0, 1))
        rules.put_cursor("rules", 4)
    assert len(notices.list(8, after=0, limit=9)) == 1
    assert [one.purpose for one in rules.list_budgets([8])] == [-1]
    assert rules.get_cursor("rules") == 4
    sagas = SagaStore(database)
    sagas.add(SagaRow("s", "merge", "", "me", "running", 0, {"x": 1}, 1, 1, 1))
    sagas.change("s", step=2, body={"x": 2}, now_us=2)
    sagas.change("s", step=1, body={"x": 3}, now_us=3)
    found = sagas.find("s")
    assert found is not None
    assert (found.step, found.body) == (2, {"x": 2})
    for number in range(3):
        bank = "gone" if number < 2 else "here"
        sagas.add(SagaRow(f"p{number}", "payout", "", "me", "running", 0, {"bank": bank}, 1, 1, 1))
    assert [one.saga_id for one in sagas.list_due(9, "payout", 1, bank="here")] == ["p2"]
    assert len(sagas.list_due(9, "payout", bank="gone")) == len(sagas.list_due(9, "payout")) - 1
    assert [sagas.note("s", "amount", value) for value in (7, 8)] == [7, 7]
    sagas.change("s", step=3, body={}, now_us=4, state="done")
    assert [sagas.note("s", name, 9) for name in ("amount", "other")] == [7, 0]
    found = sagas.find("s")
    assert found is not None
    assert (found.state, found.body) == ("done", {"x": 2, "amount": 7})
    hooks = WebhookStore(database)
    hook = HookRow("w", "city", "https://a.example/", "", b"s", b"", 0, "active", "", 0, 0, 1, 1)
    hooks.add(hook, SYSTEM)
    hooks.add(hook, SYSTEM)
    hooks.enqueue("w", [("evt_1", "{}"), ("evt_2", "{}")], (2, 0), 5)
    assert [one.event_id for one in hooks.list_due("w", 5, 9)] == ["evt_1", "evt_2"]
    first = hooks.list_due("w", 5, 9)[0]
    hooks.settle(first.delivery_id, next_us=100)
    assert hooks.list_due("w", 5, 9) == [], "the order is kept"
    assert hooks.count_waiting("w") == 2
    hooks.remove("w", SYSTEM, 6)
    assert hooks.find("w") is None
    with database.reading() as connection:
        told = [one.action for one in iter_events(connection) if one.subject == "webhook:w"]
    assert told == ["webhook.add", "webhook.remove"]


def test_the_books_are_read_a_page_at_a_time(database: Database) -> None:
    columns = {
        "operator": "operator:9",
        "service_day": 20_000,
        "as_of_seq": 1,
        "sha256": "",
        "totals": "[]",
    }
    with database.transaction() as connection:
        for number in range(3):
            row = columns | {"number": number, "made_us": number, "written_us": 0}
            connection.execute(insert(SETTLEMENTS).values(row))
    settled, own = SettlementBook(database), Asked({"operator:9"})
    newest = settled.list(own, Window(2))
    assert [one.number for one in newest] == [2, 1, 0]
    assert [one.number for one in settled.list(own, Window(2, before=newest[2].id))] == [2, 1]
    assert settled.list(Asked(set()), Window(2)) == []
    assert settled.list(Asked({"operator:9"}, first=date(2100, 1, 1)), Window(2)) == []
    found = settled.find("operator:9", date_of(20_000))
    assert found is not None
    assert found.number == 2
    breaks = BreakBook(database)
    for key in "abc":
        one = Break(Source.TAPS, key, BreakType.DUPLICATE, DAY, 1, 5, 7, "")
        breaks.keep(Run("operator:9", DAY, DAY, 1, (Source.TAPS,)), Comparison({}, [one]), 1)
    first, second, _ = breaks.list_window({"operator:9"}, [BreakState.OPEN], Window(2))
    assert (first.key, second.key) == ("a", "b")
    back = breaks.list_window({"operator:9"}, (), Window(2, before=second.id))
    assert [one.key for one in back] == ["a"]
    assert breaks.list_window({"operator:8"}, (), Window(2)) == []
    assert breaks.age({"operator:9"}, 2)["0-1 days"] == {"count": 3, "difference_minor": 6}
    for key in ("p1", "p2"):
        Outbox(database).put("pages", "a", credit(key), 1)
    (place, row), *_ = list_commands(database, Wanted("pages", "waiting"), Window(1))
    assert row["key"] == "p1"
    (after,) = list_commands(database, Wanted("pages"), Window(1, after=place))
    assert after[1]["key"] == "p2"


def test_the_trail_is_read_back_and_knows_what_was_done(database: Database) -> None:
    by = note_by(SYSTEM, 1, b"\7" * 16)
    with database.transaction() as connection:
        for number in range(3):
            by(connection, "page.turn", "page:1", {"number": number})
        assert was_done(connection, "page:1", b"\7" * 16)
        assert not was_done(connection, "page:1", b"\10" * 16)
        newest = list_events(connection, Window(2), subject="page:1")
        before = list_events(connection, Window(2, before=newest[2].seq), subject="page:1")
    numbers = [json.loads(one.facts)["number"] for one in newest]
    assert (numbers, [one.seq for one in before]) == ([2, 1, 0], [one.seq for one in newest[:2]])


def test_what_was_delivered_is_forgotten_from_the_oldest_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_webhooks, "CHUNK", 3)
    hooks = WebhookStore(database)
    hook = HookRow("v", "city", "https://a.example/", "", b"s", b"", 0, "active", "", 0, 0, 1, 1)
    hooks.add(hook, SYSTEM)
    for number in range(10):
        hooks.enqueue("v", [(f"evt_{number}", "{}")], (number, 0), 100 + number)
    waiting = hooks.list_due("v", 200, 20)
    for row in waiting[:2] + waiting[3:9]:
        hooks.settle(row.delivery_id, state="done")
    assert hooks.prune(108) == 7
    left = [row.event_id for row in hooks.list_deliveries("v", Window(20))]
    assert left == ["evt_9", "evt_8", "evt_2"], "the new ones, and what waits"
    assert hooks.prune(108) == 0
    hooks.remove("v", SYSTEM, 200)
