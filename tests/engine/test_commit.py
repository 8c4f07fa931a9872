"""Group commit: answers only after the disk, memory put back when it is full, the process ended
when it breaks.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastpath.types import Reason, TapKind
from gateway.clock import new_operation_id
from gateway.config import Config
from gateway.dataplane import DataPlane
from gateway.errors import (
    Corrupt,
    InvariantError,
    JournalBroken,
    JournalError,
    JournalFull,
    Uncertain,
    WireError,
)
from gateway.journal.port import OverlappedAppends
from gateway.link.codes import WireCode, wire_code
from tests.support.plane import Gate, Running, make_folder, records_of, running

WAYS = ["never", "always", "overlapped"]
"""In the loop, in the thread, in flight."""


def folder_for(tmp_path: Path, where: str, **flags: str) -> Config:
    """Settings of a gateway whose commits happen there; see `fly`."""
    mode = "auto" if where == "overlapped" else where
    return make_folder(tmp_path / "gateway", journal__commit_thread=mode, **flags)


def fly(hands: Running, where: str) -> None:
    """Have small groups in flight too, as on a slow disk."""
    if where == "overlapped":
        assert hands.plane.commit._overlapped is not None
        hands.plane.commit.pace.in_thread = True


class Broken(BaseException):
    """Stands for the end of the process."""


class FaultyJournal:
    """The real journal with faults on demand: the next appends fail, or wait for a permission."""

    def __init__(self, plane: DataPlane) -> None:
        self._real = plane.journal
        self.full = 0
        self.raises: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.appends = 0

    def append(self, position: int, group: memoryview) -> None:
        self.gate.wait(20)
        self.appends += 1
        if self.raises is not None:
            raise self.raises
        if self.full:
            self.full -= 1
            raise JournalFull(detail="no room")
        self._real.append(position, group)

    def overlap(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]) -> Any:
        appends = self._real.overlap(loop, on_end)
        return FaultyAppends(self, appends) if appends is not None else None

    def __getattr__(self, name: str):
        return getattr(self._real, name)


class FaultyAppends:
    """Appends in flight with the same faults: at their end, as a disk tells them."""

    def __init__(self, journal: FaultyJournal, real: OverlappedAppends) -> None:
        self._journal = journal
        self._real = real
        self.begin = real.begin
        self.close = real.close

    def finish(self) -> bool:
        if not self._journal.gate.is_set():
            return False
        self._journal.appends += 1
        if self._journal.raises is not None:
            self._real.finish()
            raise self._journal.raises
        if self._journal.full:
            self._journal.full -= 1
            self._take_back()
            raise JournalFull(detail="no room")
        return self._real.finish()

    def _take_back(self) -> None:
        """As a short write is taken back: the group is not there."""
        writer = self._journal._real._writer
        writer._appends.finish(wait=True)
        writer._take_back(writer._coming.offset, len(writer._coming.group))
        writer._appends.forget()
        writer._coming = None


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something in the gateway has happened that tells nobody."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def code_of(tap: asyncio.Future[Any]) -> WireCode:
    """The error that a tap was refused with."""
    error = tap.exception()
    assert isinstance(error, WireError), error
    return wire_code(error)


def with_faults(plane: DataPlane) -> None:
    plane.journal = FaultyJournal(plane)  # type: ignore[assignment]


@pytest.mark.parametrize("where", WAYS)
async def test_a_full_journal_undoes_and_says_so(tmp_path: Path, where: str) -> None:
    config = folder_for(tmp_path, where)
    async with running(config, before=with_faults) as hands:
        fly(hands, where)
        account_id, token = await hands.rider()
        gate = await hands.gate()
        before = await hands.account(account_id)
        hands.plane.journal.full = 1
        event = gate.event(TapKind.CHECK_IN, token, 11)
        with pytest.raises(WireError) as refused:
            await gate.session.tap(event)
        assert refused.value.code == f"WIRE_{WireCode.JOURNAL_FULL.name}"
        assert await hands.account(account_id) == before
        assert (await gate.session.tap(event)).reason == Reason.OK
    seqs = [record.seq for record in records_of(config)]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_a_command_undone_by_a_full_journal_can_be_sent_again(tmp_path: Path) -> None:
    async with running(make_folder(tmp_path / "gateway"), before=with_faults) as hands:
        account_id, _ = await hands.rider(0)
        op_id = new_operation_id()
        hands.plane.journal.full = 1
        args = {"account_id": account_id, "amount_minor": 700, "operation_id": op_id}
        refused = await hands.exchange("credit", **args)
        assert (refused.ok, refused.code, refused.retry) == (False, "JOURNAL_FULL", "safe")
        assert (await hands.exchange("credit", **args)).ok
        repeat = await hands.exchange("credit", **args)
        assert repeat.result["repeated"]
        assert (await hands.account(account_id))["balance_minor"] == 700


@pytest.mark.parametrize("where", ["always", "overlapped"])
async def test_no_answer_before_the_commit_and_a_duplicate_waits_for_it(
    tmp_path: Path, where: str
) -> None:
    config = folder_for(tmp_path, where)
    async with running(config, before=with_faults) as hands:
        fly(hands, where)
        _, token = await hands.rider()
        gate, other = await hands.gate(1), await hands.gate(1)
        hands.plane.journal.gate.clear()
        event = gate.event(TapKind.CHECK_IN, token, 11)
        first = asyncio.ensure_future(gate.session.tap(event))
        await until(lambda: hands.plane.engine.is_writing)
        twice = asyncio.ensure_future(other.session.tap(event))
        beat = await other.session.heartbeat(1, queue_depth=0, mode=1)
        assert beat.device_time_us == 1
        assert not first.done()
        assert not twice.done()
        hands.plane.journal.gate.set()
        assert await first == await twice


@pytest.mark.parametrize("where", ["always", "overlapped"])
async def test_beyond_the_queue_bound_taps_are_told_busy(tmp_path: Path, where: str) -> None:
    config = folder_for(tmp_path, where, link__queue_taps_max="4")
    async with running(config, before=with_faults) as hands:
        fly(hands, where)
        _, token = await hands.rider()
        gate = await hands.gate()
        hands.plane.journal.gate.clear()
        waiting = [asyncio.ensure_future(gate.tap(TapKind.CHECK_IN, token, 11))]
        await until(lambda: hands.plane.engine.is_writing)
        events = [gate.event(TapKind.CHECK_OUT, token, 12) for _ in range(7)]
        waiting += [asyncio.ensure_future(gate.session.tap(event)) for event in events]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert {code_of(each) for each in done} == {WireCode.BUSY}
        hands.plane.journal.gate.set()
        await asyncio.wait(waiting)
        busy = [
            event
            for event, each in zip(events, waiting[1:], strict=True)
            if each.exception() is not None
        ]
        assert len(busy) == 3
        again = await gate.session.tap(busy[0])
        assert again.position > 0


@pytest.mark.parametrize("where", ["always", "overlapped"])
async def test_a_broken_journal_ends_the_process_without_an_answer(
    tmp_path: Path, where: str
) -> None:
    config = folder_for(tmp_path, where)
    ended: list[BaseException] = []
    async with running(config, before=with_faults) as hands:
        fly(hands, where)
        _, token = await hands.rider()
        gate = await hands.gate()
        hands.plane.commit._on_broken = ended.append

        hands.plane.journal.raises = JournalBroken(detail="fdatasync")
        tap = asyncio.ensure_future(gate.tap(TapKind.CHECK_IN, token, 11))
        await until(lambda: bool(ended))
        assert isinstance(ended[0], JournalBroken)
        assert not tap.done()
        hands.plane.journal.raises = None
        hands.plane.engine.abort()
        tap.cancel()


@pytest.mark.parametrize("where", WAYS)
@pytest.mark.parametrize("error", [InvariantError(detail="not sound"), OSError(errno.EIO, "close")])
async def test_whatever_fails_in_a_commit_ends_the_process(
    tmp_path: Path, where: str, error: Exception
) -> None:
    config = folder_for(tmp_path, where)
    ended: list[BaseException] = []
    async with running(config, before=with_faults) as hands:
        fly(hands, where)
        _, token = await hands.rider()
        gate = await hands.gate()
        hands.plane.commit._on_broken = ended.append

        hands.plane.journal.raises = error
        tap = asyncio.ensure_future(gate.tap(TapKind.CHECK_IN, token, 11))
        await until(lambda: bool(ended))
        assert ended == [error]
        assert not tap.done()
        hands.plane.journal.raises = None
        hands.plane.engine.abort()
        tap.cancel()


@pytest.mark.parametrize("where", WAYS)
async def test_an_answer_that_cannot_be_given_ends_the_process(tmp_path: Path, where: str) -> None:
    config = folder_for(tmp_path, where)
    ended: list[BaseException] = []
    async with running(config) as hands:
        fly(hands, where)
        _, token = await hands.rider()
        gate = await hands.gate()
        commit = hands.plane.commit
        real, commit._on_broken = commit._on_output, ended.append

        def fails(sessions: list[Any]) -> None:
            commit._on_output = real
            raise RuntimeError("not told")

        commit._on_output = fails
        tap = asyncio.ensure_future(gate.tap(TapKind.CHECK_IN, token, 11))
        await until(lambda: bool(ended))
        assert [str(error) for error in ended] == ["not told"]
        tap.cancel()


async def test_a_group_that_is_full_is_committed_in_between(tmp_path: Path) -> None:
    config = make_folder(
        tmp_path / "gateway", engine__group_records_max="1200", link__turn_max_ms="60000"
    )
    async with running(config) as hands:
        _, token = await hands.rider()
        gate = await hands.gate()
        batches = [
            [gate.event(TapKind.CHECK_OUT, token, 12) for _ in range(256)] for _ in range(12)
        ]
        answers = await asyncio.gather(*(gate.session.tap_batch(batch) for batch in batches))
        seqs = [answer.seq for batch in answers for answer in batch]
        assert seqs == [event.seq for batch in batches for event in batch]
    taps = [record for record in records_of(config) if record.op == TapKind.CHECK_OUT]
    assert len(taps) == 12 * 256


async def test_a_restart_goes_on_where_it_ended(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    async with running(config) as hands:
        account_id, token = await hands.rider()
        gate = await hands.gate()
        event = gate.event(TapKind.CHECK_IN, token, 11)
        first = await gate.session.tap(event)
        shown = await hands.account(account_id)
    async with running(config) as hands:
        assert await hands.account(account_id) == shown
        gate = await hands.gate()
        assert await gate.session.tap(event) == first
        assert (await Gate(gate.session, 7, 2).tap(TapKind.CHECK_OUT, token, 12)).fare_minor == 300


async def test_a_repeat_behind_the_retention_is_too_old_not_a_second_charge(tmp_path: Path) -> None:
    async with running(make_folder(tmp_path / "gateway"), before=with_faults) as hands:
        account_id, token = await hands.rider()
        gate = await hands.gate()
        await gate.tap(TapKind.CHECK_IN, token, 11)
        event = gate.event(TapKind.CHECK_OUT, token, 13)
        await gate.session.tap(event)
        op_id = new_operation_id()
        args = {"account_id": account_id, "amount_minor": 700, "operation_id": op_id}
        await hands.exchange("credit", **args)

        def gone(position: int) -> bytes:
            raise JournalError("JOURNAL_PAST_RETENTION", f"{position}")

        hands.plane.journal.read_record = gone
        assert (await gate.session.tap(event)).reason == Reason.OP_TOO_OLD
        assert (await hands.exchange("credit", **args)).code == "op_too_old"
        assert (await hands.account(account_id))["balance_minor"] == 5300


async def test_a_journal_that_cannot_be_read_ends_the_session_with_a_code(tmp_path: Path) -> None:
    async with running(make_folder(tmp_path / "gateway"), before=with_faults) as hands:
        _, token = await hands.rider()
        gate, other = await hands.gate(1), await hands.gate(2)
        event = gate.event(TapKind.CHECK_IN, token, 11)
        await gate.session.tap(event)

        def damaged(position: int) -> bytes:
            raise Corrupt(detail=f"{position}")

        hands.plane.journal.read_record = damaged
        with pytest.raises(Uncertain):
            await gate.session.tap(event)
        assert (await gate.session.closed).code == f"WIRE_{WireCode.INTERNAL.name}"
        assert (await other.tap(TapKind.CHECK_OUT, token, 12)).reason == Reason.OK
