"""Tariffs for history: every tap is priced by the version that its own record names."""

from __future__ import annotations

from collections.abc import Iterable

from fastpath.api import Book, CompiledTariff
from fastpath.types import TapKind
from gateway.errors import RerateError
from gateway.rerating.events import PastTap


class Books:
    """All tariffs kept, as books in which a tap finds its version. Thread: one."""

    def __init__(self, tariffs: Iterable[tuple[int, CompiledTariff]]) -> None:
        self._tariffs = list(tariffs)
        self._by_key = {tariff.key: (slot, tariff) for slot, tariff in self._tariffs}
        self._main = self._build()
        self._others: dict[int, Book] = {}

    def book_for(self, tap: PastTap) -> Book:
        """A book whose version in force for this tap is the one that priced it.

        A version that took the place of another would else price what was ridden before it came.
        Raises: RerateError RERATE_TARIFF: the version is not kept any more.
        """
        key = tap.tariff_key
        if key == 0:
            return self._main
        current = self._main.find_at(tap.tariff_slot, tap.at_us)
        is_exit = tap.kind == TapKind.CHECK_OUT and self._main.find_by_key(key) is not None
        if is_exit or (current is not None and current.key == key):
            return self._main
        if key not in self._by_key:
            said = f"the tariff {key:016x}, which priced a tap in question, is not kept"
            raise RerateError("RERATE_TARIFF", said)
        if key not in self._others:
            self._others[key] = self._build(key)
        return self._others[key]

    def _build(self, preferred: int = 0) -> Book:
        book = Book()
        for slot, tariff in self._tariffs:
            book.put(slot, tariff)
        if preferred:
            book.put(*self._by_key[preferred])
        return book
