"""From which address a request comes, also behind proxies that may say so.

A proxy adds the address of whoever called it to the right of X-Forwarded-For; what stands further
left was there before, written by anybody. So the list is read from the right, and only as far as
those who wrote it are proxies we trust.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

HEADER = "X-Forwarded-For"
SITE_BITS = 64
"""Whoever has one IPv6 address has 2^64 of them: the network in front counts as one caller."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """The networks of proxies in front of this process; none: nobody's word is taken."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def parse(cls, names: Iterable[str]) -> Proxies:
        """From networks or addresses as text. Raises: ValueError."""
        return cls(tuple(ip_network(name) for name in names))

    def caller(self, peer: str, forwarded: Iterable[str]) -> str:
        """Who counts as the caller: an IPv4 address, an IPv6 network of 64 bits, or the peer's name
        when it is no address.

        Args: peer: of the connection. forwarded: the values of X-Forwarded-For, in their order.
        """
        address = _address(peer)
        if address is None:
            return peer
        said = [part for value in forwarded for part in value.split(",")]
        while said and self._is_trusted(address):
            further = _address(said.pop())
            if further is None:
                break
            address = further
        return _group(address)

    def _is_trusted(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self.networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Also with a port behind it, or a zone; None: it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _group(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, SITE_BITS), strict=False))
