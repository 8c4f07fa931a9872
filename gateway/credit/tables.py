"""Tables of credit lines, in the registry's database. Amounts are minor units, instants UTC us."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, MetaData, String, Table, UniqueConstraint

from gateway.db import I64, U64

METADATA = MetaData()

CREDIT_LINES = Table(
    "credit_lines",
    METADATA,
    Column("account_id", U64, primary_key=True, autoincrement=False),
    Column("policy", String(64), nullable=False),
    Column("score", Integer, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("limit_minor", I64, nullable=False),
    Column("wanted_limit_minor", I64, nullable=False),
    Column("wanted_us", I64, nullable=False),
    Column("is_late", Integer, nullable=False),
    Column("wants_late", Integer, nullable=False),
    Column("wants_late_us", I64, nullable=False),
    Column("closed_until_us", I64, nullable=False),
    Column("flows_seq", I64, nullable=False),
    Column("state", String(16), nullable=False),
    Column("opened_us", I64, nullable=False),
    Column("next_us", I64, nullable=False),
    Index("credit_lines_next", "next_us"),
)
"""One row a line. limit_minor, is_late: what the data plane has; wanted_limit_minor, wants_late:
what it is to have, and since when. closed_until_us: statements that closed until then are made.
flows_seq: repayments up to this journal record are allocated. next_us: when to look again. state:
opening, open, closing, closed."""

CREDIT_STATEMENTS = Table(
    "credit_statements",
    METADATA,
    Column("account_id", U64, primary_key=True, autoincrement=False),
    Column("month", Integer, primary_key=True, autoincrement=False),
    Column("close_us", I64, nullable=False),
    Column("due_us", I64, nullable=False),
    Column("late_us", I64, nullable=False),
    Column("lost_us", I64, nullable=False),
    Column("amount_minor", I64, nullable=False),
    Column("paid_minor", I64, nullable=False),
    Column("written_off_minor", I64, nullable=False),
    Column("giving_up_minor", I64, nullable=False),
    Column("giving_up_version", I64, nullable=False),
    Column("giving_up_us", I64, nullable=False),
    Column("fee_us", I64, nullable=False),
    Column("is_fee_done", Integer, nullable=False),
)
"""giving_up_*: a write-off that was begun: amount, account version it asks for, when; 0 = none.
fee_us: when the fee for being late was asked for, 0 = not yet. is_fee_done: it was taken, or is not
to be had."""

CREDIT_PLANS = Table(
    "credit_plans",
    METADATA,
    Column("account_id", U64, primary_key=True, autoincrement=False),
    Column("plan_id", I64, primary_key=True, autoincrement=False),
    Column("request", String(128), nullable=False),
    Column("amount_minor", I64, nullable=False),
    Column("instalments", Integer, nullable=False),
    Column("opened_us", I64, nullable=False),
    Column("state", String(16), nullable=False),
    UniqueConstraint("account_id", "request"),
)
"""state: opening, open, done. request: whose wish it was. plan_id: its key in the data plane."""

CREDIT_INSTALMENTS = Table(
    "credit_instalments",
    METADATA,
    Column("account_id", U64, primary_key=True, autoincrement=False),
    Column("plan_id", I64, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("due_us", I64, nullable=False),
    Column("amount_minor", I64, nullable=False),
    Column("begun_us", I64, nullable=False),
    Column("is_moved", Integer, nullable=False),
)
"""begun_us: when its move was begun, 0 = not yet. is_moved: it is back in what is drawn, and so in
a statement."""

CREDIT_WISHES = Table(
    "credit_wishes",
    METADATA,
    Column("account_id", U64, primary_key=True, autoincrement=False),
    Column("request", String(128), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("at_us", I64, nullable=False),
    Column("actor", String(100), nullable=False),
    Column("idempotency_key", String(64), nullable=False),
    Column("note", String, nullable=False),
    Column("amount_minor", I64, nullable=False),
    Column("number", I64, nullable=False),
    Column("policy", String(64), nullable=False),
    Column("score", Integer, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("version", I64, nullable=False),
    Column("is_done", Integer, nullable=False),
    Index("credit_wishes_at", "account_id", "kind", "at_us"),
    Index("credit_wishes_request", "request"),
)
"""Who asked for what, once under each name; see wishes.py."""
