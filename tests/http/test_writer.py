"""The connection of the book of requests: SQLite's log is carried over beside it and does not grow,
and what was told is there after a kill in the middle of that.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from gateway.errors import DatabaseError
from gateway.registry.store import open_registry
from gateway.wallet.stores import writer as writing
from gateway.wallet.stores.tables import REQUESTS
from gateway.wallet.stores.writer import Writer
from tests.control.commands import ROOT

ROUNDS = 6
ENDLESS = """
import asyncio, sys
from pathlib import Path
from gateway.clock import format_operation_id
from gateway.registry.store import open_registry
from gateway.wallet.stores import writer
from gateway.wallet.stores.requests import Requests
writer.CARRY_EVERY_S, writer.LOG_PAGES = 0.0, 0

async def one(book, key):
    entry = await book.begin("c", key, "e", bytes(32))
    print(key, format_operation_id(entry.operation_id), flush=True)

async def main():
    book = Requests(open_registry(Path(sys.argv[1])))
    for number in range(100_000):
        await asyncio.gather(*(one(book, f"{sys.argv[2]}-{number}-{n}") for n in range(5)))

asyncio.run(main())
"""


class Later(Executor):
    """A thread that has not come to it yet."""

    def __init__(self) -> None:
        self.left: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Any, /, *args: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.left.append((future, lambda: fn(*args)))
        return future

    def run(self) -> None:
        for future, work in self.left:
            future.set_result(work())
        self.left.clear()


def _write(writer: Writer, key: str, count: int = 1) -> None:
    for number in range(count):
        row = {
            "caller": "c",
            "key": f"{key}-{number}",
            "operation_id": "0" * 32,
            "endpoint": "e",
            "digest": "00",
            "created_us": 1,
            "status": 0,
            "account_id": 0,
            "settled_us": 0,
        }
        with writer.transaction() as connection:
            connection.execute(insert(REQUESTS), row)


def test_the_log_begins_anew_once_all_of_it_is_carried_over(tmp_path: Path) -> None:
    path, now = tmp_path / "registry.sqlite", [0.0]
    log, beside = Path(f"{path}-wal"), Later()
    writer = Writer(open_registry(path, create=True), lambda: now[0], beside=beside)
    for number in range(4):
        now[0] += 1
        _write(writer, f"much-{number}", 400)
        if number == 0:
            grown = log.stat().st_size
            assert grown > 4096 * writing.LOG_PAGES, "it does nothing of it by itself"
        beside.run()
        _write(writer, f"meanwhile-{number}", 3)
    assert log.stat().st_size < 1.5 * grown
    writer.close()


def test_a_short_log_is_left_as_it_is_and_a_slow_thread_is_not_waited_for(tmp_path: Path) -> None:
    path, now, beside = tmp_path / "registry.sqlite", [0.0], Later()
    writer = Writer(open_registry(path, create=True), lambda: now[0], beside=beside)
    now[0] = 1
    _write(writer, "a", 3)
    assert len(beside.left) == 1, "once, however long it takes"
    beside.run()
    _write(writer, "b", 3)
    assert not beside.left, "not before it is due again"
    now[0] = 2
    _write(writer, "c")
    assert len(beside.left) == 1
    writer.close()


def test_after_an_error_there_is_a_new_connection(tmp_path: Path) -> None:
    writer = Writer(open_registry(tmp_path / "registry.sqlite", create=True))
    _write(writer, "a")
    with pytest.raises(DatabaseError, match="UNIQUE"):
        _write(writer, "a")
    _write(writer, "b")
    writer.close()


@pytest.mark.timeout(180)
def test_what_was_told_is_there_after_kills_while_the_log_is_carried_over(tmp_path: Path) -> None:
    path, dice = tmp_path / "registry.sqlite", random.Random(11)
    open_registry(path, create=True).close()
    told: dict[str, str] = {}
    for number in range(ROUNDS):
        words = [sys.executable, "-c", ENDLESS, str(path), str(number)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            for line in (process.stdout.readline() for _ in range(dice.randrange(20, 300))):
                told |= [line.split()]
            os.kill(process.pid, signal.SIGKILL)
            told |= [line.split() for line in process.stdout if line.endswith("\n")]
    with closing(sqlite3.connect(path)) as opened:
        kept = dict(opened.execute("SELECT key, operation_id FROM requests"))
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(told) > 20 * ROUNDS
    assert {key: kept[key] for key in told} == told
