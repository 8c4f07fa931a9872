"""The book of loaded versions."""

from __future__ import annotations

import gc

import pytest

from fastpath._tariff import Book, BookFullError, CompiledTariff
from tests.fastpath.city import BEGIN_US, EAST, HILL, at, rider, town
from tests.fastpath.world import DAY_US, HOUR_US, MINUTE_US, World


def version(day: int, until_day: int = 0, **changes: object) -> CompiledTariff:
    """A version from a service day on."""
    until_us = BEGIN_US + until_day * DAY_US if until_day else 0
    spec = town(
        version=f"d{day}", valid_from_us=BEGIN_US + day * DAY_US, valid_until_us=until_us, **changes
    )
    return CompiledTariff.build(spec)


def names(book: Book, slot: int, days: list[int]) -> list[str | None]:
    found = [book.find_at(slot, BEGIN_US + day * DAY_US) for day in days]
    return [one.version if one else None for one in found]


def test_the_newest_version_in_force_is_found() -> None:
    book = Book()
    for day in (20, 5, 10):
        book.put(3, version(day))
    assert [one.version for one in book.list_versions(3)] == ["d5", "d10", "d20"]
    assert names(book, 3, [4, 5, 9, 10, 19, 20, 80]) == [
        None,
        "d5",
        "d5",
        "d10",
        "d10",
        "d20",
        "d20",
    ]
    assert book.find_at(3, BEGIN_US + 5 * DAY_US - 1) is None
    assert names(book, 2, [5]) == [None]


def test_a_version_that_ends_gives_way_to_the_one_before() -> None:
    book = Book()
    book.put(0, version(1))
    book.put(0, version(5, 8))
    assert names(book, 0, [4, 5, 7, 8, 9]) == ["d1", "d5", "d5", "d1", "d1"]


def test_same_start_gives_way_and_the_same_again_is_no_change() -> None:
    book = Book()
    book.put(0, version(5))
    corrected = version(5, flat_minor=900)
    book.put(0, corrected)
    book.put(0, corrected)
    assert [one.key for one in book.list_versions(0)] == [corrected.key]


def test_a_slot_holds_eight_versions() -> None:
    book = Book()
    made = [version(day) for day in range(9)]
    for one in made[:8]:
        book.put(0, one)
    with pytest.raises(BookFullError, match="8 versions"):
        book.put(0, made[8])
    book.drop(0, made[0].key)
    book.put(0, made[8])
    assert len(book.list_versions(0)) == 8


@pytest.mark.parametrize("slot", [16, 4_000_000_000])
def test_no_such_slot(slot: int) -> None:
    book = Book()
    with pytest.raises(ValueError, match="slot"):
        book.put(slot, version(1))
    with pytest.raises(ValueError, match="slot"):
        book.drop(slot, 1)
    assert book.find_at(slot, BEGIN_US) is None


def test_found_by_key_in_any_slot() -> None:
    book = Book()
    one = version(1)
    book.put(7, one)
    found = book.find_by_key(one.key)
    assert found is not None
    assert found.version == "d1"
    assert book.find_by_key(one.key ^ 1) is None


def test_the_book_keeps_its_tariffs_alive() -> None:
    world = World(at(9, "09:00"))
    for day in range(8):
        world.load(town(version=str(day), valid_from_us=BEGIN_US + day * DAY_US))
        gc.collect()
    assert world.ride(EAST, HILL).fare_minor == 5_00


def test_a_dropped_version_is_not_read_again() -> None:
    world = rider()
    world.enter(EAST)
    key = world.book.list_versions(0)[0].key
    world.load(town(version="2", flat_minor=1, valid_from_us=BEGIN_US + 1))
    world.drop(key)
    gc.collect()
    made = world.wait(20 * MINUTE_US).leave(HILL)
    assert (made.fare_minor, made.tariff_key) == (5_00, world.book.list_versions(0)[0].key)


def test_the_slot_of_the_device_prices_the_tap() -> None:
    world = rider()
    world.load(town(version="bus", flat_minor=100), slot=4)
    assert world.tap(3, slot=4).fare_minor == 1_00
    assert world.wait(HOUR_US).tap(3, slot=0).fare_minor == 2_00
    assert world.tap(3, slot=15).reason == 23
