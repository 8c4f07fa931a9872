"""The control socket for a server with many requests at once: one connection, many in flight.

As in client.py: what fails before it was sent had no effect; what fails after that is unknown.
Two calls with the same operation id at the same time are one request with one answer.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from gateway.clock import new_operation_id
from gateway.control import frames
from gateway.control.client import CommandRefused, uncertain
from gateway.errors import CommandError, FareGatewayError, Retry, WireError

log = logging.getLogger(__name__)

CLIENT = "api"
"""Whose operation ids those of the API are, and of what carries on for it."""


class ControlPipe:
    """Sends commands to a data plane on this machine. Thread: the loop's."""

    def __init__(self, path: Path, *, client: str = CLIENT, timeout_s: float = 5.0) -> None:
        self.path = path
        self.client = client
        self.timeout_s = timeout_s
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._waiting: dict[bytes, asyncio.Future[frames.Reply]] = {}
        """By operation id; a new one for each connection."""

    async def call(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> dict[str, Any]:
        """One command's result. Raises: CommandRefused, CommandError: not sent, Uncertain."""
        reply = await self.exchange(op, args, operation_id=operation_id)
        if not reply.ok:
            raise CommandRefused(reply)
        return reply.result

    async def exchange(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> frames.Reply:
        """As `call`, but a refusal is a value."""
        request = frames.Request(op, operation_id or new_operation_id(), self.client, args or {})
        waiter = self._waiting.get(request.id)
        if waiter is None:
            waiter = await self._send(request)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await asyncio.shield(waiter)
        except (TimeoutError, ConnectionError, WireError) as error:
            raise uncertain(request, error) from error

    async def _send(self, request: frames.Request) -> asyncio.Future[frames.Reply]:
        frame = frames.encode(request)
        writer = await self._connected()
        known = self._waiting.get(request.id)  # sent by somebody else while this one connected
        if known is not None:
            return known
        waiter = asyncio.get_running_loop().create_future()
        waiter.add_done_callback(_forget_error)
        self._waiting[request.id] = waiter
        writer.write(frame)
        return waiter

    async def _connected(self) -> asyncio.StreamWriter:
        """The connection, made now if there is none. Raises: CommandError COMMAND_NOT_SENT."""
        async with self._connecting:
            if self._writer is not None and not self._writer.is_closing():
                return self._writer
            try:
                reader, writer = await asyncio.open_unix_connection(str(self.path), limit=1 << 20)
            except OSError as error:
                detail = f"cannot reach the gateway: {error.strerror or error}"
                raise CommandError("COMMAND_NOT_SENT", detail, retry=Retry.SAFE) from error
            self._writer = writer
            self._waiting = {}
            self._reading = asyncio.create_task(_read(reader, writer, self._waiting))
            return writer

    async def close(self) -> None:
        """End the connection."""
        if self._writer is not None:
            self._writer.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)


async def _read(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    waiting: dict[bytes, asyncio.Future[frames.Reply]],
) -> None:
    """Hand out replies until the connection ends; then what is left is unknown."""
    fault: Exception = ConnectionResetError("the gateway closed the connection")
    try:
        while True:
            head = await reader.readexactly(frames.LENGTH_BYTES)
            reply = frames.decode_reply(await reader.readexactly(frames.body_bytes(head)))
            waiter = waiting.pop(reply.id, None)
            if waiter is not None and not waiter.done():
                waiter.set_result(reply)
    except (asyncio.IncompleteReadError, OSError, WireError) as error:
        log.info("control_pipe_ended", extra={"detail": str(error)})
        if isinstance(error, FareGatewayError):
            fault = error
    finally:
        writer.close()
        for waiter in waiting.values():
            if not waiter.done():
                waiter.set_exception(fault)


def _forget_error(waiter: asyncio.Future[frames.Reply]) -> None:
    """Its callers may have gone: then nobody else asks."""
    if not waiter.cancelled():
        waiter.exception()
