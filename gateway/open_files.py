"""How many files and connections this process may have open, as far as the machine lets it."""

from __future__ import annotations

import resource


def raise_limit(wanted: int) -> int:
    """Have room for so many open files if that can be; returns how many there is room for.

    The soft limit is for programs that use select(2), so it is low (1024) nearly everywhere; any
    process may raise its own up to the hard one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    room = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    return room
