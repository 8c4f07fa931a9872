"""Which accounts an actor may see: the house all of them, a tenant its own and those granted to it,
a rider those of its person. Whatever is not there looks like what is somebody else's.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from gateway.clock import now_us
from gateway.registry.actors import Actor, ActorKind
from gateway.wallet.commands import unknown_account
from gateway.wallet.stores.accounts import Ownership

CACHE_US = 5_000_000
CACHE_MAX = 20_000


class Owners(Protocol):
    """Where it is written whose an account is."""

    def find(self, account_id: int) -> Ownership | None:
        """None = nobody entered it. Blocking."""


class Merchants(Protocol):
    """Who may be paid."""

    def check_merchant(self, actor: Actor, merchant_id: int) -> object:
        """Raises: AuthError: not a merchant this actor may charge for. Blocking."""


class AccountAccess:
    """Checks accounts and merchants; remembers for a few seconds what it found."""

    def __init__(
        self, owners: Owners, merchants: Merchants, clock: Callable[[], int] = now_us
    ) -> None:
        self._owners = owners
        self._merchants = merchants
        self._clock = clock
        self._kept: OrderedDict[object, tuple[int, Ownership | None]] = OrderedDict()

    async def require(self, actor: Actor, account_id: int) -> None:
        """Raises: CommandError unknown_account: not there, or not this actor's."""
        if actor.is_house:
            return
        found = self._find_kept(account_id)
        if found is None:
            found = await asyncio.to_thread(self._owners.find, account_id)
            if found is not None:
                self._keep(account_id, found)
        if found is None or not may_see(actor, found):
            raise unknown_account(account_id)

    async def require_merchant(self, actor: Actor, merchant_id: int) -> None:
        """Raises: AuthError. 0 = the house itself, for its own actors only."""
        if merchant_id == 0 and actor.is_house:
            return
        name = (actor.is_house, actor.tenant_id, merchant_id)
        if self._find_kept(name) is not None:
            return
        await asyncio.to_thread(self._merchants.check_merchant, actor, merchant_id)
        self._keep(name, Ownership(0))

    def forget(self, account_id: int) -> None:
        """Whose it is was changed."""
        self._kept.pop(account_id, None)

    def _find_kept(self, name: object) -> Ownership | None:
        at_us, found = self._kept.get(name, (0, None))
        return found if 0 <= self._clock() - at_us < CACHE_US else None

    def _keep(self, name: object, found: Ownership) -> None:
        self._kept[name] = (self._clock(), found)
        self._kept.move_to_end(name)
        if len(self._kept) > CACHE_MAX:
            self._kept.popitem(last=False)


def may_see(actor: Actor, owned: Ownership) -> bool:
    """Whether an account is one of the actor's."""
    if actor.is_house:
        return True
    if actor.kind is ActorKind.RIDER:
        return bool(actor.person_id) and owned.person_id == actor.person_id
    return bool(actor.tenant_id) and (
        owned.tenant_id == actor.tenant_id or actor.tenant_id in owned.granted
    )
