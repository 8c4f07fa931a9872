"""An audit of what the gateway wrote finds nothing; of what a different engine would have written,
each difference.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fastpath import _journal as codec
from fastpath.api import Book, StoreHandle
from fastpath.types import CapOwner, TapFlag, TapKind
from gateway.bootstrap import audit_journal
from gateway.engine.audit import audit
from gateway.journal.port import Head
from tests.support.plane import Running, make_folder, random_token, records_of, running
from tests.support.tariff import small_tariff


async def live(hands: Running) -> None:
    """A bit of everything."""
    account_id, token = await hands.rider(100_000)
    _, poor = await hands.rider(0)
    gate = await hands.gate()
    await gate.tap(TapKind.CHECK_IN, token, 11)
    event = gate.event(TapKind.CHECK_OUT, token, 13)
    await gate.session.tap(event)
    await gate.session.tap(replace(event, flags=int(TapFlag.OFFLINE)))
    out = gate.event(TapKind.CHECK_OUT, token, 14)
    await gate.session.tap(out)
    await gate.not_passed(out)
    await gate.not_passed(out)
    await gate.tap(TapKind.FLAT, token, 11)
    await gate.tap(TapKind.FLAT, token, 12, amount_minor=999)
    await gate.tap(TapKind.CHECK_IN, poor, 11)
    opened = int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)
    await gate.tap(TapKind.CHECK_IN, poor, 12, flags=opened)
    await gate.tap(TapKind.CHECK_OUT, random_token(), 12, flags=opened)
    await gate.tap(TapKind.CHECK_IN, token, 99)
    await hands.exchange("debit", account_id=account_id, amount_minor=90_000_000)
    await hands.exchange("debit", account_id=account_id, amount_minor=500)
    await hands.exchange("freeze", account_id=account_id, what="debit")
    await gate.tap(TapKind.CHECK_OUT, token, 12)
    await hands.exchange("account_open", account_id=account_id)
    await hands.exchange("medium_state", token=token, state="lost")
    await hands.exchange("medium_state", token=random_token(), state="lost")
    await hands.exchange("close", account_id=account_id)
    await hands.exchange("adjust", account_id=account_id, amount_minor=-5, expected_version=1)


async def test_an_honest_journal_has_no_difference(tmp_path: Path) -> None:
    for owner in CapOwner:
        config = make_folder(tmp_path / owner.name)
        async with running(config, tariffs=[(1, small_tariff(cap_owner=owner))]) as hands:
            await live(hands)
        report = audit_journal(config)
        assert report.as_dict()["findings"] == []
        assert report.records == len(records_of(config)) > 20
        assert not report.skipped


class Forged:
    """A journal of the given records."""

    def __init__(self, records: list[bytes]) -> None:
        self._group = codec.build_group(records, position=4096, first_seq=1)

    def read(self, _: int):
        yield memoryview(self._group)

    def head(self) -> Head:
        raise NotImplementedError


def as_bytes(record: codec.RecordView, **changed: object) -> bytes:
    fields = record._asdict() | changed
    for name in ("length_bytes", "item_count", "position"):
        fields.pop(name)
    fields["items"] = [
        codec.build_item(item.type, item.line, item.slot, item.image) for item in record.items
    ]
    return codec.build_record(**fields)


async def test_a_forged_fare_is_found(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        _, token = await hands.rider()
        gate = await hands.gate()
        await gate.tap(TapKind.CHECK_IN, token, 11)
        await gate.tap(TapKind.CHECK_OUT, token, 13)
    *before, last = records_of(config)
    records = [as_bytes(each) for each in before]
    records.append(as_bytes(last, fare_minor=401, balance_minor=4599))
    book = Book()
    book.put(1, small_tariff())
    report = audit(Forged(records), book, StoreHandle())  # type: ignore[arg-type]
    # The forged journal stands elsewhere, so the lines' own positions differ too; the fare does
    # only once.
    fares = [
        found["fields"]["fare_minor"]
        for found in report.findings
        if "fare_minor" in found["fields"]
    ]
    assert fares == [{"recorded": 401, "found": 400}]
