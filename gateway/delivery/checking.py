"""Whether orders to banks in the outbox have their debit, and can be opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy import select

from adapters.contract import Capability
from adapters.errors import Misconfigured, Rejected
from gateway.db import Database
from gateway.delivery.codec import decode_command
from gateway.delivery.funding import payout_debit_id
from gateway.delivery.outbox import State
from gateway.delivery.sealed import CommandSealer
from gateway.delivery.tables import OUTBOX


def find_unfounded(
    database: Database,
    sealer: CommandSealer,
    has_operation: Callable[[bytes], bool],
    since_us: int,
) -> Iterator[str]:
    """What is wrong with orders to pay out that were placed since; dead letters wait for a person.

    Raises: DatabaseError.
    """
    query = (
        select(OUTBOX.c.adapter, OUTBOX.c.key, OUTBOX.c.body)
        .where(OUTBOX.c.capability == str(Capability.REFUND), OUTBOX.c.state != str(State.DEAD))
        .where(OUTBOX.c.created_us >= since_us)
    )
    with database.reading() as connection:
        rows = list(connection.execute(query))
    for row in rows:
        command = decode_command(row.body, attempt=0)
        at_us = command.facts.get("at_us")
        if isinstance(at_us, int) and not has_operation(
            payout_debit_id(row.adapter, row.key, at_us)
        ):
            yield f"{row.key}: the order to {row.adapter} is there, its debit is not"
        try:
            sealer.open(command)
        except Rejected:
            continue  # of somebody who was erased
        except Misconfigured as error:
            yield f"{row.key}: {error.detail}"
