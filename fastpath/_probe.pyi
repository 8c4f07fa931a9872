from array import array

from fastpath._tariff import Book

Struct = dict[str, object]

def tap(
    book: Book, medium: Struct | None, account: Struct | None, period: Struct | None, event: Struct
) -> tuple[Struct | None, Struct | None, Struct]: ...
def reversal(
    book: Book, account: Struct | None, period: Struct | None, original: Struct, charged: Struct
) -> tuple[Struct | None, Struct | None, Struct]: ...
def command(
    account: Struct | None, slot: int, medium: Struct | None, order: Struct
) -> tuple[Struct | None, Struct | None, Struct]: ...
def wants_period(book: Book, event: Struct) -> bool: ...
def bench(
    book: Book, order: array[int], stops: array[int], base_us: int, journeys: int, currency: int
) -> tuple[int, int, int]: ...
