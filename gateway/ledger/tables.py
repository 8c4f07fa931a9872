"""Tables of the ledger's database. All of it is a projection of the journal.

Amounts are int minor units, instants int microseconds UTC, days are days since 1970-01-01 of the
service date (int). u64 numbers of the journal stand in signed columns, two's complement (U64).
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, SmallInteger, Table

from gateway.db import I64, U64

METADATA = MetaData()

WATERMARK = Table(
    "watermark",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("position", I64, nullable=False),
    Column("next_seq", I64, nullable=False),
    Column("chain_hash", LargeBinary, nullable=False),
    Column("ts_us", I64, nullable=False),
)
"""One row, id 1: how far the journal has been projected. ts_us: when the last group was made."""

GROUPS = Table(
    "groups",
    METADATA,
    Column("first_seq", I64, primary_key=True, autoincrement=False),
    Column("position", I64, nullable=False),
    Column("record_count", Integer, nullable=False),
    Column("head", LargeBinary, nullable=False),
)
"""Heads of the journal's groups: with the records' raw bytes, each group can be hashed again."""

RECORDS = Table(
    "records",
    METADATA,
    Column("seq", I64, primary_key=True, autoincrement=False),
    Column("position", I64, nullable=False),
    Column("ts_us", I64, nullable=False),
    Column("at_us", I64, nullable=False),
    Column("op", SmallInteger, nullable=False),
    Column("reason", SmallInteger, nullable=False),
    Column("account_id", U64, nullable=False),
    Column("id_a", U64, nullable=False),
    Column("id_b", U64, nullable=False),
    Column("id_c", U64, nullable=False),
    Column("id_class", SmallInteger, nullable=False),
    Column("tariff_slot", SmallInteger, nullable=False),
    Column("currency", SmallInteger, nullable=False),
    Column("service_day", Integer, nullable=False),
    Column("purpose", SmallInteger, nullable=False),
    Column("merchant", U64, nullable=False),
    Column("fare_minor", I64, nullable=False),
    Column("amount_minor", I64, nullable=False),
    Column("balance_minor", I64, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Index("records_identity", "id_c", "id_b", "id_a", "id_class", unique=True),
    Index("records_account", "account_id", "seq"),
)
"""One row a journal record. at_us: when it happened (taps: the instant the fare was computed for,
commands: the server's). id_*: device, boot, sequence or client and operation id. id_class: what
the id names (records.IdClass). raw: head and items as they stand in the journal."""

CHART = Table(
    "chart",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, nullable=False),
    Column("ref", U64, nullable=False),
    Index("chart_identity", "kind", "ref", unique=True),
)
"""Ledger accounts, numbered in the order of their first posting. kind: chart.Kind; ref: tariff
slot, merchant, pass or purse, else 0."""

CHART_BALANCES = Table(
    "chart_balances",
    METADATA,
    Column("chart_id", Integer, primary_key=True, autoincrement=False),
    Column("currency", SmallInteger, primary_key=True, autoincrement=False),
    Column("debit_minor", I64, nullable=False),
    Column("credit_minor", I64, nullable=False),
)
"""Running totals of each ledger account."""

POSTINGS = Table(
    "postings",
    METADATA,
    Column("id", I64, primary_key=True, autoincrement=False),
    Column("seq", I64, nullable=False),
    Column("account_id", U64, nullable=False),
    Column("purse", U64, nullable=False),
    Column("debit", Integer, nullable=False),
    Column("credit", Integer, nullable=False),
    Column("amount_minor", I64, nullable=False),
    Column("currency", SmallInteger, nullable=False),
    Column("purpose", SmallInteger, nullable=False),
    Column("merchant", U64, nullable=False),
    Column("service_day", Integer, nullable=False),
    Index("postings_account", "account_id", "id"),
    Index("postings_day", "service_day", "id"),
)
"""Value moved from one ledger account (credit) to another (debit), amount_minor > 0. id = seq * 16
+ line. account_id, purse: the rider's side, 0 = nobody's."""

ACCOUNT_BALANCES = Table(
    "account_balances",
    METADATA,
    Column("account_id", U64, primary_key=True, autoincrement=False),
    Column("currency", SmallInteger, nullable=False),
    Column("main_minor", I64, nullable=False),
    Column("subsidy_minor", I64, nullable=False),
    Column("held_minor", I64, nullable=False),
    Column("credit_limit_minor", I64, nullable=False),
    Column("status", Integer, nullable=False),
    Column("version", I64, nullable=False),
    Column("seq", I64, nullable=False),
)
"""Each rider account as of the watermark. held_minor is a memo: a hold is no posting."""

PURSE_BALANCES = Table(
    "purse_balances",
    METADATA,
    Column("account_id", U64, primary_key=True, autoincrement=False),
    Column("purse", U64, primary_key=True, autoincrement=False),
    Column("balance_minor", I64, nullable=False),
    Column("sponsor", U64, nullable=False),
)
"""Further purses (numbers from 2 on). sponsor: a merchant's number, 0 = the house."""

HOLDS = Table(
    "holds",
    METADATA,
    Column("account_id", U64, primary_key=True, autoincrement=False),
    Column("hold", U64, primary_key=True, autoincrement=False),
    Column("merchant", U64, nullable=False),
    Column("purpose", SmallInteger, nullable=False),
    Column("placed_minor", I64, nullable=False),
    Column("left_minor", I64, nullable=False),
    Column("expires_us", I64, nullable=False),
    Column("seq", I64, nullable=False),
)
"""Holds, a memo beside the postings: the newest of each number. left_minor: what it still reserves;
0 = it is over. seq: the last record about it."""

DAY_TOTALS = Table(
    "day_totals",
    METADATA,
    Column("service_day", Integer, primary_key=True, autoincrement=False),
    Column("chart_id", Integer, primary_key=True, autoincrement=False),
    Column("currency", SmallInteger, primary_key=True, autoincrement=False),
    Column("purpose", SmallInteger, primary_key=True, autoincrement=False),
    Column("debit_minor", I64, nullable=False),
    Column("credit_minor", I64, nullable=False),
    Column("debit_count", Integer, nullable=False),
    Column("credit_count", Integer, nullable=False),
)
"""What each ledger account moved on a service day, by purpose."""
