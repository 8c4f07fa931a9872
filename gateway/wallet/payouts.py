"""Payouts: money of an account goes out to a bank account.

Whoever asks gets a payout that is placed, and nothing has moved yet: what is to be done is written
down first, and the worker does it (gateway/wallet/payout_job.py). It takes the account's own money
only. What the bank refuses comes back to the account (gateway/delivery/funding.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from gateway.clock import format_operation_id
from gateway.errors import ApiError, CommandError
from gateway.registry.actors import Actor
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, AmountMinor, InstantUs, OperationId, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.commands import Cause, Commands
from gateway.wallet.eyes import Eyes
from gateway.wallet.sealing import Sealer
from gateway.wallet.stores.sagas import SagaRow, SagaStore

KIND = "payout"
PAUSE_US = 5_000_000
"""Until the worker tries again what was not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """One payout and how far it has come."""

    payout_id: OperationId
    account_id: AccountId
    amount_minor: AmountMinor
    bank: Annotated[str, says("which bank pays it out")]
    state: Annotated[
        Literal["placed", "sent", "done", "refused"],
        says(
            "placed: the bank is not told yet; sent: taken from the account, and the bank is told;"
            " refused: nothing was taken, or it comes back"
        ),
    ]
    reason: Annotated[str, says("why it was refused, or waits")]
    key: Annotated[str, says("what it is called at the bank")]
    created_us: InstantUs
    changed_us: InstantUs


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """What goes where. bank: an adapter of the settings; destination and name are told to the bank
    alone.
    """

    account_id: int
    amount_minor: int
    bank: str
    destination: str
    name: str = ""


class Deliveries(Protocol):
    """How far the bank has been told. Blocking."""

    def find_state(self, key: str) -> tuple[str, str] | None:
        """The command's state and what was last said of it; None = there is none yet."""


@dataclass(frozen=True, slots=True)
class PayoutBook:
    """Where payouts are written down. banks: those that pay out. Blocking."""

    store: SagaStore
    sealer: Sealer
    deliveries: Deliveries
    banks: Callable[[], Collection[str]]


class Payouts:
    """The services on payouts."""

    def __init__(
        self,
        commands: Commands,
        access: AccountAccess,
        eyes: Eyes,
        book: PayoutBook,
        clock: Callable[[], int],
    ) -> None:
        self._commands = commands
        self._access = access
        self._eyes = eyes
        self._store = book.store
        self._sealer = book.sealer
        self._deliveries = book.deliveries
        self._banks = book.banks
        self._clock = clock

    async def place(self, actor: Actor, cause: Cause, order: PayoutOrder) -> Payout:
        """Write down what is to be paid out; the same cause, the same payout.

        Raises: ApprovalNeeded. ApiError API_INVALID: no such bank. CommandError
            insufficient_balance: the account does not have it, whatever its credit line.
        """
        await self._access.require(actor, order.account_id, Scope.PAYOUTS_WRITE)
        payout_id = format_operation_id(cause.operation_id)
        found = await asyncio.to_thread(self._store.find, payout_id)
        if found is None:
            await self._check(order)
            await self._eyes.require_payout(actor, cause, order)
            await asyncio.to_thread(self._store.add, self._row(actor, cause, order))
        return await self._show(payout_id)

    async def get(self, actor: Actor, payout_id: str) -> Payout:
        """How far a payout has come. Raises: ApiError API_NOT_FOUND."""
        actor.require(Scope.PAYOUTS_WRITE)
        found = await self._get(payout_id)
        if not actor.is_house and found.tenant_id != actor.tenant_id:
            raise _unknown(payout_id)
        return await self._show(payout_id)

    async def _check(self, order: PayoutOrder) -> None:
        """What can be seen beforehand; the engine decides when it is carried out."""
        if order.bank not in await asyncio.to_thread(self._banks):
            raise ApiError("API_INVALID", f"{order.bank} is no bank that pays out")
        shown = await self._commands.read("account_show", account_id=order.account_id)
        if shown["balance_minor"] - shown["held_minor"] < order.amount_minor:
            raise CommandError(
                "insufficient_balance",
                "a payout is of the account's own money, without what is held",
            )

    def _row(self, actor: Actor, cause: Cause, order: PayoutOrder) -> SagaRow:
        payout_id, now_us = format_operation_id(cause.operation_id), self._clock()
        personal = json.dumps({"to": order.destination, "name": order.name}).encode()
        return SagaRow(
            saga_id=payout_id,
            kind=KIND,
            tenant_id=actor.tenant_id,
            actor=actor.subject,
            state="running",
            step=0,
            body={
                "account": order.account_id,
                "amount_minor": order.amount_minor,
                "bank": order.bank,
                "personal": self._sealer.seal(payout_id, personal).hex(),
                "key": cause.key,
            },
            created_us=now_us,
            changed_us=now_us,
            next_us=now_us,
        )

    async def _get(self, payout_id: str) -> SagaRow:
        found = await asyncio.to_thread(self._store.find, payout_id)
        if found is None or found.kind != KIND:
            raise _unknown(payout_id)
        return found

    async def _show(self, payout_id: str) -> Payout:
        row = await self._get(payout_id)
        told = await asyncio.to_thread(self._deliveries.find_state, key_of(payout_id))
        return payout_of(row, told)


def key_of(payout_id: str) -> str:
    """What a payout is called at the bank, and in `faregate adapter show`."""
    return f"funding:refund:{payout_id.replace('-', '')}"


def payout_of(row: SagaRow, told: tuple[str, str] | None) -> Payout:
    """A payout as it is shown. told: state of the command to the bank, and what was last said; None
    when there is no command, not yet or no longer.
    """
    state: Literal["placed", "sent", "done", "refused"] = "placed"
    reason = row.last_error
    if row.state == "failed":
        state = "refused"
    elif told is not None:
        delivered, reason = told
        state = _STATES.get(delivered, "sent")
        if delivered == "dead":
            reason = f"an operator has to look: {reason}"
    elif row.state == "done":
        state, reason = "sent", "too long ago: what the bank said is no longer kept"
    return Payout(
        payout_id=row.saga_id,
        account_id=row.body["account"],
        amount_minor=row.body["amount_minor"],
        bank=row.body["bank"],
        state=state,
        reason=reason,
        key=key_of(row.saga_id),
        created_us=row.created_us,
        changed_us=row.changed_us,
    )


_STATES: dict[str, Literal["done", "refused"]] = {"done": "done", "rejected": "refused"}
"""Of a command that is over; any other is under way."""


def _unknown(payout_id: str) -> ApiError:
    return ApiError("API_NOT_FOUND", f"there is no payout {payout_id}")
