"""Fares given back by an operator: a ride that was charged wrongly, when somebody else agrees.

The money goes where it came from, never more in total than the tap took; the ride itself stays.
Whose device took its tap back has nothing to get back here, and the other way round.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from gateway.errors import CommandError, RerateError, Retry
from gateway.registry.actors import Actor
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, InstantUs, OperationId, SignedMinor, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.commands import Cause, Commands
from gateway.wallet.eyes import Eyes

if TYPE_CHECKING:
    from gateway.ledger.history import ChargedFare

TapName = tuple[int, int, int]
"""Device, boot, sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FareReversal:
    """A fare that was given back."""

    operation_id: OperationId
    tap_id: Annotated[str, says("device, boot and number of the tap")]
    account_id: AccountId
    amount_minor: Annotated[int, says("given back now, minor units")]
    given_back_minor: Annotated[int, says("given back of this fare so far, minor units")]
    balance_minor: SignedMinor
    position: int
    ts_us: InstantUs


class Taps(Protocol):
    """What taps were charged, from the ledger. Blocking."""

    def find_fare(self, device: int, boot: int, seq: int) -> ChargedFare | None:
        """What a tap took; None = nothing, or it is not known yet."""


class Fares:
    """The services on fares. Each returns what was done and whether it was before."""

    def __init__(self, commands: Commands, access: AccountAccess, eyes: Eyes, taps: Taps) -> None:
        self._commands = commands
        self._access = access
        self._eyes = eyes
        self._taps = taps

    async def reverse(self, actor: Actor, cause: Cause, tap_id: str) -> tuple[FareReversal, bool]:
        """Give back all that a tap took.

        Raises: as `give_back`; CommandError unknown_charge; RerateError RERATE_FARE_CHANGED: part
            of it may have been given back by pricing again.
        """
        actor.require(Scope.ADJUSTMENTS_WRITE)
        found = await asyncio.to_thread(self._taps.find_fare, *tap_of(tap_id))
        if found is None:
            raise CommandError(
                "unknown_charge",
                f"no tap {tap_id} took a fare",
                hint="a tap made just now is known a moment later",
                retry=Retry.SAFE,
            )
        await self._check_whole(cause, found, tap_id)
        return await self.give_back(actor, cause, found.account_id, tap_id, found.fare_minor)

    async def _check_whole(self, cause: Cause, found: ChargedFare, tap_id: str) -> None:
        """Raises: RerateError RERATE_FARE_CHANGED, unless it was carried out before."""
        if not found.is_repriced:
            return
        if await self._commands.find_operation(cause.operation_id) is None:
            raise RerateError(
                "RERATE_FARE_CHANGED", f"fares were priced again since {tap_id} was charged"
            )

    async def give_back(
        self, actor: Actor, cause: Cause, account_id: int, tap_id: str, amount_minor: int
    ) -> tuple[FareReversal, bool]:
        """Give back of what a tap took, when somebody else agrees.

        Raises: ApprovalNeeded. CommandRefused unknown_charge: too old, taken back by its device, or
            of another account; over_refund.
        """
        await self._access.require(actor, account_id, Scope.ADJUSTMENTS_WRITE)
        device, boot, seq = tap_of(tap_id)
        await self._eyes.require_fare_reversal(
            actor, cause, account_id, amount_minor, tap_id=tap_id
        )
        done = await self._commands.do(
            actor,
            cause,
            "refund",
            account_id=account_id,
            amount_minor=amount_minor,
            tap={"device": device, "boot": boot, "seq": seq},
        )
        return _reversal(done, tap_id), done["repeated"]


def tap_of(tap_id: str) -> TapName:
    """`501-7-12`. Raises: CommandError unknown_charge: no tap is called so."""
    parts = tap_id.split("-")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise CommandError("unknown_charge", f"{tap_id} is no tap: device-boot-number")
    device, boot, seq = map(int, parts)
    if not (0 < device < 2**64 and 0 < boot < 2**64 and 0 < seq < 2**32):
        raise CommandError("unknown_charge", f"there is no tap {tap_id}")
    return device, boot, seq


def _reversal(done: dict[str, Any], tap_id: str) -> FareReversal:
    return FareReversal(
        operation_id=done["operation_id"],
        tap_id=tap_id,
        account_id=done["account_id"],
        amount_minor=done["amount_minor"],
        given_back_minor=done["refunded_minor"],
        balance_minor=done["balance_minor"],
        position=done["position"],
        ts_us=done["ts_us"],
    )
