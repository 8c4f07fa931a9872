"""A validator link of a few lines: the framing and the tags, no handshake, answers by script."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgpack

DEVICE_KEY = bytes(range(32))
SERVER_KEY = bytes(range(32, 64))
HMAC_SHA256 = 1
BLAKE2B = 2
BOOT = 0x1122334455667788
Reply = list[Any] | bytes | None


def tag(algorithm: int, key: bytes, data: bytes) -> bytes:
    if algorithm == HMAC_SHA256:
        return hmac.digest(key, data, "sha256")[:16]
    return hashlib.blake2b(data, key=key, digest_size=16).digest()


def answer(tap: list[Any], *, reason: int = 0, position: int = 4096) -> list[Any]:
    verdict = 1 if reason < 16 else 3 if reason == 16 else 0
    return [tap[0], tap[1], verdict, reason, 300, -700, 300, 1, 7, tap[5], position, tap[2]]


def plain(frame: list[Any]) -> list[Any]:
    """The answer to a tap or a batch when nothing goes wrong."""
    if frame[0] == 10:
        return [11, frame[1], answer(frame[2])]
    return [13, frame[1], frame[1], [answer(tap) for tap in frame[2]]]


@dataclass
class Scripted:
    """What the server saw, and its answers: a list is tagged, bytes go as they are."""

    script: Callable[[list[Any]], Reply] = plain
    algorithm: int = HMAC_SHA256
    stall_at: int = 0
    stall_s: float = 0.0
    frames: list[list[Any]] = field(default_factory=list)
    bad_tags: int = 0
    port: int = 0
    close_at: int = 0

    def pack(self, reply: Reply) -> bytes:
        if reply is None or isinstance(reply, bytes):
            return reply or b""
        payload = msgpack.packb(reply)
        signed = payload + tag(self.algorithm, SERVER_KEY, b"S" + payload)
        return len(signed).to_bytes(4, "big") + signed

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                body = await reader.readexactly(size)
                payload = body[:-16]
                if tag(self.algorithm, DEVICE_KEY, b"C" + payload) != body[-16:]:
                    self.bad_tags += 1
                self.frames.append(msgpack.unpackb(payload))
                if len(self.frames) == self.stall_at:
                    await asyncio.sleep(self.stall_s)
                if len(self.frames) == self.close_at:
                    break
                writer.write(self.pack(self.script(self.frames[-1])))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    async def serve(self, ready: threading.Event, done: asyncio.Event) -> None:
        server = await asyncio.start_server(self.serve_one, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await done.wait()
        server.close()
        await asyncio.sleep(0)


@contextmanager
def running(server: Scripted) -> Iterator[Scripted]:
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    done = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(ready, done),))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.run_until_complete(drain(loop))
        loop.close()


async def drain(loop: asyncio.AbstractEventLoop) -> None:
    """End what still reads from a client that went away."""
    tasks = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def connect(port: int) -> socket.socket:
    plug = socket.create_connection(("127.0.0.1", port))
    plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plug
