"""Sends one delivery to one URL, never to an address inside.

A name is resolved here, every address it has is checked, and the connection goes to an address that
was checked: nothing is resolved again in between. Redirects are not followed. What the receiver
says in its body is not read further than it takes to end the connection.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of an attempt. status 0 = no answer came."""

    status: int
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the receiver has it."""
        return 200 <= self.status < 300


class Forbidden(OSError):
    """The address is one nothing is sent to."""


class CheckedResolver(AbstractResolver):
    """Resolves as the system does, and gives out public addresses only."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises: Forbidden: any of its addresses is not public. OSError: it has none."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            check_address(address, allow_private=self._allow_private)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=entry[0],
                proto=entry[2],
                flags=socket.AI_NUMERICHOST,
            )
            for address, entry in zip(addresses, found, strict=True)
        ]

    async def close(self) -> None:
        """Nothing to let go of."""


def check_address(address: str, *, allow_private: bool) -> None:
    """Raises: Forbidden: private, loopback, link-local, multicast, or reserved in another way."""
    if allow_private:
        return
    parsed = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(parsed, "ipv4_mapped", None) or getattr(parsed, "sixtofour", None)
    for one in (parsed, inner):
        if one is not None and (not one.is_global or one.is_multicast):
            raise Forbidden(f"{address} is not a public address")
    if isinstance(parsed, ipaddress.IPv6Address) and parsed in NAT64:
        raise Forbidden(f"{address} is not a public address")


NAT64 = ipaddress.ip_network("64:ff9b::/96")


class WebhookSender:
    """Sends deliveries. One for a process; `close` it."""

    def __init__(self, *, allow_private: bool, timeout_s: float) -> None:
        self._allow_private = allow_private
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Sent:
        """One attempt. Never raises for what the receiver or the network does."""
        try:
            self._check_literal(url)
            async with self._opened().post(
                url, data=body, headers=dict(headers), allow_redirects=False
            ) as answer:
                return Sent(answer.status, "" if answer.ok else f"answered {answer.status}")
        except TimeoutError:
            return Sent(0, "no answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = error.__cause__ if isinstance(error.__cause__, Forbidden) else error
            return Sent(0, f"{type(cause).__name__}: {cause}"[:200])

    def _check_literal(self, url: str) -> None:
        """An address in the URL itself is not resolved by anybody."""
        host = urlsplit(url).hostname or ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return
        check_address(host, allow_private=self._allow_private)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=CheckedResolver(allow_private=self._allow_private),
                use_dns_cache=False,
                force_close=True,
            )
            more: dict[str, Any] = {"trust_env": False, "auto_decompress": False}
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, **more
            )
        return self._session

    async def close(self) -> None:
        """End the connections."""
        if self._session is not None:
            await self._session.close()
