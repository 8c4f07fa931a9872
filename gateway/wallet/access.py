"""Which accounts an actor may touch: the house all of them; a tenant those opened for it or granted
to it, and for a payment the one whose medium it was shown; beyond that the registry's rule of
persons and consents decides (gateway/registry/links.py). Whatever is not there looks like what is
somebody else's.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from gateway.clock import now_us
from gateway.errors import AuthError, CommandError
from gateway.registry.actors import Actor, ActorKind
from gateway.registry.scopes import Scope
from gateway.wallet.commands import unknown_account
from gateway.wallet.stores.accounts import Ownership

GRANTED = frozenset(
    {
        Scope.ACCOUNTS_READ,
        Scope.STATEMENTS_READ,
        Scope.PAYMENTS_WRITE,
        Scope.REFUNDS_WRITE,
        Scope.CREDITS_WRITE,
    }
)
"""What a grant opens: to see an account, to charge it, to put value in. No media, no rules."""
CACHE_US = 5_000_000
CACHE_MAX = 20_000


class Owners(Protocol):
    """Where it is written whose an account is."""

    def find(self, account_id: int) -> Ownership | None:
        """None = nobody entered it. Blocking."""


class Rule(Protocol):
    """Who may touch an account that is not the tenant's own."""

    def check_account(self, actor: Actor, account_id: int, scope: Scope) -> None:
        """Raises: AuthError. Blocking."""


class Merchants(Protocol):
    """Who may be paid."""

    def check_merchant(self, actor: Actor, merchant_id: int) -> object:
        """Raises: AuthError: not a merchant this actor may charge for. Blocking."""


class MediaReader(Protocol):
    """The data plane's word on media (gateway/wallet/commands.py)."""

    async def read(self, op: str, **args: Any) -> dict[str, Any]:
        """Raises: CommandError, Uncertain."""


class AccountAccess:
    """Checks accounts and merchants; remembers for a few seconds what it found."""

    def __init__(
        self,
        owners: Owners,
        rule: Rule,
        merchants: Merchants,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._owners = owners
        self._rule = rule
        self._merchants = merchants
        self._clock = clock
        self._kept: OrderedDict[object, int] = OrderedDict()

    async def require(self, actor: Actor, account_id: int, scope: Scope) -> None:
        """Raises: AuthError AUTH_SCOPE. CommandError unknown_account: not there, or not theirs."""
        actor.require(scope)
        name = (actor.kind, actor.tenant_id, actor.person_id, scope, account_id)
        if actor.is_house or self._is_kept(name):
            return
        await asyncio.to_thread(self._check, actor, account_id, scope)
        self._keep(name)

    async def require_change(self, actor: Actor, account_id: int, scope: Scope) -> None:
        """As `require`, where a scope that only reads stands for a change of the owner's: a consent
        or a grant opens no more to a tenant than it says.
        """
        await self.require(actor, account_id, scope)
        if actor.kind is ActorKind.TENANT:
            owned = await asyncio.to_thread(self._owners.find, account_id)
            if owned is None or not is_own(actor, owned):
                raise unknown_account(account_id)

    async def reaches(self, actor: Actor, account_id: int, scope: Scope) -> bool:
        """Whether `require` would let it pass."""
        try:
            await self.require(actor, account_id, scope)
        except (AuthError, CommandError):
            return False
        return True

    async def may_read(self, actor: Actor, account_id: int) -> bool:
        """Whether a balance of this account is for these eyes."""
        return await self.reaches(actor, account_id, Scope.ACCOUNTS_READ)

    def _check(self, actor: Actor, account_id: int, scope: Scope) -> None:
        owned = self._owners.find(account_id)
        if owned is not None and (is_own(actor, owned) or is_granted(actor, owned, scope)):
            return
        try:
            self._rule.check_account(actor, account_id, scope)
        except AuthError as error:
            if error.code != "AUTH_FORBIDDEN":
                raise
            raise unknown_account(account_id) from error

    async def require_merchant(self, actor: Actor, merchant_id: int) -> None:
        """Raises: AuthError. 0 = the house itself, for its own actors only."""
        if merchant_id == 0 and actor.is_house:
            return
        name = (actor.tenant_id, merchant_id)
        if self._is_kept(name):
            return
        await asyncio.to_thread(self._merchants.check_merchant, actor, merchant_id)
        self._keep(name)

    async def require_shown(
        self, media: MediaReader, actor: Actor, account_id: int, token: bytes
    ) -> None:
        """A payment wants an account the actor reaches, or the medium of it that was shown.

        Raises: AuthError AUTH_SCOPE. CommandError unknown_account; unknown_medium: none of this
            account that is in use.
        """
        if not token:
            await self.require(actor, account_id, Scope.PAYMENTS_WRITE)
            return
        actor.require(Scope.PAYMENTS_WRITE)
        shown = await media.read("medium_show", token=token)
        in_use = shown["state"] == "active" and not 0 < shown["expires_us"] <= self._clock()
        if shown["account_id"] != account_id or not in_use:
            raise CommandError("unknown_medium", "no medium has this token")

    async def charges_for(self, actor: Actor, merchant_id: int) -> bool:
        """Whether `require_merchant` would let it pass."""
        try:
            await self.require_merchant(actor, merchant_id)
        except AuthError:
            return False
        return True

    def forget(self) -> None:
        """Somebody's rights were changed."""
        self._kept.clear()

    def _is_kept(self, name: object) -> bool:
        return 0 <= self._clock() - self._kept.get(name, 0) < CACHE_US

    def _keep(self, name: object) -> None:
        self._kept[name] = self._clock()
        self._kept.move_to_end(name)
        if len(self._kept) > CACHE_MAX:
            self._kept.popitem(last=False)


def is_own(actor: Actor, owned: Ownership) -> bool:
    """Whether an account was opened for the actor's tenant."""
    is_tenant = actor.kind is ActorKind.TENANT and bool(actor.tenant_id)
    return is_tenant and owned.tenant_id == actor.tenant_id


def is_granted(actor: Actor, owned: Ownership, scope: Scope) -> bool:
    """Whether an account was granted to the actor's tenant, and that reaches so far."""
    is_tenant = actor.kind is ActorKind.TENANT and bool(actor.tenant_id)
    return is_tenant and scope in GRANTED and actor.tenant_id in owned.granted
