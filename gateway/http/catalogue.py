"""Every endpoint of /v1."""

from __future__ import annotations

from gateway.http.endpoint import Endpoint
from gateway.http.routes import (
    accounts,
    approvals,
    audit,
    events,
    freezes,
    holds,
    keys,
    lending,
    media,
    merges,
    meta,
    money,
    oauth,
    passes,
    payouts,
    peer_commands,
    persons,
    purses,
    reconciliation,
    reports,
    rules,
    sessions,
    settlements,
    taps,
    tenants,
    webhooks,
)

MODULES = (
    meta,
    accounts,
    purses,
    passes,
    money,
    payouts,
    taps,
    holds,
    freezes,
    media,
    merges,
    lending,
    rules,
    reports,
    settlements,
    reconciliation,
    events,
    webhooks,
    oauth,
    sessions,
    persons,
    approvals,
    keys,
    tenants,
    audit,
    peer_commands,
)
"""In the order of the document."""


def all_endpoints() -> list[Endpoint]:
    """Every endpoint, in the order of the document."""
    return [endpoint for module in MODULES for endpoint in module.ENDPOINTS]
