"""A disk that is slow, full, read-only or broken, under a data plane on real sockets."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from fastpath.types import Reason, TapKind
from gateway.dataplane import DataPlane
from gateway.errors import JournalBroken, WireError
from gateway.journal.files import RealFiles
from gateway.link.codes import WireCode, wire_code
from gateway.link.frames import Answer
from gateway.observability import page as slots
from tests.support.faultfs import Fault, FaultFiles
from tests.support.plane import Gate, Running, make_folder, records_of, running

QUEUE_MAX = 8
KEEPER = "journal-keeper"


class StuckDisk(FaultFiles):
    """Syncs of the appends wait for a permission; the keeper's own go on."""

    def __init__(self) -> None:
        super().__init__(RealFiles())
        self.gate = threading.Event()
        self.gate.set()
        self.slow_s = 0.0

    def fdatasync(self, fd: int) -> None:
        if threading.current_thread().name != KEEPER:
            time.sleep(self.slow_s)
            self.gate.wait(30)
        super().fdatasync(fd)


def code_of(tap: asyncio.Future[Answer]) -> WireCode:
    """The error that a tap was refused with."""
    error = tap.exception()
    assert isinstance(error, WireError), error
    return wire_code(error)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def beats(gate: Gate, count: int) -> None:
    for number in range(1, count + 1):
        answer = await gate.session.heartbeat(number, queue_depth=0, mode=1)
        assert answer.device_time_us == number


@pytest.mark.parametrize("where", ["always", "auto"])
async def test_a_sync_that_hangs_stops_no_heartbeat_and_fills_no_queue(
    tmp_path: Path, where: str
) -> None:
    """With `auto` the first slow commit still runs in the loop; from then on none does."""
    files = StuckDisk()
    config = make_folder(
        tmp_path / "gateway", journal__commit_thread=where, link__queue_taps_max=str(QUEUE_MAX)
    )
    async with running(config, files=files) as hands:
        _, token = await hands.rider()
        gate = await hands.gate()
        if where == "auto":
            files.slow_s = 0.3
            await gate.tap(TapKind.CHECK_OUT, token, 11)
            files.slow_s = 0
        files.gate.clear()
        first = asyncio.ensure_future(gate.tap(TapKind.CHECK_IN, token, 11))
        await until(lambda: hands.plane.page[slots.COMMIT_STATE] == 1)
        taps = [
            asyncio.ensure_future(gate.tap(TapKind.CHECK_OUT, token, 12))
            for _ in range(3 * QUEUE_MAX)
        ]
        await beats(gate, 20)
        assert not first.done()
        busy = [tap for tap in taps if tap.done()]
        assert {code_of(tap) for tap in busy} == {WireCode.BUSY}
        assert len(busy) == 2 * QUEUE_MAX
        files.gate.set()
        answers = await asyncio.gather(first, *taps, return_exceptions=True)
    assert sum(isinstance(answer, Answer) for answer in answers) == 1 + QUEUE_MAX


async def test_a_full_disk_refuses_writes_answers_reads_and_recovers(tmp_path: Path) -> None:
    files = FaultFiles(RealFiles())
    config = make_folder(tmp_path / "gateway")
    async with running(config, files=files) as hands:
        account_id, token = await hands.rider()
        gate = await hands.gate()
        files.faults.append(Fault("pwrite", errno.ENOSPC))
        event = gate.event(TapKind.CHECK_IN, token, 11)
        for _ in range(3):
            with pytest.raises(WireError) as refused:
                await gate.session.tap(event)
            assert refused.value.code == f"WIRE_{WireCode.JOURNAL_FULL.name}"
            assert (await hands.account(account_id))["journey_state"] == 0
            await beats(gate, 1)
        files.faults.clear()
        assert (await gate.session.tap(event)).reason == Reason.OK
    assert [record.id_c for record in records_of(config) if record.op == TapKind.CHECK_IN] == [1]


class Ended(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    ("operation", "number"),
    [("fdatasync", errno.EIO), ("pwrite", errno.EIO), ("pwrite", errno.EROFS)],
)
async def test_a_broken_or_read_only_disk_ends_the_process_and_tells_nobody(
    tmp_path: Path, operation: str, number: int
) -> None:
    files = FaultFiles(RealFiles())
    config = make_folder(tmp_path / "gateway")
    ended: list[BaseException] = []

    def end(error: BaseException) -> NoReturn:
        ended.append(error)
        raise Ended

    def mortal(plane: DataPlane) -> None:
        plane._broken = end  # type: ignore[method-assign]

    tap = None
    async with running(config, files=files, before=mortal) as hands:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        _, token = await hands.rider()
        gate = await hands.gate()
        files.faults.append(Fault(operation, number))
        tap = asyncio.ensure_future(gate.tap(TapKind.CHECK_IN, token, 11))
        await until(lambda: bool(ended))
        assert isinstance(ended[0], JournalBroken)
        assert not tap.done()
        files.faults.clear()
        _bury(hands)
    tap.cancel()
    async with running(config) as hands:
        gate = await hands.gate()
        again = await gate.tap(TapKind.CHECK_IN, token, 11, device_ts_us=1)
        assert again.reason in (Reason.OP_CONFLICT, Reason.OK)


def _bury(hands: Running) -> None:
    """What the end of the process would do: nothing that was decided is ever told."""
    hands.plane.engine.abort()
