"""The relay's process is killed between its steps, for real: every command has its effect once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from gateway.clock import now_us
from gateway.db import Database
from gateway.delivery.outbox import Outbox, State
from tests.support.peer import credit

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("relay_process.py")


def start(place: Path | str, peer: Path, kill: str = "never") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(place), str(peer), kill],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def peer(tmp_path: Path) -> Path:
    path = tmp_path / "peer"
    path.write_text("")
    return path


@pytest.mark.parametrize("kill", ["claimed", "sent", "finished"])
def test_killed_between_its_steps(
    place: Path | str, database: Database, peer: Path, kill: str
) -> None:
    outbox = Outbox(database)
    outbox.put("bank", "a", credit("k1"), now_us())
    assert start(place, peer, kill).wait(60) == -signal.SIGKILL
    expected = {"claimed": State.IN_FLIGHT, "sent": State.IN_FLIGHT, "finished": State.DONE}
    assert outbox.find("k1")[0] is expected[kill]
    assert peer.read_text() == ("" if kill == "claimed" else "k1\n")
    assert start(place, peer).wait(60) == 0
    assert outbox.find("k1")[0] is State.DONE
    assert peer.read_text() == "k1\n"


def test_killed_again_while_it_asks(place: Path | str, database: Database, peer: Path) -> None:
    outbox = Outbox(database)
    outbox.put("bank", "a", credit("k1"), now_us())
    for kill in ("sent", "asked", "asked"):
        assert start(place, peer, kill).wait(60) == -signal.SIGKILL
    assert start(place, peer).wait(60) == 0
    assert (outbox.find("k1")[0], peer.read_text()) == (State.DONE, "k1\n")


def test_killed_at_any_moment(place: Path | str, database: Database, peer: Path) -> None:
    outbox, rng = Outbox(database), random.Random(4)
    keys = [f"k{number}" for number in range(30)]
    for number, key in enumerate(keys):
        outbox.put("bank", f"a{number % 5}", credit(key), now_us())
    for _ in range(4):
        process = start(place, peer)
        deadline = time.monotonic() + 60
        before = outbox.count("bank").get("done", 0)
        while process.poll() is None and time.monotonic() < deadline:
            if outbox.count("bank").get("done", 0) >= before + rng.randint(1, 4):
                break
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        process.wait(60)
    assert start(place, peer).wait(60) == 0
    assert outbox.count("bank") == {"done": 30}
    assert Counter(peer.read_text().split()) == dict.fromkeys(keys, 1)


def test_two_processes_at_once(place: Path | str, database: Database, peer: Path) -> None:
    outbox = Outbox(database)
    keys = [f"k{number}" for number in range(20)]
    for key in keys:
        outbox.put("bank", key, credit(key), now_us())
    both = [start(place, peer) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert outbox.count("bank") == {"done": 20}
    assert Counter(peer.read_text().split()) == dict.fromkeys(keys, 1)
