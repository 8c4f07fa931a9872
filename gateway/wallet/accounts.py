"""Accounts: opened, shown, listed, closed; identity tier, rider category, credit limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from gateway.clock import format_operation_id, now_us
from gateway.errors import ApiError
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, InstantUs, SignedMinor, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.commands import Cause, Commands, Movement, movement_of
from gateway.wallet.eyes import Eyes
from gateway.wallet.stores.accounts import AccountStore, Ownership
from gateway.windows import Window

StatusName = Literal["frozen_debit", "frozen_credit", "closed", "credit_late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """One balance inside an account. purse_id 0 is the main purse, 1 the transit subsidy."""

    purse_id: int
    balance_minor: SignedMinor
    purposes: Annotated[tuple[int, ...], says("0 transit, 1 meal, 2 medical, 3 library ...")] = ()
    priority: int = 0
    expires_us: InstantUs = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """The credit line. left_minor: what can still be drawn."""

    limit_minor: SignedMinor
    drawn_minor: SignedMinor
    plans_minor: SignedMinor
    left_minor: SignedMinor
    is_late: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account, as the data plane has it now."""

    account_id: AccountId
    version: Annotated[int, says("rises with every change; the ETag")]
    position: Annotated[int, says("journal position of the last change")]
    currency: Annotated[int, says("ISO 4217 number")]
    status: Annotated[tuple[StatusName, ...], says("none = active")]
    balance_minor: SignedMinor
    held_minor: SignedMinor
    spendable_minor: Annotated[
        int, says("main purse and transit subsidy less holds, without credit; minor units")
    ]
    credit_limit_minor: SignedMinor
    rider_category: int
    tier: Annotated[int, says("identity tier")]
    purses: tuple[Purse, ...]
    credit: Credit
    limits_used: Annotated[dict[str, int], says("of the identity tier's limits, minor units")]
    reference: str = ""
    tenant_id: str = ""
    opened_us: InstantUs = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRef:
    """An account in a list: whose it is, without its balance."""

    account_id: AccountId
    tenant_id: str
    reference: str
    opened_us: InstantUs


class Owned(Protocol):
    """Which accounts are a person's."""

    def list_accounts(self, person_id: str) -> list[int]:
        """Ascending. Blocking."""


class Accounts:
    """The services on accounts."""

    def __init__(
        self,
        commands: Commands,
        access: AccountAccess,
        store: AccountStore,
        *,
        owned: Owned,
        eyes: Eyes,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._commands = commands
        self._access = access
        self._store = store
        self._owned = owned
        self._eyes = eyes
        self._clock = clock

    async def open(
        self,
        actor: Actor,
        cause: Cause,
        *,
        currency: int,
        rider_category: int,
        tenant_id: str,
        account_id: int = 0,
    ) -> Movement:
        """A new account for a tenant ("" = the house). account_id: 0 = the next number.

        Raises: AuthError, CommandError.
        """
        actor.require(Scope.ACCOUNTS_WRITE)
        actor.require_tenant(tenant_id)
        if tenant_id not in ("", actor.tenant_id):
            await asyncio.to_thread(self._store.check_tenant, tenant_id)
        result = await self._commands.do(
            actor,
            cause,
            "account_open",
            account_id=account_id,
            currency=currency,
            rider_category=rider_category,
        )
        owned = Ownership(
            account_id=result["account_id"],
            tenant_id=tenant_id,
            reference=cause.reference,
            operation_id=format_operation_id(cause.operation_id),
            opened_us=result["ts_us"],
        )
        await asyncio.to_thread(self._store.add, owned)
        self._access.forget()
        return movement_of(result)

    async def get(self, actor: Actor, account_id: int) -> Account:
        """An account with its balances, from the data plane. Raises: AuthError, CommandError."""
        await self._access.require(actor, account_id, Scope.ACCOUNTS_READ)
        shown = await self._commands.read("account_show", account_id=account_id)
        owned = await asyncio.to_thread(self._store.find, account_id)
        return account_of(shown, owned or Ownership(account_id))

    async def list(self, actor: Actor, window: Window) -> list[AccountRef]:
        """Accounts the actor may see, by number; one more than asked for when there are more."""
        actor.require(Scope.ACCOUNTS_READ)
        among: list[int] | None = None
        if actor.kind is ActorKind.RIDER:
            among = await asyncio.to_thread(self._owned.list_accounts, actor.person_id)
        tenant_id = actor.tenant_id if actor.kind is ActorKind.TENANT else None
        found = await asyncio.to_thread(
            lambda: self._store.list(window, tenant_id=tenant_id, among=among)
        )
        return [
            AccountRef(
                account_id=one.account_id,
                tenant_id=one.tenant_id,
                reference=one.reference,
                opened_us=one.opened_us,
            )
            for one in found
        ]

    async def close(
        self, actor: Actor, cause: Cause, account_id: int, *, expected_version: int = 0
    ) -> Movement:
        """No more money in or out. Raises: CommandRefused: balance, hold, pass or plan left."""
        return await self._change(actor, cause, "close", account_id, expected_version)

    async def set_category(
        self,
        actor: Actor,
        cause: Cause,
        account_id: int,
        rider_category: int,
        *,
        expected_version: int = 0,
    ) -> Movement:
        """Who the rider is to tariffs."""
        return await self._change(
            actor,
            cause,
            "set_category",
            account_id,
            expected_version,
            rider_category=rider_category,
        )

    async def set_credit_limit(
        self,
        actor: Actor,
        cause: Cause,
        account_id: int,
        amount_minor: int,
        *,
        expected_version: int = 0,
    ) -> Movement:
        """How far the main purse may go below 0; may be below what is used.

        Raises: ApprovalNeeded.
        """
        actor.require(Scope.LENDING_WRITE)
        await self._eyes.require_credit_limit(actor, cause, account_id, amount_minor)
        return await self._change(
            actor,
            cause,
            "set_credit_limit",
            account_id,
            expected_version,
            amount_minor=amount_minor,
        )

    async def grant(self, actor: Actor, account_id: int, tenant_id: str) -> None:
        """Let another tenant see and charge an account.

        Raises: AuthError, CommandError. RegistryError REGISTRY_UNKNOWN: there is no such tenant.
        """
        await self._access.require(actor, account_id, Scope.ACCOUNTS_WRITE)
        await self._commands.read("account_show", account_id=account_id)
        await asyncio.to_thread(self._store.check_tenant, tenant_id)
        await asyncio.to_thread(self._store.grant, actor, account_id, tenant_id, self._clock())
        self._access.forget()

    async def take_back(self, actor: Actor, account_id: int, tenant_id: str) -> None:
        """End a grant; another process feels it within seconds. Raises: ApiError API_NOT_FOUND."""
        await self._access.require(actor, account_id, Scope.ACCOUNTS_WRITE)
        how = (actor, account_id, tenant_id, self._clock())
        if not await asyncio.to_thread(self._store.take_back, *how):
            raise ApiError("API_NOT_FOUND", f"nothing is granted to {tenant_id}")
        self._access.forget()

    async def _change(
        self,
        actor: Actor,
        cause: Cause,
        op: str,
        account_id: int,
        expected_version: int,
        **args: Any,
    ) -> Movement:
        await self._access.require(actor, account_id, Scope.ACCOUNTS_WRITE)
        return await self._commands.move(
            actor, cause, op, account_id=account_id, expected_version=expected_version, **args
        )


def account_of(shown: dict[str, Any], owned: Ownership) -> Account:
    """An account_show reply with its owner."""
    return Account(
        account_id=shown["account_id"],
        version=shown["version"],
        position=shown["position"],
        currency=shown["currency"],
        status=tuple(shown["status_names"]),
        balance_minor=shown["balance_minor"],
        held_minor=shown["held_minor"],
        spendable_minor=shown["spendable_minor"],
        credit_limit_minor=shown["credit_limit_minor"],
        rider_category=shown["rider_category"],
        tier=shown["tier"],
        purses=tuple(_purses(shown)),
        credit=_credit(shown),
        limits_used=dict(shown["limits_used"]),
        reference=owned.reference,
        tenant_id=owned.tenant_id,
        opened_us=owned.opened_us,
    )


def _purses(shown: dict[str, Any]) -> Iterator[Purse]:
    yield Purse(purse_id=0, balance_minor=shown["balance_minor"])
    yield Purse(purse_id=1, balance_minor=shown["subsidy_minor"], purposes=(0,), priority=10)
    for one in shown["purses"]:
        yield Purse(
            purse_id=one["key"],
            balance_minor=one["balance_minor"],
            purposes=tuple(bit for bit in range(32) if one["purposes"] >> bit & 1),
            priority=one["priority"],
            expires_us=one["expires_us"],
        )


def _credit(shown: dict[str, Any]) -> Credit:
    found = shown["credit"]
    return Credit(
        limit_minor=found["limit_minor"],
        drawn_minor=found["drawn_minor"],
        plans_minor=found["plans_minor"],
        left_minor=found["left_minor"],
        is_late=found["is_late"],
    )
