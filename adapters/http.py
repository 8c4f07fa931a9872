"""One peer over HTTP: what may go wrong on the way becomes one of `adapters.errors`, in one place.

The question that decides is whether the peer may have done something. Not connected, 429 and 503:
no (Unavailable, RateLimited). Anything else that goes wrong after a request that writes was sent:
perhaps (Uncertain). A read changes nothing (Unavailable). Nothing is tried again here, redirects
are not followed, and no body is ever logged.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from adapters.contract import CheckResult, CheckStatus, Health
from adapters.errors import (
    AdapterError,
    Malformed,
    Misconfigured,
    RateLimited,
    Unauthorized,
    Unavailable,
    Uncertain,
)

BODY_MAX = 16 << 20
RETRY_AFTER_MAX_S = 86_400.0
US = 1_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. writes: the peer changes something when it gets it."""

    method: str
    path: str
    writes: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    @classmethod
    def post_json(cls, path: str, value: object, headers: Mapping[str, str]) -> Request:
        """A write with a JSON body."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        return cls("POST", path, True, {"Content-Type": "application/json", **headers}, body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: only statuses an adapter has to understand itself (2xx, 4xx)."""

    request: Request
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def digest(self) -> str:
        """Proof of the answer without its content."""
        return hashlib.sha256(self.body).hexdigest()

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises: Uncertain after a write, else Malformed."""
        try:
            value = json.loads(self.body)
        except (ValueError, UnicodeDecodeError):
            value = None
        if not isinstance(value, dict):
            raise self.not_understood("no JSON object")
        return value

    def not_understood(self, why: str) -> AdapterError:
        """The error of an answer that says nothing about what became of the request."""
        detail = f"HTTP {self.status}: {why}"
        return Uncertain(detail) if self.request.writes else Malformed(detail)


class HttpPeer:
    """A session with one peer. Open it inside a running loop; close is idempotent."""

    def __init__(self, base_url: str, *, timeout_s: float, connect_s: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(
            total=timeout_s, connect=connect_s, sock_connect=connect_s
        )
        self._session: aiohttp.ClientSession | None = None
        self._last_ok_us = 0
        self._last_error = ""
        self._clock_offset_us = 0

    async def open(self, headers: Mapping[str, str] | None = None) -> None:
        """headers go with every request."""
        self._session = aiohttp.ClientSession(
            timeout=self._timeout, headers=headers, cookie_jar=aiohttp.DummyCookieJar()
        )

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def health(self) -> Health:
        return Health(self._session is not None, self._last_ok_us, self._last_error)

    async def send(self, request: Request) -> Answer:
        """One request, one answer. Raises: AdapterError, with what is known about its effect."""
        try:
            answer = await self._exchange(request)
            _refuse_status(answer)
        except AdapterError as error:
            self._last_error = type(error).__name__
            raise
        self._last_ok_us = time.time_ns() // 1_000
        self._last_error = ""
        return answer

    async def check(self, request: Request) -> CheckResult:
        """Try a read and say what was found; raises nothing."""
        begun = time.monotonic_ns()
        try:
            answer = await self.send(request)
            version = str(answer.json().get("version", "")) if answer.status == 200 else ""
        except AdapterError as error:
            return CheckResult(_check_status(error), type(error).__name__)
        latency_us = (time.monotonic_ns() - begun) // 1_000
        if answer.status != 200:
            return CheckResult(CheckStatus.MISCONFIGURED, f"HTTP {answer.status}", latency_us)
        return CheckResult(CheckStatus.OK, "", latency_us, version, self._clock_offset_us)

    async def _exchange(self, request: Request) -> Answer:
        if self._session is None:
            raise Unavailable("not open")
        url = f"{self._base_url}{request.path}"
        try:
            async with self._session.request(
                request.method,
                url,
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
            ) as response:
                body = await response.content.read(BODY_MAX + 1)
                while len(body) <= BODY_MAX and (more := await response.content.read(BODY_MAX)):
                    body += more
                self._note_clock(response.headers.get("Date", ""))
                answer = Answer(request, response.status, dict(response.headers), body)
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            raise _mapped(error, request) from error
        if len(answer.body) > BODY_MAX:
            raise answer.not_understood("longer than anything a peer says")
        return answer

    def _note_clock(self, date: str) -> None:
        try:
            there = email.utils.parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        self._clock_offset_us = int((there - time.time()) * US)


def _mapped(error: Exception, request: Request) -> AdapterError:
    name = type(error).__name__
    if isinstance(error, aiohttp.InvalidURL):
        return Misconfigured(name)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Unavailable(name)
    return Uncertain(name) if request.writes else Unavailable(name)


def _refuse_status(answer: Answer) -> None:
    """Raises for what means the same at every peer."""
    status, said = answer.status, f"HTTP {answer.status}"
    wait_s = retry_after_s(answer.headers.get("Retry-After", ""))
    if status in (401, 403):
        raise Unauthorized(said)
    if status == 429:
        raise RateLimited(said, retry_after_s=wait_s)
    if status == 503:
        raise Unavailable(said, retry_after_s=wait_s)
    if status >= 500:
        raise Uncertain(said) if answer.request.writes else Unavailable(said)
    if not 200 <= status < 300 and not 400 <= status < 500:
        raise Misconfigured(f"{said}: not the address of this interface")


def retry_after_s(text: str) -> float | None:
    """Seconds of a Retry-After header: a number, or a date. None = none that can be read."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), RETRY_AFTER_MAX_S)
    try:
        wait_s = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None
    return min(max(wait_s, 0.0), RETRY_AFTER_MAX_S)


def _check_status(error: AdapterError) -> CheckStatus:
    if isinstance(error, Unauthorized):
        return CheckStatus.AUTH
    if isinstance(error, Misconfigured):
        return CheckStatus.MISCONFIGURED
    return CheckStatus.VERSION if isinstance(error, Malformed) else CheckStatus.UNREACHABLE
