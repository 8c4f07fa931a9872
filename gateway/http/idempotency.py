"""Idempotency-Key: the same request sent again has its effect once and gets the first answer.

The book keeps (caller, key) → operation id, written down before the handler begins. Whatever the
handler does it does under that id, so running it again after a crash has the same effect, and the
same answer where a journal record tells it. Elsewhere the first answer is kept, and given again.
Only one request with a key is at work in this process at a time.
Source: draft-ietf-httpapi-idempotency-key-header-07.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from gateway.errors import ApiError, Retry
from gateway.wallet.book import BookEntry


class RequestBook(Protocol):
    """Remembers requests by caller and key."""

    async def begin(self, caller: str, key: str, endpoint: str, digest: bytes) -> BookEntry:
        """The entry of this key, made now if there is none; durable when this returns."""

    def settle(self, caller: str, key: str, status: int, *, account_id: int = 0) -> None:
        """Note how it was answered, some time soon. Nothing depends on it."""

    async def keep(
        self, caller: str, key: str, status: int, answer: bytes, *, account_id: int = 0
    ) -> None:
        """The same with the answer, for requests that no journal record tells."""


class Keys:
    """Hands out operation ids for keys. Thread: the loop's."""

    def __init__(self, book: RequestBook) -> None:
        self.book = book
        self._at_work: set[tuple[str, str]] = set()

    def is_at_work(self, caller: str, key: str) -> bool:
        """Whether a request with this key is being answered now."""
        return (caller, key) in self._at_work

    @asynccontextmanager
    async def hold(
        self, caller: str, key: str, endpoint: str, digest: bytes
    ) -> AsyncIterator[BookEntry]:
        """Be the only one with this key. Raises: ApiError API_KEY_IN_FLIGHT, API_KEY_REUSED."""
        name = (caller, key)
        if name in self._at_work:
            raise ApiError(
                "API_KEY_IN_FLIGHT",
                "a request with this key is at work",
                retry=Retry.SAFE,
                retry_after_s=1,
            )
        self._at_work.add(name)
        try:
            entry = await self.book.begin(caller, key, endpoint, digest)
            # A row built again from the journal does not know what was asked for.
            if entry.endpoint and (entry.endpoint, entry.digest) != (endpoint, digest):
                raise ApiError("API_KEY_REUSED", "this key came with another request before")
            yield entry
        finally:
            self._at_work.discard(name)
