"""Four eyes for the wallet's services: what is proposed, and when somebody else has to agree."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from gateway.clock import format_operation_id
from gateway.registry.actors import Actor
from gateway.registry.approvals import Action, Proposal
from gateway.wallet.commands import Cause, Commands
from gateway.wallet.freezes import Freeze

if TYPE_CHECKING:
    from gateway.wallet.payouts import PayoutOrder


class Approvals(Protocol):
    """What others agreed to."""

    def is_needed(self, proposal: Proposal) -> bool:
        """Whether the policy wants four eyes for this. Asks nobody."""

    def require(self, actor: Actor, proposal: Proposal, *, operation_id: str) -> object:
        """Raises: ApprovalNeeded with the id of the proposal. Blocking."""


class Eyes:
    """Asks for a second pair of eyes where the policy wants one.

    The proposal is bound to what is to be done, not to the request: the same thing asked for again
    under another key uses the approval it got.
    """

    def __init__(self, approvals: Approvals, commands: Commands) -> None:
        self._approvals = approvals
        self._commands = commands

    async def require_unfreeze(self, actor: Actor, freeze: Freeze, cause: Cause) -> None:
        """Raises: ApprovalNeeded."""
        about = {"freeze_id": freeze.freeze_id, "what": freeze.what}
        await self._require(actor, cause, _proposal(Action.UNFREEZE, freeze.account_id, 0, about))

    async def require_adjustment(
        self, actor: Actor, cause: Cause, account_id: int, amount_minor: int, *, purse_id: int
    ) -> None:
        """Raises: ApprovalNeeded."""
        about = {"amount_minor": amount_minor, "purse_id": purse_id, "note": cause.note}
        proposal = _proposal(Action.ADJUSTMENT, account_id, amount_minor, about)
        await self._require(actor, cause, proposal)

    async def require_credit_limit(
        self, actor: Actor, cause: Cause, account_id: int, amount_minor: int
    ) -> None:
        """Raises: ApprovalNeeded."""
        about = {"amount_minor": amount_minor}
        proposal = _proposal(Action.CREDIT_LIMIT, account_id, amount_minor, about)
        await self._require(actor, cause, proposal)

    async def require_write_off(
        self, actor: Actor, cause: Cause, account_id: int, amount_minor: int, *, statement: str = ""
    ) -> None:
        """statement: the month of a credit line's. Raises: ApprovalNeeded."""
        about: dict[str, object] = {"amount_minor": amount_minor}
        about |= {"statement": statement} if statement else {}
        proposal = _proposal(Action.WRITE_OFF, account_id, amount_minor, about)
        await self._require(actor, cause, proposal)

    async def require_fare_reversal(
        self, actor: Actor, cause: Cause, account_id: int, amount_minor: int, *, tap_id: str
    ) -> None:
        """Raises: ApprovalNeeded."""
        about = {"amount_minor": amount_minor, "tap_id": tap_id}
        proposal = _proposal(Action.FARE_REVERSAL, account_id, amount_minor, about)
        await self._require(actor, cause, proposal)

    async def require_pass_refund(
        self, actor: Actor, cause: Cause, account_id: int, amount_minor: int, **about: object
    ) -> None:
        """What is given back for a pass, agreed to as a correction is. about: which pass.

        Raises: ApprovalNeeded.
        """
        said = {"amount_minor": amount_minor, **about, "note": cause.note}
        proposal = _proposal(Action.ADJUSTMENT, account_id, amount_minor, said)
        await self._require(actor, cause, proposal)

    async def require_payout(self, actor: Actor, cause: Cause, order: PayoutOrder) -> None:
        """The approver sees the end of the destination, and agrees to all of it.

        Raises: ApprovalNeeded.
        """
        whole = f"{order.bank} {order.destination} {order.name}".encode()
        about = {
            "amount_minor": order.amount_minor,
            "bank": order.bank,
            "destination_end": order.destination[-4:],
            "destination_digest": hashlib.sha256(whole).hexdigest(),
        }
        proposal = _proposal(Action.PAYOUT, order.account_id, order.amount_minor, about)
        await self._require(actor, cause, proposal)

    async def require_credit(
        self, actor: Actor, cause: Cause, account_id: int, amount_minor: int, **about: object
    ) -> None:
        """Value that is put in, now or by a rule. about: what else is to be seen of it.

        Raises: ApprovalNeeded.
        """
        said = {"amount_minor": amount_minor, **about}
        await self._require(actor, cause, _proposal(Action.CREDIT, account_id, amount_minor, said))

    async def _require(self, actor: Actor, cause: Cause, proposal: Proposal) -> None:
        if not self._approvals.is_needed(proposal):
            return
        if await self._commands.find_operation(cause.operation_id) is not None:
            return  # carried out before: its answer is asked for again
        operation_id = format_operation_id(cause.operation_id)
        await asyncio.to_thread(
            lambda: self._approvals.require(actor, proposal, operation_id=operation_id)
        )


def _proposal(
    action: Action, account_id: int, amount_minor: int, about: Mapping[str, object]
) -> Proposal:
    said = f"{action} {account_id} {sorted(about.items())}"
    digest = hashlib.sha256(said.encode()).digest()
    return Proposal(action, f"account:{account_id}", digest, abs(amount_minor), about)
