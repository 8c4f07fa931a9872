from fastpath._accounts import StoreHandle
from fastpath._tariff import Book

NOT_AGAIN: str
NO_TARIFF: str

def redecide(
    memory: StoreHandle, book: Book, record: bytes, position: int, original: bytes | None = None
) -> list[tuple[str, int | str, int | str]] | str: ...
