"""Merging accounts: the media and the money of one go to another, which is a saga of commands.

Steps: each medium moves; what is in the main purse goes out of the one account, then into the
other; the empty account is closed. Each step's operation id follows from the saga, so whoever goes
on after a crash repeats nothing. Money that cannot go in goes back; then the saga has failed, and
says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from gateway.clock import format_operation_id, parse_operation_id
from gateway.control.client import CommandRefused
from gateway.control.frames import Reply
from gateway.errors import ApiError, CommandError, FareGatewayError, Retry
from gateway.registry.actors import Actor
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, InstantUs, OperationId, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.commands import Cause, Commands
from gateway.wallet.sealing import Sealer
from gateway.wallet.stores.sagas import SagaRow, SagaStore

PAUSE_US = 5_000_000
KIND = "merge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """One merge and how far it has come."""

    merge_id: OperationId
    from_account_id: AccountId
    to_account_id: AccountId
    state: Literal["running", "done", "failed"]
    media_moved: int
    amount_minor: Annotated[int, says("what went from the one to the other, minor units")]
    reason: Annotated[str, says("why it failed, or waits")]
    created_us: InstantUs
    changed_us: InstantUs


@dataclass(frozen=True, slots=True)
class MergeOrder:
    """Which accounts, and the tokens of the media that are to move."""

    from_account_id: int
    to_account_id: int
    tokens: Sequence[bytes]


class MergeRunner:
    """Carries merges on, from wherever they stand."""

    def __init__(
        self, commands: Commands, store: SagaStore, sealer: Sealer, clock: Callable[[], int]
    ) -> None:
        self._commands = commands
        self._store = store
        self._sealer = sealer
        self._clock = clock

    async def run_due(self) -> int:
        """Carry on what waits. Returns how many."""
        due = await asyncio.to_thread(self._store.list_due, self._clock(), KIND)
        for row in due:
            await self.advance(row)
        return len(due)

    async def advance(self, row: SagaRow) -> None:
        """As far as it goes now. What is not known or not sent is tried again later."""
        cause = Cause(parse_operation_id(row.saga_id), reference=f"merge {row.saga_id[:36]}")
        actor = Actor.system(row.actor)
        body = dict(row.body)
        try:
            for step in range(row.step, len(body["tokens"]) + 3):
                await self._step(actor, cause, row, body, step)
                await self._save(row, step + 1, body)
            await self._end(row, "done", body, "")
        except CommandRefused as error:
            if error.retry is Retry.NEVER:
                await self._end(row, "failed", body, error.code)
            else:
                await self._wait(row, error)
        except CommandError as error:
            await self._wait(row, error)
        except FareGatewayError as error:
            if error.retry is Retry.NEVER:
                raise
            await self._wait(row, error)

    async def _step(
        self, actor: Actor, cause: Cause, row: SagaRow, body: dict[str, Any], step: int
    ) -> None:
        media = len(body["tokens"])
        if step < media:
            sealed = bytes.fromhex(body["tokens"][step])
            token = self._sealer.open(row.saga_id, sealed)
            await self._do(
                actor, cause, f"medium {step}", "medium_move", account_id=body["to"], token=token
            )
        elif step == media:
            await self._take_out(actor, cause, row, body)
        elif step == media + 1:
            await self._put_in(actor, cause, body)
        else:
            await self._do(actor, cause, "close", "close", account_id=body["from"])

    async def _take_out(
        self, actor: Actor, cause: Cause, row: SagaRow, body: dict[str, Any]
    ) -> None:
        """The amount is written down before it is taken, so that the same one goes in."""
        if "amount_minor" not in body:
            shown = await self._commands.read("account_show", account_id=body["from"])
            if shown["balance_minor"] < 0 or shown["held_minor"]:
                raise _refused("balance_not_zero", "the account owes something or holds something")
            body["amount_minor"] = shown["balance_minor"]
            await self._save(row, len(body["tokens"]), body)
        if body["amount_minor"]:
            amount = body["amount_minor"]
            await self._do(
                actor, cause, "out", "debit", account_id=body["from"], amount_minor=amount
            )

    async def _put_in(self, actor: Actor, cause: Cause, body: dict[str, Any]) -> None:
        amount = body["amount_minor"]
        if not amount:
            return
        try:
            await self._do(actor, cause, "in", "credit", account_id=body["to"], amount_minor=amount)
        except CommandRefused as error:
            if error.retry is Retry.NEVER:
                await self._do(
                    actor, cause, "back", "credit", account_id=body["from"], amount_minor=amount
                )
                body["amount_minor"] = 0
            raise

    async def _do(self, actor: Actor, cause: Cause, part: str, op: str, **args: Any) -> None:
        step = Cause(cause.part(part), cause.key, cause.reference, cause.note)
        await self._commands.do(actor, step, op, **args)

    async def _save(self, row: SagaRow, step: int, body: dict[str, Any]) -> None:
        await asyncio.to_thread(
            lambda: self._store.change(row.saga_id, step=step, body=body, now_us=self._clock())
        )

    async def _end(self, row: SagaRow, state: str, body: dict[str, Any], error: str) -> None:
        found = await asyncio.to_thread(self._store.find, row.saga_id)
        step = found.step if found is not None else row.step
        await asyncio.to_thread(
            lambda: self._store.change(
                row.saga_id,
                step=step,
                body=body,
                now_us=self._clock(),
                state=state,
                last_error=error,
            )
        )

    async def _wait(self, row: SagaRow, error: FareGatewayError) -> None:
        found = await asyncio.to_thread(self._store.find, row.saga_id)
        if found is None:
            return
        await asyncio.to_thread(
            lambda: self._store.change(
                row.saga_id,
                step=found.step,
                body=found.body,
                now_us=self._clock(),
                next_us=self._clock() + PAUSE_US,
                attempts=found.attempts + 1,
                last_error=error.code,
            )
        )


class Merges:
    """The services on merges."""

    def __init__(
        self,
        runner: MergeRunner,
        access: AccountAccess,
        store: SagaStore,
        sealer: Sealer,
        clock: Callable[[], int],
    ) -> None:
        self._runner = runner
        self._access = access
        self._store = store
        self._sealer = sealer
        self._clock = clock

    async def start(self, actor: Actor, cause: Cause, order: MergeOrder) -> Merge:
        """Begin a merge and carry it as far as it goes now; the same cause goes on with it."""
        await self._access.require(actor, order.from_account_id, Scope.ACCOUNTS_WRITE)
        await self._access.require(actor, order.to_account_id, Scope.ACCOUNTS_WRITE)
        saga_id = format_operation_id(cause.operation_id)
        now_us = self._clock()
        row = SagaRow(
            saga_id=saga_id,
            kind=KIND,
            tenant_id=actor.tenant_id,
            actor=actor.subject,
            state="running",
            step=0,
            body={
                "from": order.from_account_id,
                "to": order.to_account_id,
                "tokens": [self._sealer.seal(saga_id, token).hex() for token in order.tokens],
            },
            created_us=now_us,
            changed_us=now_us,
            next_us=now_us + PAUSE_US,
        )
        await asyncio.to_thread(self._store.add, row)
        found = await self._get(saga_id)
        if found.state == "running":
            await self._runner.advance(found)
        return merge_of(await self._get(saga_id))

    async def get(self, actor: Actor, merge_id: str) -> Merge:
        """How far a merge has come. Raises: ApiError API_NOT_FOUND."""
        actor.require(Scope.ACCOUNTS_READ)
        found = await self._get(merge_id)
        if not actor.is_house and found.tenant_id != actor.tenant_id:
            raise _unknown(merge_id)
        return merge_of(found)

    async def _get(self, saga_id: str) -> SagaRow:
        found = await asyncio.to_thread(self._store.find, saga_id)
        if found is None or found.kind != KIND:
            raise _unknown(saga_id)
        return found


def merge_of(row: SagaRow) -> Merge:
    """A saga as it is shown."""
    media = len(row.body["tokens"])
    return Merge(
        merge_id=row.saga_id,
        from_account_id=row.body["from"],
        to_account_id=row.body["to"],
        state=row.state,  # type: ignore[arg-type]
        media_moved=min(row.step, media),
        amount_minor=row.body.get("amount_minor", 0) if row.step > media + 1 else 0,
        reason=row.last_error if row.state != "done" else "",
        created_us=row.created_us,
        changed_us=row.changed_us,
    )


def _unknown(merge_id: str) -> ApiError:
    return ApiError("API_NOT_FOUND", f"there is no merge {merge_id}")


def _refused(code: str, detail: str) -> CommandRefused:
    return CommandRefused(Reply(bytes(16), ok=False, code=code, detail=detail))
