"""Files in: kept as they came, then taken as a whole or refused with a code. Nothing is lost.

received ──▶ applied      its code is `accepted`
   │ ├─────▶ refused      its code says why; the bytes stay
   │ └─────▶ waiting      `gap`: the file before it has not come
   └───────▶ superseded   a higher revision of it was applied later
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from adapters.transit.clearing.exchange import digest_of
from adapters.transit.clearing.files import Settlement, read_denials, read_settlement
from adapters.transit.clearing.lines import (
    Code,
    Content,
    FileFault,
    Kind,
    Label,
    read_amount,
    read_file,
    read_name,
)
from adapters.transit.clearing.settings import ClearingSettings
from gateway.db import Database
from gateway.delivery.clearing.days import BusinessDays
from gateway.delivery.clearing.denials import Denials
from gateway.delivery.once import insert_once
from gateway.delivery.tables import CLEARING_FILES, CLEARING_ROWS

OPEN = ("received", "waiting")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one file."""

    name: str
    code: Code
    detail: str = ""


class Incoming:
    """Takes the files of one clearing house. Thread: any; one at a time."""

    def __init__(
        self, adapter: str, settings: ClearingSettings, database: Database, denials: Denials
    ) -> None:
        self._adapter = adapter
        self._settings = settings
        self._database = database
        self._denials = denials
        self._days = BusinessDays.build(settings.zone, settings.day_starts)

    def store(
        self, connection: Connection, records: Sequence[Mapping[str, Any]], now_us: int
    ) -> list[Result]:
        """Keep files as they came, in the transaction that moves the cursor; those known already
        are duplicates.
        """
        return [self._store_one(connection, record, now_us) for record in records]

    def _store_one(self, connection: Connection, record: Mapping[str, Any], now_us: int) -> Result:
        name, data = str(record["name"])[:128], base64.b64decode(record["content"])
        fault = str(record.get("fault", ""))
        try:
            label = read_name(name)
        except FileFault:
            label = None
        stored = insert_once(
            connection,
            CLEARING_FILES,
            adapter=self._adapter,
            direction="in",
            kind=str(label.kind) if label else "",
            name=name,
            digest=digest_of(data),
            business_day=label.day.isoformat() if label else "",
            sequence=label.sequence if label else 0,
            row_count=0,
            total_minor=0,
            state="refused" if fault else "received",
            code=fault,
            detail="",
            content=data,
            changed_us=now_us,
        )
        if not stored:
            return Result(name, Code.DUPLICATE)
        return Result(name, Code(fault) if fault else Code.ACCEPTED)

    def process(self, now_us: int) -> list[Result]:
        """Deal with everything that is open, in the order of kind, sequence and arrival."""
        with self._database.reading() as connection:
            ids = list(connection.scalars(self._open()))
        return [self._process_one(file_id, now_us) for file_id in ids]

    def _open(self) -> Any:
        files = CLEARING_FILES.c
        return (
            select(files.id)
            .where(files.adapter == self._adapter, files.direction == "in")
            .where(files.state.in_(OPEN))
            .order_by(files.kind, files.sequence, files.name, files.id)
        )

    def _process_one(self, file_id: int, now_us: int) -> Result:
        with self._database.reading() as connection:
            row = connection.execute(
                select(CLEARING_FILES).where(CLEARING_FILES.c.id == file_id)
            ).one()
        try:
            content = self._read(row, now_us)
            counts = self._apply(content, row, now_us)
        except FileFault as fault:
            state = "waiting" if fault.code is Code.GAP else "refused"
            with self._database.transaction() as connection:
                _mark(connection, file_id, (state, fault.code, fault.detail), now_us)
            return Result(row.name, fault.code, fault.detail)
        return Result(row.name, Code.ACCEPTED, json.dumps(counts))

    def _read(self, row: Row[Any], now_us: int) -> Content:
        """The file, if it is whole and for us and its turn. Raises: FileFault."""
        content = read_file(row.name, row.content)
        label = content.label
        if (label.sender, label.receiver) != (self._settings.receiver, self._settings.sender):
            raise FileFault(Code.OTHER_PARTY)
        if label.kind is Kind.TAPS:
            raise FileFault(Code.OTHER_PARTY, "taps are ours to send")
        if content.currency != self._settings.currency:
            raise FileFault(Code.OTHER_CURRENCY, str(content.currency))
        today = self._days.day_of(now_us)
        oldest = today - datetime.timedelta(days=self._settings.days_back)
        if not oldest <= label.day <= today:
            raise FileFault(Code.OTHER_DAY, f"{label.day} is not between {oldest} and {today}")
        with self._database.reading() as connection:
            self._check_turn(connection, label)
        return content

    def _check_turn(self, connection: Connection, label: Label) -> None:
        """Raises: FileFault CONFLICT, OUTDATED, GAP."""
        files = CLEARING_FILES.c
        mine = (files.adapter == self._adapter, files.direction == "in", files.kind == label.kind)
        applied = select(files.name, files.sequence).where(*mine, files.state == "applied")
        done = [read_name(name) for name, _ in connection.execute(applied)]
        same = [one.revision for one in done if one.sequence == label.sequence]
        if label.revision in same:
            raise FileFault(Code.CONFLICT, "this revision was applied with other bytes")
        if same and label.revision < max(same):
            raise FileFault(Code.OUTDATED, f"revision {max(same)} was applied")
        if label.kind is not Kind.DENY or not done:
            return
        newest = max(one.sequence for one in done)
        if label.sequence < newest:
            raise FileFault(Code.OUTDATED, f"sequence {newest} was applied")
        if label.sequence > newest + 1:
            raise FileFault(Code.GAP, f"sequence {newest + 1} has not come")

    def _apply(self, content: Content, row: Row[Any], now_us: int) -> dict[str, int]:
        if content.label.kind is Kind.DENY:
            changes = read_denials(content)
            counts, record = self._denials.perform(content.label, changes)
        else:
            counts, record = self._settle(read_settlement(content))
        with self._database.transaction() as connection:
            self._supersede(connection, content.label, now_us)
            record(connection, now_us)
            detail = json.dumps(counts, sort_keys=True)
            _mark(connection, row.id, ("applied", Code.ACCEPTED, detail), now_us)
            connection.execute(
                update(CLEARING_FILES)
                .where(CLEARING_FILES.c.id == row.id)
                .values(row_count=len(content.rows), total_minor=content.total_minor)
            )
        return counts

    def _supersede(self, connection: Connection, label: Label, now_us: int) -> None:
        """Earlier revisions of the same file are history."""
        files = CLEARING_FILES.c
        connection.execute(
            update(CLEARING_FILES)
            .where(files.adapter == self._adapter, files.direction == "in")
            .where(files.kind == str(label.kind), files.sequence == label.sequence)
            .where(files.state == "applied")
            .values(state="superseded", changed_us=now_us)
        )

    # --- settlements --------------------------------------------------------------------------

    def _settle(
        self, answer: Settlement
    ) -> tuple[dict[str, int], Callable[[Connection, int], None]]:
        """Check an answer against the file it is about. Raises: FileFault."""
        with self._database.reading() as connection:
            ours = connection.execute(
                select(CLEARING_FILES).where(
                    CLEARING_FILES.c.adapter == self._adapter,
                    CLEARING_FILES.c.direction == "out",
                    CLEARING_FILES.c.name == answer.file_name,
                )
            ).one_or_none()
        if ours is None or ours.digest != answer.file_digest:
            raise FileFault(Code.UNKNOWN_FILE, answer.file_name)
        self._check_rows(ours, answer)
        counts = {"accepted": answer.accepted_count, "rejected": len(answer.rejected)}

        def record(connection: Connection, now_us: int) -> None:
            self._record_settlement(connection, ours.id, answer, now_us)

        return counts, record

    @staticmethod
    def _check_rows(ours: Row[Any], answer: Settlement) -> None:
        rows = {row[2]: row for row in read_file(ours.name, ours.content).rows}
        for one in answer.rejected:
            sent = rows.get(one.row_id)
            if sent is None or read_amount(sent[10], 0) != one.amount_minor:
                raise FileFault(Code.UNKNOWN_ROW, f"row {one.row_id}")
            if sent[1] != str(one.row_number):
                raise FileFault(Code.UNKNOWN_ROW, f"row {one.row_id} has another number")
        if len({one.row_id for one in answer.rejected}) != len(answer.rejected):
            raise FileFault(Code.BAD_ROW, "a row is rejected twice")
        count = answer.accepted_count + len(answer.rejected)
        total_minor = answer.accepted_minor + answer.rejected_minor
        if (count, total_minor) != (ours.row_count, ours.total_minor):
            sent_text = f"{ours.row_count} rows with {ours.total_minor} were sent"
            raise FileFault(Code.TOTALS_DIFFER, f"{sent_text}, {count} with {total_minor} answered")

    def _record_settlement(
        self, connection: Connection, file_id: int, answer: Settlement, now_us: int
    ) -> None:
        """Rows that are in a later file by now are that file's."""
        here = (CLEARING_ROWS.c.adapter == self._adapter, CLEARING_ROWS.c.file_id == file_id)
        connection.execute(
            update(CLEARING_ROWS)
            .where(*here)
            .values(state="accepted", reason="", changed_us=now_us)
        )
        for one in answer.rejected:
            connection.execute(
                update(CLEARING_ROWS)
                .where(*here, CLEARING_ROWS.c.row_id == one.row_id)
                .values(state="rejected", reason=one.reason, changed_us=now_us)
            )
        connection.execute(
            update(CLEARING_FILES)
            .where(CLEARING_FILES.c.id == file_id)
            .values(state="settled", changed_us=now_us)
        )


def _mark(connection: Connection, file_id: int, what: tuple[str, Code, str], now_us: int) -> None:
    state, code, detail = what
    connection.execute(
        update(CLEARING_FILES)
        .where(CLEARING_FILES.c.id == file_id)
        .values(state=state, code=str(code), detail=detail, changed_us=now_us)
    )
