"""Freezes: placed with reason, actor and expiry; lifted by four eyes or by themselves.

Several freezes may lie on one account; what none of them blocks any more is unfrozen. After a
freeze's journal position no new authorisation succeeds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol

from gateway.clock import derived_operation_id, format_operation_id, parse_operation_id
from gateway.control.client import CommandRefused
from gateway.errors import ApiError, CommandError, Retry, Uncertain
from gateway.registry.actors import Actor
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, InstantUs, OperationId, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.commands import Cause, Commands, is_accepted
from gateway.wallet.stores.freezes import OPEN, FreezeRow, FreezeStore

log = logging.getLogger(__name__)

What = Literal["debit", "credit", "both"]
PARTS = {"debit": {"debit"}, "credit": {"credit"}, "both": {"debit", "credit"}}
HALF_US = 60_000_000
"""A freeze that was begun so long ago and is not in force: its process died."""
ATTEMPTS_MAX = 10
CONFLICT, CLOSED = "version_conflict", "account_closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """One freeze of an account."""

    freeze_id: OperationId
    account_id: AccountId
    what: What
    reason: str
    rule: Annotated[str, says("the rule behind it; empty = an operator")]
    actor: Annotated[str, says("who placed it")]
    state: Literal["placing", "active", "lifted", "expired"]
    placed_us: InstantUs
    position: Annotated[int, says("journal position: no new authorisation succeeds behind it")]
    expires_us: Annotated[int, says("microseconds UTC; 0 = until it is lifted")]
    lifted_us: InstantUs
    lifted_by: str


@dataclass(frozen=True, slots=True)
class FreezeOrder:
    """What is to be frozen and why. expires_us: 0 = until lifted."""

    what: What
    reason: str
    rule: str = ""
    expires_us: int = 0


class FourEyes(Protocol):
    """Whether somebody else has agreed."""

    async def require_unfreeze(self, actor: Actor, freeze: Freeze, cause: Cause) -> None:
        """Raises: ApprovalNeeded."""


class FreezeClock:
    """Places freezes that were begun; ends those that are lifted, and those whose time is over."""

    def __init__(self, commands: Commands, store: FreezeStore, clock: Callable[[], int]) -> None:
        self._commands = commands
        self._store = store
        self._clock = clock

    async def expire_due(self, actor: Actor) -> int:
        """End what is over; finish what a dead process left half placed. Returns how many.

        What cannot be done now is left for the next round, the others go on.
        Raises: CommandError COMMAND_NOT_SENT: there is no data plane.
        """
        now_us, count = self._clock(), 0
        for row in await asyncio.to_thread(self._store.list_due, now_us):
            cause = Cause(derived_operation_id(row.expires_us, "unfreeze", row.freeze_id))
            count += await _alone(self.end(actor, cause, freeze_of(row), "expired"), row)
        half = await asyncio.to_thread(self._store.list_half_placed, now_us - HALF_US)
        for row in half:
            count += await _alone(self._finish(row), row)
        return count

    async def _finish(self, row: FreezeRow) -> None:
        """Place a freeze whose process died: the same operation, carried out before or not."""
        cause = Cause(parse_operation_id(row.freeze_id))
        try:
            await self.place(Actor.system(row.actor), cause, row)
        except CommandRefused as error:
            if error.retry is not Retry.NEVER:
                raise
            await asyncio.to_thread(self._store.drop, row.freeze_id)

    async def place(self, actor: Actor, cause: Cause, row: FreezeRow) -> None:
        """Carry out a freeze that is written down, and say so. Raises: CommandError."""
        noted = replace(cause, note=row.reason[:64])
        done = await self._commands.do(
            actor, noted, "freeze", account_id=row.account_id, what=row.what
        )
        await asyncio.to_thread(
            lambda: self._store.settle(
                row.freeze_id,
                position=done["position"],
                placed_us=done["ts_us"],
                notice="account_frozen",
            )
        )

    async def end(
        self, actor: Actor, cause: Cause, freeze: Freeze, state: Literal["lifted", "expired"]
    ) -> None:
        """Unfreeze what no other freeze of the account blocks, then write it down."""
        noted = replace(cause, note=f"{state} {freeze.freeze_id}")
        position = await self.free(actor, noted, freeze)
        await asyncio.to_thread(
            lambda: self._store.end(
                freeze.freeze_id,
                state=state,
                by=actor.subject,
                now_us=self._clock(),
                notice="account_unfrozen",
                position=position,
            )
        )

    async def free(self, actor: Actor, cause: Cause, freeze: Freeze) -> int:
        """Unfreeze what only this freeze blocks; its record's position, 0 = there is none. On a
        closed account there is nothing to free.

        The account's version is read before its other freezes are, and named in the command: one
        that is placed in between makes it look again, under the next operation id.
        Raises: CommandError version_conflict: the account never stood still.
        """
        for number in range(ATTEMPTS_MAX):
            step = cause
            if number:
                step = replace(cause, operation_id=cause.part("again", str(number)))
            done: Mapping[str, Any] | None = await self._commands.find_operation(step.operation_id)
            if done is None:
                done = await self._unfreeze(actor, step, freeze)
            if done is None or done["reason"] == CLOSED:
                return 0
            if is_accepted(done):
                return int(done.get("position", 0))
        raise CommandError("version_conflict", "the account keeps changing", retry=Retry.SAFE)

    async def _unfreeze(
        self, actor: Actor, cause: Cause, freeze: Freeze
    ) -> Mapping[str, Any] | None:
        """What became of it; None: there is nothing to free. Raises: CommandError."""
        shown = await self._commands.read("account_show", account_id=freeze.account_id)
        others = await asyncio.to_thread(self._store.list_account, freeze.account_id)
        left = _blocked(one for one in others if one.freeze_id != freeze.freeze_id)
        free = PARTS[freeze.what] - left
        if not free or "closed" in shown["status_names"]:
            return None
        try:
            return await self._commands.do(
                actor,
                cause,
                "unfreeze",
                account_id=freeze.account_id,
                what="both" if len(free) == 2 else free.pop(),
                expected_version=shown["version"],
            )
        except CommandRefused as error:
            if error.code not in (CONFLICT, CLOSED):
                raise
            return {"reason": error.code}


async def _alone(work: Awaitable[None], row: FreezeRow) -> bool:
    """Whether it was done; what stands in its way is left for the next round."""
    try:
        await work
    except (CommandError, Uncertain) as error:
        if error.code == "COMMAND_NOT_SENT":
            raise
        log.warning("freeze_put_off", extra={"freeze": row.freeze_id, "code": error.code})
        return False
    return True


class Freezes:
    """The services on freezes."""

    def __init__(
        self,
        commands: Commands,
        access: AccountAccess,
        store: FreezeStore,
        eyes: FourEyes,
        clock: Callable[[], int],
    ) -> None:
        self._commands = commands
        self._access = access
        self._store = store
        self._eyes = eyes
        self._clock = clock
        self._clockwork = FreezeClock(commands, store, clock)

    async def place(
        self, actor: Actor, cause: Cause, account_id: int, order: FreezeOrder
    ) -> Freeze:
        """Freeze an account. Noted before the command, so that a crash loses no freeze's reason."""
        await self._access.require(actor, account_id, Scope.FREEZES_WRITE)
        freeze_id = format_operation_id(cause.operation_id)
        known = await asyncio.to_thread(self._store.find, freeze_id)
        if known is None and 0 < order.expires_us <= self._clock():
            raise _expired()
        row = FreezeRow(
            freeze_id=freeze_id,
            account_id=account_id,
            what=order.what,
            reason=order.reason,
            rule=order.rule,
            actor=actor.subject,
            state="placing",
            placed_us=self._clock(),
            position=0,
            expires_us=order.expires_us,
        )
        await asyncio.to_thread(self._store.begin, row)
        try:
            await self._clockwork.place(actor, cause, row)
        except CommandRefused:
            await asyncio.to_thread(self._store.drop, freeze_id)
            raise
        return await self._get(freeze_id)

    async def list(self, actor: Actor, account_id: int) -> list[Freeze]:
        """All freezes of an account, also those that are over."""
        await self._access.require(actor, account_id, Scope.ACCOUNTS_READ)
        found = await asyncio.to_thread(self._store.list_account, account_id)
        return [freeze_of(one) for one in found]

    async def lift(self, actor: Actor, cause: Cause, account_id: int, freeze_id: str) -> Freeze:
        """End a freeze; somebody else has to agree when the policy says so.

        Raises: ApprovalNeeded; ApiError API_NOT_FOUND; CommandError.
        """
        await self._access.require(actor, account_id, Scope.FREEZES_WRITE)
        found = await self._get(freeze_id)
        if found.account_id != account_id:
            raise _unknown(freeze_id)
        if found.state == "active":
            await self._eyes.require_unfreeze(actor, found, cause)
            await self._clockwork.end(actor, cause, found, "lifted")
        return await self._get(freeze_id)

    async def lift_unlisted(self, actor: Actor, cause: Cause, account_id: int, what: What) -> None:
        """Unfreeze what is frozen in the data plane and by no freeze that is written down.

        Raises: ApprovalNeeded; ApiError API_CONFLICT: there is a freeze to lift; CommandError.
        """
        await self._access.require(actor, account_id, Scope.FREEZES_WRITE)
        found = await asyncio.to_thread(self._store.list_account, account_id)
        if _blocked(found) & PARTS[what]:
            raise ApiError("API_CONFLICT", "name the freeze that is to be lifted")
        bare = freeze_of(FreezeRow("", account_id, what, "", "", "", "active", 0, 0, 0))
        await self._eyes.require_unfreeze(actor, bare, cause)
        await self._clockwork.free(actor, cause, bare)

    async def _get(self, freeze_id: str) -> Freeze:
        row = await asyncio.to_thread(self._store.find, freeze_id)
        if row is None:
            raise _unknown(freeze_id)
        return freeze_of(row)


def _blocked(freezes: Iterable[FreezeRow]) -> set[str]:
    """What freezes in force block together."""
    return {part for one in freezes if one.state in OPEN for part in PARTS[one.what]}


def _unknown(freeze_id: str) -> ApiError:
    return ApiError("API_NOT_FOUND", f"there is no freeze {freeze_id}")


def _expired() -> ApiError:
    fault = {
        "part": "body",
        "pointer": "/expires_us",
        "rule": "future",
        "detail": "must lie in the future",
    }
    return ApiError("API_INVALID", "a freeze cannot be over before it begins", faults=[fault])


def freeze_of(row: FreezeRow) -> Freeze:
    """A row as it is shown."""
    return Freeze(
        freeze_id=row.freeze_id,
        account_id=row.account_id,
        what=row.what,  # type: ignore[arg-type]
        reason=row.reason,
        rule=row.rule,
        actor=row.actor,
        state=row.state,  # type: ignore[arg-type]
        placed_us=row.placed_us,
        position=row.position,
        expires_us=row.expires_us,
        lifted_us=row.lifted_us,
        lifted_by=row.lifted_by,
    )
