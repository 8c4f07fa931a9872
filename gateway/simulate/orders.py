"""Commands over the control socket, many at a time: how the simulation opens accounts and tops up.

A command whose answer got lost is sent again under the same operation id until it is answered, so
it takes effect once, also over a restart of the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from gateway.clock import new_operation_id
from gateway.control import frames
from gateway.errors import CommandError, Retry, Uncertain, WireError

T = TypeVar("T")

CLIENT = "simulate"
PAUSE_S = 0.1
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Orders:
    """A pool of connections to the control socket; one command at a time on each.

    Args: give_up_s: how long a command is tried before its outcome counts as unknown.
    """

    def __init__(self, path: Path, *, connections: int = 48, give_up_s: float = 30.0) -> None:
        self._path = path
        self._give_up_s = give_up_s
        self._idle: list[Stream] = []
        self._slots = asyncio.Semaphore(connections)

    async def __aenter__(self) -> Self:
        """Connect once, to know that there is a gateway. Raises: CommandError."""
        try:
            self._idle.append(await asyncio.open_unix_connection(str(self._path)))
        except OSError as error:
            detail = f"cannot reach the gateway at {self._path}: {error.strerror or error}"
            raise CommandError("COMMAND_NOT_SENT", detail, retry=Retry.SAFE) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._idle:
            self._idle.pop()[1].close()

    async def call(self, op: str, args: dict[str, Any] | None = None) -> frames.Reply:
        """Send one command and wait for its reply; a refusal is a value.

        Raises: Uncertain: no answer in time. CommandError: refused for a while, with Retry.SAFE.
        """
        request = frames.Request(op, new_operation_id(), CLIENT, args or {})
        async with self._slots:
            try:
                async with asyncio.timeout(self._give_up_s):
                    return await self._insist(request)
            except TimeoutError as error:
                raise Uncertain(detail=f"{op}: no answer", operation_id=request.id.hex()) from error

    async def demand(self, op: str, args: dict[str, Any] | None = None) -> dict[str, Any]:
        """As `call`, and a refusal is an error. Raises: Uncertain, CommandError."""
        reply = await self.call(op, args)
        if not reply.ok:
            raise CommandError(reply.code, f"{op}: {reply.detail or reply.code}", reply.hint)
        return reply.result

    async def _insist(self, request: frames.Request) -> frames.Reply:
        while True:
            try:
                reply = await self._exchange(request)
            except (OSError, EOFError, WireError):
                await asyncio.sleep(PAUSE_S)
                continue
            if reply.ok or reply.retry != Retry.SAFE:
                return reply
            await asyncio.sleep(PAUSE_S)

    async def _exchange(self, request: frames.Request) -> frames.Reply:
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_unix_connection(str(self._path))
        try:
            writer.write(frames.encode(request))
            head = await reader.readexactly(frames.LENGTH_BYTES)
            reply = frames.decode_reply(await reader.readexactly(frames.body_bytes(head)))
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return reply


async def in_parallel(
    items: Iterable[T], work: Callable[[T], Awaitable[None]], *, workers: int = 48
) -> None:
    """Do the work for every item, so many at a time; the first error ends it all, and is raised."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
