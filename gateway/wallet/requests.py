"""What became of a request: the book says which operation it was, the data plane what it did."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from fastpath.types import ACCEPTED
from gateway.clock import format_operation_id
from gateway.errors import ApiError
from gateway.registry.actors import Actor
from gateway.shapes import InstantUs, OperationId, says
from gateway.wallet.book import BookEntry
from gateway.wallet.commands import Commands, Movement, movement_of

State = Literal["done", "refused", "none", "in_flight"]
Told = tuple[State, str]
"""Where a request stands, and why when it was refused."""

UNKNOWN = (0, 504)
"""Statuses that say nothing about the outcome: none yet, and a time-out."""


class Book(Protocol):
    """Where requests are remembered."""

    async def find(self, caller: str, key: str) -> BookEntry | None:
        """None = no request came with this key."""


class Steps(Protocol):
    """What is done in several commands, none of them under the request's own operation id."""

    def find(self, operation_id: bytes) -> Told | None:
        """How far it has come; None = it was never begun. Blocking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestState:
    """One request, by its Idempotency-Key.

    done: it took effect. refused: it was answered with a refusal, and has none. none: it has had no
    effect; sending it again with the same key is right. in_flight: it is at work, or was given no
    answer so lately that it may still be; ask again, or send it again with the same key.
    """

    key: str
    state: State
    endpoint: str
    operation_id: OperationId
    created_us: InstantUs
    status: Annotated[int, says("HTTP status of its last answer; 0 = none was given")]
    code: Annotated[str, says("why it was refused")] = ""
    operation: Movement | None = None


class RequestBook:
    """Answers what became of requests."""

    def __init__(
        self,
        commands: Commands,
        book: Book,
        steps: Mapping[str, Steps],
        clock: Callable[[], int],
        *,
        patience_us: int,
    ) -> None:
        self._commands = commands
        self._book = book
        self._steps = steps
        self._clock = clock
        self._patience_us = patience_us

    async def get(
        self, actor: Actor, caller: str, key: str, *, is_at_work: bool = False
    ) -> RequestState:
        """Raises: ApiError API_NOT_FOUND: no request with this key came from this caller."""
        entry = await self._book.find(caller, key)
        if entry is None:
            raise ApiError("API_NOT_FOUND", "no request came with this key")
        found = await self._commands.find_operation(entry.operation_id)
        state: State
        code = ""
        if found is not None:
            found = await self._commands.veil(actor, found)
            code = str(found["reason"])
            state = "done" if code in ACCEPTED else "refused"
        elif is_at_work:
            state = "in_flight"
        else:
            state, code = await self._without_record(entry)
        return RequestState(
            key=key,
            state=state,
            endpoint=entry.endpoint,
            operation_id=format_operation_id(entry.operation_id),
            created_us=entry.created_us,
            status=entry.status,
            code="" if state == "done" else code,
            operation=movement_of(found) if found is not None and state == "done" else None,
        )

    async def _without_record(self, entry: BookEntry) -> Told:
        """Of a request whose operation the journal does not know.

        A request that was given up may go on behind: in the worker, in a thread, in another process
        of the API, in the socket of the data plane.
        """
        steps = self._steps.get(entry.endpoint)
        told = await asyncio.to_thread(steps.find, entry.operation_id) if steps else None
        if told is not None:
            return told
        if 200 <= entry.status < 300:
            return "done", ""  # an effect of the registry's, not of the journal's
        is_open = entry.status in UNKNOWN
        if is_open and self._clock() < entry.created_us + self._patience_us:
            return "in_flight", ""
        return "none", ""
