"""What became of a request: the book says which operation it was, the data plane what it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from fastpath.types import ACCEPTED
from gateway.clock import format_operation_id
from gateway.errors import ApiError
from gateway.registry.actors import Actor
from gateway.shapes import InstantUs, OperationId, says
from gateway.wallet.book import BookEntry
from gateway.wallet.commands import Commands, Movement, movement_of


class Book(Protocol):
    """Where requests are remembered."""

    async def find(self, caller: str, key: str) -> BookEntry | None:
        """None = no request came with this key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestState:
    """One request, by its Idempotency-Key.

    done: it took effect. refused: it was answered with a refusal, and has none. none: it has had no
    effect; sending it again with the same key is right. in_flight: it is at work now.
    """

    key: str
    state: Literal["done", "refused", "none", "in_flight"]
    endpoint: str
    operation_id: OperationId
    created_us: InstantUs
    status: Annotated[int, says("HTTP status of its last answer; 0 = none was given")]
    code: Annotated[str, says("why it was refused")] = ""
    operation: Movement | None = None


class RequestBook:
    """Answers what became of requests."""

    def __init__(self, commands: Commands, book: Book) -> None:
        self._commands = commands
        self._book = book

    async def get(
        self, actor: Actor, caller: str, key: str, *, is_at_work: bool = False
    ) -> RequestState:
        """Raises: ApiError API_NOT_FOUND: no request with this key came from this caller."""
        entry = await self._book.find(caller, key)
        if entry is None:
            raise ApiError("API_NOT_FOUND", "no request came with this key")
        found = await self._commands.find_operation(entry.operation_id)
        state: Literal["done", "refused", "none", "in_flight"] = "none"
        code = ""
        if found is not None:
            found = await self._commands.veil(actor, found)
            code = str(found["reason"])
            state = "done" if code in ACCEPTED else "refused"
        elif is_at_work:
            state = "in_flight"
        elif 200 <= entry.status < 300:
            state = "done"  # an effect of the registry's, not of the journal's
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
