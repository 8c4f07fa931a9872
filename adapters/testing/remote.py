"""A scripted remote: a real HTTP server on loopback, with state, that misbehaves when it is told.

A peer's simulator is a subclass with routes and a state; trouble is planned per request and played
by the base, around the subclass's handlers, so that "done, but the answer was lost" is exactly
that. Effects are counted: a test asks the remote, not the adapter, what really happened.
"""

from __future__ import annotations

import abc
import asyncio
from collections import Counter, deque
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web


class Trouble(StrEnum):
    """What may happen to one request."""

    NONE = "none"
    SLOW = "slow"
    """Answers after a while, early enough."""
    PENDING = "pending"
    """Takes it, and says that it is not finished; it is, when asked."""
    NEVER = "never"
    """Reads it, does nothing, never answers."""
    LATE = "late"
    """Does it, and answers when nobody listens any more."""
    DROP_BEFORE = "drop_before"
    """Closes the connection before doing anything."""
    DROP_AFTER = "drop_after"
    """Does it, and closes the connection without an answer."""
    HALF = "half"
    """Does it, and closes the connection in the middle of the answer."""
    ERROR_AFTER = "error_after"
    """Does it, and says 500."""
    GARBAGE = "garbage"
    """Does it, and answers something that is no message of this interface."""
    WRONG = "wrong"
    """Does it, and answers about something else."""
    TOO_MANY = "too_many"
    """429 with Retry-After, nothing done."""
    UNAVAILABLE = "unavailable"
    """503 with Retry-After, nothing done."""
    UNAUTHORIZED = "unauthorized"
    """401, nothing done."""
    HIDDEN = "hidden"
    """For a question: says that it does not know, though it does."""


_TROUBLE: ContextVar[Trouble] = ContextVar("trouble", default=Trouble.NONE)
RETRY_AFTER_S = 7
WAIT_SLICE_S = 0.01
GARBAGE = b"\xff\xfe<html>502 Bad Gateway\x00"


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class ScriptedRemote(abc.ABC):
    """Start it, plan trouble, look at `effects` and `requests`, stop it. Thread: one loop's."""

    slow_s = 0.02
    late_s = 30.0
    """Far beyond any timeout of an adapter under test."""

    def __init__(self) -> None:
        self.on_write: deque[Trouble] = deque()
        self.on_read: deque[Trouble] = deque()
        self.effects: Counter[str] = Counter()
        self.requests: list[Seen] = []
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._over = asyncio.Event()

    @abc.abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """The interface of this peer."""

    def is_write(self, request: web.Request) -> bool:
        """Whether a request changes something."""
        return request.method not in ("GET", "HEAD")

    def wrong(self, response: web.Response) -> web.Response:
        """The answer about something else: a subclass knows how that looks."""
        return web.json_response({"about": "something else"})

    @property
    def trouble(self) -> Trouble:
        """Of the request being handled, for what only the handler can play."""
        return _TROUBLE.get()

    async def start(self) -> str:
        """Serve on a free port; the URL."""
        app = web.Application(middlewares=[self._play], client_max_size=64 << 20)
        app.add_routes(self.routes())
        self._over = asyncio.Event()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        """Close everything; whoever waits for an answer gets none."""
        self._over.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def connections(self) -> int:
        """Connections open at this moment."""
        server = self._runner.server if self._runner else None
        return len(server.connections) if server is not None else 0

    @web.middleware
    async def _play(
        self, request: web.Request, handler: web.RequestHandler | object
    ) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(Seen(request.method, request.path_qs, dict(request.headers), body))
        plan = self.on_write if self.is_write(request) else self.on_read
        trouble = plan.popleft() if plan else Trouble.NONE
        _TROUBLE.set(trouble)
        if (refusal := _refusal(trouble)) is not None:
            return refusal
        if trouble is Trouble.NEVER:
            await self._wait(request, 3600.0)
        if trouble in (Trouble.NEVER, Trouble.DROP_BEFORE):
            return _cut(request)
        response: web.Response = await handler(request)  # type: ignore[operator]
        return await self._spoil(request, trouble, response)

    async def _spoil(
        self, request: web.Request, trouble: Trouble, response: web.Response
    ) -> web.StreamResponse:
        """What happens to an answer after the work was done."""
        if trouble is Trouble.SLOW:
            await self._wait(request, self.slow_s)
        elif trouble is Trouble.LATE:
            await self._wait(request, self.late_s)
        elif trouble is Trouble.DROP_AFTER:
            return _cut(request)
        elif trouble is Trouble.HALF:
            return await _half(request, response)
        elif trouble is Trouble.ERROR_AFTER:
            return web.Response(status=500, text="internal error")
        elif trouble is Trouble.GARBAGE:
            return web.Response(body=GARBAGE, content_type="application/json")
        elif trouble is Trouble.WRONG:
            return self.wrong(response)
        return response

    async def _wait(self, request: web.Request, seconds: float) -> None:
        """So long, or until this remote stops or the other side has gone."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end and request.transport is not None:
            try:
                await asyncio.wait_for(self._over.wait(), WAIT_SLICE_S)
            except TimeoutError:
                continue
            return


def _refusal(trouble: Trouble) -> web.Response | None:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    if trouble is Trouble.TOO_MANY:
        return web.Response(status=429, headers=headers)
    if trouble is Trouble.UNAVAILABLE:
        return web.Response(status=503, headers=headers)
    return web.Response(status=401) if trouble is Trouble.UNAUTHORIZED else None


def _cut(request: web.Request) -> web.Response:
    """End the connection at once; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def _half(request: web.Request, response: web.Response) -> web.StreamResponse:
    body = response.body if isinstance(response.body, bytes) else b""
    half = web.StreamResponse(status=response.status)
    half.content_length = len(body) + 10
    half.content_type = response.content_type
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half
