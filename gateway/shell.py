"""The composition root of the command line: the services behind /v1, without HTTP.

The registry is opened when a service asks it something: what needs neither a freeze's row nor a
second pair of eyes goes to the data plane alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gateway.clock import now_us
from gateway.control.pipe import ControlPipe
from gateway.credit.job import build_desk
from gateway.ledger.history import History
from gateway.registry.approvals import Action, Proposal, is_above
from gateway.wallet.access import AccountAccess
from gateway.wallet.accounts import Accounts
from gateway.wallet.commands import Cause, Commands
from gateway.wallet.eyes import Eyes
from gateway.wallet.fares import Fares
from gateway.wallet.freezes import Freezes
from gateway.wallet.holds import Holds
from gateway.wallet.inflows import Inflows
from gateway.wallet.late import LateCharges
from gateway.wallet.lending import Lending
from gateway.wallet.media import Media
from gateway.wallet.money import Money
from gateway.wallet.passes import Passes
from gateway.wallet.purses import Purses
from gateway.wallet.stores.accounts import AccountStore
from gateway.wallet.stores.freezes import FreezeStore
from gateway.wallet.stores.inflows import InflowStore

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.db import Database
    from gateway.registry.access import Access
    from gateway.registry.actors import Actor
    from gateway.registry.scopes import Scope
    from gateway.wallet.stores.accounts import Ownership
    from gateway.wallet.stores.inflows import Ceiling, Inflow

CLIENT = "cli"
"""Whose operation ids those of the command line are."""


class _Late:
    """The registry's rules, asked when they have to be."""

    def __init__(self, open_access: Callable[[], Access], above: Mapping[Action, int]) -> None:
        self._open_access = open_access
        self._above = above

    @cached_property
    def access(self) -> Access:
        """Raises: ConfigError, DatabaseError."""
        return self._open_access()

    def find(self, account_id: int) -> Ownership | None:
        return AccountStore(self.access.database).find(account_id)

    def check_account(self, actor: Actor, account_id: int, scope: Scope) -> None:
        self.access.links.check_account(actor, account_id, scope)

    def check_merchant(self, actor: Actor, merchant_id: int) -> object:
        return self.access.tenants.check_merchant(actor, merchant_id)

    async def find_charge(self, client: str, charge_id: str) -> tuple[int, int] | None:
        """Asked for tenants only; the user of this machine is the house."""
        return None

    def enter(self, wanted: Inflow, ceiling: Ceiling | None) -> Inflow:
        return InflowStore(self.access.database).enter(wanted, ceiling)

    def drop(self, entered: Inflow) -> None:
        InflowStore(self.access.database).drop(entered)

    def is_needed(self, proposal: Proposal) -> bool:
        return is_above(self._above, proposal)

    def require(self, actor: Actor, proposal: Proposal, *, operation_id: str) -> object:
        return self.access.approvals.require(actor, proposal, operation_id=operation_id)


class Telling(Commands):
    """Commands that remember what the journal's record of the last one says."""

    def __init__(self, pipe: ControlPipe) -> None:
        super().__init__(pipe)
        self.told: dict[str, Any] = {}

    async def do(self, actor: Actor, cause: Cause, op: str, **args: Any) -> dict[str, Any]:
        self.told = await super().do(actor, cause, op, **args)
        return self.told

    async def find_operation(self, operation_id: bytes) -> dict[str, Any] | None:
        """Also of one that was done before, when a service answers with it."""
        found = await super().find_operation(operation_id)
        self.told = self.told if found is None else found
        return found


class _NoLedger:
    """Commands work without it."""

    def list_media(self, account_id: int) -> list[bytes]:
        return []

    def find_fare(self, device: int, boot: int, seq: int) -> None:
        return None


class Shell:
    """The services for one command. Thread: the loop's; a service is made when it is named."""

    def __init__(
        self,
        config: Config,
        open_access: Callable[[], Access],
        open_ledger: Callable[[], Database],
    ) -> None:
        self._config = config
        self._open_ledger = open_ledger
        above = {Action(name): most for name, most in config.approvals.above_minor.items()}
        self._late = _Late(open_access, above)
        timeout_s = config.control.timeout_s
        self._pipe = ControlPipe(config.control.socket, client=CLIENT, timeout_s=timeout_s)
        self.commands = Telling(self._pipe)
        self._reach = AccountAccess(self._late, self._late, self._late)
        self._eyes = Eyes(self._late, self.commands)

    async def close(self) -> None:
        """End the connection."""
        await self._pipe.close()

    @property
    def accounts(self) -> Accounts:
        access = self._late.access
        store = AccountStore(access.database)
        return Accounts(self.commands, self._reach, store, owned=access.links, eyes=self._eyes)

    @property
    def money(self) -> Money:
        most_minor = self._config.api.credit_day_max_minor
        inflows = Inflows(self._late, now_us, day_max_minor=most_minor)
        return Money(self.commands, self._reach, self._eyes, inflows)

    @property
    def holds(self) -> Holds:
        late = LateCharges(
            self.commands,
            lambda: History(self._open_ledger()),
            now_us,
            horizon_us=self._config.engine_limits().op_horizon_us,
            wait_max_s=self._config.api.wait_max_s,
        )
        return Holds(self.commands, self._reach, self._late, late)

    @property
    def fares(self) -> Fares:
        """By tap, account and amount: the ledger is not asked."""
        return Fares(self.commands, self._reach, self._eyes, _NoLedger())

    @property
    def purses(self) -> Purses:
        return Purses(self.commands, self._reach, self._eyes)

    @property
    def passes(self) -> Passes:
        return Passes(self.commands, self._reach, self._eyes)

    @property
    def freezes(self) -> Freezes:
        store = FreezeStore(self._late.access.database)
        return Freezes(self.commands, self._reach, store, self._eyes, now_us)

    @property
    def media(self) -> Media:
        links, within_s = self._late.access.links, self._config.riders.step_up_s
        return Media(self.commands, self._reach, links, _NoLedger(), now_us, step_up_s=within_s)

    @property
    def lending(self) -> Lending:
        desk = build_desk(self._config, self._late.access.database, now_us)
        return Lending(desk, self._reach, self._eyes)
