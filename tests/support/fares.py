"""A source of fares in memory, and an engine that knows media."""

from __future__ import annotations

from typing import Any

from adapters.transit.clearing.files import FareRow
from gateway.control.frames import Reply
from tests.support.engine import Engine


class Fares:
    """Fares with the instant at which they were posted. complete_us: how far they can be read."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, FareRow]] = []
        self.complete_us = 1 << 60

    def post(self, at_us: int, token: str, fare_minor: int, name: str = "国贸") -> str:
        row_id = str(len(self.rows) + 1)
        row = FareRow(row_id, at_us, token, "card", 1001, 150, name, "check_out", fare_minor)
        self.rows.append((at_us, row))
        return row_id

    @property
    def total_minor(self) -> int:
        return sum(row.fare_minor for _, row in self.rows)

    def is_complete(self, until_us: int) -> bool:
        return self.complete_us >= until_us

    def list_fares(self, after: int, until_us: int, limit: int) -> list[tuple[int, FareRow]]:
        ends = [number for number, (at_us, _) in enumerate(self.rows, start=1) if at_us < until_us]
        found = [(int(row.row_id), row) for _, row in self.rows[: max(ends, default=0)]]
        return [one for one in found if one[0] > after][:limit]


class MediaEngine(Engine):
    """Media with their states beside the accounts."""

    def __init__(self, *tokens: str) -> None:
        super().__init__()
        self.media = dict.fromkeys((bytes.fromhex(one) for one in tokens), "active")

    def exchange(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> Reply:
        args = args or {}
        if op == "medium_show":
            state = self.media.get(args["token"])
            if state is None:
                return Reply(b"", False, "unknown_medium")
            return Reply(b"", True, result={"state": state})
        return super().exchange(op, args, operation_id=operation_id)

    def _decide(self, op: str, args: dict[str, Any]) -> Reply:
        if op != "medium_state":
            return super()._decide(op, args)
        if args["token"] not in self.media:
            return Reply(b"", False, "unknown_medium")
        self.media[args["token"]] = args["state"]
        return Reply(b"", True, "ok")
