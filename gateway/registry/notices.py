"""What owners are told of: one table for all who have something to tell, in whatever package.

A notice is made in the transaction of the change that it is about, or under a key that is the same
whenever that change is seen again. Events and webhooks carry it (gateway/wallet/events.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Integer, Row, String, Table, insert, select

from gateway.db import I64, Database, list_window
from gateway.registry.store import METADATA
from gateway.windows import Window

NUMBERING_LOCK = 0x6661_6E6F
"""Advisory lock of PostgreSQL: one transaction at a time gives out a notice's number."""

NOTICES = Table(
    "notices",
    METADATA,
    Column("notice_id", Integer, primary_key=True),
    Column("key", String(100), nullable=False, unique=True),
    Column("account_id", I64, nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("body", String, nullable=False),
    Column("created_us", I64, nullable=False),
    Column("position", I64, nullable=False, server_default="0"),
)
"""What owners are told. key: the same notice is made once. position: of the journal record behind
which it belongs, 0 = none.
"""


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """One notice to the owner of an account."""

    notice_id: int
    account_id: int
    kind: str
    body: Mapping[str, Any]
    created_us: int
    position: int


@dataclass(frozen=True, slots=True)
class NewNotice:
    """What an owner is to be told. key: the same key is told once. position: of the journal record
    behind which it belongs; 0 = none.
    """

    key: str
    account_id: int
    kind: str
    body: Mapping[str, Any]
    now_us: int
    position: int = 0


class NoticeStore:
    """What owners are told of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, notice: NewNotice) -> None:
        """A notice; one of the same key is made once."""
        with self._database.transaction() as connection:
            add_notice(connection, notice)

    def list_window(self, account_id: int, window: Window) -> list[NoticeRow]:
        """Notices of an account by number; one more than asked for when there are more."""
        query = select(NOTICES).where(NOTICES.c.account_id == account_id)
        with self._database.reading() as connection:
            rows = list_window(connection, query, NOTICES.c.notice_id, window)
            return [_notice(row) for row in rows]

    def list(self, account_id: int | None, *, after: int, limit: int) -> list[NoticeRow]:
        """Notices by number, of one account or of all."""
        query = select(NOTICES).where(NOTICES.c.notice_id > after)
        if account_id is not None:
            query = query.where(NOTICES.c.account_id == account_id)
        query = query.order_by(NOTICES.c.notice_id).limit(limit)
        with self._database.reading() as connection:
            return [_notice(row) for row in connection.execute(query)]


def add_notice(connection: Connection, notice: NewNotice) -> None:
    """As NoticeStore.add, in the caller's transaction.

    Numbers become visible in their order: whoever reads behind one misses none.
    """
    made = select(NOTICES.c.notice_id).where(NOTICES.c.key == notice.key)
    if connection.scalar(made):
        return
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({NUMBERING_LOCK})")
        if connection.scalar(made):
            return
    values = {
        "key": notice.key,
        "account_id": notice.account_id,
        "kind": notice.kind,
        "body": json.dumps(notice.body, ensure_ascii=False),
        "created_us": notice.now_us,
        "position": notice.position,
    }
    connection.execute(insert(NOTICES).values(values))


def _notice(row: Row[Any]) -> NoticeRow:
    body = json.loads(row.body)
    return NoticeRow(row.notice_id, row.account_id, row.kind, body, row.created_us, row.position)
