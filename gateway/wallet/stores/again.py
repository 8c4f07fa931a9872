"""What a registry takes for done and the restored journal beside it may not know.

Marks that are younger than the journal are taken back, so that it is done again: every operation
has an id that follows from its row, and what is in the journal after all is only answered. What
only people can put right is counted: merges that were being undone, and value that others put in,
which they may put in again under the same reference.
Each function runs inside the caller's transaction.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, case, func, or_, select, update

from adapters.contract import Capability
from adapters.transit.clearing.lines import Kind
from gateway.clock import now_us
from gateway.credit.book import CLOSED, CLOSING, OPENING
from gateway.credit.tables import CREDIT_INSTALMENTS, CREDIT_LINES, CREDIT_STATEMENTS, CREDIT_WISHES
from gateway.delivery.clearing.outgoing import CLEARED
from gateway.delivery.codec import decode_command
from gateway.delivery.funding import take_out_later
from gateway.delivery.inbox import PARK_US, Stored
from gateway.delivery.outbox import FINAL
from gateway.delivery.tables import CLEARING_FILES, CLEARING_ROWS, CURSORS, INBOX, OUTBOX
from gateway.wallet.stores.tables import FREEZES, INFLOWS, REQUESTS, SAGAS, TOPUPS

NOT_THERE = "not_in_journal"
"""Why a merge is over that the journal does not know, or not to its end."""
CUT = "cut"
"""Reason of a fare that the journal knows no more."""
RULE = "rule:"
"""Of a top-up rule, in front of its id: the source of what it put in."""


@dataclass(frozen=True, slots=True)
class Again:
    """How many of each. events, deny_lists, freezes, limits, topups, resumed, paid_out: are done
    again.

    requests: are not known to be done. fares: were sent to a clearing house and are gone. torn,
    credits: a person has to look.
    """

    events: int = 0
    deny_lists: int = 0
    freezes: int = 0
    limits: int = 0
    topups: int = 0
    resumed: int = 0
    torn: int = 0
    requests: int = 0
    fares: int = 0
    paid_out: int = 0
    credits: int = 0
    lending: int = 0

    def as_dict(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


def do_again(connection: Connection, last_us: int, last_seq: int) -> Again:
    """Take marks back that are younger than a journal's last group and record."""
    resumed, torn = _resume(connection, last_us)
    return Again(
        events=_apply_again(connection, last_us),
        deny_lists=_read_again(connection, last_us),
        freezes=_freeze_again(connection, last_us),
        limits=_tell_again(connection, last_us),
        topups=_top_up_again(connection, last_us),
        resumed=resumed,
        torn=torn,
        requests=_forget_answers(connection, last_us),
        fares=_clear_again(connection, last_seq),
        paid_out=_take_out_again(connection, last_us),
        credits=_count_credits(connection, last_us),
        lending=_count_lending(connection, last_us),
    )


def _apply_again(connection: Connection, last_us: int) -> int:
    """What a bank told: the money is there, whatever the journal knows."""
    is_younger = (INBOX.c.state == str(Stored.APPLIED)) & (INBOX.c.changed_us > last_us)
    values = {"state": str(Stored.STORED), "park_until_us": now_us() + PARK_US}
    return connection.execute(update(INBOX).where(is_younger).values(values)).rowcount


def _read_again(connection: Connection, last_us: int) -> int:
    """Deny lists: what is on them is to be refused again."""
    files = CLEARING_FILES.c
    is_younger = (files.direction == "in") & (files.kind == str(Kind.DENY))
    is_younger &= (files.state == "applied") & (files.changed_us > last_us)
    return connection.execute(
        update(CLEARING_FILES).where(is_younger).values(state="received", code="")
    ).rowcount


def _freeze_again(connection: Connection, last_us: int) -> int:
    """Freezes in force are placed, those that are over end: what the registry says holds."""
    table = FREEZES.c
    placed = update(FREEZES).where(table.state == "active", table.placed_us > last_us)
    over = update(FREEZES).where(table.state.in_(["lifted", "expired"]), table.lifted_us > last_us)
    count = connection.execute(placed.values(state="placing")).rowcount
    values = {"state": "active", "expires_us": now_us(), "lifted_us": 0}
    return count + connection.execute(over.values(values)).rowcount


def _tell_again(connection: Connection, last_us: int) -> int:
    """Limits, late states, fees and instalments of lines: the cycle tells the data plane. A line
    that was closed is closed again.
    """
    lines, parts = CREDIT_LINES.c, CREDIT_INSTALMENTS.c
    limit = (lines.wanted_us > last_us) & lines.state.not_in([OPENING, CLOSING])
    state = case((lines.state == CLOSED, CLOSING), else_=OPENING)
    told = update(CREDIT_LINES).where(limit).values(state=state, next_us=0)
    count = connection.execute(told).rowcount
    late = (lines.wants_late_us > last_us) & (lines.is_late == lines.wants_late)
    count += connection.execute(
        update(CREDIT_LINES).where(late).values(is_late=1 - lines.wants_late, next_us=0)
    ).rowcount
    fees = CREDIT_STATEMENTS.c
    charged = (fees.fee_us > last_us) & (fees.is_fee_done == 1)
    owners = select(fees.account_id).where(charged).scalar_subquery()
    connection.execute(update(CREDIT_LINES).where(lines.account_id.in_(owners)).values(next_us=0))
    again = update(CREDIT_STATEMENTS).where(charged).values(is_fee_done=0)
    count += connection.execute(again).rowcount
    moved = (parts.begun_us > last_us) & (parts.is_moved == 1)
    owners = select(parts.account_id).where(moved).scalar_subquery()
    connection.execute(update(CREDIT_LINES).where(lines.account_id.in_(owners)).values(next_us=0))
    moves = update(CREDIT_INSTALMENTS).where(moved).values(is_moved=0)
    return count + connection.execute(moves).rowcount


def _top_up_again(connection: Connection, last_us: int) -> int:
    """The last run of each rule: under way again, it is put in under the id it had."""
    rules = select(INFLOWS).where(
        INFLOWS.c.created_us > last_us, INFLOWS.c.source.startswith(RULE, autoescape=True)
    )
    count = 0
    for row in connection.execute(rules).all():
        if not row.reference.isdecimal():
            continue
        same = TOPUPS.c.rule_id == row.source.removeprefix(RULE)
        last = (TOPUPS.c.runs == int(row.reference)) & (TOPUPS.c.due_minor == 0)
        run = update(TOPUPS).where(same, last).values(due_minor=row.amount_minor)
        count += connection.execute(run).rowcount
    return count


def _resume(connection: Connection, last_us: int) -> tuple[int, int]:
    """Merges that may have been cut in the middle; how many go on, how many somebody has to look
    at.

    One on its way there goes through all steps again; one begun later has failed, nothing of it
    moved. One that was being undone is stopped: what of it is left cannot be told from here.
    """
    query = select(SAGAS).where(SAGAS.c.kind == "merge", SAGAS.c.changed_us > last_us)
    resumed = torn = 0
    for row in connection.execute(query.where(SAGAS.c.last_error != NOT_THERE)).all():
        is_undone = "undo" in json.loads(row.body)
        is_later = row.created_us > last_us
        if row.step == 0 or (is_later and row.state == "failed"):
            continue
        values: dict[str, object] = {"state": "failed", "last_error": NOT_THERE}
        if not is_later and not is_undone:
            values = {"state": "running", "step": 0, "next_us": 0}
            resumed += 1
        torn += is_undone and not is_later
        same = SAGAS.c.saga_id == row.saga_id
        connection.execute(update(SAGAS).where(same).values(values))
    return resumed, torn


def _forget_answers(connection: Connection, last_us: int) -> int:
    """What became of a request is to be asked of the journal, where it tells the answer."""
    is_younger = (REQUESTS.c.created_us > last_us) & (REQUESTS.c.status != 0)
    is_younger &= REQUESTS.c.answer.is_(None)
    return connection.execute(update(REQUESTS).where(is_younger).values(status=0)).rowcount


def _clear_again(connection: Connection, last_seq: int) -> int:
    """Numbers of fares are given out again: the next file begins behind the journal's end, and
    fares that are gone give their numbers up.
    """
    cleared = select(CURSORS).where(CURSORS.c.kind == CLEARED)
    for row in connection.execute(cleared).all():
        cursor = json.loads(row.cursor)
        if cursor["number"] > last_seq:
            text = json.dumps(cursor | {"number": last_seq})
            mine = (CURSORS.c.adapter == row.adapter, CURSORS.c.kind == CLEARED)
            connection.execute(update(CURSORS).where(*mine).values(cursor=text))
    rows, digits = CLEARING_ROWS.c, str(last_seq)
    size = func.length(rows.row_id)
    same_size = (size == len(digits)) & (rows.row_id > digits)
    gone = or_(size > len(digits), same_size) & rows.row_id.not_like(f"{CUT}%")
    connection.execute(
        update(CLEARING_ROWS).where(gone, rows.state == "open").values(state="rejected", reason=CUT)
    )
    named = f"{CUT}:{now_us()}:" + rows.row_id
    return connection.execute(update(CLEARING_ROWS).where(gone).values(row_id=named)).rowcount


def _take_out_again(connection: Connection, last_us: int) -> int:
    """Payouts the bank was told of: the money left, so its debit has to be there."""
    table, count = OUTBOX.c, 0
    is_younger = (table.capability == str(Capability.REFUND)) & (table.created_us > last_us)
    query = select(table.adapter, table.body).where(is_younger, table.state.in_(FINAL))
    for row in connection.execute(query).all():
        order = decode_command(row.body, attempt=1)
        if order.money is not None:
            take_out_later(connection, row.adapter, order, now_us())
            count += 1
    return count


def _count_credits(connection: Connection, last_us: int) -> int:
    theirs = ~INFLOWS.c.source.startswith(RULE, autoescape=True)
    query = select(func.count()).select_from(INFLOWS).where(INFLOWS.c.created_us > last_us, theirs)
    return int(connection.scalar(query) or 0)


def _count_lending(connection: Connection, last_us: int) -> int:
    table = CREDIT_WISHES.c
    is_younger = table.kind.in_(["repay", "write_off"]) & (table.at_us > last_us)
    query = select(func.count()).select_from(CREDIT_WISHES).where(is_younger, table.is_done == 1)
    return int(connection.scalar(query) or 0)
