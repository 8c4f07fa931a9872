"""Limits in a running gateway: counted over a restart, changed while it serves, named in the
journal so that an audit decides with the same ones."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fastpath import _journal as codec
from fastpath.api import LimitBook
from fastpath.limits import LimitProfile
from fastpath.types import Reason, TapFlag, TapKind
from gateway.backup import make_backup
from gateway.bootstrap import audit_journal, compile_loads
from gateway.config import Config, load_config
from gateway.errors import ConfigError
from gateway.journal.segments import SegmentJournal
from gateway.limits.store import LimitStore
from gateway.observability.page import PageReader
from tests.limits.both import limits
from tests.support.plane import Running, make_folder, running

HERE = ZoneInfo("UTC")
OPENED = int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)


def book(*, tier: int = 0, **most: int) -> LimitBook:
    """Limits with a calendar around today."""
    first = datetime.now(UTC).date() - timedelta(days=400)
    return LimitBook.build(
        limits(LimitProfile(tier, 0, **most), first=first, count=1000, zone=HERE)
    )


def serving(config: Config, made: LimitBook | None) -> Any:
    return running(config, before=lambda plane: plane.use_limits(made))


def keys_of(config: Config) -> list[int]:
    """The limits that each group of the journal names."""
    journal = SegmentJournal.open(config.journal.dir, read_only=True)
    return [codec.view_group(group).limits_key for group in journal.read(0)]


async def page_shows(config: Config, key: int) -> bool:
    """Whether `faregate status` shows these limits, now or within a second or two."""
    for _ in range(60):
        view = PageReader(config.page_path).read()
        if view is not None and view.limits_key() == key:
            return True
        await asyncio.sleep(0.05)
    return False


async def spent(hands: Running, account_id: int) -> dict[str, Any]:
    cells = (await hands.call("cells_show", account_id=account_id))["cells"]
    return next((one for one in cells if one["cell"] == "limits"), {})


async def pay(gate: Any, token: bytes, amount_minor: int) -> Reason:
    """A flat tap at a place of its own each time: no pass-back."""
    await asyncio.sleep(0)
    pay.stop = 11 + (pay.stop - 10) % 4  # type: ignore[attr-defined]
    stop: int = pay.stop  # type: ignore[attr-defined]
    answer = await gate.tap(TapKind.FLAT, token, stop, amount_minor=amount_minor)
    return Reason(answer.reason)


pay.stop = 11  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _not_at_midnight() -> None:
    """These tests mean one day: near its end they wait for the next."""
    left_s = 86_400 - time.time() % 86_400
    if left_s < 20:
        time.sleep(left_s + 1)


async def test_counted_over_a_restart(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    made = book(day_minor=1000)
    async with serving(config, made) as hands:
        account_id, token = await hands.rider()
        gate = await hands.gate()
        assert await pay(gate, token, 700) == Reason.OK
        assert await pay(gate, token, 301) == Reason.LIMIT_EXCEEDED
        used = await spent(hands, account_id)
    async with serving(config, made) as hands:
        gate = await hands.gate(boot=8)
        assert await spent(hands, account_id) == used
        assert used["day_minor"] == used["lifetime_minor"] == 700
        assert used["day"] == (datetime.now(UTC).date() - date(1970, 1, 1)).days
        assert await pay(gate, token, 301) == Reason.LIMIT_EXCEEDED
        assert await pay(gate, token, 300) == Reason.OK
        opened = await gate.tap(TapKind.FLAT, token, 11, amount_minor=50, flags=OPENED)
        assert opened.reason == Reason.OK_DEBT
        assert (await spent(hands, account_id))["day_minor"] == 1050
    assert set(keys_of(config)) == {made.key}
    report = audit_journal(config)
    assert report.findings == []
    assert not report.skipped


async def test_an_undone_ride_gives_the_limit_back(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with serving(config, book(day_minor=500)) as hands:
        account_id, token = await hands.rider()
        gate = await hands.gate()
        event = gate.event(TapKind.FLAT, token, 11, amount_minor=500)
        assert (await gate.session.tap(event)).reason == Reason.OK
        assert await pay(gate, token, 1) == Reason.LIMIT_EXCEEDED
        await gate.not_passed(event)
        assert (await spent(hands, account_id))["day_minor"] == 0
        assert await pay(gate, token, 500) == Reason.OK
    assert audit_journal(config).findings == []


async def test_other_limits_while_it_serves(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    low, high = book(day_minor=500), book(day_minor=2000)
    LimitStore(config.limits_dir).put(high)
    async with serving(config, low) as hands:
        _, token = await hands.rider()
        gate = await hands.gate()
        assert await pay(gate, token, 501) == Reason.LIMIT_EXCEEDED
        loaded = await hands.call("limits_load", digest=high.digest.hex())
        assert loaded["limits"]["key"] == f"{high.key:016x}"
        assert (await hands.call("status"))["limits"] == loaded["limits"]
        assert await pay(gate, token, 2000) == Reason.OK
        assert await pay(gate, token, 1) == Reason.LIMIT_EXCEEDED
        assert await page_shows(config, high.key)
        await hands.call("limits_load", digest="")
        assert (await hands.call("status"))["limits"] is None
        assert await page_shows(config, 0)
        assert await pay(gate, token, 1) == Reason.OK
    seen = keys_of(config)
    assert list(dict.fromkeys(seen)) == [low.key, high.key, 0]
    report = audit_journal(config)
    assert report.findings == []
    assert not report.skipped


async def test_each_group_has_one_set_of_limits_however_taps_and_changes_race(
    tmp_path: Path,
) -> None:
    config = make_folder(tmp_path / "gateway")
    books = [book(day_minor=300), book(day_minor=600), book(day_minor=100_000)]
    for one in books:
        LimitStore(config.limits_dir).put(one)
    async with serving(config, books[0]) as hands:
        riders = [(await hands.rider())[1] for _ in range(6)]
        gates = [await hands.gate(number) for number in (1, 2, 3)]

        async def ride(place: int) -> None:
            for turn in range(40):
                await pay(gates[place], riders[(place + turn) % 6], 90)

        async def change() -> None:
            for turn in range(30):
                await hands.call("limits_load", digest=books[turn % 3].digest.hex())

        await asyncio.gather(*(ride(place) for place in range(3)), change())
    assert set(keys_of(config)) == {one.key for one in books}
    report = audit_journal(config)
    assert report.findings == []
    assert not report.skipped


async def test_an_audit_without_the_limits_says_so(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    made = book(day_minor=1000)
    async with serving(config, made) as hands:
        _, token = await hands.rider()
        await pay(await hands.gate(), token, 700)
    LimitStore(config.limits_dir).put(made).unlink()
    report = audit_journal(config)
    assert report.findings == []
    assert report.skipped["limits_not_kept"] == report.records


async def test_a_backup_takes_the_limits_along(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway", limits__profile="e-cny")
    made = compile_loads(config).limits
    assert made is not None
    async with serving(config, made) as hands:
        await hands.rider()
        loaded = load_config(tmp_path / "gateway" / "gateway.toml", env={})
        await asyncio.to_thread(make_backup, loaded, tmp_path / "backup")
    assert [one.key for one in LimitStore(tmp_path / "backup" / "limits").list()] == [made.key]


async def test_an_audit_with_other_limits_finds_the_difference(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with serving(config, None) as hands:
        _, token = await hands.rider()
        await pay(await hands.gate(), token, 700)
    assert audit_journal(config).is_sound
    from fastpath.api import Book, StoreHandle
    from gateway.engine.audit import audit
    from gateway.journals import open_reader
    from tests.support.tariff import small_tariff

    tariffs = Book()
    tariffs.put(1, small_tariff())
    report = audit(open_reader(config), tariffs, StoreHandle(), limits={0: book(day_minor=699)})
    assert [one["fields"]["reason"]["found"] for one in report.findings] == [Reason.LIMIT_EXCEEDED]


async def test_an_unknown_digest_is_refused(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    made = book(day_minor=1000)
    async with serving(config, made) as hands:
        refused = await hands.exchange("limits_load", digest="00" * 32)
        assert (refused.ok, refused.code) == (False, "LIMITS_NOT_FOUND")
        assert (await hands.call("status"))["limits"]["key"] == f"{made.key:016x}"


def test_a_blob_that_was_changed_is_refused(tmp_path: Path) -> None:
    store = LimitStore(tmp_path)
    path = store.put(book(day_minor=1000))
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(ConfigError, match="LIMITS_INVALID"):
        store.list()


def test_the_settings_name_what_is_loaded_at_the_start(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway", limits__profile="e-cny")
    made = compile_loads(config).limits
    assert made is not None
    assert (made.limits_id, made.currency) == ("e-cny", 156)
    assert LimitStore(config.limits_dir).get(made.digest.hex()).key == made.key
    assert compile_loads(make_folder(tmp_path / "other")).limits is None
