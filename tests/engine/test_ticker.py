"""What the data plane does once a second: nothing it meets there may end it unheard."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.dataplane import DataPlane
from gateway.observability import page as slots
from tests.support.plane import make_folder, running


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something has happened that tells nobody."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_disk_that_does_not_say_how_full_it_is_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[bool] = []

    def unknown(plane: DataPlane) -> None:
        def disk_state() -> str:
            asked.append(True)
            raise OSError(errno.EIO, "statvfs")

        plane.journal.disk_state = disk_state  # type: ignore[method-assign,assignment]

    with caplog.at_level(logging.WARNING):
        async with running(make_folder(tmp_path / "gateway"), before=unknown) as hands:
            await until(lambda: len(asked) == 2)
            before = hands.plane.page[slots.HEARTBEAT_US]
            await until(lambda: hands.plane.page[slots.HEARTBEAT_US] > before)
            assert hands.plane.page[slots.ACCOUNTS] == 0
    said = [record.msg for record in caplog.records if record.msg == "disk_state_unknown"]
    assert len(said) == 1, "once, not once a second"


async def test_without_time_outs_and_a_heartbeat_it_does_not_go_on(tmp_path: Path) -> None:
    ended: list[BaseException] = []

    def fails(mono_us: int) -> None:
        raise RuntimeError("a bug")

    def spoil(plane: DataPlane) -> None:
        plane._broken = ended.append  # type: ignore[method-assign,assignment]
        plane.link.sweep = fails  # type: ignore[method-assign]

    async with running(make_folder(tmp_path / "gateway"), before=spoil):
        await until(lambda: bool(ended))
    assert str(ended[0]) == "a bug"


def test_the_journal_is_nobody_elses(tmp_path: Path) -> None:
    folder = tmp_path / "gateway" / "journal"
    config = make_folder(tmp_path / "gateway")
    folder.mkdir(mode=0o755)

    async def serve() -> None:
        async with running(config) as hands:
            await hands.rider()

    asyncio.run(serve())
    assert folder.stat().st_mode & 0o007 == 0
    files = [path for path in folder.iterdir() if path.is_file()]
    assert files
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
