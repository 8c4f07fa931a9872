"""Journal groups made by hand, put into a store."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath._accounts import StoreHandle
from fastpath._accounts_probe import Probe
from fastpath._journal import build_group, build_item, build_record
from fastpath.types import Item, Op, Reason
from tests.fastpath.accounts_model import LINE_0, account_image, canonical, medium_image

TOKEN = bytes(range(1, 17))
ID_HIGH = 1_790_000_000_000 << 16
NOW = 1_790_000_000_000_000


def line(slot: int, image: bytes, number: int = 0) -> bytes:
    return build_item(Item.ACCOUNT_LINE, number, slot, image[number * 64 : number * 64 + 64])


def opened(seq: int, account_id: int, slot: int, amount: int = 0) -> bytes:
    """An account that begins with money, so that one record makes it."""
    return command(
        seq,
        Op.CREDIT,
        account_id,
        amount_minor=amount,
        items=[line(slot, account_image(account_id, amount))],
    )


def command(seq: int, op: int, account_id: int, **fields: Any) -> bytes:
    fields = {"id_a": 9, "id_b": ID_HIGH, "id_c": seq, "ts_us": NOW} | fields
    return build_record(op=op, seq=seq, account_id=account_id, **fields)


def tap(seq: int, number: int, *, op: int = Op.FLAT, account_id: int = 0, **fields: Any) -> bytes:
    fields = {"id_a": 77, "id_b": 3, "id_c": number, "ts_us": NOW + seq} | fields
    return build_record(op=op, seq=seq, account_id=account_id, **fields)


def group(*records: bytes, position: int = 4096, first_seq: int = 1) -> bytes:
    return build_group(records, position=position, first_seq=first_seq, ts_us=NOW)


def apply(*groups: bytes, **limits: int) -> StoreHandle:
    store = StoreHandle(**limits)
    for data in groups:
        assert store.apply_group(data) == 0
    return store


def test_after_images_and_identities_take_their_place() -> None:
    cell = struct.pack("<IB3xQ48x", 0, 1, 5)
    medium = medium_image(TOKEN, 1)
    image = account_image(500, 900, fill=7)
    first = command(
        1,
        Op.CREDIT,
        500,
        amount_minor=900,
        items=[
            *(line(1, image, number) for number in range(4)),
            build_item(Item.MEDIUM, 0, 0, medium + bytes(32)),
            build_item(Item.CELL, 0, 1, cell),
            build_item(Item.NOTE, 0, 0, b"desk".ljust(64, b"\0")),
        ],
    )
    paid = account_image(500, 700)
    second = tap(2, 1, account_id=500, fare_minor=200, items=[line(1, paid)])
    store = apply(group(first, second))
    assert store.account(500) == paid[:64] + image[64:]
    assert store.account_slot(500) == 1
    assert store.medium(TOKEN) == medium
    assert store.cell(1) == cell
    assert store.operation(9, ID_HIGH, 1) == 4096 + 128
    assert store.answer(77, 3, 1) == 4096 + 128 + len(first)
    assert store.answer(77, 3, 2) == 0


def test_a_reversal_names_the_tap_it_undoes() -> None:
    original = struct.pack("<QI4x", 3, 1).ljust(64, b"\0")
    records = [
        opened(1, 5, 1, 100),
        tap(2, 1, account_id=5, fare_minor=30, items=[line(1, account_image(5, 70))]),
        tap(
            3,
            2,
            op=Op.REVERSAL,
            account_id=5,
            fare_minor=-30,
            items=[
                build_item(Item.ORIGINAL, 0, 0, original),
                line(1, account_image(5, 100)),
            ],
        ),
    ]
    probe = Probe(apply(group(*records)))
    assert probe.is_resolved(77, 3, 1)
    assert not probe.is_resolved(77, 3, 2)
    assert probe.handle.answer(77, 3, 1) == 4096 + 128 + len(records[0])
    assert probe.handle.answer(77, 3, 2) == 4096 + 128 + len(records[0]) + len(records[1])


def test_a_settlement_becomes_the_answer_of_its_tap() -> None:
    first = tap(1, 4, reason=Reason.INSUFFICIENT_BALANCE)
    store = apply(group(first), group(tap(2, 4, op=Op.SETTLEMENT), position=8192, first_seq=2))
    assert store.answer(77, 3, 4) == 8192 + 128
    assert Probe(store).is_resolved(77, 3, 4)


def test_a_context_has_no_identity() -> None:
    store = apply(group(tap(1, 0, op=Op.CONTEXT)))
    assert store.window_count == 0


def test_slots_up_to_the_one_named_are_made() -> None:
    store = apply(group(opened(1, 70, 3, 10)))
    assert store.account_slot(70) == 3
    assert store.account_count == 1
    assert store.account_at(1) is None
    store.apply_group(group(opened(2, 71, 1, 10), first_seq=2))
    assert store.account_slot(71) == 1


MOVES = [
    pytest.param({"amount_minor": 10}, 10, 0, 0, True, id="credit"),
    pytest.param({"amount_minor": -10}, -10, 0, 0, True, id="debit"),
    pytest.param({"fare_minor": 30}, -30, 0, 0, True, id="fare"),
    pytest.param({"fare_minor": 30}, -20, -10, 0, True, id="fare from both purses"),
    pytest.param({"fare_minor": 30}, -20, 0, 0, False, id="fare not taken in full"),
    pytest.param({"fare_minor": 30}, 0, 0, 0, False, id="fare not taken"),
    pytest.param({"fare_minor": 30}, 0, 0, Reason.OK_RISK, True, id="at the operator's risk"),
    pytest.param({"fare_minor": 30}, -30, 0, Reason.OK_RISK, False, id="risk, yet charged"),
    pytest.param({"amount_minor": 10}, 10, 5, 0, False, id="more than came in"),
    pytest.param({"amount_minor": 10, "fare_minor": 4}, 6, 0, 0, True, id="both"),
]


@pytest.mark.parametrize(("moved", "balance", "subsidy", "reason", "holds"), MOVES)
def test_the_law_of_value(
    moved: dict[str, int], balance: int, subsidy: int, reason: int, holds: bool
) -> None:
    store = apply(group(opened(1, 5, 1, 100)))
    after = account_image(5, 100 + balance, subsidy=subsidy)
    record = tap(2, 1, account_id=5, reason=reason, items=[line(1, after)], **moved)
    fine = tap(3, 2, account_id=5, items=[line(1, after)])
    broken = store.apply_group(group(record, fine, first_seq=2))
    assert broken == (0 if holds else 2)


def test_a_record_without_an_account_charges_nobody() -> None:
    store = apply(group(tap(1, 1, fare_minor=300, reason=Reason.OK_RISK)))
    assert store.account_count == 0


FAULTS = [
    pytest.param([tap(1, 0)], 1, "identity", id="sequence 0"),
    pytest.param([tap(1, 2**32)], 1, "identity", id="sequence too large"),
    pytest.param([tap(1, 1, id_a=0)], 1, "identity", id="no device"),
    pytest.param([tap(1, 1), tap(2, 1)], 2, "identity", id="tap twice"),
    pytest.param([tap(1, 5000), tap(2, 10)], 2, "identity", id="below the window"),
    pytest.param([tap(1, 1, op=Op.SETTLEMENT)], 1, "identity", id="settles nothing"),
    pytest.param([tap(1, 2), tap(2, 1, op=Op.SETTLEMENT)], 2, "identity", id="settles another"),
    pytest.param([tap(1, 1, op=4)], 1, "identity", id="inspection"),
    pytest.param([tap(1, 1, op=12)], 1, "identity", id="unknown op"),
    pytest.param([opened(1, 5, 1), command(2, 18, 5, id_c=1)], 2, "identity", id="command twice"),
    pytest.param([opened(1, 0, 1)], 1, "after-image", id="account 0"),
    pytest.param([opened(1, 5, 0)], 1, "after-image", id="slot 0"),
    pytest.param([opened(1, 5, 1001)], 1, "after-image", id="slot over the limit"),
    pytest.param([opened(1, 5, 1), opened(2, 5, 2)], 2, "after-image", id="account in two slots"),
    pytest.param([opened(1, 5, 1), opened(2, 6, 1)], 2, "after-image", id="two accounts in a slot"),
    pytest.param(
        [command(1, 18, 5, items=[line(1, account_image(5), 1)])], 1, "account", id="no line 0"
    ),
    pytest.param(
        [opened(1, 5, 1), command(2, 18, 6, items=[line(1, account_image(5), 1)])],
        2,
        "account",
        id="another's account",
    ),
    pytest.param(
        [command(1, 18, 5, items=[build_item(1, 4, 1, bytes(64))])], 1, "after-image", id="line 4"
    ),
    pytest.param(
        [command(1, 24, 0, items=[build_item(3, 0, 0, medium_image(TOKEN, 1) + bytes(32))])],
        1,
        "after-image",
        id="medium of nobody",
    ),
    pytest.param(
        [command(1, 24, 0, items=[build_item(3, 0, 0, medium_image(TOKEN, 0) + b"x" * 32)])],
        1,
        "after-image",
        id="medium with a tail",
    ),
    pytest.param(
        [command(1, 24, 0, items=[build_item(3, 0, 0, medium_image(bytes(16), 0) + bytes(32))])],
        1,
        "after-image",
        id="medium without token",
    ),
    pytest.param(
        [command(1, 24, 0, items=[build_item(2, 0, 0, bytes(64))])], 1, "after-image", id="cell 0"
    ),
    pytest.param(
        [command(1, 24, 0, items=[build_item(9, 0, 0, bytes(64))])], 1, "after-image", id="item 9"
    ),
    pytest.param(
        [tap(1, 1, op=5, items=[build_item(5, 0, 0, struct.pack("<QI52x", 3, 9))])],
        1,
        "after-image",
        id="reverses nothing",
    ),
]


@pytest.mark.parametrize(("records", "seq", "what"), FAULTS)
def test_what_does_not_fit_is_refused_by_its_seq(records: list[bytes], seq: int, what: str) -> None:
    store = StoreHandle(accounts_max=1000)
    with pytest.raises(ValueError, match=f"record {seq}: .*{what}"):
        store.apply_group(group(*records))


def test_lengths_counts_and_totals_are_checked() -> None:
    good = group(opened(1, 5, 1, 100), tap(2, 1))
    for change, value in [
        (slice(0, 4), b"XXXX"),  # magic
        (slice(4, 6), b"\2\0"),  # format
        (slice(16, 20), struct.pack("<I", len(good))),  # body_bytes
        (slice(20, 24), b"\3\0\0\0"),  # record_count
        (slice(24, 32), struct.pack("<Q", 2)),  # first_seq
        (slice(40, 48), struct.pack("<q", 1)),  # fare_total_minor
        (slice(48, 56), struct.pack("<q", 99)),  # amount_total_minor
        (slice(60, 64), b"\xff\0\0\0"),  # struct_version
        (slice(128, 132), b"\1\0\0\0"),  # length of the first record
        (slice(135, 136), b"\2"),  # its item count
    ]:
        bad = bytearray(good)
        bad[change] = value
        store = StoreHandle()
        with pytest.raises(ValueError, match="record "):
            store.apply_group(bytes(bad))
        assert store.account_count == 0
    for cut in (0, 1, 127, 128, 200, len(good) - 1):
        with pytest.raises(ValueError, match="record "):
            StoreHandle().apply_group(good[:cut])
    with pytest.raises(ValueError, match="record "):
        StoreHandle().apply_group(good + bytes(8))
    assert StoreHandle().apply_group(memoryview(good)) == 0


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_no_byte_of_a_group_can_hurt(at: int, value: int) -> None:
    """Whatever a byte is changed to: applied or refused, never a crash."""
    original = struct.pack("<QI4x", 3, 1).ljust(64, b"\0")
    data = bytearray(
        group(
            opened(1, 5, 1, 100),
            tap(2, 1),
            tap(3, 2, op=5, items=[build_item(5, 0, 0, original)]),
            command(4, 24, 5, items=[build_item(3, 0, 0, medium_image(TOKEN, 1) + bytes(32))]),
            command(5, 24, 5, items=[build_item(2, 0, 1, bytes(64))]),
        )
    )
    data[at % len(data)] = value
    store = StoreHandle(accounts_max=1000, media_max=1000)
    try:
        store.apply_group(bytes(data))
    except ValueError as error:
        assert str(error).startswith("record ")  # noqa: PT017
    canonical(store)


def test_boots_given_up_by_the_engine_are_given_up_again() -> None:
    day = 86_400_000_000
    records = [tap(1 + boot, 1, id_b=boot, ts_us=NOW + boot * 40 * day) for boot in range(5)]
    store = apply(group(*records), boots_max=2, op_horizon_us=30 * day)
    assert store.window_count == 2
    assert store.window(77, 4) is not None
    assert store.window(77, 2) is None


def test_history_beats_the_limit_of_boots() -> None:
    records = [tap(1 + boot, 1, id_b=boot) for boot in range(5)]
    assert apply(group(*records), boots_max=2).window_count == 5


def test_the_denylist_version_is_that_of_the_last_group() -> None:
    data = bytearray(group(opened(1, 5, 1)))
    data[64:72] = struct.pack("<Q", 12)
    store = apply(bytes(data))
    assert store.denylist_version == 12


def test_recovery_is_never_undone() -> None:
    """An engine may already log when groups are applied."""
    store = StoreHandle()
    probe = Probe(store)
    probe.undo_use(0)
    store.apply_group(group(opened(1, 5, 1, 100)))
    probe.undo_restore(0)
    assert store.account(5) is not None
    assert LINE_0.unpack_from(store.account(5) or b"")[2] == 100
