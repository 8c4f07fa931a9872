"""A registry to deliver from, on both databases."""

from tests.support.registry import (
    Clock,
    clock,
    database,
    empty_file,
    place,
    postgres_place,
)

__all__ = ["Clock", "clock", "database", "empty_file", "place", "postgres_place"]
