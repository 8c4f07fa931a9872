"""Rules between settings, which no single value can break."""

from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import ip_network
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.config.tree import Config

SOCKET_PATH_BYTES_MAX = 107  # sun_path of Linux, without its final zero byte


def cross_check(config: Config) -> Iterator[str]:
    """Rules between settings."""
    link = config.link
    if (link.tls_cert_file is None) != (link.tls_key_file is None):
        yield "link.tls_cert_file: goes together with link.tls_key_file"
    if link.tls_client_ca_file is not None and link.tls_cert_file is None:
        yield "link.tls_client_ca_file: needs link.tls_cert_file"
    if link.idle_timeout_s <= link.heartbeat_s:
        yield "link.idle_timeout_s: must be longer than link.heartbeat_s"
    if _has_password(config.registry.url):
        yield "registry.url: keep the password in registry.password_file"
    if _has_password(config.ledger.url):
        yield "ledger.url: keep the password in ledger.password_file"
    if not _is_zone(config.ledger.zone):
        yield f"ledger.zone: {config.ledger.zone} is no time zone this machine knows"
    if not config.valkey.servers:
        yield "valkey.servers: name at least one"
    if config.worker.keep_days <= config.engine.op_horizon_days:
        yield "worker.keep_days: must be above engine.op_horizon_days"
    if not link.mac:
        yield "link.mac: name at least one algorithm"
    socket = config.control.socket
    if len(os.fsencode(socket)) > SOCKET_PATH_BYTES_MAX:
        yield f"control.socket: {socket} is longer than {SOCKET_PATH_BYTES_MAX} bytes"
    if config.api.keys_keep_days < config.engine.op_horizon_days:
        yield "api.keys_keep_days: must not be shorter than engine.op_horizon_days"
    for network in config.api.trusted_proxies:
        if not _is_network(network):
            yield f"api.trusted_proxies: {network} is no network, as 10.0.0.0/8 or 10.1.2.3 is"
    if config.engine.group_bytes_max > config.journal.segment_mib << 20:
        yield "engine.group_bytes_max: a group must fit into journal.segment_mib"


def _has_password(url: str | None) -> bool:
    """Whether a database's URL carries a password in front of its host."""
    user = (url or "").partition("://")[2].rpartition("@")[0]
    return ":" in user


def _is_network(text: str) -> bool:
    """Whether this is an address or a network without host bits."""
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _is_zone(name: str) -> bool:
    """Whether the machine has this IANA zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
