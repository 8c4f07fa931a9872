"""What a registry took for done and the restored journal does not know is done again."""

from __future__ import annotations

import json

from sqlalchemy import Table, insert, select

from adapters.contract import Capability, Command, Money
from gateway.credit.tables import CREDIT_INSTALMENTS, CREDIT_LINES, CREDIT_STATEMENTS, CREDIT_WISHES
from gateway.db import Database
from gateway.delivery.cursors import set_cursor
from gateway.delivery.outbox import Outbox, State
from gateway.delivery.tables import CLEARING_FILES, CLEARING_ROWS, CURSORS, INBOX, OUTBOX
from gateway.wallet.stores.fitting import Fitted, JournalEnd, fit_registry
from gateway.wallet.stores.sagas import SagaRow, SagaStore
from gateway.wallet.stores.tables import FREEZES, INFLOWS, REQUESTS, TOPUPS

LAST_US, LAST_SEQ = 1_000, 500
OLD, YOUNG = LAST_US, LAST_US + 1


def fit(database: Database) -> Fitted:
    """To a journal that ends at LAST_US; once more changes nothing."""
    end = JournalEnd(lambda _: True, LAST_SEQ, LAST_US, 0)
    found = fit_registry(database, end, "test")
    again = fit_registry(database, end, "test").as_dict()
    assert not any(again[name] for name in again.keys() - {"paid_out", "credits", "lending"})
    return found


def put(database: Database, table: Table, **values: object) -> None:
    """A row; what is not named is empty."""
    empty: dict[object, object] = {str: "", bytes: b""}
    row = {column.name: empty.get(column.type.python_type, 0) for column in table.columns}
    row.pop("id", None)
    with database.transaction() as connection:
        connection.execute(insert(table).values(row | values))


def read(database: Database, table: Table, *names: str) -> list[tuple[object, ...]]:
    """These columns of all rows, in the order of the first."""
    columns = [table.c[name] for name in names]
    with database.reading() as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(columns[0]))]


def test_what_a_bank_told_is_applied_again(database: Database) -> None:
    for name, state, at_us in (
        ("a", "applied", OLD),
        ("b", "applied", YOUNG),
        ("c", "held", YOUNG),
    ):
        put(database, INBOX, source="bank", message_id=name, state=state, changed_us=at_us)
    assert fit(database).again.events == 1
    states = read(database, INBOX, "message_id", "state")
    assert states == [("a", "applied"), ("b", "stored"), ("c", "held")]


def test_a_deny_list_is_read_again(database: Database) -> None:
    for name, kind, at_us in (("a", "DENY", OLD), ("b", "DENY", YOUNG), ("c", "SETTLE", YOUNG)):
        put(
            database,
            CLEARING_FILES,
            name=name,
            kind=kind,
            direction="in",
            state="applied",
            changed_us=at_us,
        )
    assert fit(database).again.deny_lists == 1
    states = read(database, CLEARING_FILES, "name", "state")
    assert states == [("a", "applied"), ("b", "received"), ("c", "applied")]


def test_freezes_hold_and_end_as_the_registry_says(database: Database) -> None:
    for name, state, placed_us, lifted_us in (
        ("a", "active", OLD, 0),
        ("b", "active", YOUNG, 0),
        ("c", "lifted", OLD, OLD),
        ("d", "lifted", OLD, YOUNG),
    ):
        times = {"placed_us": placed_us, "lifted_us": lifted_us}
        put(database, FREEZES, freeze_id=name, account_id=1, state=state, **times)
    assert fit(database).again.freezes == 2
    found = read(database, FREEZES, "freeze_id", "state")
    assert found == [("a", "active"), ("b", "placing"), ("c", "lifted"), ("d", "active")]
    expires = dict(read(database, FREEZES, "freeze_id", "expires_us"))
    assert (expires["a"], expires["d"] > YOUNG) == (0, True)


def test_fees_are_taken_again_and_repayments_told_to_a_person(database: Database) -> None:
    put(database, CREDIT_LINES, account_id=1, state="open", next_us=9)
    for month, at_us in ((1, OLD), (2, YOUNG)):
        values = {"account_id": 1, "month": month, "fee_us": at_us, "is_fee_done": 1}
        put(database, CREDIT_STATEMENTS, **values)
    for name, kind, at_us in (("a", "repay", YOUNG), ("b", "limit", YOUNG), ("c", "repay", OLD)):
        values = {"account_id": 1, "request": name, "kind": kind, "at_us": at_us, "is_done": 1}
        put(database, CREDIT_WISHES, **values)
    found = fit(database).again
    assert (found.limits, found.lending) == (1, 1)
    assert read(database, CREDIT_STATEMENTS, "month", "is_fee_done") == [(1, 1), (2, 0)]
    assert read(database, CREDIT_LINES, "account_id", "next_us") == [(1, 0)]


def test_credit_lines_are_told_again(database: Database) -> None:
    line = {"state": "open", "next_us": 9}
    put(database, CREDIT_LINES, account_id=1, wanted_us=OLD, wants_late_us=OLD, **line)
    put(database, CREDIT_LINES, account_id=2, wanted_us=YOUNG, **line)
    put(database, CREDIT_LINES, account_id=3, wants_late=1, is_late=1, wants_late_us=YOUNG, **line)
    put(database, CREDIT_LINES, account_id=4, **line)
    part = {"plan_id": 1, "number": 1, "is_moved": 1}
    put(database, CREDIT_INSTALMENTS, account_id=1, begun_us=OLD, **part)
    put(database, CREDIT_INSTALMENTS, account_id=4, begun_us=YOUNG, **part)
    assert fit(database).again.limits == 3
    assert read(database, CREDIT_LINES, "account_id", "state", "is_late", "next_us") == [
        (1, "open", 0, 9),
        (2, "opening", 0, 0),
        (3, "open", 0, 0),
        (4, "open", 0, 0),
    ]
    assert read(database, CREDIT_INSTALMENTS, "account_id", "is_moved") == [(1, 1), (4, 0)]


def test_the_last_run_of_a_rule_is_under_way_again(database: Database) -> None:
    for rule, at_us in (("a", OLD), ("b", YOUNG)):
        put(database, TOPUPS, rule_id=rule, account_id=1, runs=3, state="active")
        source = {"source": f"rule:{rule}", "reference": "3", "amount_minor": 70}
        put(database, INFLOWS, account_id=1, created_us=at_us, **source)
    put(database, INFLOWS, account_id=1, created_us=YOUNG, source="till", reference="x1")
    found = fit(database).again
    assert (found.topups, found.credits) == (1, 1)
    assert read(database, TOPUPS, "rule_id", "due_minor") == [("a", 0), ("b", 70)]


def test_a_merge_that_was_cut_goes_through_all_steps_again(database: Database) -> None:
    store = SagaStore(database)
    body = {"from": 1, "to": 2, "tokens": [], "amount_minor": 5}
    for name, state, step, created_us, changed_us in (
        ("a", "done", 3, OLD, OLD),
        ("b", "done", 3, OLD, YOUNG),
        ("c", "running", 2, OLD, YOUNG),
        ("d", "done", 3, YOUNG, YOUNG),
        ("e", "running", 0, YOUNG, YOUNG),
        ("f", "running", 2, OLD, YOUNG),
        ("g", "failed", 2, OLD, YOUNG),
    ):
        times = (created_us, changed_us, 0)
        undo = {"undo": 2} if name in "fg" else {}
        store.add(SagaRow(name, "merge", "", "me", state, step, body | undo, *times))
    found_again = fit(database).again
    assert (found_again.resumed, found_again.torn) == (2, 2)
    found = {name: store.find(name) for name in "abcdefg"}
    assert {name: (row.state, row.step) for name, row in found.items() if row} == {
        "a": ("done", 3),
        "b": ("running", 0),
        "c": ("running", 0),
        "d": ("failed", 3),
        "e": ("running", 0),
        "f": ("failed", 2),
        "g": ("failed", 2),
    }
    assert found["b"] is not None
    assert found["b"].body == body


def test_answers_are_asked_of_the_journal(database: Database) -> None:
    for key, at_us, answer in (("a", OLD, None), ("b", YOUNG, None), ("c", YOUNG, b"kept")):
        row = {"created_us": at_us, "status": 201, "answer": answer}
        put(database, REQUESTS, caller="me", key=key, **row)
    assert fit(database).again.requests == 1
    assert read(database, REQUESTS, "key", "status") == [("a", 201), ("b", 0), ("c", 201)]


def test_fares_give_up_numbers_that_are_given_out_again(database: Database) -> None:
    with database.transaction() as connection:
        for name, number in (("behind", 400), ("ahead", 1002)):
            cursor = json.dumps({"number": number, "day": "2026-11-28"})
            set_cursor(connection, name, "cleared", cursor, OLD)
    for row_id, state in (("99", "open"), ("500", "sent"), ("501", "open"), ("1002", "sent")):
        put(database, CLEARING_ROWS, adapter="ahead", row_id=row_id, state=state)
    assert fit(database).again.fares == 2
    cursors = {
        name: json.loads(text) for name, text in read(database, CURSORS, "adapter", "cursor")
    }
    assert {name: one["number"] for name, one in cursors.items()} == {"behind": 400, "ahead": 500}
    rows = {
        str(name).split(":")[-1]: state
        for name, state in read(database, CLEARING_ROWS, "row_id", "state")
    }
    assert rows == {"99": "open", "500": "sent", "501": "rejected", "1002": "sent"}
    put(database, CLEARING_ROWS, adapter="ahead", row_id="501", state="sent")


def test_payouts_the_bank_was_told_of_are_taken_out_again(database: Database) -> None:
    outbox, facts = Outbox(database), {"account_id": 1, "at_us": 1}
    for key, created_us in (("old", OLD), ("young", YOUNG)):
        order = Command(key, Capability.REFUND, "somebody", Money(5, 156), facts=facts)
        outbox.put("bank", key, order, created_us)
    with database.transaction() as connection:
        connection.execute(OUTBOX.update().values(state=State.DONE))
    assert fit(database).again.paid_out == 1
    assert read(database, INBOX, "message_id", "source", "state") == [
        ("again:young", "bank", "stored")
    ]
