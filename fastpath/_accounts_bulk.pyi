from fastpath._accounts import StoreHandle

def denied_tokens(handle: StoreHandle) -> list[bytes]:
    """The tokens of all media that are not active, in no order."""

def populate_accounts(handle: StoreHandle) -> int:
    """Have the system find the pages of all accounts now. Returns how many bytes they take.

    For a thread beside the one that fills them: gives the GIL up. Accounts may be written meanwhile,
    but their number must not change.
    """

def list_holds(handle: StoreHandle) -> list[tuple[int, int, int]]:
    """All open holds as (expires_us, account, hold), in no order."""

def find_holds(handle: StoreHandle, account_id: int) -> list[tuple[int, int, int]]:
    """The same of one account."""
