"""Riders' sessions: signed in by password, ended by time, use, or sign-out.

An unknown login, a wrong password and an erased person get one answer after the same work, and the
same tries before they have to wait. A session is 256 random bits, stored as a hash.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from gateway.clock import now_us
from gateway.db import Database
from gateway.errors import AuthError, DatabaseError, RateLimited, RegistryError
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.changes import note_change, note_refusal
from gateway.registry.links import IsHeld, held_by_nobody
from gateway.registry.passwords import Passwords, check_password
from gateway.registry.person_tables import ACCOUNTS, PERSONS
from gateway.registry.persons import PersonState, check_may_change, get_row
from gateway.registry.rider_tables import LOGINS, SESSIONS
from gateway.registry.scopes import RIDER, Scope
from gateway.registry.throttle import Throttle
from gateway.registry.vault import BlindIndex

logger = logging.getLogger(__name__)

PREFIX = "fgs_"
US = 1_000_000
SEEN_US = 60 * US
"""How exact the last use of a session is kept: no write for each request."""


@dataclass(frozen=True, slots=True)
class SessionRules:
    """Seconds: over when unused for so long, over in any case, how long a second factor is good."""

    idle_s: float = 900
    life_s: float = 43_200
    step_up_s: float = 300


@dataclass(frozen=True, slots=True)
class Session:
    """A fresh session. token is shown once."""

    person_id: str
    expires_us: int
    token: str = field(repr=False)


class Sessions:
    """The services on logins and sessions."""

    def __init__(
        self,
        database: Database,
        index: BlindIndex,
        passwords: Passwords,
        *,
        rules: SessionRules | None = None,
        throttle: Throttle | None = None,
        logins: Throttle | None = None,
        strangers: Throttle | None = None,
        taken: Throttle | None = None,
        is_held: IsHeld = held_by_nobody,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._database = database
        self._index = index
        self._passwords = passwords
        self.rules = rules or SessionRules()
        self._throttle = throttle or Throttle(burst=5, every_s=60)
        self._logins = logins or Throttle(burst=50, every_s=6)
        self._strangers = strangers or Throttle(burst=20, every_s=60)
        self._taken = taken or Throttle(burst=10, every_s=60)
        self._is_held = is_held
        self._left_out = 0
        self._noting: set[asyncio.Task[None]] = set()
        self._clock = clock

    async def set_login(self, actor: Actor, person_id: str, login: str, password: str) -> None:
        """Give a person a login, or, as the house, another one; their sessions end.

        That a login is taken says that somebody has it: a tenant gets to know so of ten, and then
        of one a minute.
        Raises: AuthError AUTH_WEAK_PASSWORD …, AUTH_FORBIDDEN: a tenant, and they sign in already.
            RegistryError REGISTRY_TAKEN: the login is. RateLimited.
        """
        actor.require(Scope.PERSONS_WRITE)
        check_password(password, login)
        if not actor.is_house:
            self._taken.take(actor.tenant_id)
        stored = await self._passwords.hash(password)
        blind = self._blind(login)
        await asyncio.to_thread(self._put_login, actor, person_id, blind, stored)
        self._taken.give_back(actor.tenant_id)

    async def change_password(self, actor: Actor, old: str, new: str) -> None:
        """A rider's own; all their sessions end. Raises: AuthError AUTH_PROOF: the old one."""
        await self.check_password(actor, old)
        check_password(new, old)
        stored = await self._passwords.hash(new)
        await asyncio.to_thread(self._put_password, actor, stored)

    async def check_password(self, actor: Actor, password: str) -> None:
        """Whether this is the signed-in rider's password. Raises: AuthError, RateLimited."""
        self._throttle.take(actor.person_id)
        row = await asyncio.to_thread(self._find_login, LOGINS.c.person_id == actor.person_id)
        stored = row.password_hash if row is not None else None
        if not await self._passwords.is_right(stored, password):
            raise AuthError("AUTH_PROOF")
        self._throttle.give_back(actor.person_id)

    async def sign_in(self, login: str, password: str, *, remote: str = "") -> Session:
        """A new session. Raises: AuthError AUTH_INVALID; RateLimited: too many tries.

        Tries are counted for a login and an address together, so that nobody keeps its owner out
        from elsewhere; for the login alone there are ten times as many, against those who try from
        many addresses.
        """
        blind = self._blind(login)
        self._throttle.take((blind, remote))
        self._logins.take(blind)
        row = await asyncio.to_thread(self._find_login, LOGINS.c.login_blind == blind)
        stored = row.password_hash if row is not None else None
        is_right = await self._passwords.is_right(stored, password, remote=remote)
        if not is_right or row is None:
            self._note_refused(blind, is_known=row is not None)
            raise AuthError("AUTH_INVALID")
        self._throttle.give_back((blind, remote))
        self._logins.give_back(blind)
        again = None
        if self._passwords.is_outdated(row.password_hash):
            again = await self._passwords.hash(password)
        return await asyncio.to_thread(self._begin, row, again)

    def authenticate(self, token: str) -> Actor:
        """Who holds a session. Raises: AuthError AUTH_INVALID, AUTH_EXPIRED."""
        now, mine = self._clock(), SESSIONS.c.session_hash == hash_token(token)
        with self._database.reading() as connection:
            row = connection.execute(select(SESSIONS).where(mine)).first()
        if row is None:
            raise AuthError("AUTH_INVALID")
        idle_us = int(self.rules.idle_s * US)
        if now >= row.expires_us or now - row.seen_us > idle_us:
            raise AuthError("AUTH_EXPIRED")
        if now - row.seen_us >= min(SEEN_US, idle_us // 2):
            with self._database.transaction() as connection:
                connection.execute(update(SESSIONS).where(mine).values(seen_us=now))
        return build_rider(row.person_id, row.step_up_us)

    def sign_out(self, token: str) -> None:
        """End a session; one that is over already is fine."""
        with self._database.transaction() as connection:
            mine = SESSIONS.c.session_hash == hash_token(token)
            person_id = connection.scalar(select(SESSIONS.c.person_id).where(mine))
            if person_id is None:
                return
            connection.execute(delete(SESSIONS).where(mine))
            _note(connection, build_rider(person_id), "session.end", person_id, self._clock())

    def sign_out_everywhere(self, actor: Actor) -> int:
        """End all sessions of a rider; how many there were."""
        with self._database.transaction() as connection:
            ended = _end_all(connection, actor.person_id)
            _note(connection, actor, "session.end_all", actor.person_id, self._clock())
            return ended

    def drop_expired(self) -> int:
        """Forget sessions that are over; how many."""
        with self._database.transaction() as connection:
            over = SESSIONS.c.expires_us <= self._clock()
            return connection.execute(delete(SESSIONS).where(over)).rowcount

    def _blind(self, login: str) -> bytes:
        return self._index.digest("login", login)

    def _find_login(self, wanted: Any) -> Any:
        """A login whose person is still there."""
        with self._database.reading() as connection:
            return connection.execute(
                select(LOGINS)
                .join(PERSONS, PERSONS.c.person_id == LOGINS.c.person_id)
                .where(wanted, PERSONS.c.state == PersonState.ACTIVE)
            ).first()

    def _begin(self, login: Any, password_hash: str | None) -> Session:
        now = self._clock()
        token = PREFIX + secrets.token_urlsafe(32)
        expires_us = now + int(self.rules.life_s * US)
        with self._database.transaction() as connection:
            if get_row(connection, login.person_id).state != PersonState.ACTIVE:
                raise AuthError("AUTH_INVALID")
            if password_hash is not None:
                mine = LOGINS.c.person_id == login.person_id
                connection.execute(update(LOGINS).where(mine).values(password_hash=password_hash))
            connection.execute(
                insert(SESSIONS).values(
                    session_hash=hash_token(token),
                    person_id=login.person_id,
                    created_us=now,
                    seen_us=now,
                    expires_us=expires_us,
                    step_up_us=0,
                    challenge=b"",
                    challenge_us=0,
                )
            )
            _note(connection, build_rider(login.person_id), "session.begin", login.person_id, now)
        return Session(login.person_id, expires_us, token)

    def _put_login(self, actor: Actor, person_id: str, blind: bytes, stored: str) -> None:
        now = self._clock()
        with self._database.transaction() as connection:
            row = get_row(connection, person_id)
            check_may_change(actor, row)
            if row.state != PersonState.ACTIVE:
                raise RegistryError("REGISTRY_ERASED", f"{person_id} was erased")
            if not actor.is_house:
                self._check_first_login(connection, actor, person_id)
            taken = connection.scalar(
                select(LOGINS.c.person_id).where(LOGINS.c.login_blind == blind)
            )
            if taken not in (None, person_id):
                raise RegistryError("REGISTRY_TAKEN", "somebody has this login")
            mine = LOGINS.c.person_id == person_id
            connection.execute(delete(LOGINS).where(mine))
            connection.execute(
                insert(LOGINS).values(
                    person_id=person_id, login_blind=blind, password_hash=stored, changed_us=now
                )
            )
            _end_all(connection, person_id)
            _note(connection, actor, "login.set", person_id, now)

    def _check_first_login(self, connection: Connection, actor: Actor, person_id: str) -> None:
        """A tenant lets those sign in that it entered, while all they reach was opened for it.

        Raises: AuthError.
        """
        login = select(LOGINS.c.person_id).where(LOGINS.c.person_id == person_id)
        if connection.scalar(login):
            raise AuthError("AUTH_FORBIDDEN", "they sign in already: the house resets a login")
        theirs = select(ACCOUNTS.c.account_id).where(ACCOUNTS.c.person_id == person_id)
        for account_id in connection.scalars(theirs).all():
            if not self._is_held(connection, account_id, actor.tenant_id):
                raise AuthError("AUTH_FORBIDDEN", "they own other accounts: the house gives it")

    def _put_password(self, actor: Actor, stored: str) -> None:
        now, mine = self._clock(), LOGINS.c.person_id == actor.person_id
        with self._database.transaction() as connection:
            changed = {"password_hash": stored, "changed_us": now}
            connection.execute(update(LOGINS).where(mine).values(changed))
            _end_all(connection, actor.person_id)
            _note(connection, actor, "password.change", actor.person_id, now)

    async def settle(self) -> None:
        """Wait until refusals are written."""
        while self._noting:
            await asyncio.gather(*self._noting)

    def _note_refused(self, blind: bytes, *, is_known: bool) -> None:
        """For the audit trail, beside the answer, which says nothing of who exists, in time either.

        Tries at logins that nobody has share one bucket: nobody fills a trail that is never cut.
        """
        if not is_known:
            try:
                self._strangers.take("")
            except RateLimited:
                self._left_out += 1
                return
        facts = {"left_out": self._left_out} if self._left_out else {}
        self._left_out = 0
        task = asyncio.create_task(self._write_refused(blind, facts))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def _write_refused(self, blind: bytes, facts: dict[str, int]) -> None:
        try:
            await asyncio.to_thread(self._put_refused, blind, facts)
        except DatabaseError as error:
            logger.warning("refusal_not_written", extra={"error": error.as_dict()})

    def _put_refused(self, blind: bytes, facts: dict[str, int]) -> None:
        """Some of the keyed hash tells tries at one login from each other."""
        nobody = Actor(ActorKind.RIDER, "nobody")
        with self._database.transaction() as connection:
            subject = f"login:{blind[:6].hex()}"
            note_refusal(connection, nobody, "session.begin", subject, self._clock(), **facts)


def build_rider(person_id: str, step_up_us: int = 0) -> Actor:
    """The actor of a signed-in person."""
    subject = f"person:{person_id}"
    return Actor(
        ActorKind.RIDER,
        subject,
        scopes=RIDER,
        owner=subject,
        person_id=person_id,
        step_up_us=step_up_us,
    )


def hash_token(token: str) -> bytes:
    """As a session is stored."""
    return hashlib.sha256(token.encode()).digest()


def _end_all(connection: Connection, person_id: str) -> int:
    return connection.execute(delete(SESSIONS).where(SESSIONS.c.person_id == person_id)).rowcount


def _note(connection: Connection, actor: Actor, action: str, person_id: str, now: int) -> None:
    note_change(connection, actor, action, f"person:{person_id}", now)
