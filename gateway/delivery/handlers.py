"""Which handler an adapter's events go to."""

from __future__ import annotations

from typing import Any

from gateway.delivery.funding import BankEvents
from gateway.delivery.kinds import Configured
from gateway.jobs import Tools


def build_handler(configured: Configured, tools: Tools) -> Any:
    """The handler of an adapter's kind; None = its events are only stored, for others to read."""
    if configured.kind == "bank":
        return BankEvents(configured.name, tools.commands, tools.registry)
    return None
