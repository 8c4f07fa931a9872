"""Passwords by Argon2id: beside the loop, a few at a time, the same work for everybody."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.errors import AuthError, RateLimited

T = TypeVar("T")
AT_ONCE = 2
WAITING_MAX = 64
WAITING_EACH_MAX = 8
"""Of one address: it takes many to fill the places of all."""
LENGTH_MIN = 10
LENGTH_MAX = 256


class Passwords:
    """Hashes and compares. Each costs 64 MiB and some 50 ms, so that only a few run at once."""

    def __init__(self, hasher: PasswordHasher | None = None, *, at_once: int = AT_ONCE) -> None:
        self._hasher = hasher or PasswordHasher()
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="argon2")
        self._waiting: Counter[str] = Counter()

    @cached_property
    def _nobody(self) -> str:
        """What is compared with where there is nothing: made with the settings of the others."""
        return self._hasher.hash(secrets.token_hex(16))

    async def hash(self, password: str) -> str:
        """As it is stored. Raises: RateLimited: too many at once."""
        return await self._run(self._hasher.hash, password)

    async def is_right(self, stored: str | None, password: str, *, remote: str = "") -> bool:
        """Compare. Without a stored one the work is the same and the answer no.

        Args: remote: the address it comes from; "" = it is not counted by address.
        Raises: RateLimited: too many at once.
        """
        return await self._run(self._verify, stored or "", password, remote=remote)

    def is_outdated(self, stored: str) -> bool:
        """Whether it was made with weaker settings than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True)

    def _verify(self, stored: str, password: str) -> bool:
        nobody = self._nobody
        try:
            right = self._hasher.verify(stored or nobody, password[:LENGTH_MAX])
        except (VerificationError, InvalidHashError):
            return False
        return right and bool(stored)

    async def _run(self, work: Callable[..., T], *arguments: str, remote: str = "") -> T:
        waiting = self._waiting
        is_crowded = remote and waiting[remote] >= WAITING_EACH_MAX
        if is_crowded or waiting.total() >= WAITING_MAX:
            raise RateLimited(retry_after_s=2)
        waiting[remote] += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, work, *arguments)
        finally:
            waiting[remote] -= 1
            if not waiting[remote]:
                del waiting[remote]


def check_password(password: str, login: str) -> None:
    """Raises: AuthError AUTH_WEAK_PASSWORD."""
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise AuthError("AUTH_WEAK_PASSWORD", f"{LENGTH_MIN} to {LENGTH_MAX} characters")
    if len(set(password)) < 5 or login.casefold() in password.casefold():
        raise AuthError("AUTH_WEAK_PASSWORD", "it can be guessed")
