"""Credit lines, their statements and instalment plans."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.db import I64, U64

revision = "0003"
down_revision = "0002"


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, I64, nullable=False)


def _small(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _account() -> sa.Column[int]:
    return sa.Column("account_id", U64, primary_key=True, autoincrement=False)


def upgrade() -> None:
    op.create_table(
        "credit_lines",
        _account(),
        sa.Column("policy", sa.String(64), nullable=False),
        _small("score"),
        _small("tier"),
        _number("limit_minor"),
        _number("wanted_limit_minor"),
        _number("wanted_us"),
        _small("is_late"),
        _small("wants_late"),
        _number("wants_late_us"),
        _number("closed_until_us"),
        _number("flows_seq"),
        sa.Column("state", sa.String(16), nullable=False),
        _number("opened_us"),
        _number("next_us"),
    )
    op.create_index("credit_lines_next", "credit_lines", ["next_us"])
    op.create_table(
        "credit_statements",
        _account(),
        sa.Column("month", sa.Integer, primary_key=True, autoincrement=False),
        *(_number(f"{name}_us") for name in ("close", "due", "late", "lost")),
        *(_number(f"{name}_minor") for name in ("amount", "paid", "written_off", "giving_up")),
        _number("giving_up_version"),
        _number("giving_up_us"),
    )
    _create_plans()


def _create_plans() -> None:
    op.create_table(
        "credit_plans",
        _account(),
        sa.Column("plan_id", I64, primary_key=True, autoincrement=False),
        sa.Column("request", sa.String(128), nullable=False),
        _number("amount_minor"),
        _small("instalments"),
        _number("opened_us"),
        sa.Column("state", sa.String(16), nullable=False),
        sa.UniqueConstraint("account_id", "request"),
    )
    op.create_table(
        "credit_instalments",
        _account(),
        sa.Column("plan_id", I64, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        _number("due_us"),
        _number("amount_minor"),
        _number("begun_us"),
        _small("is_moved"),
    )
