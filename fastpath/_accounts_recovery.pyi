from _typeshed import ReadableBuffer

from fastpath._accounts import StoreHandle

FAULTS: dict[int, str]

def apply_group(handle: StoreHandle, group: ReadableBuffer) -> int: ...
