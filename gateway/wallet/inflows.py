"""Value from outside comes in once for each of its references, and not without bounds.

The same reference under another key is answered with the first operation; with another account or
amount it is refused. A tenant that is not the house puts in no more than a ceiling in 24 hours.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.clock import format_operation_id, parse_operation_id
from gateway.control.client import CommandRefused
from gateway.errors import ApiError, Retry
from gateway.wallet.commands import TOO_OLD, Cause
from gateway.wallet.stores.inflows import Ceiling, Inflow

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be put in, where, and for which tenant. Amounts in minor units."""

    tenant_id: str
    is_house: bool
    source: str
    account_id: int
    amount_minor: int
    purse_id: int = 0
    merchant_id: int = 0


class Store(Protocol):
    """Where references are remembered. Blocking."""

    def enter(self, wanted: Inflow, ceiling: Ceiling | None) -> Inflow:
        """The entry of its reference, made now if there is none. Raises: CommandError."""

    def drop(self, entered: Inflow) -> None:
        """Free its reference again."""


class Inflows:
    """Guards what comes in. day_max_minor: of a tenant that is not the house, in 24 hours."""

    def __init__(self, store: Store, clock: Callable[[], int], *, day_max_minor: int) -> None:
        self._store = store
        self._clock = clock
        self._day_max_minor = day_max_minor

    @asynccontextmanager
    async def entered(self, wanted: Wanted, cause: Cause) -> AsyncIterator[Cause]:
        """Inside it the value is put in, under the cause that it gives: the first one's.

        A refusal frees the reference again. Raises: ApiError API_CONFLICT: it came before, with
            something else. CommandError COMMAND_CEILING.
        """
        if wanted.is_house and not cause.reference:
            yield cause  # its operation id is all there is to know it by
            return
        entry = await asyncio.to_thread(self._enter, wanted, cause)
        try:
            yield replace(cause, operation_id=parse_operation_id(entry.operation_id))
        except CommandRefused as error:
            if error.retry is Retry.NEVER and error.code != TOO_OLD:
                await asyncio.to_thread(self._store.drop, entry)
            raise

    def _enter(self, wanted: Wanted, cause: Cause) -> Inflow:
        now_us = self._clock()
        inflow = Inflow(
            tenant_id=wanted.tenant_id,
            source=wanted.source,
            reference=cause.reference,
            account_id=wanted.account_id,
            purse_id=wanted.purse_id,
            merchant_id=wanted.merchant_id,
            amount_minor=wanted.amount_minor,
            operation_id=format_operation_id(cause.operation_id),
            created_us=now_us,
        )
        ceiling = None if wanted.is_house else Ceiling(now_us - DAY_US, self._day_max_minor)
        entry = self._store.enter(inflow, ceiling)
        if entry.what != inflow.what:
            raise ApiError(
                "API_CONFLICT",
                f"the reference came before, for account {entry.account_id} and"
                f" {entry.amount_minor} minor units",
                hint="a reference of the outside world stands for one piece of value",
            )
        return entry
