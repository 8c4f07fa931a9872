"""Second factors: TOTP, recovery codes and WebAuthn. A step-up marks the session, for some minutes.

The first factor is set up with the password, each further one by showing one that is there: a
stolen session alone adds none. A TOTP step, a recovery code and a WebAuthn count are taken once.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pyotp
from sqlalchemy import Connection, delete, func, insert, select, update

from gateway.clock import now_us
from gateway.db import Database
from gateway.errors import AuthError, RegistryError
from gateway.registry.actors import Actor
from gateway.registry.changes import note_change
from gateway.registry.persons import get_row, open_key
from gateway.registry.rider_tables import FACTORS, SESSIONS
from gateway.registry.sessions import Sessions, hash_token
from gateway.registry.throttle import Throttle
from gateway.registry.vault import KeyRing, PersonKey

US = 1_000_000
STEP_S = 30
STEPS_AROUND = 1
CODES = 10
CODE_BYTES = 10
FACTORS_MAX = 10


class FactorKind(StrEnum):
    """How a person shows who they are, besides the password."""

    TOTP = "totp"
    WEBAUTHN = "webauthn"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor without its secret."""

    factor_id: str
    kind: FactorKind
    created_us: int
    confirmed_us: int
    used_us: int


class Factors:
    """The services on second factors. `prove` marks the session of a token."""

    def __init__(
        self,
        database: Database,
        ring: KeyRing,
        sessions: Sessions,
        *,
        issuer: str = "faregate",
        throttle: Throttle | None = None,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self.database = database
        self.ring = ring
        self.sessions = sessions
        self.clock = clock
        self._issuer = issuer
        self._throttle = throttle or Throttle(burst=5, every_s=30)

    async def check_may_add(self, actor: Actor, password: str) -> None:
        """The first factor wants the password, a further one a step-up. Raises: AuthError."""
        if await asyncio.to_thread(self.has_factor, actor.person_id):
            actor.require_step_up(self.clock(), self.sessions.rules.step_up_s)
        else:
            await self.sessions.check_password(actor, password)

    def has_factor(self, person_id: str) -> bool:
        """Whether a person can show a second factor."""
        return any(one.confirmed_us for one in self.list_all(person_id))

    def list_all(self, person_id: str) -> list[Factor]:
        """Factors of a person, the oldest first."""
        wanted = select(FACTORS).where(FACTORS.c.person_id == person_id)
        with self.database.reading() as connection:
            rows = connection.execute(wanted.order_by(FACTORS.c.created_us)).all()
        return [
            Factor(r.factor_id, FactorKind(r.kind), r.created_us, r.confirmed_us, r.used_us)
            for r in rows
        ]

    def remove(self, actor: Actor, factor_id: str) -> None:
        """Take a factor away; wants a step-up. Raises: AuthError; RegistryError."""
        now = self.clock()
        actor.require_step_up(now, self.sessions.rules.step_up_s)
        with self.database.transaction() as connection:
            mine = (FACTORS.c.factor_id == factor_id) & (FACTORS.c.person_id == actor.person_id)
            if not connection.execute(delete(FACTORS).where(mine)).rowcount:
                raise RegistryError("REGISTRY_UNKNOWN", f"there is no factor {factor_id}")
            note(connection, actor, "factor.remove", now, factor=factor_id)

    # --- TOTP (RFC 6238: SHA-1, 30 s, 6 digits, what every app understands) ---

    async def begin_totp(self, actor: Actor, *, password: str = "") -> tuple[str, str]:
        """A new secret: id of the factor, and the URI for the app. It counts once confirmed."""
        await self.check_may_add(actor, password)
        secret = pyotp.random_base32()
        factor_id = await asyncio.to_thread(self._put_totp, actor, secret)
        totp = pyotp.TOTP(secret, interval=STEP_S)
        return factor_id, totp.provisioning_uri(name=actor.person_id, issuer_name=self._issuer)

    def _put_totp(self, actor: Actor, secret: str) -> str:
        made = NewFactor(actor.person_id, FactorKind.TOTP, secret.encode(), self.clock())
        with self.database.transaction() as connection:
            return put_factor(connection, self.key_of(connection, actor.person_id), made)

    def confirm_totp(self, actor: Actor, factor_id: str, code: str) -> None:
        """Show that the app has the secret. Raises: AuthError AUTH_PROOF; RateLimited."""
        self._throttle.take(actor.person_id)
        now = self.clock()
        with self.database.transaction() as connection:
            key = self.key_of(connection, actor.person_id)
            row = find_factor(connection, actor.person_id, factor_id)
            if row is None or row.kind != FactorKind.TOTP:
                raise RegistryError("REGISTRY_UNKNOWN", f"there is no factor {factor_id}")
            if not _take_code(connection, key, row, code, now):
                raise AuthError("AUTH_PROOF")
            mine = FACTORS.c.factor_id == factor_id
            connection.execute(update(FACTORS).where(mine).values(confirmed_us=now))
            note(connection, actor, "factor.add", now, kind=str(FactorKind.TOTP))
        self._throttle.give_back(actor.person_id)

    def step_up_totp(self, actor: Actor, token: str, code: str) -> int:
        """Show a code. Returns: until when the step-up is good (microseconds UTC).

        Raises: AuthError AUTH_PROOF: wrong, or shown before; AUTH_NO_FACTOR; RateLimited.
        """
        self._throttle.take(actor.person_id)
        now = self.clock()
        with self.database.transaction() as connection:
            key = self.key_of(connection, actor.person_id)
            rows = list_factors(connection, actor.person_id, FactorKind.TOTP)
            if not any(_take_code(connection, key, row, code, now) for row in rows):
                raise AuthError("AUTH_PROOF")
            until = self.mark(connection, actor, token, FactorKind.TOTP)
        self._throttle.give_back(actor.person_id)
        return until

    # --- recovery codes ---

    def make_codes(self, actor: Actor) -> list[str]:
        """New recovery codes, shown once; the ones before are void. Wants a step-up."""
        now = self.clock()
        actor.require_step_up(now, self.sessions.rules.step_up_s)
        codes = [secrets.token_hex(CODE_BYTES) for _ in range(CODES)]
        hashed = json.dumps([_hash_code(code) for code in codes]).encode()
        with self.database.transaction() as connection:
            key = self.key_of(connection, actor.person_id)
            old = (FACTORS.c.person_id == actor.person_id) & (FACTORS.c.kind == FactorKind.RECOVERY)
            connection.execute(delete(FACTORS).where(old))
            made = NewFactor(actor.person_id, FactorKind.RECOVERY, hashed, now)
            factor_id = put_factor(connection, key, made)
            mine = FACTORS.c.factor_id == factor_id
            connection.execute(update(FACTORS).where(mine).values(confirmed_us=now))
            note(connection, actor, "factor.add", now, kind=str(FactorKind.RECOVERY))
        return codes

    def step_up_code(self, actor: Actor, token: str, code: str) -> int:
        """Use up a recovery code. Returns: until when the step-up is good. Raises: as TOTP."""
        self._throttle.take(actor.person_id)
        wanted = _hash_code("".join(code.split()).casefold())
        with self.database.transaction() as connection:
            key = self.key_of(connection, actor.person_id)
            for row in list_factors(connection, actor.person_id, FactorKind.RECOVERY):
                left = json.loads(key.open(row.factor_id, row.sealed))
                same = [one for one in left if hmac.compare_digest(one, wanted)]
                if not same:
                    continue
                left.remove(wanted)
                sealed = key.seal(row.factor_id, json.dumps(left).encode())
                mine = FACTORS.c.factor_id == row.factor_id
                values = {"sealed": sealed, "used_us": self.clock()}
                connection.execute(update(FACTORS).where(mine).values(values))
                until = self.mark(connection, actor, token, FactorKind.RECOVERY)
                self._throttle.give_back(actor.person_id)
                return until
        raise AuthError("AUTH_PROOF")

    # --- for all kinds ---

    def key_of(self, connection: Connection, person_id: str) -> PersonKey:
        """The key a person's factors lie under; holds others out until the commit."""
        return open_key(self.ring, get_row(connection, person_id))

    def mark(self, connection: Connection, actor: Actor, token: str, kind: FactorKind) -> int:
        """Write a step-up into the session. Returns: until when it is good."""
        now = self.clock()
        mine = (SESSIONS.c.session_hash == hash_token(token)) & (
            SESSIONS.c.person_id == actor.person_id
        )
        values = {"step_up_us": now, "challenge": b"", "challenge_us": 0}
        if not connection.execute(update(SESSIONS).where(mine).values(values)).rowcount:
            raise AuthError("AUTH_INVALID")
        note(connection, actor, "session.step_up", now, kind=str(kind))
        return now + int(self.sessions.rules.step_up_s * US)


@dataclass(frozen=True, slots=True)
class NewFactor:
    """What is to be kept of a factor."""

    person_id: str
    kind: FactorKind
    secret: bytes = field(repr=False)
    now_us: int


def put_factor(connection: Connection, key: PersonKey, made: NewFactor) -> str:
    """A new factor, not confirmed yet; its id. Raises: RegistryError: too many."""
    mine = FACTORS.c.person_id == made.person_id
    unconfirmed = mine & (FACTORS.c.confirmed_us == 0) & (FACTORS.c.kind == made.kind)
    connection.execute(delete(FACTORS).where(unconfirmed))
    count = connection.scalar(select(func.count()).select_from(FACTORS).where(mine)) or 0
    if count >= FACTORS_MAX:
        raise RegistryError("REGISTRY_TAKEN", f"at most {FACTORS_MAX} factors", hint="remove one")
    factor_id = f"fac_{secrets.token_hex(12)}"
    connection.execute(
        insert(FACTORS).values(
            factor_id=factor_id,
            person_id=made.person_id,
            kind=made.kind,
            sealed=key.seal(factor_id, made.secret),
            counter=0,
            created_us=made.now_us,
            confirmed_us=0,
            used_us=0,
        )
    )
    return factor_id


def find_factor(connection: Connection, person_id: str, factor_id: str) -> Any:
    """A person's factor of this id."""
    mine = (FACTORS.c.factor_id == factor_id) & (FACTORS.c.person_id == person_id)
    return connection.execute(select(FACTORS).where(mine)).first()


def list_factors(connection: Connection, person_id: str, kind: FactorKind) -> list[Any]:
    """A person's confirmed factors of a kind. Raises: AuthError AUTH_NO_FACTOR."""
    wanted = select(FACTORS).where(
        FACTORS.c.person_id == person_id, FACTORS.c.kind == kind, FACTORS.c.confirmed_us > 0
    )
    rows = list(connection.execute(wanted))
    if not rows:
        raise AuthError("AUTH_NO_FACTOR", f"no {kind} is set up")
    return rows


def note(connection: Connection, actor: Actor, action: str, now: int, **facts: object) -> None:
    """Into the audit trail."""
    note_change(connection, actor, action, f"person:{actor.person_id}", now, **facts)


def _take_code(connection: Connection, key: PersonKey, row: Any, code: str, now: int) -> bool:
    """Whether a code is right for a step not taken yet; takes it."""
    totp = pyotp.TOTP(key.open(row.factor_id, row.sealed).decode(), interval=STEP_S)
    here = now // US // STEP_S
    found = None
    for step in range(here - STEPS_AROUND, here + STEPS_AROUND + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            found = step
    if found is None or found <= row.counter:
        return False
    mine = (FACTORS.c.factor_id == row.factor_id) & (FACTORS.c.counter < found)
    taken = connection.execute(update(FACTORS).where(mine).values(counter=found, used_us=now))
    return bool(taken.rowcount)


def _hash_code(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
