"""What has to be done for one account, each step with its operation id.

The ids follow from the batch, the cut-over instant and the account's key alone: whoever runs the
same file again, after any crash and on any machine, repeats the same operations and not one more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fastpath.types import Op
from gateway.clock import derived_operation_id
from gateway.moving.rows import CardAccount


@dataclass(frozen=True, slots=True)
class Batch:
    """One move. name: the same for all runs of it. cutover_us: the instant (UTC) at which the other
    system stopped.
    """

    name: str
    cutover_us: int

    @property
    def client(self) -> str:
        """Whose operations these are in the journal."""
        return f"import:{self.name}"


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of the control socket. amount_minor: value it brings in, below 0 = debt."""

    op: str
    kind: Op
    operation_id: bytes
    args: dict[str, Any] = field(default_factory=dict)
    amount_minor: int = 0
    line: int = 0


def operation_id(batch: Batch, key: str, step: str) -> bytes:
    """Of a step of an account."""
    return derived_operation_id(batch.cutover_us, batch.name, key, step)


def open_step(batch: Batch, account: CardAccount) -> Step:
    """Opening comes first: its answer names the account for all that follow."""
    first = account.rows[0]
    args: dict[str, Any] = {"currency": first.currency, "rider_category": first.category}
    if account.reference:
        args["reference"] = account.reference
    return Step(
        "account_open",
        Op.ACCOUNT_OPEN,
        operation_id(batch, account.key, "open"),
        args,
        line=first.line,
    )


def later_steps(batch: Batch, account: CardAccount) -> Iterator[Step]:
    """The tier before money, which its limits may not let in, and money before media: as long as
    no medium is linked, nobody can ride in between.
    """
    if account.tier:
        tier_id = operation_id(batch, account.key, "tier")
        line = account.rows[0].line
        yield Step("set_tier", Op.SET_TIER, tier_id, {"tier": account.tier}, line=line)
    yield from _money_steps(batch, account)
    for row in account.rows:
        name = row.token.hex()
        args: dict[str, Any] = {"token": row.token, "kind": row.kind, "expires_us": row.expires_us}
        link_id = operation_id(batch, account.key, f"link {name}")
        yield Step("medium_link", Op.MEDIUM_LINK, link_id, args, line=row.line)
        if row.state != "active":
            state_id = operation_id(batch, account.key, f"state {name}")
            state = {"token": row.token, "state": row.state}
            yield Step("medium_state", Op.MEDIUM_STATE, state_id, state, line=row.line)


def _money_steps(batch: Batch, account: CardAccount) -> Iterator[Step]:
    line, balance_minor = account.rows[0].line, account.balance_minor

    def step(op: str, kind: Op, name: str, minor: int, **args: object) -> Step:
        made = operation_id(batch, account.key, name)
        return Step(op, kind, made, {"amount_minor": minor, **args}, minor, line)

    if balance_minor < 0:  # a correction may go below 0; so often was the new account changed
        version = 2 if account.tier else 1
        yield step("adjust", Op.ADJUST, "debt", balance_minor, expected_version=version)
    if balance_minor > 0:
        yield step("credit", Op.CREDIT, "balance", balance_minor)
    if account.subsidy_minor:
        yield step("credit", Op.CREDIT, "subsidy", account.subsidy_minor, purse="subsidy")
