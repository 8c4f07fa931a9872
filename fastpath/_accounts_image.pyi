from collections.abc import Callable

from _typeshed import ReadableBuffer

from fastpath._accounts import StoreHandle

def layout_digest() -> bytes: ...
def dump(handle: StoreHandle, write: Callable[[ReadableBuffer], object]) -> None: ...
def load(
    handle: StoreHandle, read_into: Callable[[memoryview], object], size_bytes: int
) -> None: ...
