"""Value that came from outside: each reference once, and how much a tenant put in lately.

Written before the command that puts the value in, so that a reference that comes again under
another key meets the first operation. Each method is one transaction.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import delete, func, insert, select

from gateway.db import Database
from gateway.errors import CommandError
from gateway.registry.tenants import TENANTS
from gateway.wallet.stores.tables import INFLOWS


@dataclass(frozen=True, slots=True)
class Inflow:
    """One piece of value. source: which books of the tenant's the reference is from."""

    tenant_id: str
    source: str
    reference: str
    account_id: int
    purse_id: int
    merchant_id: int
    amount_minor: int
    operation_id: str
    created_us: int

    @property
    def what(self) -> tuple[int, int, int, int]:
        """What the same reference has to be again."""
        return (self.account_id, self.purse_id, self.merchant_id, self.amount_minor)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most a tenant puts in from an instant on, minor units."""

    since_us: int
    amount_minor: int


class InflowStore:
    """The registry's side of value that came from outside."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enter(self, wanted: Inflow, ceiling: Ceiling | None) -> Inflow:
        """Write down what is to be put in; when its reference came before, what it was then.

        Raises: CommandError COMMAND_CEILING: more than the tenant may.
        """
        with self._database.transaction() as connection:
            mine = select(TENANTS.c.tenant_id).where(TENANTS.c.tenant_id == wanted.tenant_id)
            connection.execute(mine.with_for_update())  # one at a time: the sum has to hold
            same = (
                (INFLOWS.c.tenant_id == wanted.tenant_id)
                & (INFLOWS.c.source == wanted.source)
                & (INFLOWS.c.reference == wanted.reference)
            )
            known = connection.execute(select(INFLOWS).where(same)).one_or_none()
            if known is not None:
                return Inflow(**known._mapping)
            if ceiling is not None:
                lately = select(func.sum(INFLOWS.c.amount_minor)).where(
                    INFLOWS.c.tenant_id == wanted.tenant_id,
                    INFLOWS.c.created_us >= ceiling.since_us,
                )
                used = int(connection.scalar(lately) or 0)
                if used + wanted.amount_minor > ceiling.amount_minor:
                    raise _too_much(ceiling.amount_minor - used)
            connection.execute(insert(INFLOWS).values(asdict(wanted)))
        return wanted

    def drop(self, entered: Inflow) -> None:
        """Nothing was put in: the reference is free again, and counts no more."""
        mine = INFLOWS.c.operation_id == entered.operation_id
        with self._database.transaction() as connection:
            connection.execute(delete(INFLOWS).where(mine))


def _too_much(left_minor: int) -> CommandError:
    return CommandError(
        "COMMAND_CEILING",
        f"the tenant may put in {max(left_minor, 0)} more now",
        hint="a day after the last ones there is room again; the house has no such ceiling",
    )
