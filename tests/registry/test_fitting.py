"""A registry that knows more than the journal beside it: what goes, and what stays."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import MetaData, func, insert, inspect, select

from adapters.contract import Capability, Command
from gateway.db import Database
from gateway.delivery.outbox import Outbox
from gateway.errors import RegistryError
from gateway.registry.actors import Actor
from gateway.registry.audit import AUDIT_EVENTS
from gateway.registry.notices import NewNotice, NoticeStore
from gateway.wallet.events import AsOf, Behind, Merge
from gateway.wallet.stores.accounts import AccountStore, Ownership
from gateway.wallet.stores.fitting import BY_ACCOUNT, JournalEnd, fit_registry
from gateway.wallet.stores.sagas import SagaRow, SagaStore
from gateway.wallet.stores.tables import CURSORS

LAST_US = 1_000
END = JournalEnd(
    has_account=lambda number: number <= 20, last_seq=500, last_us=LAST_US, position=9_000
)
KEPT = {"requests", "breaks"}
"""Tables with a number of an account that says nothing of who may use it."""


def test_every_table_with_an_account_is_thought_of(database: Database) -> None:
    with database.reading() as connection:
        found = inspect(connection)
        names = {
            name
            for name in found.get_table_names()
            if any(column["name"] == "account_id" for column in found.get_columns(name))
        }
    assert names == {table.name for table in BY_ACCOUNT} | KEPT


def test_what_names_an_unknown_account_goes(database: Database) -> None:
    accounts = AccountStore(database)
    for number in (20, 21):
        accounts.add(Ownership(number, "school", "", f"op-{number}", 1))
        accounts.grant(Actor.system("test"), number, "hospital", 2)
    fitted = fit_registry(database, END, "cli:me")
    assert (fitted.accounts, fitted.rows) == (1, 2)
    kept, gone = accounts.find(20), accounts.find(21)
    assert kept is not None
    assert (kept.tenant_id, kept.granted) == ("school", frozenset({"hospital"}))
    assert gone is None
    assert not any(fit_registry(database, END, "cli:me").as_dict().values())
    accounts.add(Ownership(21, "clinic", "", "op-anew", 3))
    assert accounts.own_among([20, 21], "school") == {20}
    with database.reading() as connection:
        told = select(AUDIT_EVENTS.c.facts).where(AUDIT_EVENTS.c.action == "registry.fit")
        (facts,) = connection.scalars(told)
    assert json.loads(facts) == fitted.as_dict()


def test_every_row_of_an_unknown_account_goes(database: Database) -> None:
    """Whatever its table: the columns are filled with anything."""
    tables = MetaData()
    tables.reflect(database.engine)
    with database.transaction() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        else:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table in BY_ACCOUNT:
            for number in (20, 21):
                row = {column.name: _anything(column.type, number) for column in table.columns}
                connection.execute(insert(table), row | {"account_id": number})
        fitting = [table for table in BY_ACCOUNT if table.foreign_keys]
        assert {table.name for table in fitting} == {"person_accounts", "person_media"}
        for table in fitting:
            parent = tables.tables["persons"]
            known = set(connection.scalars(select(parent.c.person_id)))
            for person in set(connection.scalars(select(table.c.person_id))) - known:
                row = {column.name: _anything(column.type, 0) for column in parent.columns}
                connection.execute(insert(parent), row | {"person_id": person})
    assert fit_registry(database, END, "cli:me").rows == len(BY_ACCOUNT)
    with database.reading() as connection:
        for table in BY_ACCOUNT:
            assert connection.scalar(select(func.count()).select_from(table)) == 1, table.name


def _anything(kind: object, number: int) -> object:
    python_type = getattr(kind, "python_type", int)
    if python_type is str:
        return f"x{number}"
    return bytes([number]) if python_type is bytes else number


def test_jobs_go_back_to_where_the_journal_ends(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(CURSORS), [{"name": "a", "seq": 400}, {"name": "b", "seq": 501}])
    assert fit_registry(database, END, "cli:me").cursors == 1
    with database.reading() as connection:
        rows = {row.name: row.seq for row in connection.execute(select(CURSORS))}
    assert rows == {"a": 400, "b": 500}


def test_a_notice_from_behind_the_end_holds_up_nobody(database: Database) -> None:
    """Its record is gone; those that are told later belong to records that come again."""
    store = NoticeStore(database)
    for key, position in (("before", 8_999), ("cut", 9_500), ("anew", 9_000)):
        if key == "anew":
            assert fit_registry(database, END, "cli:me").notices == 1
            assert not any(fit_registry(database, END, "cli:me").as_dict().values())
        store.add(NewNotice(key, 7, "account_frozen", {}, 1, position))
    found = store.list(None, after=0, limit=9)
    assert [one.position for one in found] == [8_999, 0, 9_000]
    merge = Merge(Behind(500, 0), 9, [(one, True) for one in found])
    assert merge.take_notices(9_001)
    assert len(merge.page(AsOf(position=9_001, seq=501, ts_us=2), has_more=False).data) == 3


def test_a_merge_with_an_unknown_account_has_failed(database: Database) -> None:
    store = SagaStore(database)
    for saga_id, to in (("m1", 20), ("m2", 21)):
        body = {"from": 1, "to": to, "tokens": []}
        store.add(SagaRow(saga_id, "merge", "", "me", "running", 0, body, 1, 1, 0))
    assert fit_registry(database, END, "cli:me").merges == 1
    assert [row.saga_id for row in store.list_due(1 << 60, "merge")] == ["m1"]


def test_a_payout_younger_than_the_journal_waits_for_a_person(database: Database) -> None:
    outbox = Outbox(database)
    for key, created_us in (("old", LAST_US), ("young", LAST_US + 1)):
        outbox.put("bank", key, Command(key, Capability.REFUND, "somebody"), created_us)
    assert fit_registry(database, END, "cli:me").put_aside == 1
    assert [letter["key"] for letter in outbox.list_dead()] == ["young"]
    outbox.replay("young", LAST_US + 2)


def test_a_number_that_was_another_s_is_not_taken_over_in_silence(database: Database) -> None:
    accounts = AccountStore(database)
    accounts.add(Ownership(5, "school", "", "op-5", 1))
    with pytest.raises(RegistryError) as refused:
        accounts.add(Ownership(5, "clinic", "", "op-6", 2))
    assert refused.value.code == "REGISTRY_TAKEN"
