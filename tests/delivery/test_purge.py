"""What leaves the registry, and what never does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Connection

from adapters.contract import Event, Outcome, Status
from gateway.config import WorkerConfig
from gateway.db import Database
from gateway.delivery import purge as module
from gateway.delivery.inbox import Inbox, Stored, Verdict
from gateway.delivery.outbox import Left, Outbox, State
from gateway.delivery.purge import purge
from tests.support.peer import credit

NOW = 1_700_000_000_000_000
DAY_US = 86_400_000_000


class ByKind:
    """Does to an event what its kind says."""

    def perform(self, event: Event, decision: Mapping[str, Any]) -> Verdict:
        return Verdict(Stored(event.kind))

    def record(self, connection: Connection, event: Event, verdict: Verdict) -> None:
        pass


def test_only_what_is_final_and_old_goes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 3)
    outbox, inbox = Outbox(database), Inbox(database)
    for number in range(8):
        outbox.put("bank", f"a{number}", credit(f"k{number}"), NOW)
    letters = outbox.claim("bank", 8, NOW)
    for letter in letters[:4]:
        outbox.finish(letter, Outcome(Status.DONE), NOW)
    outbox.finish(letters[4], Outcome(Status.REJECTED), NOW)
    outbox.finish(letters[5], Outcome(Status.DONE), NOW + DAY_US)
    outbox.leave(letters[6], Left(State.DEAD, 0, "x"), NOW)
    outbox.leave(letters[7], Left(State.UNCERTAIN, NOW), NOW)
    for kind in ("applied", "applied", "held", "parked"):
        inbox.take("bank", Event(f"{kind}{inbox.count('bank')}", kind, "", 0, "a"), NOW)
    inbox.apply("bank", ByKind(), NOW)
    assert purge(database, NOW) == {"outbox": 0, "inbox": 0}
    assert purge(database, NOW + 1) == {"outbox": 5, "inbox": 2}
    assert outbox.count("bank") == {"done": 1, "dead": 1, "uncertain": 1}
    assert inbox.count("bank") == {"held": 1, "parked": 1}


def test_it_is_kept_far_longer_than_the_engine_remembers() -> None:
    assert WorkerConfig().keep_days > 30
