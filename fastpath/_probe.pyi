from array import array

from fastpath._limit_book import LimitBook
from fastpath._tariff import Book

_Struct = dict[str, object]

def tap(
    book: Book, medium: _Struct | None, account: _Struct | None, period: _Struct | None, event: _Struct
) -> tuple[_Struct | None, _Struct | None, _Struct]: ...
def reversal(
    book: Book, account: _Struct | None, period: _Struct | None, original: _Struct, charged: _Struct
) -> tuple[_Struct | None, _Struct | None, _Struct]: ...
def layered_tap(
    book: Book,
    medium: _Struct | None,
    account: _Struct | None,
    period: _Struct | None,
    event: _Struct,
    owner: int,
    room: int,
    cells: list[bytes],
) -> tuple[_Struct | None, _Struct | None, list[bytes], _Struct]: ...
def layered_reversal(
    book: Book,
    account: _Struct | None,
    period: _Struct | None,
    original: _Struct,
    charged: _Struct,
    owner: int,
    room: int,
    cells: list[bytes],
    spent_us: int = 0,
) -> tuple[_Struct | None, _Struct | None, list[bytes], _Struct]: ...
def extras_owner(book: Book, account: _Struct | None, event: _Struct) -> int | None: ...
def command(
    account: _Struct | None, slot: int, medium: _Struct | None, order: _Struct
) -> tuple[_Struct | None, _Struct | None, _Struct]: ...
def cell_command(
    account: _Struct | None,
    order: _Struct,
    room: int,
    cells: list[bytes],
    lines: bytes | None = None,
    images: list[bytes] | None = None,
    limits: LimitBook | None = None,
) -> tuple[_Struct | None, list[bytes], _Struct]: ...
def limits(
    what: str,
    book: LimitBook | None,
    account: _Struct,
    room: int,
    cells: list[bytes],
    amount_minor: int,
    at_us: int,
) -> tuple[int, list[bytes]]: ...
def wallet_command(
    account: _Struct | None,
    order: _Struct,
    room: int,
    cells: list[bytes],
    paid: _Struct | None = None,
    limits: LimitBook | None = None,
) -> tuple[_Struct | None, list[bytes], _Struct]: ...
def move(
    account: _Struct | None, leaves: _Struct | None, slot: int, medium: _Struct | None, order: _Struct
) -> _Struct: ...
def wants_period(book: Book, event: _Struct) -> bool: ...
def scale(amount_ppm: int, factors_ppm: list[int], unit_minor: int, mode: int) -> int: ...
def bench(
    book: Book,
    order: array[int],
    stops: array[int],
    base_us: int,
    journeys: int,
    currency: int,
    pass_id: int = 0,
    ahead: int = 0,
) -> tuple[int, int, int, int]: ...
