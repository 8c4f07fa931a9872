"""Refunds of charges behind the answer horizon, which the data plane knows by their id no more.

The ledger says where the charge's record lies in the journal and what was given back of it so far;
the data plane reads that record, decides like any refund, and remembers what it gave back for
another horizon. So two of them that race are decided one behind the other, and none gives back more
than was taken, as long as the ledger has seen what came before: it is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from gateway.clock import parse_operation_id
from gateway.control.arguments import client_number
from gateway.errors import CommandError, Retry
from gateway.ledger.batch import Watermark
from gateway.ledger.history import HistoryRow
from gateway.wallet.commands import Commands

POLL_S = 0.02


class Ledger(Protocol):
    """What the ledger tells. Blocking."""

    def as_of(self) -> Watermark:
        """How far it has come."""

    def find_operation(self, client: int, high: int, low: int) -> HistoryRow | None:
        """The record of a command, however old."""

    def given_back(self, charge: HistoryRow) -> int:
        """What was given back of a charge so far, minor units."""


class LateCharges:
    """Looks up what a refund of an old charge has to say.

    horizon_us: how long the data plane knows operations by their ids. open_ledger: blocking.
    """

    def __init__(
        self,
        commands: Commands,
        open_ledger: Callable[[], Ledger],
        clock: Callable[[], int],
        *,
        horizon_us: int,
        wait_max_s: float,
    ) -> None:
        self._commands = commands
        self._open_ledger = open_ledger
        self._clock = clock
        self._horizon_us = horizon_us
        self._wait_max_s = wait_max_s

    async def describe(self, client: str | int, charge_id: str) -> dict[str, int]:
        """Arguments of the refund beyond the usual ones: none of a charge that is known by its id.

        Raises: CommandError COMMAND_BUSY: the ledger has not come to the journal's end.
        """
        operation_id = parse_operation_id(charge_id)
        high, low = int.from_bytes(operation_id[:8]), int.from_bytes(operation_id[8:])
        made_us = (high >> 16) * 1000
        if made_us >= self._clock() - self._horizon_us:
            return {}
        ledger = await asyncio.to_thread(self._open_ledger)
        number = client if isinstance(client, int) else client_number(client)
        charge = await asyncio.to_thread(ledger.find_operation, number, high, low)
        if charge is None or max(charge.ts_us, made_us) >= self._clock() - self._horizon_us:
            return {}
        await self._wait(ledger)
        before_minor = await asyncio.to_thread(ledger.given_back, charge)
        return {"charge_position": charge.position, "given_back_minor": before_minor}

    async def _wait(self, ledger: Ledger) -> None:
        """Until the ledger has seen all that is in the journal now."""
        position = int((await self._commands.read("status"))["position"])
        until = monotonic() + self._wait_max_s
        while (await asyncio.to_thread(ledger.as_of)).position < position:
            if monotonic() >= until:
                raise CommandError(
                    "COMMAND_BUSY",
                    "the ledger lags behind, and so old a charge is known to it alone",
                    hint="try again with the same key; `faregate ledger status` says how far it is",
                    retry=Retry.SAFE,
                )
            await asyncio.sleep(POLL_S)
