"""Refusals on their way into the audit trail: bounded, counted, and not lost with a bad moment."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import pytest

from gateway.control.client import CommandRefused
from gateway.control.frames import Reply
from gateway.db import Database
from gateway.errors import (
    ApiError,
    ApprovalNeeded,
    AuthError,
    CommandError,
    DatabaseError,
    FareGatewayError,
    RegistryError,
    Retry,
    Uncertain,
)
from gateway.registry import trail as trails
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.audit import AuditRow, check_trail, iter_events
from gateway.registry.refusals import Refusals, is_told_nowhere
from gateway.registry.throttle import Throttle
from gateway.registry.trail import TrailWriter
from tests.support.waiting import found

SCHOOL = Actor(ActorKind.TENANT, "key:fgk_1", "school")
REFUSED = CommandError("unknown_account", "there is no account 7")


def engine_said(position: int) -> CommandRefused:
    reply = Reply(bytes(16), False, code="op_too_old", retry="never")
    return CommandRefused(
        Reply(reply.id, False, code=reply.code, retry="never", result={"position": position})
    )


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (REFUSED, True),
        (engine_said(0), True),
        (engine_said(4096), False),
        (AuthError("AUTH_SAME_EYES"), True),
        (CommandError("COMMAND_CEILING"), True),
        (RegistryError("REGISTRY_TAKEN"), True),
        (ApiError("API_CONFLICT"), True),
        (ApprovalNeeded(), False),
        (ApiError("API_INVALID"), False),
        (CommandError("COMMAND_BUSY", retry=Retry.SAFE), False),
        (Uncertain(), False),
        (DatabaseError(), False),
    ],
    ids=lambda value: getattr(value, "code", str(value)),
)
def test_what_is_refused_for_good_and_in_no_record(error: FareGatewayError, wanted: bool) -> None:
    assert is_told_nowhere(error) is wanted


def trail(database: Database) -> list[AuditRow]:
    with database.reading() as connection:
        rows = list(iter_events(connection))
    assert not list(check_trail(iter(rows)))
    return rows


def left_out(rows: list[AuditRow]) -> int:
    return sum(cast("int", json.loads(row.facts).get("left_out", 0)) for row in rows)


def rename(database: Database, old: str, new: str) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")


async def test_a_database_that_fails_for_a_while_loses_none(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trails, "WAITING_MAX", 5)
    taking = Refusals(TrailWriter(lambda: database, pause_s=0.01))
    await asyncio.to_thread(rename, database, "audit_events", "elsewhere")
    try:
        for number in range(8):
            taking.note(SCHOOL, "post_payments", f"/v1/accounts/{number}", REFUSED)
        await found(lambda: list(caplog.messages), lambda said: said.count("audit_events_wait") > 1)
    finally:
        await asyncio.to_thread(rename, database, "elsewhere", "audit_events")
    rows = await found(lambda: trail(database), lambda rows: len(rows) >= 5)
    await taking.close()
    assert [row.subject for row in rows] == [f"/v1/accounts/{number}" for number in range(5)]
    assert left_out(rows) == 3, "what did not fit meanwhile"


async def test_what_can_not_be_written_at_the_end_is_counted_in_the_log(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    taking = Refusals(TrailWriter(lambda: database))
    await asyncio.to_thread(rename, database, "audit_events", "elsewhere")
    try:
        for _ in range(3):
            taking.note(SCHOOL, "post_payments", "/v1/accounts/7", REFUSED)
        await taking.close()
    finally:
        await asyncio.to_thread(rename, database, "elsewhere", "audit_events")
    (lost,) = (one for one in caplog.records if one.message == "audit_events_lost")
    assert lost.__dict__["count"] == 3


async def test_all_callers_together_are_bounded(database: Database) -> None:
    taking = Refusals(TrailWriter(lambda: database), all_callers=Throttle(burst=10, every_s=3600))
    for number in range(100):
        caller = Actor(ActorKind.RIDER, f"person:{number}")
        taking.note(caller, "get_accounts", "/v1/accounts/7", REFUSED)
    await taking.close()
    rows = await asyncio.to_thread(trail, database)
    assert len(rows) == 10
    assert left_out(rows) == 90
