"""Rows of the book of requests, built again from what the journal says of them.

A registry of before the journal's end (a restored copy, a replica without its tail) has lost the
newest keys, and the same request sent again would have its effect twice. Each record of a command
names actor and key, and its id begins with the instant of the request: all that the request's own
id follows from (gateway/wallet/book.py), also where the record is one of several commands. What was
asked for is not known any more: a row built again fits any endpoint and body, and the engine
refuses other arguments under the same id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from gateway.clock import format_operation_id
from gateway.registry.credentials import CREDENTIALS
from gateway.wallet.book import request_id
from gateway.wallet.stores.requests import keep_rows
from gateway.wallet.stores.tables import REQUESTS

SKEW_US = 600_000_000
"""So far back of the newest row that is there: several processes write, each by its own clock."""
CHUNK = 200
KINDS = ("key", "client")


@dataclass(frozen=True, slots=True)
class Keyed:
    """What a record says of the request behind it.

    actor: as Actor.subject. key: as the journal holds it. operation_id: of the command.
    """

    actor: str
    key: str
    operation_id: bytes

    @property
    def at_us(self) -> int:
        """When the request came, to the millisecond."""
        return int.from_bytes(self.operation_id[:6]) * 1_000


def newest_us(connection: Connection) -> int:
    """From when on rows may be missing; 0 = there is none at all."""
    newest = connection.scalar(select(func.max(REQUESTS.c.created_us))) or 0
    return max(int(newest) - SKEW_US, 0)


def build_rows(connection: Connection, seen: Iterable[Keyed]) -> int:
    """Add the rows that are missing; how many were. Of one key's records the first counts."""
    callers = _Callers(connection)
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for one in seen:
        caller = callers.find(one.actor)
        if caller is None:
            continue
        at_us = one.at_us
        row: dict[str, object] = {
            "caller": caller,
            "key": one.key,
            "operation_id": format_operation_id(request_id(at_us, caller, one.key)),
            "endpoint": "",
            "digest": "",
            "created_us": at_us,
            "status": 0,
            "account_id": 0,
            "settled_us": 0,
        }
        rows.setdefault((caller, one.key), row)
    return sum(keep_rows(connection, some) for some in _chunks(list(rows.values())))


class _Callers:
    """Whose key a request's is (gateway/http/guard.py), by the actor of its record."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, str | None] = {}

    def find(self, actor: str) -> str | None:
        """None = nobody who sends keys, or a credential that the registry does not have: its holder
        cannot send the request again either.
        """
        if actor not in self._known:
            self._known[actor] = self._ask(actor)
        return self._known[actor]

    def _ask(self, actor: str) -> str | None:
        kind, _, name = actor.partition(":")
        if kind == "person":
            return f"/{actor}"
        if kind not in KINDS:
            return None
        wanted = select(CREDENTIALS.c.tenant_id).where(CREDENTIALS.c.credential_id == name)
        return self._connection.scalar(wanted)


def _chunks(rows: list[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    return (rows[at : at + CHUNK] for at in range(0, len(rows), CHUNK))
