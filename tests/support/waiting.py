"""To wait for what comes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 60


async def found(look: Callable[[], T], holds: Callable[[T], bool]) -> T:
    """What a look finds, once that holds. It may block: it is done in a thread."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            seen = await asyncio.to_thread(look)
            if holds(seen):
                return seen
            await asyncio.sleep(0.02)
