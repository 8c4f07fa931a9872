"""A Unix socket before another: answers can be held back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

CHUNK = 1 << 16


class Stall:
    """Passes bytes both ways; answers wait while it is shut."""

    def __init__(self, real: Path) -> None:
        self._real = real
        self._open = asyncio.Event()
        self._open.set()
        self.asked = asyncio.Event()
        """Something was sent since it was shut."""

    def shut(self) -> None:
        self._open.clear()
        self.asked.clear()

    def let_go(self) -> None:
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._real)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._ask(reader, back), self._answer(there, writer))
        back.close()
        writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
            self.asked.set()
        writer.write_eof()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        writer.write_eof()


def _put_aside(path: Path) -> Path:
    return path.rename(path.with_suffix(".real"))


@contextlib.asynccontextmanager
async def stalling(path: Path) -> AsyncIterator[Stall]:
    """In the place of the socket at this path; whoever connects from now on goes through it."""
    stall = Stall(_put_aside(path))
    server = await asyncio.start_unix_server(stall.serve, path)
    try:
        yield stall
    finally:
        stall.let_go()
        server.close()
