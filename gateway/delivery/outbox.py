"""The outbox: commands to peers as rows, claimed one aggregate at a time, in order.

    waiting ──claim──▶ in_flight ──▶ done | rejected
       ▲                  │ ├──────▶ pending     accepted, asked again later
       └── later ─────────┘ ├──────▶ uncertain   asked before anything else
                            └──────▶ dead        budget spent, poison, or a human has to act

A row found `in_flight` behind its lease was being sent when its process died: nobody knows what
became of it, so it is `uncertain`. A dead letter does not hold up its aggregate. Every change is
one transaction. Thread: any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, func, or_, select, update

from adapters.contract import Capability, Command, Outcome, Status
from gateway.db import Database
from gateway.delivery.backoff import budget_s
from gateway.delivery.codec import decode_command, decode_outcome, encode_command, encode_outcome
from gateway.delivery.once import insert_once
from gateway.delivery.tables import OUTBOX
from gateway.errors import DeliveryError
from gateway.registry.changes import Note, say_nothing

US = 1_000_000
LEASE_US = 120 * US
POISON_AFTER = 3
"""The same failure so often in a row is not bad luck."""
ERROR_LENGTH = 500


class State(StrEnum):
    """Where a command stands."""

    WAITING = "waiting"
    IN_FLIGHT = "in_flight"
    PENDING = "pending"
    UNCERTAIN = "uncertain"
    DONE = "done"
    REJECTED = "rejected"
    DEAD = "dead"


OPEN = (State.WAITING, State.IN_FLIGHT, State.PENDING, State.UNCERTAIN)
FINAL = (State.DONE, State.REJECTED)
ASKED = (State.PENDING, State.UNCERTAIN)
"""States from which the peer is asked, not told again."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A claimed command. lease_us: proof of the claim; who claims later gets another."""

    id: int
    adapter: str
    aggregate: str
    command: Command
    came_from: State
    not_found: int
    until_us: int
    lease_us: int
    failures: int
    last_error: str
    same_errors: int


@dataclass(frozen=True, slots=True)
class Left:
    """How a claim ends without an outcome: the state, and when to come back.

    error: what went wrong, empty when nothing did. poisonous: the third time in a row it is dead.
    """

    state: State
    next_us: int = 0
    error: str = ""
    not_found: int = 0
    poisonous: bool = False


OnOutcome = Callable[[Connection, Letter, Outcome], None]
"""The business change that follows from an outcome, in the same transaction."""


def put(
    connection: Connection, adapter: str, aggregate: str, command: Command, now_us: int
) -> bool:
    """Add a command inside the caller's transaction. False = its key is there already (same body).

    Raises: DeliveryError DELIVERY_CONFLICT: the key is there with another body.
    """
    body = encode_command(command)
    added = insert_once(
        connection,
        OUTBOX,
        adapter=adapter,
        aggregate=aggregate,
        key=command.key,
        capability=str(command.capability),
        body=body,
        state=str(State.WAITING),
        attempts=0,
        not_found=0,
        created_us=now_us,
        next_us=now_us,
        until_us=now_us + int(budget_s(command.capability) * US),
        lease_us=0,
        last_error="",
        same_errors=0,
        failures=0,
        outcome="",
        changed_us=now_us,
    )
    if added:
        return True
    found = connection.execute(
        select(OUTBOX.c.body, OUTBOX.c.adapter).where(OUTBOX.c.key == command.key)
    ).one()
    if (found.body, found.adapter) != (body, adapter):
        raise DeliveryError("DELIVERY_CONFLICT", f"{command.key} was used for something else")
    return False


def subject_of(key: str) -> str:
    """What the audit trail calls a command."""
    return f"command:{key}"[:200]


class Outbox:
    """Claims rows and writes down what became of them. lease_us: how long a claim is believed;
    longer than any call may take.
    """

    def __init__(self, database: Database, *, lease_us: int = LEASE_US) -> None:
        self._database = database
        self._lease_us = lease_us

    def put(self, adapter: str, aggregate: str, command: Command, now_us: int) -> bool:
        """Add a command in a transaction of its own. Raises: DeliveryError DELIVERY_CONFLICT."""
        with self._database.transaction() as connection:
            return put(connection, adapter, aggregate, command, now_us)

    def claim(self, adapter: str, limit: int, now_us: int) -> list[Letter]:
        """Take what is due, the oldest open command of each aggregate only."""
        if not self._has_work(adapter, now_us):
            return []  # without keeping other writers out
        with self._database.transaction() as connection:
            _expire_leases(connection, adapter, now_us)
            rows = connection.execute(_due(adapter, limit, now_us)).all()
            letters = [_letter(row, now_us + self._lease_us) for row in rows]
            for letter in letters:
                connection.execute(
                    update(OUTBOX)
                    .where(OUTBOX.c.id == letter.id)
                    .values(
                        state=str(State.IN_FLIGHT),
                        lease_us=letter.lease_us,
                        attempts=letter.command.attempt,
                        changed_us=now_us,
                    )
                )
        return letters

    def _has_work(self, adapter: str, now_us: int) -> bool:
        states = [str(State.WAITING), *map(str, ASKED)]
        due = and_(OUTBOX.c.state.in_(states), OUTBOX.c.next_us <= now_us)
        lost = and_(OUTBOX.c.state == str(State.IN_FLIGHT), OUTBOX.c.lease_us < now_us)
        query = select(OUTBOX.c.id).where(OUTBOX.c.adapter == adapter, or_(due, lost)).limit(1)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def finish(
        self, letter: Letter, outcome: Outcome, now_us: int, then: OnOutcome | None = None
    ) -> bool:
        """Store a final outcome and what follows from it. False = it was final already.

        The peer's last word counts also when the claim was lost or the letter given up meanwhile.
        """
        state = State.DONE if outcome.status is Status.DONE else State.REJECTED
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(OUTBOX)
                .where(OUTBOX.c.id == letter.id)
                .where(OUTBOX.c.state.not_in([str(one) for one in FINAL]))
                .values(
                    state=str(state), outcome=encode_outcome(outcome), lease_us=0, changed_us=now_us
                )
            ).rowcount
            if changed and then is not None:
                then(connection, letter, outcome)
        return bool(changed)

    def leave(self, letter: Letter, left: Left, now_us: int) -> State:
        """End a claim without an outcome; behind the budget, or poison: dead. Returns the state.

        Does nothing when the claim was lost: whoever has it now knows better.
        """
        error = left.error[:ERROR_LENGTH]
        same = letter.same_errors + 1 if error and error == letter.last_error else 1
        state = left.state
        if now_us >= letter.until_us or (left.poisonous and same >= POISON_AFTER):
            state = State.DEAD
        with self._database.transaction() as connection:
            connection.execute(
                update(OUTBOX)
                .where(OUTBOX.c.id == letter.id, OUTBOX.c.lease_us == letter.lease_us)
                .where(OUTBOX.c.state == str(State.IN_FLIGHT))
                .values(
                    state=str(state),
                    # The last moment of the budget is worth a last call.
                    next_us=min(left.next_us, letter.until_us),
                    lease_us=0,
                    last_error=error or letter.last_error,
                    same_errors=same if error else 0,
                    failures=letter.failures + 1 if error else 0,
                    not_found=left.not_found,
                    changed_us=now_us,
                )
            )
        return state

    def replay(self, key: str, now_us: int, note: Note = say_nothing) -> None:
        """Take a dead letter up again: asked first, since nobody knows what became of it. note:
        tells the audit trail.

        Raises: DeliveryError DELIVERY_NOT_DEAD: there is none of this key.
        """
        with self._database.transaction() as connection:
            row = connection.execute(
                select(OUTBOX.c.capability).where(
                    OUTBOX.c.key == key, OUTBOX.c.state == str(State.DEAD)
                )
            ).one_or_none()
            if row is None:
                raise DeliveryError("DELIVERY_NOT_DEAD", f"no dead letter has the key {key}")
            until_us = now_us + int(budget_s(Capability(row.capability)) * US)
            values = {"state": str(State.UNCERTAIN), "next_us": now_us, "until_us": until_us}
            connection.execute(
                update(OUTBOX)
                .where(OUTBOX.c.key == key)
                .values(**values, same_errors=0, failures=0, not_found=0, changed_us=now_us)
            )
            note(connection, "outbox.replay", subject_of(key), {})

    def list_dead(self, adapter: str | None = None) -> list[dict[str, Any]]:
        """Dead letters, the oldest first."""
        query = select(*SHOWN).where(OUTBOX.c.state == str(State.DEAD))
        if adapter is not None:
            query = query.where(OUTBOX.c.adapter == adapter)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(OUTBOX.c.id)).mappings()
            return [dict(row) for row in rows]

    def show(self, key: str) -> dict[str, Any]:
        """All that is known about a command, but not what it says: that may be personal.

        Raises: DeliveryError DELIVERY_NOT_FOUND.
        """
        query = select(*SHOWN, OUTBOX.c.outcome).where(OUTBOX.c.key == key)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise DeliveryError("DELIVERY_NOT_FOUND", f"no command has the key {key}")
        return dict(row)

    def count(self, adapter: str) -> dict[str, int]:
        """Commands by state."""
        query = (
            select(OUTBOX.c.state, func.count())
            .where(OUTBOX.c.adapter == adapter)
            .group_by(OUTBOX.c.state)
        )
        with self._database.reading() as connection:
            return {str(state): int(count) for state, count in connection.execute(query)}

    def oldest_us(self, adapter: str) -> int:
        """Creation of the oldest open command, 0 = none: the age of the queue."""
        query = select(func.min(OUTBOX.c.created_us)).where(
            OUTBOX.c.adapter == adapter, OUTBOX.c.state.in_([str(state) for state in OPEN])
        )
        with self._database.reading() as connection:
            return int(connection.scalar(query) or 0)

    def find(self, key: str) -> tuple[State, Outcome | None]:
        """Where a command stands. Raises: DeliveryError DELIVERY_NOT_FOUND."""
        row = self.show(key)
        outcome = decode_outcome(row["outcome"]) if row["outcome"] else None
        return State(row["state"]), outcome

    def find_state(self, key: str) -> tuple[str, str] | None:
        """Where a command stands and what was last said of it; None = there is none."""
        try:
            state, outcome = self.find(key)
        except DeliveryError as error:
            if error.code != "DELIVERY_NOT_FOUND":
                raise
            return None
        refusal = outcome.refusal if outcome is not None else None
        return str(state), str(refusal) if refusal is not None else str(
            self.show(key)["last_error"]
        )


SHOWN = (
    OUTBOX.c.key,
    OUTBOX.c.adapter,
    OUTBOX.c.capability,
    OUTBOX.c.state,
    OUTBOX.c.attempts,
    OUTBOX.c.failures,
    OUTBOX.c.created_us,
    OUTBOX.c.next_us,
    OUTBOX.c.until_us,
    OUTBOX.c.changed_us,
    OUTBOX.c.last_error,
)


def _due(adapter: str, limit: int, now_us: int) -> Select[Any]:
    """Due rows that no older open one of their aggregate stands before."""
    earlier = OUTBOX.alias("earlier")
    blocked = exists().where(
        and_(
            earlier.c.adapter == OUTBOX.c.adapter,
            earlier.c.aggregate == OUTBOX.c.aggregate,
            earlier.c.id < OUTBOX.c.id,
            earlier.c.state.in_([str(state) for state in OPEN]),
        )
    )
    return (
        select(OUTBOX)
        .where(OUTBOX.c.adapter == adapter, OUTBOX.c.next_us <= now_us, ~blocked)
        .where(OUTBOX.c.state.in_([str(State.WAITING), *map(str, ASKED)]))
        .order_by(OUTBOX.c.next_us, OUTBOX.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def _expire_leases(connection: Connection, adapter: str, now_us: int) -> None:
    connection.execute(
        update(OUTBOX)
        .where(OUTBOX.c.adapter == adapter, OUTBOX.c.state == str(State.IN_FLIGHT))
        .where(OUTBOX.c.lease_us < now_us)
        .values(state=str(State.UNCERTAIN), next_us=now_us, lease_us=0, changed_us=now_us)
    )


def _letter(row: Any, lease_us: int) -> Letter:
    came_from = State(row.state)
    attempt = row.attempts + (came_from is State.WAITING)
    return Letter(
        row.id,
        row.adapter,
        row.aggregate,
        decode_command(row.body, attempt=attempt),
        came_from,
        row.not_found,
        row.until_us,
        lease_us,
        row.failures,
        row.last_error,
        row.same_errors,
    )
