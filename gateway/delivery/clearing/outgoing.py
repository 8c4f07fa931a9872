"""Files out: each fare in one file, the file and its sending in one transaction.

A file of a business day holds what was posted until that day's end and is in no earlier file, and
rejected rows that an operator wants tried again. It is written to disk before the transaction that
makes it true; a crash between the two leaves a file that nobody sends, and the same bytes again.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from adapters.contract import Capability, Command, Outcome, Status
from adapters.transit.clearing.exchange import digest_of
from adapters.transit.clearing.files import FareRow, build_taps
from adapters.transit.clearing.lines import Content, Kind, Label, write_file
from adapters.transit.clearing.settings import ClearingSettings
from gateway.db import Database
from gateway.delivery.clearing.days import BusinessDays
from gateway.delivery.clearing.source import Source
from gateway.delivery.cursors import get_cursor, set_cursor
from gateway.delivery.outbox import Letter, put
from gateway.delivery.tables import CLEARING_FILES, CLEARING_ROWS
from gateway.errors import DeliveryError

ROWS_MAX = 20_000
CLEARED = "cleared"
"""Cursor: JSON of the last fare's number and the last business day that is closed."""


@dataclass(frozen=True, slots=True)
class Made:
    """One file that was made."""

    name: str
    day: datetime.date
    rows: int
    total_minor: int


class Outgoing:
    """Makes the files of one clearing house. Thread: any; one at a time."""

    def __init__(
        self, adapter: str, settings: ClearingSettings, database: Database, folder: Path
    ) -> None:
        self._adapter = adapter
        self._settings = settings
        self._database = database
        self._folder = folder
        self.days = BusinessDays.build(settings.zone, settings.day_starts)

    def make_due(self, source: Source, now_us: int) -> list[Made]:
        """The files of all days that are over and not closed yet, oldest first.

        The first run begins with yesterday, and with every fare there is.
        """
        yesterday = self.days.day_of(now_us) - datetime.timedelta(days=1)
        day = self._last_day() or yesterday - datetime.timedelta(days=1)
        made: list[Made] = []
        while day < yesterday:
            day += datetime.timedelta(days=1)
            if not source.is_complete(self.days.end_us(day)):
                break
            made += self.make_day(source, day, now_us)
        return made

    def make_day(self, source: Source, day: datetime.date, now_us: int) -> list[Made]:
        """Close one business day. Raises: DeliveryError: not over, closed already, not complete."""
        end_us = self.days.end_us(day)
        last_day = self._last_day()
        if now_us < end_us or (last_day is not None and day <= last_day):
            raise DeliveryError("CLEARING_DAY", f"{day} is not over, or was closed already")
        if not source.is_complete(end_us):
            raise DeliveryError(
                "CLEARING_NOT_READY", f"the ledger has not come to the end of {day}"
            )
        made: list[Made] = []
        more = True
        while more:
            after = self._last_number()
            fares = source.list_fares(after, end_us, ROWS_MAX)
            more = len(fares) == ROWS_MAX
            made.append(self._make(fares, day, now_us, closes=not more))
        return made

    def _make(
        self, fares: Sequence[tuple[int, FareRow]], day: datetime.date, now_us: int, *, closes: bool
    ) -> Made:
        """Built and written while others may write; then it is checked that it is still right."""
        fresh = [row for _, row in fares]
        while True:
            with self._database.reading() as connection:
                sequence, again = self._next(connection, closes=closes)
            sender, receiver = self._settings.sender, self._settings.receiver
            label = Label(sender, receiver, Kind.TAPS, day, sequence)
            content = build_taps(label, self._settings.currency, [*again, *fresh])
            data = write_file(content, self._settings.charset)
            path = _write(self._folder / label.name, data)
            with self._database.transaction() as connection:
                if self._next(connection, closes=closes) != (sequence, again):
                    continue
                file_id = self._enter(connection, content, data, now_us)
                self._enter_rows(connection, file_id, again, fresh, now_us)
                self._send(connection, path, data, now_us)
                number = fares[-1][0] if fares else _cursor(connection, self._adapter)["number"]
                closed = day if closes else day - datetime.timedelta(days=1)
                cursor = json.dumps({"number": number, "day": closed.isoformat()})
                set_cursor(connection, self._adapter, CLEARED, cursor, now_us)
            return Made(label.name, day, len(content.rows), content.total_minor)

    def _next(self, connection: Connection, *, closes: bool) -> tuple[int, list[FareRow]]:
        """The next sequence number, and the rows that go into that file once more."""
        again = _list_open(connection, self._adapter) if closes else []
        return self._next_sequence(connection), again

    def _send(self, connection: Connection, path: Path, data: bytes, now_us: int) -> None:
        facts = {"name": path.name, "path": str(path), "digest": digest_of(data)}
        key = f"transit:file:{self._adapter}:{path.name}"
        command = Command(key, Capability.SEND_FILE, facts=facts)
        put(connection, self._adapter, "files", command, now_us)

    def _enter(self, connection: Connection, content: Content, data: bytes, now_us: int) -> int:
        label = content.label
        row = {
            "adapter": self._adapter,
            "direction": "out",
            "kind": str(label.kind),
            "name": label.name,
            "digest": digest_of(data),
            "business_day": label.day.isoformat(),
            "sequence": label.sequence,
            "row_count": len(content.rows),
            "total_minor": content.total_minor,
            "state": "made",
            "code": "",
            "detail": "",
            "content": data,
            "changed_us": now_us,
        }
        query = insert(CLEARING_FILES).values(**row).returning(CLEARING_FILES.c.id)
        return int(connection.execute(query).scalar_one())

    def _enter_rows(
        self,
        connection: Connection,
        file_id: int,
        again: Iterable[FareRow],
        fresh: Sequence[FareRow],
        now_us: int,
    ) -> None:
        for row in again:
            connection.execute(
                update(CLEARING_ROWS)
                .where(CLEARING_ROWS.c.adapter == self._adapter)
                .where(CLEARING_ROWS.c.row_id == row.row_id)
                .values(file_id=file_id, state="sent", reason="", changed_us=now_us)
            )
        if fresh:
            values = [_row(self._adapter, file_id, row, now_us) for row in fresh]
            connection.execute(insert(CLEARING_ROWS), values)

    def _next_sequence(self, connection: Connection) -> int:
        query = select(func.max(CLEARING_FILES.c.sequence)).where(
            CLEARING_FILES.c.adapter == self._adapter, CLEARING_FILES.c.direction == "out"
        )
        return int(connection.scalar(query) or 0) + 1

    def _last_day(self) -> datetime.date | None:
        with self._database.reading() as connection:
            text = _cursor(connection, self._adapter)["day"]
        return datetime.date.fromisoformat(text) if text else None

    def _last_number(self) -> int:
        with self._database.reading() as connection:
            return int(_cursor(connection, self._adapter)["number"])


def on_sent(connection: Connection, letter: Letter, outcome: Outcome) -> None:
    """What became of a file's sending. A file that was refused gives its rows back: they are in
    the next one.
    """
    name, now_us = str(letter.command.facts["name"]), outcome.peer_time_us
    done = outcome.status is Status.DONE
    files = CLEARING_FILES.c
    query = select(files.id).where(
        files.adapter == letter.adapter, files.direction == "out", files.name == name
    )
    file_id = connection.execute(query).scalar_one()
    connection.execute(
        update(CLEARING_FILES)
        .where(files.id == file_id, files.state == "made")
        .values(
            state="sent" if done else "refused",
            code="" if done else str(outcome.refusal or ""),
            detail=outcome.detail,
        )
    )
    if not done:
        connection.execute(
            update(CLEARING_ROWS)
            .where(CLEARING_ROWS.c.file_id == file_id)
            .values(state="open", reason="file_refused", changed_us=now_us)
        )


def _cursor(connection: Connection, adapter: str) -> Mapping[str, Any]:
    text = get_cursor(connection, adapter, CLEARED)
    found: dict[str, Any] = json.loads(text) if text else {"number": 0, "day": ""}
    return found


def _list_open(connection: Connection, adapter: str) -> list[FareRow]:
    """Rows that are to be tried again."""
    query = select(CLEARING_ROWS.c.body).where(
        CLEARING_ROWS.c.adapter == adapter, CLEARING_ROWS.c.state == "open"
    )
    rows = connection.scalars(query.order_by(CLEARING_ROWS.c.row_id))
    return [FareRow(**json.loads(body)) for body in rows]


def _row(adapter: str, file_id: int, row: FareRow, now_us: int) -> dict[str, Any]:
    return {
        "adapter": adapter,
        "row_id": row.row_id,
        "file_id": file_id,
        "amount_minor": row.fare_minor,
        "state": "sent",
        "reason": "",
        "body": json.dumps(row.as_dict(), sort_keys=True, ensure_ascii=False),
        "changed_us": now_us,
    }


def _write(path: Path, data: bytes) -> Path:
    """Whole and durable under its name; what a crashed run left there is replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path
