"""Passes and concessions of an account: what it is entitled to for a span of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from gateway.errors import CommandError
from gateway.registry.actors import Actor
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, InstantUs, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.commands import Cause, Commands, Movement
from gateway.wallet.eyes import Eyes

ANY_RIDES = -1
FOR_EVER_US = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass, as the data plane knows it now."""

    pass_id: Annotated[int, says("number of the tariff's product")]
    from_us: InstantUs
    until_us: Annotated[InstantUs, says("0 = it begins with the first use")]
    rides_left: Annotated[int, says("-1 = any number")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concession:
    """A rider category for a span of time; it beats the account's own."""

    rider_category: int
    from_us: InstantUs
    until_us: InstantUs


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlements:
    """What an account is entitled to."""

    account_id: AccountId
    passes: tuple[Pass, ...]
    concessions: tuple[Concession, ...]


@dataclass(frozen=True, slots=True)
class PassOrder:
    """A pass to be sold.

    price_minor: taken from the stored value, 0 = paid elsewhere. until_us: 0 = its time begins with
    the first use. rides: -1 = any number.
    """

    pass_id: int
    price_minor: int = 0
    from_us: int = 0
    until_us: int = FOR_EVER_US
    rides: int = ANY_RIDES


class Passes:
    """The services on passes and concessions. Amounts are int minor units, instants UTC us."""

    def __init__(self, commands: Commands, access: AccountAccess, eyes: Eyes) -> None:
        self._commands = commands
        self._access = access
        self._eyes = eyes

    async def get(self, actor: Actor, account_id: int) -> Entitlements:
        """Raises: CommandError unknown_account."""
        await self._access.require(actor, account_id, Scope.ACCOUNTS_READ)
        cells = (await self._commands.read("cells_show", account_id=account_id))["cells"]
        return Entitlements(
            account_id=account_id,
            passes=tuple(_build_pass(cell) for cell in cells if cell["cell"] == "pass"),
            concessions=tuple(
                _build_concession(cell) for cell in cells if cell["cell"] == "concession"
            ),
        )

    async def add(self, actor: Actor, cause: Cause, account_id: int, order: PassOrder) -> Movement:
        """Put a pass on an account. Raises: CommandError COMMAND_BAD_ARGUMENT, COMMAND_CEILING."""
        await self._access.require(actor, account_id, Scope.ACCOUNTS_WRITE)
        return await self._commands.move(
            actor,
            cause,
            "pass_add",
            account_id=account_id,
            pass_id=order.pass_id,
            amount_minor=order.price_minor,
            from_us=order.from_us,
            until_us=order.until_us,
            rides=order.rides,
        )

    async def remove(
        self,
        actor: Actor,
        cause: Cause,
        account_id: int,
        pass_id: int,
        *,
        refund_minor: int = 0,
        from_us: int = 0,
    ) -> Movement:
        """Take a pass off: the oldest with this number, or the one valid from then.

        What is given back for it is whatever the caller says, so it is agreed to as a correction.
        Raises: ApprovalNeeded.
        """
        await self._access.require(actor, account_id, Scope.ACCOUNTS_WRITE)
        if refund_minor:
            await self._eyes.require_pass_refund(
                actor, cause, account_id, refund_minor, pass_id=pass_id, from_us=from_us
            )
        return await self._commands.move(
            actor,
            cause,
            "pass_remove",
            account_id=account_id,
            pass_id=pass_id,
            amount_minor=refund_minor,
            from_us=from_us,
        )

    async def set_concession(
        self, actor: Actor, cause: Cause, account_id: int, wanted: Concession
    ) -> Movement:
        """Give a rider category for a span of time.

        Raises: CommandError COMMAND_BAD_ARGUMENT: it would end before it begins.
        """
        await self._access.require(actor, account_id, Scope.ACCOUNTS_WRITE)
        if wanted.until_us <= wanted.from_us:
            raise CommandError("COMMAND_BAD_ARGUMENT", "until_us must lie behind from_us")
        return await self._commands.move(
            actor,
            cause,
            "concession_set",
            account_id=account_id,
            rider_category=wanted.rider_category,
            from_us=wanted.from_us,
            until_us=wanted.until_us,
        )

    async def remove_concession(
        self, actor: Actor, cause: Cause, account_id: int, rider_category: int
    ) -> Movement:
        """Take a concession away at once."""
        await self._access.require(actor, account_id, Scope.ACCOUNTS_WRITE)
        return await self._commands.move(
            actor,
            cause,
            "concession_remove",
            account_id=account_id,
            rider_category=rider_category,
        )


def _build_pass(cell: dict[str, Any]) -> Pass:
    return Pass(
        pass_id=cell["pass_id"],
        from_us=cell["from_us"],
        until_us=cell["until_us"],
        rides_left=cell["rides_left"],
    )


def _build_concession(cell: dict[str, Any]) -> Concession:
    return Concession(
        rider_category=cell["rider_category"], from_us=cell["from_us"], until_us=cell["until_us"]
    )
