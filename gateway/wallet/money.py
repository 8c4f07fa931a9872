"""Money in and out: credits, payments, adjustments."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.registry.actors import Actor
from gateway.registry.scopes import Scope
from gateway.wallet.access import AccountAccess
from gateway.wallet.commands import Cause, Commands, Movement, check_version
from gateway.wallet.eyes import Eyes
from gateway.wallet.inflows import Inflows, Wanted


@dataclass(frozen=True, slots=True)
class CreditOrder:
    """What is put in. merchant_id: whose till took it, 0 = the house. source: which books of the
    tenant's the reference is from.
    """

    amount_minor: int
    purse_id: int = 0
    merchant_id: int = 0
    source: str = ""


class Money:
    """The services that move value. Amounts are int minor units of the account's currency."""

    def __init__(
        self, commands: Commands, access: AccountAccess, eyes: Eyes, inflows: Inflows
    ) -> None:
        self._commands = commands
        self._access = access
        self._eyes = eyes
        self._inflows = inflows

    async def credit(
        self, actor: Actor, cause: Cause, account_id: int, order: CreditOrder
    ) -> Movement:
        """Value that came from outside, under the reference of the cause: each once.

        Raises: ApprovalNeeded. AuthError: a tenant names a merchant of its own. ApiError
            API_CONFLICT: the reference came with something else. CommandError COMMAND_CEILING.
        """
        await self._access.require(actor, account_id, Scope.CREDITS_WRITE)
        await self._access.require_merchant(actor, order.merchant_id)
        await self._eyes.require_credit(
            actor,
            cause,
            account_id,
            order.amount_minor,
            purse_id=order.purse_id,
            source=order.source,
            reference=cause.reference,
        )
        wanted = Wanted(
            tenant_id=actor.tenant_id,
            is_house=actor.is_house,
            source=order.source,
            account_id=account_id,
            amount_minor=order.amount_minor,
            purse_id=order.purse_id,
            merchant_id=order.merchant_id,
        )
        async with self._inflows.entered(wanted, cause) as first:
            return await self._commands.move(
                actor,
                first,
                "credit",
                account_id=account_id,
                amount_minor=order.amount_minor,
                purse=order.purse_id,
                merchant=order.merchant_id,
            )

    async def pay(
        self,
        actor: Actor,
        cause: Cause,
        account_id: int,
        amount_minor: int,
        *,
        purpose: int,
        merchant_id: int = 0,
        purse_id: int = 0,
        token: bytes = b"",
    ) -> Movement:
        """A payment to a merchant. purpose: 0-31. purse_id 0 draws by the funding order. token: of
        the medium that was shown.

        Raises: CommandRefused unknown_purse: also of a purse that is not for this purpose.
        """
        await self._access.require_shown(self._commands, actor, account_id, token)
        await self._access.require_merchant(actor, merchant_id)
        return await self._commands.move(
            actor,
            cause,
            "debit",
            account_id=account_id,
            amount_minor=amount_minor,
            purse=purse_id,
            purpose=purpose,
            merchant=merchant_id,
        )

    async def adjust(
        self,
        actor: Actor,
        cause: Cause,
        account_id: int,
        amount_minor: int,
        *,
        expected_version: int,
        purse_id: int = 0,
    ) -> Movement:
        """An operator's correction, when somebody else agrees.

        Raises: ApprovalNeeded. CommandRefused version_conflict.
        """
        await self._access.require(actor, account_id, Scope.ADJUSTMENTS_WRITE)
        await check_version(self._commands, cause, account_id, expected_version)
        await self._eyes.require_adjustment(
            actor, cause, account_id, amount_minor, purse_id=purse_id
        )
        return await self._commands.move(
            actor,
            cause,
            "adjust",
            account_id=account_id,
            amount_minor=amount_minor,
            expected_version=expected_version,
            purse=purse_id,
        )
