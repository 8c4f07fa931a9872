"""Holds: value reserved, captured in parts, given back. And refunds of what was paid or captured.

A hold's number follows from the operation that placed it, so the same request places the same hold.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from gateway.control.client import CommandRefused
from gateway.errors import AuthError, CommandError, Retry
from gateway.registry.actors import Actor
from gateway.registry.scopes import Scope
from gateway.shapes import AccountId, InstantUs, OperationId, SignedMinor, says
from gateway.wallet.access import AccountAccess
from gateway.wallet.commands import Balance, Cause, Commands, is_accepted, unknown_account
from gateway.wallet.late import LateCharges

API_CLIENT = "api"
"""Whose operation ids those of the API are; charges of others name their client."""

HoldId = Annotated[str, says("a hold of the account", pattern="^hold_[0-9a-f]{16}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A hold that is still there."""

    hold_id: HoldId
    placed_minor: SignedMinor
    captured_minor: SignedMinor
    left_minor: SignedMinor
    expires_us: InstantUs
    purpose: int
    merchant_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldMovement:
    """What an operation left of a hold."""

    operation_id: OperationId
    op: str
    account_id: AccountId
    hold_id: HoldId
    amount_minor: Annotated[int, says("into (> 0) or out of (< 0) the account, minor units")]
    left_minor: Annotated[int, says("still held, minor units; 0 = the hold is over")]
    balance_minor: Balance
    position: int
    ts_us: InstantUs


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """What was given back of a charge."""

    operation_id: OperationId
    account_id: AccountId
    charge_id: OperationId
    amount_minor: SignedMinor
    refunded_minor: Annotated[int, says("given back of this charge so far, minor units")]
    balance_minor: Balance
    position: int
    ts_us: InstantUs


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """What is to be held. Amounts in minor units."""

    amount_minor: int
    expires_us: int
    purpose: int
    merchant_id: int = 0
    token: bytes = b""
    """Of the medium that was shown; empty = the account is reached without."""
    key: int = 0
    """Its number; 0 = what follows from the operation."""


class Charges(Protocol):
    """Payments and captures, from the ledger."""

    async def find_charge(self, client: str, charge_id: str) -> tuple[int, int] | None:
        """Account and merchant of a charge; None = the ledger has not seen it (yet)."""


class Holds:
    """The services on holds and refunds. Each returns what was done and whether it was before."""

    def __init__(
        self, commands: Commands, access: AccountAccess, charges: Charges, late: LateCharges
    ) -> None:
        self._commands = commands
        self._access = access
        self._charges = charges
        self._late = late

    async def place(
        self, actor: Actor, cause: Cause, account_id: int, order: HoldOrder
    ) -> tuple[HoldMovement, bool]:
        """Reserve value of the main purse and the credit line until an instant."""
        await self._access.require_shown(self._commands, actor, account_id, order.token)
        await self._access.require_merchant(actor, order.merchant_id)
        key = order.key or key_of(cause.operation_id)
        return await self._do(
            actor,
            cause,
            "hold_place",
            account_id,
            key,
            amount_minor=order.amount_minor,
            expires_us=order.expires_us,
            purpose=order.purpose,
            merchant=order.merchant_id,
        )

    async def capture(
        self,
        actor: Actor,
        cause: Cause,
        account_id: int,
        hold_id: str,
        amount_minor: int,
        *,
        is_final: bool,
    ) -> tuple[HoldMovement, bool]:
        """Take a part or all of a hold; the last one gives the rest back.

        Nothing of the hold goes into the command: a repeat has to be the same when the hold is
        gone. Whom it pays, and for what, the hold says (gateway/ledger/origins.py).
        """
        await self._require(actor, cause, account_id, hold_id)
        try:
            return await self._do(
                actor,
                cause,
                "hold_capture",
                account_id,
                number_of(hold_id),
                amount_minor=amount_minor,
                final=is_final,
            )
        except CommandRefused as refused:
            done = await self._find_capture(refused, cause, account_id, amount_minor)
            if done is None:
                raise
            return _movement(await self._commands.veil(actor, done), hold_id), True

    async def _find_capture(
        self, refused: CommandRefused, cause: Cause, account_id: int, amount_minor: int
    ) -> dict[str, Any] | None:
        """The capture that this request made, if its record names the merchant and the purpose too.

        Earlier versions wrote them down; to the engine a repeat without them is another command.
        """
        if refused.code != "op_conflict":
            return None
        found = await self._commands.find_operation(cause.operation_id)
        if found is None or found["op"] != "hold_capture" or not is_accepted(found):
            return None
        same = found["account_id"] == account_id and found["amount_minor"] == -amount_minor
        return found if same else None

    async def release(
        self, actor: Actor, cause: Cause, account_id: int, hold_id: str
    ) -> tuple[HoldMovement, bool]:
        """Give the rest back."""
        await self._require(actor, cause, account_id, hold_id)
        return await self._do(actor, cause, "hold_release", account_id, number_of(hold_id))

    async def extend(
        self, actor: Actor, cause: Cause, account_id: int, hold_id: str, expires_us: int
    ) -> tuple[HoldMovement, bool]:
        """Keep it longer."""
        await self._require(actor, cause, account_id, hold_id)
        return await self._do(
            actor, cause, "hold_extend", account_id, number_of(hold_id), expires_us=expires_us
        )

    async def list_open(self, actor: Actor, account_id: int) -> list[Hold]:
        """Holds of an account that are not over."""
        await self._access.require(actor, account_id, Scope.ACCOUNTS_READ)
        shown = await self._commands.read("account_show", account_id=account_id)
        return [hold_of(one) for one in shown["holds"]]

    async def refund(
        self,
        actor: Actor,
        cause: Cause,
        account_id: int,
        charge_id: str,
        amount_minor: int,
        *,
        charge_client: str | int = API_CLIENT,
    ) -> tuple[Refund, bool]:
        """Give back of a payment or capture, however old, never more in total than it took.

        Args: charge_client: whose operation it was; the house may name it by its number.
        Raises: CommandRefused over_refund, unknown_charge. CommandError COMMAND_BUSY: of an old
            charge, while the ledger lags behind.
        """
        actor.require(Scope.REFUNDS_WRITE)
        if not actor.is_house:
            await self._require_charge(actor, account_id, str(charge_client), charge_id)
        done = await self._commands.do(
            actor,
            cause,
            "refund",
            account_id=account_id,
            amount_minor=amount_minor,
            charge={"client": charge_client, "id": charge_id},
            **await self._late.describe(charge_client, charge_id),
        )
        made = Refund(
            operation_id=done["operation_id"],
            account_id=account_id,
            charge_id=charge_id,
            amount_minor=done["amount_minor"],
            refunded_minor=done["refunded_minor"],
            balance_minor=done["balance_minor"],
            position=done["position"],
            ts_us=done["ts_us"],
        )
        return made, done["repeated"]

    async def _require_charge(
        self, actor: Actor, account_id: int, client: str, charge_id: str
    ) -> None:
        """A tenant gives back what was paid to its own merchants, on whatever account; a charge of
        another account, or of others, is none to it.
        """
        found = await self._charges.find_charge(client, charge_id)
        if found is not None and found[0] == account_id:
            if await self._access.charges_for(actor, found[1]):
                return
            if await self._access.reaches(actor, account_id, Scope.REFUNDS_WRITE):
                raise AuthError("AUTH_FORBIDDEN", "the charge was paid to somebody else")
        raise CommandError(
            "unknown_charge",
            f"there is no charge {charge_id}",
            hint="a charge made just now is known a moment later",
            retry=Retry.SAFE,
        )

    async def _require(self, actor: Actor, cause: Cause, account_id: int, hold_id: str) -> None:
        """A tenant touches what its own merchants hold, on whatever account. On an account it
        reaches, what is not there is left to the engine; so is a request carried out before.
        """
        actor.require(Scope.PAYMENTS_WRITE)
        if actor.is_house:
            return
        reaches = await self._access.reaches(actor, account_id, Scope.PAYMENTS_WRITE)
        merchant_id = await self._find_holder(account_id, number_of(hold_id), reaches)
        if merchant_id is not None and await self._access.charges_for(actor, merchant_id):
            return
        if merchant_id is not None and reaches:
            raise AuthError("AUTH_FORBIDDEN", "somebody else holds it")
        if not reaches and await self._commands.find_operation(cause.operation_id) is None:
            raise unknown_account(account_id)

    async def _find_holder(self, account_id: int, key: int, reaches: bool) -> int | None:
        """The merchant of a hold; None = it is not there."""
        try:
            shown = await self._commands.read("account_show", account_id=account_id)
        except CommandError as error:
            if reaches or error.code != "unknown_account":
                raise
            return None
        return next((one["merchant"] for one in shown["holds"] if one["key"] == key), None)

    async def _do(
        self, actor: Actor, cause: Cause, op: str, account_id: int, key: int, **args: Any
    ) -> tuple[HoldMovement, bool]:
        done = await self._commands.do(actor, cause, op, account_id=account_id, key=key, **args)
        return _movement(done, name_of(key)), done["repeated"]


def key_of(operation_id: bytes) -> int:
    """The number of what an operation makes: purse, hold, plan."""
    return int.from_bytes(hashlib.sha256(operation_id).digest()[:6]) | 1 << 40


def name_of(key: int) -> str:
    """A hold's id as it is shown."""
    return f"hold_{key:016x}"


def number_of(hold_id: str) -> int:
    """Raises: CommandError unknown_hold: no hold is called so."""
    try:
        return int(hold_id.removeprefix("hold_"), 16) or 1
    except ValueError:
        raise CommandError("unknown_hold", f"there is no hold {hold_id}") from None


def _movement(done: dict[str, Any], hold_id: str) -> HoldMovement:
    return HoldMovement(
        operation_id=done["operation_id"],
        op=done["op"],
        account_id=done["account_id"],
        hold_id=hold_id,
        amount_minor=done["amount_minor"],
        left_minor=done["left_minor"],
        balance_minor=done["balance_minor"],
        position=done["position"],
        ts_us=done["ts_us"],
    )


def hold_of(shown: dict[str, Any]) -> Hold:
    """A hold of account_show."""
    return Hold(
        hold_id=name_of(shown["key"]),
        placed_minor=shown["placed_minor"],
        captured_minor=shown["captured_minor"],
        left_minor=shown["left_minor"],
        expires_us=shown["expires_us"],
        purpose=shown["purpose"],
        merchant_id=shown["merchant"],
    )
