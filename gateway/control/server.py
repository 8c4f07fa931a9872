"""The control socket's server: commands of operators on this machine, in order, each answered once
it is durable.

Who is asking is taken from the kernel (SO_PEERCRED), not from the request. Deny by default: only
the uid the gateway runs as, and root, may speak.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.control import frames
from gateway.errors import FareGatewayError, InternalError, WireError

log = logging.getLogger(__name__)

Handler = Callable[[frames.Request, str], Awaitable[frames.Reply]]
"""(request, principal) -> reply. Raises FareGatewayError for what was refused."""

IN_FLIGHT_MAX = 256
"""Requests of one connection that may wait for their commit; more are not read yet."""

UCRED = struct.Struct("iII")


class ControlServer:
    """Listens on a Unix socket that only its owner can reach."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._server: asyncio.AbstractServer | None = None
        self._allowed = {0, os.geteuid()}
        self._work: set[asyncio.Task[None]] = set()
        self._readers: set[asyncio.StreamReader] = set()

    async def start(self) -> None:
        """Listen. A socket left by a dead process is replaced."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        mask = os.umask(0o177)
        try:
            listening.bind(str(self._path))
        finally:
            os.umask(mask)
        self._server = await asyncio.start_unix_server(self._serve, sock=listening, limit=1 << 20)

    async def stop(self) -> None:
        """No new connections, and no more requests; what was asked is still answered."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        for reader in self._readers:
            reader.feed_eof()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests of one connection are begun in their order; each is answered once it is durable,
        so that many of them share a commit.
        """
        room = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._readers.add(reader)
        try:
            principal = self._principal(writer)
            while principal and (body := await _read_frame(reader)) is not None:
                await room.acquire()
                work = asyncio.create_task(self._reply(body, principal, writer, room))
                self._work.add(work)
                work.add_done_callback(self._work.discard)
            for _ in range(IN_FLIGHT_MAX):  # what was asked is answered before the end
                await room.acquire()
        except (ConnectionError, WireError) as error:
            log.info("control_connection_ended", extra={"detail": str(error)})
        finally:
            self._readers.discard(reader)
            writer.close()

    async def _reply(
        self,
        body: bytes,
        principal: str,
        writer: asyncio.StreamWriter,
        room: asyncio.Semaphore,
    ) -> None:
        """Carry out one request, to its end also when nobody waits for the answer any more."""
        try:
            reply = frames.encode(await self._answer(body, principal))
            if not writer.is_closing():
                writer.write(reply)
                await writer.drain()
        except ConnectionError as error:
            log.info("control_reply_lost", extra={"detail": str(error)})
        finally:
            room.release()

    def _principal(self, writer: asyncio.StreamWriter) -> str:
        """Who is on the other end, as "uid:N"; empty = not allowed."""
        peer: socket.socket = writer.get_extra_info("socket")
        _, uid, _ = UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
        if uid not in self._allowed:
            log.warning("control_refused", extra={"uid": uid})
            return ""
        return f"uid:{uid}"

    async def _answer(self, body: bytes, principal: str) -> frames.Reply:
        request_id = bytes(frames.ID_BYTES)
        try:
            request = frames.decode_request(body)
            request_id = request.id
            return await self._handler(request, f"{principal}/{request.client[:32]}")
        except FareGatewayError as error:
            return frames.error_reply(request_id, error)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            log.exception("control_failed")
            return frames.error_reply(request_id, InternalError(detail=type(error).__name__))


async def _read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """One frame's body; None = the peer is done."""
    try:
        head = await reader.readexactly(frames.LENGTH_BYTES)
        return await reader.readexactly(frames.body_bytes(head))
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise WireError(detail="the connection ended inside a frame") from error
        return None
