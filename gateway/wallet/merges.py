"""Merging accounts: the media and the money of one go to another, and the empty one is closed.

What cannot go along is said before anything moves: holds, plans, a credit line, passes,
concessions, an open journey, purses that have ended, another currency. What is refused on the way
is undone step by step (gateway/wallet/merge_runner.py). Nothing of it is spending: no limit on that
asks or counts it, and the ledger posts it over a suspense account.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from gateway.clock import format_operation_id
from gateway.errors import ApiError, CommandError
from gateway.registry.actors import Actor
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, InstantUs, OperationId, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.commands import Cause
from gateway.wallet.holds import key_of
from gateway.wallet.merge_runner import (
    KIND,
    PAUSE_US,
    MergeRunner,
    Step,
    balance_of,
    whole_body,
)
from gateway.wallet.stores.sagas import SagaRow

OPEN_JOURNEY = 1
ABOUT = ("expires_us", "sponsor", "purposes", "priority")
"""What two purses have to have alike to become one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """One merge and how far it has come."""

    merge_id: OperationId
    from_account_id: AccountId
    to_account_id: AccountId
    state: Literal["running", "done", "failed"]
    media_moved: int
    amount_minor: Annotated[
        int, says("what went from the one to the other, of all purses, minor units")
    ]
    reason: Annotated[str, says("why it failed, or waits; what had moved is back then")]
    created_us: InstantUs
    changed_us: InstantUs


@dataclass(frozen=True, slots=True)
class MergeOrder:
    """Which accounts, and the tokens of the media that are to move."""

    from_account_id: int
    to_account_id: int
    tokens: Sequence[bytes]


class Merges:
    """The services on merges."""

    def __init__(self, runner: MergeRunner, access: AccountAccess) -> None:
        self._runner = runner
        self._access = access
        self._commands = runner.commands
        self._store = runner.store
        self._sealer = runner.sealer
        self._clock = runner.clock

    async def start(self, actor: Actor, cause: Cause, order: MergeOrder) -> Merge:
        """Begin a merge and carry it as far as it goes now; the same cause goes on with it.

        Raises: CommandError COMMAND_NOT_MERGED, currency_mismatch; ApiError API_INVALID.
        """
        if order.from_account_id == order.to_account_id:
            raise ApiError("API_INVALID", "an account is not merged into itself")
        await self._access.require(actor, order.from_account_id, Scope.ACCOUNTS_WRITE)
        await self._access.require(actor, order.to_account_id, Scope.ACCOUNTS_WRITE)
        saga_id = format_operation_id(cause.operation_id)
        if await asyncio.to_thread(self._store.find, saga_id) is None:
            body = await self._plan(cause, order)
            row = _row(actor, saga_id, body, self._clock())
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

    async def _plan(self, cause: Cause, order: MergeOrder) -> dict[str, Any]:
        """The steps, from what both accounts have now."""
        old = await self._commands.read("account_show", account_id=order.from_account_id)
        new = await self._commands.read("account_show", account_id=order.to_account_id)
        cells = (await self._commands.read("cells_show", account_id=order.from_account_id))["cells"]
        check_mergeable(old, new, cells, self._clock())
        saga_id = format_operation_id(cause.operation_id)
        steps: list[Step] = [{"do": "medium", "n": n} for n in range(len(order.tokens))]
        steps += _money_steps(cause, old, new)
        return {
            "from": order.from_account_id,
            "to": order.to_account_id,
            "currency": old["currency"],
            "key": cause.key,
            "tokens": [self._sealer.seal(saga_id, token).hex() for token in order.tokens],
            "steps": [*steps, {"do": "close"}],
        }

    async def _get(self, saga_id: str) -> SagaRow:
        found = await asyncio.to_thread(self._store.find, saga_id)
        if found is None or found.kind != KIND:
            raise _unknown(saga_id)
        return found


def check_mergeable(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    cells: Iterable[Mapping[str, Any]],
    now_us: int,
) -> None:
    """Whether all that the old account has can go along.

    Raises: CommandError COMMAND_NOT_MERGED that says what cannot; currency_mismatch.
    """
    if old["currency"] != new["currency"]:
        raise CommandError("currency_mismatch", "the accounts are in different currencies")
    kept = [
        *(["a debt"] if old["balance_minor"] < 0 else []),
        *(["a credit line"] if old["credit_limit_minor"] else []),
        *(["an open journey"] if old["journey_state"] == OPEN_JOURNEY else []),
        *(f"hold {one['key']}" for one in old["holds"]),
        *(f"plan {one['key']}" for one in old["plans"]),
        *filter(None, (_kept_cell(cell, now_us) for cell in cells)),
        *(f"the status {name}" for name in old["status_names"]),
        *(f"the status {name} of the other" for name in new["status_names"] if name in _BARS),
    ]
    if kept:
        raise CommandError("COMMAND_NOT_MERGED", f"cannot go along: {', '.join(kept)}")


_BARS = ("closed", "frozen_credit")
"""With these an account takes no money in."""


def _kept_cell(cell: Mapping[str, Any], now_us: int) -> str:
    """What a cell has that would be lost; empty = nothing."""
    match cell["cell"]:
        case "purse" if cell["balance_minor"] and 0 < cell["expires_us"] <= now_us:
            return f"purse {cell['purse_id']}, which has ended"
        case "pass" if cell["rides_left"] and not 0 < cell["until_us"] <= now_us:
            return f"pass {cell['pass_id']}"
        case "concession" if cell["until_us"] > now_us:
            return f"concession {cell['rider_category']}"
    return ""


def _money_steps(cause: Cause, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Step]:
    """Each purse goes out and in; the new account gets one like the old one where it lacks it."""
    there = {one["key"]: one for one in new["purses"]}
    steps: list[Step] = []
    for one in old["purses"]:
        if not one["balance_minor"]:
            continue
        key = one["key"]
        if key in there and any(there[key][name] != one[name] for name in ABOUT):
            key = key_of(cause.part(f"purse {key}"))
        if key not in there:
            about = {name: one[name] for name in ("purposes", "priority", "expires_us")}
            steps.append({"do": "open", "key": key, "merchant": one["sponsor"], **about})
        steps += _over(one["key"], key)
    for purse in (1, 0):
        if balance_of(old, purse) or purse == 0:
            steps += _over(purse, purse)
    return steps


def _over(purse: int, key: int) -> list[Step]:
    return [{"do": "out", "purse": purse}, {"do": "in", "purse": purse, "key": key}]


def _row(actor: Actor, saga_id: str, body: Mapping[str, Any], now_us: int) -> SagaRow:
    return SagaRow(
        saga_id=saga_id,
        kind=KIND,
        tenant_id=actor.tenant_id,
        actor=actor.subject,
        state="running",
        step=0,
        body=body,
        created_us=now_us,
        changed_us=now_us,
        next_us=now_us + PAUSE_US,
    )


def merge_of(row: SagaRow) -> Merge:
    """A saga as it is shown."""
    body = whole_body(row.body)
    over = len(body["steps"]) if row.state == "done" else row.step - int(body.get("undone", 0))
    done = body["steps"][:over]
    moved = [int(body.get(f"amount {one['purse']}", 0)) for one in done if one["do"] == "in"]
    return Merge(
        merge_id=row.saga_id,
        from_account_id=body["from"],
        to_account_id=body["to"],
        state=row.state,  # type: ignore[arg-type]
        media_moved=sum(one["do"] == "medium" for one in done),
        amount_minor=sum(moved),
        reason=row.last_error if row.state != "done" else "",
        created_us=row.created_us,
        changed_us=row.changed_us,
    )


def _unknown(merge_id: str) -> ApiError:
    return ApiError("API_NOT_FOUND", f"there is no merge {merge_id}")
