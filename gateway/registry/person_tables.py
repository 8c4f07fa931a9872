"""Tables that hang on a person. `OWNED` is what an erasure deletes."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table

from gateway.db import I64, U64
from gateway.registry.store import METADATA

PERSON = "persons.person_id"

PERSONS = Table(
    "persons",
    METADATA,
    Column("person_id", String(32), primary_key=True),
    Column("tenant_id", String(40), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("key_id", String(16), nullable=False, index=True),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("created_us", I64, nullable=False),
    Column("changed_us", I64, nullable=False),
    Column("erased_us", I64, nullable=False),
)
"""tenant_id: who entered them, empty = the house. An erased one keeps the row, without its key."""

FIELDS = Table(
    "person_fields",
    METADATA,
    Column("person_id", String(32), ForeignKey(PERSON), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("blind", LargeBinary, nullable=True),
    Index("person_fields_blind", "name", "blind"),
)
"""blind: NULL for fields nobody is looked up by."""

ACCOUNTS = Table(
    "person_accounts",
    METADATA,
    Column("account_id", U64, primary_key=True, autoincrement=False),
    Column("person_id", String(32), ForeignKey(PERSON), nullable=False, index=True),
    Column("linked_us", I64, nullable=False),
)
"""One owner an account. Kept when the person is erased: a number that names nobody any more."""

MEDIA = Table(
    "person_media",
    METADATA,
    Column("medium_id", String(32), primary_key=True),
    Column("person_id", String(32), ForeignKey(PERSON), nullable=False, index=True),
    Column("account_id", U64, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("blind", LargeBinary, nullable=False, unique=True),
    Column("linked_us", I64, nullable=False),
)
"""sealed: token, kind and label as JSON. A known card's token could be computed again, so which
person has it lies under that person's key."""

CONSENTS = Table(
    "consents",
    METADATA,
    Column("consent_id", String(32), primary_key=True),
    Column("person_id", String(32), ForeignKey(PERSON), nullable=False, index=True),
    Column("tenant_id", String(40), nullable=False),
    Column("scope", String(64), nullable=False),
    Column("given_us", I64, nullable=False),
    Column("withdrawn_us", I64, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
)
"""evidence: sealed text. withdrawn_us: 0 = in force. Kept without its evidence after an erasure."""

OWNED: list[Table] = [FIELDS, MEDIA]
