"""Operations older than the data plane remembers, from the ledger's unique index."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from fastpath.records import view_record
from gateway.control.arguments import client_number
from gateway.control.operations import result_of
from gateway.ledger.history import HistoryRow


class HistoryPort(Protocol):
    """Records of the ledger. Blocking."""

    def find_operation(self, client: int, high: int, low: int) -> HistoryRow | None:
        """The record of a command, however old."""


class PastOperations:
    """Finds operations of one client."""

    def __init__(self, history: HistoryPort, client: str) -> None:
        self._history = history
        self._client = client_number(client)

    async def find_operation(self, operation_id: bytes) -> dict[str, Any] | None:
        """Its result, as the control socket would have told it. Raises: DatabaseError."""
        high, low = int.from_bytes(operation_id[:8]), int.from_bytes(operation_id[8:])
        row = await asyncio.to_thread(self._history.find_operation, self._client, high, low)
        if row is None:
            return None
        return result_of(view_record(row.raw, row.position), repeated=True)
