"""The outbox: commands to peers as rows, claimed one aggregate at a time, in order.

    waiting ──claim──▶ in_flight ──▶ done | rejected
       ▲                  │ ├──────▶ pending     accepted, asked again later
       └── later ─────────┘ ├──────▶ uncertain   asked before anything else
                            └──────▶ dead        budget spent, poison, or a human has to act

A row found `in_flight` behind its lease was being sent when its process died: nobody knows what
became of it, so it is `uncertain`. Every change is one transaction. Thread: any.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, and_, exists, func, insert, select, update

from adapters.contract import Capability, Command, Leg, Money, Outcome, Status
from adapters.errors import Refusal
from gateway.db import Database
from gateway.delivery.backoff import budget_s
from gateway.delivery.tables import OUTBOX
from gateway.errors import DeliveryError

US = 1_000_000
LEASE_US = 120 * US
POISON_AFTER = 3
"""The same failure so often in a row is not bad luck."""


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
ASKED = (State.PENDING, State.UNCERTAIN)
"""States from which the peer is asked, not told again."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A claimed command."""

    id: int
    adapter: str
    aggregate: str
    command: Command
    came_from: State
    not_found: int
    until_us: int
    last_error: str
    same_errors: int


OnOutcome = Callable[[Connection, Letter, Outcome], None]
"""The business change that follows from an outcome, in the same transaction."""


def put(
    connection: Connection, adapter: str, aggregate: str, command: Command, now_us: int
) -> bool:
    """Add a command inside the caller's transaction. False = its key is there already (same body).

    Raises: DeliveryError DELIVERY_CONFLICT: the key is there with another body.
    """
    body = encode_command(command)
    found = connection.execute(
        select(OUTBOX.c.body, OUTBOX.c.adapter).where(OUTBOX.c.key == command.key)
    ).one_or_none()
    if found is not None:
        if (found.body, found.adapter) != (body, adapter):
            raise DeliveryError("DELIVERY_CONFLICT", f"{command.key} was used for something else")
        return False
    until_us = now_us + int(budget_s(command.capability) * US)
    connection.execute(
        insert(OUTBOX).values(
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
            until_us=until_us,
            lease_us=0,
            last_error="",
            same_errors=0,
            failures=0,
            outcome="",
            changed_us=now_us,
        )
    )
    return True


class Outbox:
    """Claims rows and writes down what became of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, adapter: str, limit: int, now_us: int) -> list[Letter]:
        """Take what is due, the oldest open command of each aggregate only."""
        with self._database.transaction() as connection:
            self._expire_leases(connection, adapter, now_us)
            earlier = OUTBOX.alias("earlier")
            blocked = exists().where(
                and_(
                    earlier.c.adapter == OUTBOX.c.adapter,
                    earlier.c.aggregate == OUTBOX.c.aggregate,
                    earlier.c.id < OUTBOX.c.id,
                    earlier.c.state.in_([str(state) for state in OPEN]),
                )
            )
            due = (
                select(OUTBOX)
                .where(OUTBOX.c.adapter == adapter, OUTBOX.c.next_us <= now_us, ~blocked)
                .where(OUTBOX.c.state.in_([str(State.WAITING), *map(str, ASKED)]))
                .order_by(OUTBOX.c.next_us, OUTBOX.c.id)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
            rows = connection.execute(due).all()
            letters = [_letter(row) for row in rows]
            for letter in letters:
                connection.execute(
                    update(OUTBOX)
                    .where(OUTBOX.c.id == letter.id)
                    .values(
                        state=str(State.IN_FLIGHT),
                        lease_us=now_us + LEASE_US,
                        attempts=letter.command.attempt,
                    )
                )
        return letters

    def _expire_leases(self, connection: Connection, adapter: str, now_us: int) -> None:
        connection.execute(
            update(OUTBOX)
            .where(OUTBOX.c.adapter == adapter, OUTBOX.c.state == str(State.IN_FLIGHT))
            .where(OUTBOX.c.lease_us < now_us)
            .values(state=str(State.UNCERTAIN), next_us=now_us, lease_us=0)
        )

    def finish(self, letter: Letter, outcome: Outcome, then: OnOutcome | None = None) -> None:
        """Store a final outcome and what follows from it. Does nothing when it is final already."""
        state = State.DONE if outcome.status is Status.DONE else State.REJECTED
        with self._database.transaction() as connection:
            changed = connection.execute(
                update(OUTBOX)
                .where(OUTBOX.c.id == letter.id)
                .where(OUTBOX.c.state.in_([str(one) for one in OPEN]))
                .values(state=str(state), outcome=encode_outcome(outcome), lease_us=0)
            )
            if changed.rowcount and then is not None:
                then(connection, letter, outcome)

    def postpone(
        self, letter: Letter, state: State, next_us: int, error: str, *, not_found: int = 0
    ) -> State:
        """Try or ask again at `next_us`; behind the budget, or poison: dead. Returns the state."""
        same = letter.same_errors + 1 if error and error == letter.last_error else 1
        poisoned = state is State.WAITING and error and same >= POISON_AFTER and _is_final(error)
        if next_us > letter.until_us or poisoned:
            state = State.DEAD
        self._leave(letter, state, next_us=next_us, error=error, same=same, not_found=not_found)
        return state

    def bury(self, letter: Letter, error: str) -> None:
        """Into the dead letters: a human has to look."""
        self._leave(letter, State.DEAD, next_us=0, error=error, same=1, not_found=0)

    def _leave(
        self, letter: Letter, state: State, *, next_us: int, error: str, same: int, not_found: int
    ) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                update(OUTBOX)
                .where(OUTBOX.c.id == letter.id)
                .where(OUTBOX.c.state == str(State.IN_FLIGHT))
                .values(
                    state=str(state),
                    next_us=next_us,
                    lease_us=0,
                    last_error=error[:500],
                    same_errors=same,
                    not_found=not_found,
                )
            )

    def replay(self, key: str, now_us: int) -> None:
        """Take a dead letter up again: asked first, since nobody knows what became of it.

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
            connection.execute(
                update(OUTBOX)
                .where(OUTBOX.c.key == key)
                .values(
                    state=str(State.UNCERTAIN), next_us=now_us, until_us=until_us, same_errors=0
                )
            )

    def list_dead(self, adapter: str | None = None) -> list[dict[str, Any]]:
        """Dead letters, the oldest first."""
        query = select(
            OUTBOX.c.key,
            OUTBOX.c.adapter,
            OUTBOX.c.attempts,
            OUTBOX.c.created_us,
            OUTBOX.c.last_error,
        ).where(OUTBOX.c.state == str(State.DEAD))
        if adapter is not None:
            query = query.where(OUTBOX.c.adapter == adapter)
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(OUTBOX.c.id)).mappings()
            return [dict(row) for row in rows]

    def count(self, adapter: str) -> dict[str, int]:
        """Commands by state."""
        query = (
            select(OUTBOX.c.state, func.count())
            .where(OUTBOX.c.adapter == adapter)
            .group_by(OUTBOX.c.state)
        )
        with self._database.transaction() as connection:
            return dict(connection.execute(query).tuples().all())

    def oldest_us(self, adapter: str) -> int:
        """Creation of the oldest open command, 0 = none: the age of the queue."""
        query = select(func.min(OUTBOX.c.created_us)).where(
            OUTBOX.c.adapter == adapter, OUTBOX.c.state.in_([str(state) for state in OPEN])
        )
        with self._database.transaction() as connection:
            return int(connection.scalar(query) or 0)

    def find(self, key: str) -> tuple[State, Outcome | None]:
        """Where a command stands. Raises: DeliveryError DELIVERY_NOT_FOUND."""
        query = select(OUTBOX.c.state, OUTBOX.c.outcome).where(OUTBOX.c.key == key)
        with self._database.transaction() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise DeliveryError("DELIVERY_NOT_FOUND", f"no command has the key {key}")
        return State(row.state), decode_outcome(row.outcome) if row.outcome else None


def _is_final(error: str) -> bool:
    """Being out of reach for long is no property of the message: only the budget ends that."""
    return not error.startswith(("Unavailable", "RateLimited"))


def _letter(row: Any) -> Letter:
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
        row.last_error,
        row.same_errors,
    )


# --- commands and outcomes as JSON ----------------------------------------------------------------


def encode_command(command: Command) -> str:
    """A command without its attempt: the same command gives the same text."""
    values = asdict(command)
    values.pop("attempt")
    return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def decode_command(text: str, *, attempt: int) -> Command:
    """Back from JSON."""
    values = json.loads(text)
    values["capability"] = Capability(values["capability"])
    values["money"] = _money(values["money"])
    values["legs"] = _legs(values["legs"])
    return Command(**values, attempt=attempt)


def encode_outcome(outcome: Outcome) -> str:
    """An outcome as JSON."""
    return json.dumps(asdict(outcome), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def decode_outcome(text: str) -> Outcome:
    """Back from JSON."""
    values = json.loads(text)
    values["status"] = Status(values["status"])
    values["money"] = _money(values["money"])
    values["legs"] = _legs(values["legs"])
    values["refusal"] = Refusal(values["refusal"]) if values["refusal"] else None
    return Outcome(**values)


def _money(value: Mapping[str, int] | None) -> Money | None:
    return Money(**value) if value is not None else None


def _legs(values: list[dict[str, Any]]) -> tuple[Leg, ...]:
    return tuple(Leg(one["name"], Money(**one["money"])) for one in values)
