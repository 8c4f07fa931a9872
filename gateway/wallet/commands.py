"""Commands of services to the data plane: who gave them, under which operation id, for which key.

Must not import what stands behind the control socket.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Protocol

from fastpath.types import ACCEPTED
from gateway.clock import format_operation_id
from gateway.control.client import CommandRefused
from gateway.control.frames import Reply
from gateway.errors import CommandError, FareGatewayError
from gateway.registry.actors import Actor
from gateway.shapes import HIDDEN, AccountId, InstantUs, OperationId, SignedMinor, says
from gateway.wallet.book import note_of

TOO_OLD = "op_too_old"
Balance = Annotated[SignedMinor | None, says("null for whoever may not read the account")]


class Pipe(Protocol):
    """The way to the data plane (gateway/control/pipe.py)."""

    async def call(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> dict[str, Any]:
        """One command's result. Raises: CommandError, Uncertain."""

    async def exchange(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> Reply:
        """As `call`, but a refusal is a value."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What a command follows from. The same operation id has its effect once."""

    operation_id: bytes
    key: str = ""
    """The Idempotency-Key."""
    reference: str = ""
    note: str = ""

    def part(self, *names: str) -> bytes:
        """The id of one of several commands that follow from this: the same names, the same id.

        It keeps the instant of the whole, so that both age alike.
        """
        text = "\0".join(names).encode()
        bits = int.from_bytes(hashlib.sha256(self.operation_id + text).digest()[:10])
        head = int.from_bytes(self.operation_id[:6])
        high = head << 16 | 0x7000 | bits >> 64 & 0xFFF
        low = 0x8000_0000_0000_0000 | bits & (1 << 62) - 1
        return (high << 64 | low).to_bytes(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One operation that took effect, as its journal record has it."""

    operation_id: OperationId
    op: str
    account_id: AccountId
    amount_minor: SignedMinor
    balance_minor: Balance
    position: int
    seq: int
    ts_us: InstantUs
    replayed: bool = field(default=False, metadata=HIDDEN)
    """Carried out before, under the same operation id."""


class Past(Protocol):
    """Operations older than the data plane remembers."""

    async def find_operation(self, operation_id: bytes) -> dict[str, Any] | None:
        """A command's result from the ledger; None = there was no such operation."""


class Commands:
    """Sends commands on behalf of actors.

    past: answers for operations behind the engine's answer horizon, which it carries out no more.
    may_read: whether an actor may know an account's balance; None = only the gateway itself asks.
    """

    def __init__(
        self,
        pipe: Pipe,
        past: Past | None = None,
        may_read: Callable[[Actor, int], Awaitable[bool]] | None = None,
    ) -> None:
        self._pipe = pipe
        self._past = past
        self._may_read = may_read

    async def do(self, actor: Actor, cause: Cause, op: str, **args: Any) -> dict[str, Any]:
        """Carry out one operation; its result with `operation_id` in it.

        Raises: CommandRefused: the engine's refusal. CommandError: not sent. Uncertain.
        """
        sent = dict(args) | {"actor": actor.subject}
        if cause.key:
            sent["idempotency_key"] = note_of(cause.key)
        if cause.reference:
            sent["reference"] = cause.reference
        if cause.note:
            sent["note"] = cause.note
        reply = await self._pipe.exchange(op, sent, operation_id=cause.operation_id)
        if not reply.ok and reply.code == TOO_OLD:
            reply = await self._answer_of_then(reply, cause.operation_id)
        reply = replace(reply, result=await self.veil(actor, reply.result))
        if not reply.ok:
            raise CommandRefused(reply)
        return reply.result | {"operation_id": format_operation_id(cause.operation_id)}

    async def veil(self, actor: Actor, result: dict[str, Any]) -> dict[str, Any]:
        """A result without the balance, when that is not for the actor's eyes."""
        if self._may_read is None or result.get("balance_minor") is None:
            return result
        if await self._may_read(actor, result["account_id"]):
            return result
        return result | {"balance_minor": None}

    async def _answer_of_then(self, reply: Reply, operation_id: bytes) -> Reply:
        """The first answer of an operation that is too old, if it was carried out then."""
        found = await self._past.find_operation(operation_id) if self._past else None
        if found is None:
            return reply
        accepted = is_accepted(found)
        code = "ok" if accepted else str(found["reason"])
        return replace(reply, ok=accepted, code=code, result=found)

    async def move(self, actor: Actor, cause: Cause, op: str, **args: Any) -> Movement:
        """As `do`, as a Movement."""
        return movement_of(await self.do(actor, cause, op, **args))

    async def read(self, op: str, **args: Any) -> dict[str, Any]:
        """A read. Raises: CommandError, Uncertain."""
        return await self._pipe.call(op, args)

    async def find_operation(self, operation_id: bytes) -> dict[str, Any] | None:
        """What became of an operation; None = it never had an effect, or is past the horizon."""
        shown = format_operation_id(operation_id)
        try:
            result = await self._pipe.call("operation_show", {"id": shown})
        except CommandError as error:
            if error.code != "unknown_operation":
                raise
            found = await self._past.find_operation(operation_id) if self._past else None
            if found is None:
                return None
            result = found
        return result | {"operation_id": shown}


def is_accepted(result: Mapping[str, Any]) -> bool:
    """Whether an operation took effect."""
    return result["reason"] in ACCEPTED


def movement_of(result: dict[str, Any]) -> Movement:
    """A command's result as a Movement."""
    return Movement(
        operation_id=result["operation_id"],
        op=result["op"],
        account_id=result["account_id"],
        amount_minor=result["amount_minor"],
        balance_minor=result["balance_minor"],
        position=result["position"],
        seq=result["seq"],
        ts_us=result["ts_us"],
        replayed=result["repeated"],
    )


def unknown_account(account_id: int) -> FareGatewayError:
    """The same answer for what is not there and what is somebody else's."""
    return CommandError("unknown_account", f"there is no account {account_id}")


async def check_version(
    commands: Commands, cause: Cause, account_id: int, expected_version: int
) -> None:
    """Compare the caller's version with the account's. 0 = any.

    Raises: CommandError version_conflict.
    """
    if not expected_version or await commands.find_operation(cause.operation_id):
        return
    shown = await commands.read("account_show", account_id=account_id)
    if shown["version"] != expected_version:
        raise CommandError(
            "version_conflict", f"version is {shown['version']}, not {expected_version}"
        )
