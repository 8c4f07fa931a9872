"""Commands to peers: what waits, what died and why, and taking a dead one up again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from gateway.db import Database
from gateway.delivery.codec import decode_outcome
from gateway.delivery.looking import Wanted, list_commands
from gateway.delivery.outbox import Outbox, State, subject_of
from gateway.registry.actors import Actor
from gateway.registry.audit import was_done
from gateway.registry.changes import note_by
from gateway.registry.scopes import Scope
from gateway.shapes import InstantUs, says
from gateway.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCommand:
    """A command to a peer, without what it says: that may be personal."""

    key: Annotated[str, says("names it for ever, here and at the peer")]
    adapter: Annotated[str, says("which peer: its name in the settings")]
    capability: Annotated[str, says("what it asks for: credit, refund ...")]
    state: Annotated[State, says("`dead`: nobody tries it any more")]
    attempts: Annotated[int, says("times it was sent", minimum=0)]
    failures: Annotated[int, says("calls in a row that brought nothing", minimum=0)]
    created_us: InstantUs
    next_us: Annotated[InstantUs, says("when it is tried or asked about next")]
    until_us: Annotated[InstantUs, says("when it is given up")]
    changed_us: InstantUs
    last_error: Annotated[str, says("what went wrong last; empty = nothing")]
    refusal: Annotated[str, says("why the peer refused it; empty = it did not")]


class PeerCommands:
    """The services on commands to peers."""

    def __init__(self, records: Database, clock: Callable[[], int]) -> None:
        self._records = records
        self._outbox = Outbox(records)
        self._clock = clock

    async def list(
        self, actor: Actor, adapter: str, state: State | None, window: Window
    ) -> list[tuple[int, PeerCommand]]:
        """Commands with their places in the list, the oldest first; one more than asked for when
        there are more. adapter: "" = any; state: None = any. Raises: AuthError, DatabaseError.
        """
        actor.require(Scope.DELIVERY_WRITE)
        wanted = Wanted(adapter, str(state or ""))
        found = await asyncio.to_thread(list_commands, self._records, wanted, window)
        return [(place, _shown(row)) for place, row in found]

    async def get(self, actor: Actor, key: str) -> PeerCommand:
        """Raises: DeliveryError DELIVERY_NOT_FOUND."""
        actor.require(Scope.DELIVERY_WRITE)
        return _shown(await asyncio.to_thread(self._outbox.show, key))

    async def replay(self, actor: Actor, operation_id: bytes, key: str) -> PeerCommand:
        """Take a dead letter up again, once for each request: the peer is asked about it first.

        Raises: AuthError. DeliveryError DELIVERY_NOT_FOUND, DELIVERY_NOT_DEAD.
        """
        actor.require(Scope.DELIVERY_WRITE)

        def change() -> dict[str, Any]:
            self._outbox.show(key)
            with self._records.reading() as connection:
                is_done = was_done(connection, subject_of(key), operation_id)
            if not is_done:
                now = self._clock()
                self._outbox.replay(key, now, note_by(actor, now, operation_id))
            return self._outbox.show(key)

        return _shown(await asyncio.to_thread(change))


def _shown(row: Mapping[str, Any]) -> PeerCommand:
    values = dict(row)
    said = values.pop("outcome")
    refusal = decode_outcome(said).refusal if said else None
    state = State(values.pop("state"))
    return PeerCommand(**values, state=state, refusal=str(refusal or ""))
