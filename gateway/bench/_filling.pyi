from fastpath.api import StoreHandle

def fill_riders(
    handle: StoreHandle, first_id: int, count: int, *, currency: int, balance_minor: int, kind: int, state: int
) -> bytes:
    """Accounts first_id, first_id + 1 ... with a balance and a medium each; their tokens.

    Raises: MemoryError: over the store's limits, or an account that is there already.
    """

def fill_media(handle: StoreHandle, count: int, slot: int, *, kind: int, state: int) -> bytes:
    """So many more media of one account, by its slot; their tokens. Raises: MemoryError."""
