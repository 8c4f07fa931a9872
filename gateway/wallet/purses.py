"""Purses, identity tier, and the operator's part of the credit line: late state, write-off."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from gateway.registry.actors import Actor
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, InstantUs, OperationId, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.commands import Cause, Commands, Movement, check_version
from gateway.wallet.eyes import Eyes
from gateway.wallet.holds import key_of


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedPurse:
    """A purse that was opened."""

    operation_id: OperationId
    account_id: AccountId
    purse_id: Annotated[int, says("name it in credits and payments")]
    position: int
    ts_us: InstantUs


@dataclass(frozen=True, slots=True)
class PurseOrder:
    """What a purse is for. priority: lower ones pay first. expires_us: 0 = never. key: its number,
    0 = what follows from the operation.
    """

    purposes: Iterable[int]
    priority: int
    expires_us: int = 0
    merchant_id: int = 0
    key: int = 0


class Purses:
    """The services on purses, tiers and lateness."""

    def __init__(self, commands: Commands, access: AccountAccess, eyes: Eyes) -> None:
        self._commands = commands
        self._access = access
        self._eyes = eyes

    async def open(
        self, actor: Actor, cause: Cause, account_id: int, order: PurseOrder
    ) -> tuple[OpenedPurse, bool]:
        """An empty purse, and whether it was opened before."""
        await self._access.require(actor, account_id, Scope.ACCOUNTS_WRITE)
        key = order.key or key_of(cause.operation_id)
        done = await self._commands.do(
            actor,
            cause,
            "purse_open",
            account_id=account_id,
            key=key,
            purposes=sum(1 << purpose for purpose in set(order.purposes)),
            priority=order.priority,
            expires_us=order.expires_us,
            merchant=order.merchant_id,
        )
        made = OpenedPurse(
            operation_id=done["operation_id"],
            account_id=account_id,
            purse_id=key,
            position=done["position"],
            ts_us=done["ts_us"],
        )
        return made, done["repeated"]

    async def close(self, actor: Actor, cause: Cause, account_id: int, purse_id: int) -> Movement:
        """Remove an empty purse."""
        return await self._end(actor, cause, "purse_close", account_id, purse_id)

    async def sweep(self, actor: Actor, cause: Cause, account_id: int, purse_id: int) -> Movement:
        """Take what is left in an expired purse back to its sponsor."""
        return await self._end(actor, cause, "purse_sweep", account_id, purse_id)

    async def _end(
        self, actor: Actor, cause: Cause, op: str, account_id: int, purse_id: int
    ) -> Movement:
        await self._access.require(actor, account_id, Scope.ACCOUNTS_WRITE)
        return await self._commands.move(actor, cause, op, account_id=account_id, key=purse_id)

    async def set_tier(
        self, actor: Actor, cause: Cause, account_id: int, tier: int, *, expected_version: int = 0
    ) -> Movement:
        """The identity tier, which says what limits hold."""
        await self._access.require(actor, account_id, Scope.ACCOUNTS_WRITE)
        return await self._commands.move(
            actor,
            cause,
            "set_tier",
            account_id=account_id,
            tier=tier,
            expected_version=expected_version,
        )

    async def write_off(
        self,
        actor: Actor,
        cause: Cause,
        account_id: int,
        amount_minor: int,
        *,
        expected_version: int,
    ) -> Movement:
        """Give a debt up, when somebody else agrees. Raises: ApprovalNeeded."""
        await self._access.require(actor, account_id, Scope.LENDING_WRITE)
        await check_version(self._commands, cause, account_id, expected_version)
        await self._eyes.require_write_off(actor, cause, account_id, amount_minor)
        return await self._commands.move(
            actor,
            cause,
            "write_off",
            account_id=account_id,
            amount_minor=amount_minor,
            expected_version=expected_version,
        )
