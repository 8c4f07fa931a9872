"""Carries a batch over the control socket: several connections, each account's steps in order.

A connection that breaks, or a gateway that is busy, is met by sending the same operation under the
same id again: it has its effect once. A refusal belongs to its line and stops that account only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fastpath.types import Reason
from gateway.control import frames
from gateway.errors import Retry, WireError
from gateway.moving.known import KnownStep
from gateway.moving.rows import CardAccount
from gateway.moving.steps import Batch, Step, later_steps, open_step

LANES = 32
PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 2.0
TIMEOUT_S = 30.0


@dataclass(slots=True)
class Carried:
    """What happened in this run. findings: one line a refusal."""

    done: int = 0
    repeated: int = 0
    accounts: int = 0
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CarrySettings:
    """patience_s: how long one operation is tried while the gateway cannot be reached."""

    socket: Path
    lanes: int = LANES
    patience_s: float = 60.0


class _Refused(Exception):
    """An operation was refused for good; the message is the finding."""


class _Lane:
    """One connection, made again when it breaks."""

    def __init__(self, settings: CarrySettings, batch: Batch) -> None:
        self._settings = settings
        self._batch = batch
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, op: str, op_id: bytes, args: dict[str, object]) -> frames.Reply:
        """One operation, repeated under its id until there is an answer.

        Raises: TimeoutError: the gateway could not be reached for `patience_s`.
        """
        frame = frames.encode(frames.Request(op, op_id, self._batch.client, args))
        pause_s = PAUSE_FIRST_S
        async with asyncio.timeout(self._settings.patience_s):
            while True:
                reply = await self._exchange(frame)
                if reply is not None and not _is_passing(reply):
                    return reply
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _exchange(self, frame: bytes) -> frames.Reply | None:
        """None: no answer came; whether it had its effect is not known."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_unix_connection(str(self._settings.socket))
            reader, writer = self._streams
            async with asyncio.timeout(TIMEOUT_S):
                writer.write(frame)
                await writer.drain()
                head = await reader.readexactly(frames.LENGTH_BYTES)
                return frames.decode_reply(await reader.readexactly(frames.body_bytes(head)))
        except (OSError, WireError, asyncio.IncompleteReadError):
            await self.close()
            return None

    async def close(self) -> None:
        """Give the connection back; it may be used again."""
        if self._streams is None:
            return
        _, writer = self._streams
        self._streams = None
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            return


def _is_passing(reply: frames.Reply) -> bool:
    return not reply.ok and reply.retry in (Retry.SAFE, Retry.UNKNOWN)


class Carrier:
    """Carries the accounts of a batch. known: what the journal holds of it already."""

    def __init__(
        self,
        settings: CarrySettings,
        batch: Batch,
        known: dict[bytes, KnownStep],
        *,
        tell: Callable[[int], None] = lambda done: None,
    ) -> None:
        self._settings = settings
        self._batch = batch
        self._known = known
        self._tell = tell
        self.result = Carried()

    async def run(self, accounts: Iterable[CardAccount]) -> Carried:
        """Every account once. Raises: TimeoutError: the gateway was away for too long."""
        queue = iter(accounts)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self._settings.lanes):
                    tasks.create_task(self._work(queue))
        except* TimeoutError as group:
            raise TimeoutError("the gateway could not be reached") from group
        return self.result

    async def _work(self, queue: Iterator[CardAccount]) -> None:
        lane = _Lane(self._settings, self._batch)
        try:
            for account in queue:
                try:
                    await self._carry(lane, account)
                except _Refused as refusal:
                    self.result.findings.append(str(refusal))
                self.result.accounts += 1
                self._tell(self.result.accounts)
        finally:
            await lane.close()

    async def _carry(self, lane: _Lane, account: CardAccount) -> None:
        opening = open_step(self._batch, account)
        if opening.operation_id not in self._known:
            await self._check_media_are_new(lane, account)
        account_id = await self._do(lane, opening, 0)
        for step in later_steps(self._batch, account):
            await self._do(lane, step, account_id)

    async def _check_media_are_new(self, lane: _Lane, account: CardAccount) -> None:
        """Before anything is opened: a medium that is here came by another way, or batch name."""
        for row in account.rows:
            reply = await lane.send("medium_show", bytes(16), {"token": row.token})
            if reply.ok and reply.result.get("account_id"):
                owner = reply.result["account_id"]
                raise _Refused(
                    f"line {row.line}: already_exists: the medium belongs to account {owner}"
                )

    async def _do(self, lane: _Lane, step: Step, account_id: int) -> int:
        """One step; its account. Raises: _Refused."""
        known = self._known.get(step.operation_id)
        if known is not None and known.accepted:
            self.result.repeated += 1
            return known.account_id
        args = dict(step.args)
        if step.op not in ("account_open", "medium_state"):
            args["account_id"] = account_id
        args.setdefault("reference", f"{self._batch.name}:{step.line}")
        reply = await lane.send(step.op, step.operation_id, args)
        if not reply.ok:
            named = reply.code if reply.reason < Reason.BUSY else Reason(reply.reason).name.lower()
            raise _Refused(f"line {step.line}: {named}: {step.op}: {reply.detail}")
        self.result.done += 1
        return int(reply.result["account_id"])
