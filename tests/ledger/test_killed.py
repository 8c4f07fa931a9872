"""A projector that dies anywhere goes on where its last whole batch ended; a lost tail refuses."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from fastpath.types import Purpose
from gateway.db import Database
from gateway.errors import Corrupt
from gateway.ledger import bulk
from gateway.ledger.mark import MarkFile, find_mark, write_mark
from gateway.ledger.store import open_ledger
from tests.ledger.books import digests
from tests.ledger.scribe import projector_of, take, writing
from tests.support.plane import load_settings, make_folder, running

REPO = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from gateway.ledger.store import open_ledger
from tests.ledger.scribe import projector_of
folder = Path(sys.argv[1])
projector = projector_of(folder, open_ledger(folder / "ledger.sqlite", create=True), 3)
projector.start()
while projector.step():
    print(projector.mark.next_seq, flush=True)
print("done", flush=True)
"""


def fill(folder: Path, rounds: int) -> None:
    with writing(folder) as scribe:
        for number in range(rounds):
            account = 1 + number % 7
            scribe.credit(account, 1_000)
            scribe.ride(account, 300)
            scribe.pay(account, 200, Purpose.MEAL, 7001)


def test_killed_again_and_again_it_comes_to_the_same_rows(tmp_path: Path) -> None:
    fill(tmp_path, 150)
    whole = open_ledger(tmp_path / "whole.sqlite", create=True)
    take(tmp_path, whole)
    rng, deaths = random.Random(5), 0
    while True:
        lines = run_for(tmp_path, batches=rng.randrange(1, 40))
        if lines and lines[-1] == "done":
            break
        deaths += 1
        assert deaths < 60
    assert deaths >= 3
    broken = open_ledger(tmp_path / "ledger.sqlite")
    assert digests(broken) == digests(whole)
    mark = find_mark(tmp_path / "ledger.mark")
    assert mark is not None
    assert mark.position == projector_of(tmp_path, broken).journal.head().position


def run_for(folder: Path, *, batches: int) -> list[str]:
    """Let a projector of its own work and kill it after so many batches."""
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if len(lines) == batches:
                process.kill()
                break
        process.wait()
    return lines


@pytest.mark.parametrize("at", range(1, 5))
def test_a_batch_that_fails_leaves_nothing(
    tmp_path: Path, ledger: Database, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Whichever statement it fails at."""
    fill(tmp_path, 6)
    one = projector_of(tmp_path, ledger, 3)
    one.start()
    one.step()
    before = digests(ledger)
    calls = 0
    real = bulk.insert

    def failing(*args: object) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise OSError("no room")
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(bulk, "insert", failing)
    with pytest.raises(OSError, match="no room"):
        one.step()
    monkeypatch.undo()
    assert digests(ledger) == before
    one.journal.close()
    take(tmp_path, ledger)
    whole = open_ledger(tmp_path / "whole.sqlite", create=True)
    take(tmp_path, whole)
    assert digests(ledger) == digests(whole)


async def test_a_gateway_whose_journal_lost_what_the_ledger_has_seen_does_not_start(
    tmp_path: Path,
) -> None:
    config = make_folder(tmp_path / "town")
    async with running(config) as hands:
        await hands.rider(1_000)
    head = projector_head(config.journal.dir)
    write_mark(config.ledger_mark_path, MarkFile(head + 4_096, bytes(32)))
    with pytest.raises(Corrupt, match="the ledger has seen it"):
        async with running(load_settings(tmp_path / "town")):
            pass
    write_mark(config.ledger_mark_path, MarkFile(head, bytes(32)))
    with pytest.raises(Corrupt, match="not the one the ledger has seen"):
        async with running(load_settings(tmp_path / "town")):
            pass
    config.ledger_mark_path.unlink()
    async with running(load_settings(tmp_path / "town")) as hands:
        assert (await hands.account(1))["balance_minor"] == 1_000


def projector_head(folder: Path) -> int:
    from gateway.journal.segments import SegmentJournal

    journal = SegmentJournal.open(folder, read_only=True)
    position = journal.head().position
    journal.close()
    return position
