"""What Engine.command takes of a Command, and what it refuses before anything is decided."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from fastpath import reference_model
from fastpath.api import Book, Engine, StoreHandle
from fastpath.commands import Command, OperationId
from fastpath.records import view_head
from fastpath.types import MediumKind, Op, Reason
from fastpath.wallet import Facts

NOW_US = 1_780_000_000_000_000
HIGH = (NOW_US // 1000) << 16 | 0x7000
OPEN = Command(op=Op.ACCOUNT_OPEN, account_id=7, currency=156)
LINK = Command(op=Op.MEDIUM_LINK, account_id=7, token=bytes(range(16)), medium_kind=MediumKind.CARD)


@pytest.fixture
def engine() -> Engine:
    made = Engine(StoreHandle(), Book())
    made.begin(4096, 1)
    return made


def test_an_operation_id_is_both_halves_of_its_bytes() -> None:
    made = OperationId.of(9, bytes(range(16)))
    assert made == (9, 0x0001020304050607, 0x08090A0B0C0D0E0F)


def test_its_fields_are_those_the_rules_know() -> None:
    known = {field.name for field in fields(reference_model.Command)}
    assert {field.name for field in fields(Command)} - known == {"images", "notes"}


def test_the_same_operation_is_done_once_and_another_under_its_id_is_a_conflict(
    engine: Engine,
) -> None:
    operation = OperationId(9, HIGH, 1)
    head, position, repeated = engine.command(operation, OPEN, NOW_US)
    assert (head[5], repeated) == (Reason.OK, False)
    assert engine.command(operation, OPEN, NOW_US) == (head, position, True)
    assert engine.operation(operation) == (head, position)
    other, _, _ = engine.command(operation, replace(OPEN, currency=840), NOW_US)
    assert other[5] == Reason.OP_CONFLICT
    assert engine.operation(OperationId(9, HIGH, 2)) == (None, 0)
    assert engine.record_count == 1


def test_what_is_asked_for_is_in_the_record(engine: Engine) -> None:
    engine.command(OperationId(9, HIGH, 1), OPEN, NOW_US)
    engine.command(OperationId(9, HIGH, 2), LINK, NOW_US)
    facts = Facts(key=5, merchant=6)
    hold = Command(
        op=Op.HOLD_PLACE, account_id=7, amount_minor=30, expires_us=NOW_US + 1, facts=facts
    )
    said, position, _ = engine.command(OperationId(9, HIGH, 3), hold, NOW_US)
    head = view_head(said, position)
    assert (head.account_id, head.nominal_minor, head.device_ts_us) == (7, 30, NOW_US + 1)
    for other in (replace(hold, facts=replace(facts, merchant=8)), replace(hold, amount_minor=31)):
        again, _, _ = engine.command(OperationId(9, HIGH, 3), other, NOW_US)
        assert again[5] == Reason.OP_CONFLICT


@pytest.mark.parametrize(
    "asked",
    [
        replace(LINK, token=bytes(15)),
        replace(OPEN, op=Op.REVERSAL),
        replace(OPEN, notes=(b"",) * 5),
        replace(OPEN, images=bytes(64)),
        replace(OPEN, op=Op.RERATE),
        replace(OPEN, op=Op.RERATE, images=bytes(127)),
        replace(OPEN, op=Op.RERATE, images=bytes(64 * (2 + 33))),
    ],
    ids=["token", "operation", "notes", "images", "no images", "torn image", "too many cells"],
)
def test_what_fits_no_record_is_no_command(engine: Engine, asked: Command) -> None:
    with pytest.raises(ValueError, match=r"16|four|re-rating"):
        engine.command(OperationId(9, HIGH, 1), asked, NOW_US)
    assert not engine.waiting
