"""Tables of riders' logins, sessions and second factors; an erasure deletes all of it."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, LargeBinary, String, Table

from gateway.db import I64
from gateway.registry.person_tables import OWNED, PERSON
from gateway.registry.store import METADATA

LOGINS = Table(
    "logins",
    METADATA,
    Column("person_id", String(32), ForeignKey(PERSON), primary_key=True),
    Column("login_blind", LargeBinary, nullable=False, unique=True),
    Column("password_hash", String, nullable=False),
    Column("changed_us", I64, nullable=False),
)
"""login_blind: keyed hash of the login, so that no name of a person lies here."""

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("session_hash", LargeBinary, primary_key=True),
    Column("person_id", String(32), ForeignKey(PERSON), nullable=False, index=True),
    Column("created_us", I64, nullable=False),
    Column("seen_us", I64, nullable=False),
    Column("expires_us", I64, nullable=False, index=True),
    Column("step_up_us", I64, nullable=False),
    Column("challenge", LargeBinary, nullable=False),
    Column("challenge_us", I64, nullable=False),
)
"""session_hash: SHA-256 of the token. challenge: of the WebAuthn ceremony under way, or empty."""

FACTORS = Table(
    "factors",
    METADATA,
    Column("factor_id", String(32), primary_key=True),
    Column("person_id", String(32), ForeignKey(PERSON), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("counter", I64, nullable=False),
    Column("created_us", I64, nullable=False),
    Column("confirmed_us", I64, nullable=False),
    Column("used_us", I64, nullable=False),
)
"""sealed: the secret, public key or hashed recovery codes under the person's key. counter: the last
TOTP step or WebAuthn sign count that was taken. confirmed_us: 0 = not shown to work yet."""

OWNED += [LOGINS, SESSIONS, FACTORS]
