"""Where prices come from: the numbers that compiled tables carry -> rows of the feed."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Origin:
    """Rows that made one price or rule: file, and lines in it. products: what may be charged."""

    file: str
    lines: tuple[int, ...]
    products: frozenset[str] = frozenset()
    passes: frozenset[str] = frozenset()
    """Products of the matching rules that are no single ride."""


NOWHERE = Origin("", ())


@dataclass(slots=True)
class Origins:
    """Origins by number; 0 = nowhere."""

    items: list[Origin] = field(default_factory=lambda: [NOWHERE])
    _at: dict[Origin, int] = field(default_factory=dict)

    def number_of(self, origin: Origin) -> int:
        """The number of an origin, a new one when it is not there."""
        if origin not in self._at:
            self._at[origin] = len(self.items)
            self.items.append(origin)
        return self._at[origin]

    def get(self, number: int) -> Origin:
        """An origin by number."""
        return self.items[number] if 0 <= number < len(self.items) else NOWHERE
