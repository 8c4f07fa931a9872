"""Python hands on the C functions of _accounts, for tests and benchmarks alone."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastpath._accounts cimport (
    Store, StoreHandle, account_at, cell_at, find_account, find_medium, find_window, new_account,
    new_cell, new_medium, new_operation, new_window, operations_expire, undo_forget,
    undo_last_account, undo_restore, undo_save_account, undo_save_cell, undo_save_medium, undo_use,
    window_check, window_is_resolved, window_mark, window_resolve,
)
from fastpath._accounts_memory cimport mix64
from fastpath._layout cimport TOKEN_BYTES, Account, BootWindow, Cell, Medium

cimport cython


cdef const uint8_t* token_of(bytes token) except NULL:
    if PyBytes_GET_SIZE(token) != TOKEN_BYTES:
        raise ValueError("a token is 16 bytes")
    return <const uint8_t*> PyBytes_AS_STRING(token)


@cython.final
cdef class Probe:
    """The C functions of one store under their own names; results as in _accounts.pxd."""
    cdef readonly StoreHandle handle
    cdef Store* store

    def __init__(self, StoreHandle handle not None):
        self.handle = handle
        self.store = handle.store

    def new_account(self, uint64_t account_id) -> int:
        return new_account(self.store, account_id)

    def write_account(self, uint32_t slot, bytes image not None) -> None:
        """Save the account, then overwrite it."""
        if PyBytes_GET_SIZE(image) != sizeof(Account) or undo_save_account(self.store, slot) < 0:
            raise ValueError("no such slot, or not an account")
        memcpy(account_at(self.store, slot), PyBytes_AS_STRING(image), sizeof(Account))

    def last_saved(self):
        cdef const Account* account = undo_last_account(self.store)
        return PyBytes_FromStringAndSize(<const char*> account,
                                         sizeof(Account)) if account != NULL else None

    def new_cell(self) -> int:
        return new_cell(self.store)

    def write_cell(self, uint32_t index, bytes image not None) -> None:
        if PyBytes_GET_SIZE(image) != sizeof(Cell) or undo_save_cell(self.store, index) < 0:
            raise ValueError("no such cell, or not a cell")
        memcpy(cell_at(self.store, index), PyBytes_AS_STRING(image), sizeof(Cell))

    def new_medium(self, bytes token not None) -> bool:
        return new_medium(self.store, token_of(token)) != NULL

    def write_medium(self, bytes image not None) -> None:
        """Save the medium of that token, then overwrite it."""
        cdef Medium* medium
        if PyBytes_GET_SIZE(image) != sizeof(Medium):
            raise ValueError("not a medium")
        medium = find_medium(self.store, <const uint8_t*> PyBytes_AS_STRING(image))
        if medium == NULL or undo_save_medium(self.store, medium.token) < 0:
            raise ValueError("no such medium")
        memcpy(medium, PyBytes_AS_STRING(image), sizeof(Medium))

    def new_window(self, uint64_t device_id, uint64_t boot_epoch, uint32_t boots_max=64,
                   int64_t floor_us=0) -> bool:
        return new_window(self.store, device_id, boot_epoch, boots_max, floor_us) != NULL

    cdef BootWindow* window(self, uint64_t device_id, uint64_t boot_epoch) except NULL:
        cdef BootWindow* window = find_window(self.store, device_id, boot_epoch)
        if window == NULL:
            raise KeyError((device_id, boot_epoch))
        return window

    def check(self, uint64_t device_id, uint64_t boot_epoch, uint32_t seq) -> int:
        return window_check(self.window(device_id, boot_epoch), seq)

    def mark(self, uint64_t device_id, uint64_t boot_epoch, uint32_t seq, uint64_t position,
             int64_t now_us=1) -> int:
        return window_mark(self.store, self.window(device_id, boot_epoch), seq, position, now_us)

    def resolve(self, uint64_t device_id, uint64_t boot_epoch, uint32_t seq,
                uint64_t position) -> int:
        return window_resolve(self.store, self.window(device_id, boot_epoch), seq, position)

    def is_resolved(self, uint64_t device_id, uint64_t boot_epoch, uint32_t seq) -> bool:
        return window_is_resolved(self.window(device_id, boot_epoch), seq)

    def new_operation(self, uint64_t client, uint64_t id_high, uint64_t id_low,
                      uint64_t position) -> int:
        return new_operation(self.store, client, id_high, id_low, position)

    def expire_operations(self, int64_t floor_us) -> None:
        operations_expire(self.store, floor_us)

    def undo_use(self, int log) -> None:
        if not -1 <= log <= 1:
            raise ValueError("logs are 0 and 1; -1 = none")
        undo_use(self.store, log)

    def undo_forget(self, int log) -> None:
        if not 0 <= log <= 1:
            raise ValueError("logs are 0 and 1")
        undo_forget(self.store, log)

    def undo_restore(self, int log) -> None:
        if not 0 <= log <= 1:
            raise ValueError("logs are 0 and 1")
        undo_restore(self.store, log)

    def fill(self, uint64_t count, int64_t balance_minor=0) -> int:
        """Accounts with one medium each: ids from 1, mixed tokens. Returns how many found room."""
        cdef uint64_t i
        cdef uint32_t slot
        cdef uint64_t token[2]
        cdef Medium* medium
        for i in range(1, count + 1):
            slot = new_account(self.store, i)
            token[0] = mix64(i)
            token[1] = i
            medium = new_medium(self.store, <const uint8_t*> token) if slot != 0 else NULL
            if medium == NULL:
                return i - 1
            account_at(self.store, slot).balance_minor = balance_minor
            medium.account_slot = slot
            medium.kind = 1
            medium.state = 1
        return count

    def touch(self, uint64_t count, uint64_t lookups) -> int:
        """Find medium and account of `lookups` mixed ids up to `count`; the sum of balances."""
        cdef uint64_t i, account_id
        cdef uint64_t token[2]
        cdef int64_t total = 0
        cdef const Medium* medium
        for i in range(lookups):
            account_id = mix64(i) % count + 1
            token[0] = mix64(account_id)
            token[1] = account_id
            medium = find_medium(self.store, <const uint8_t*> token)
            total += account_at(self.store, medium.account_slot).balance_minor
        return total

    def find_each(self, uint64_t first, uint64_t end) -> int:
        """How many of these account ids are known."""
        cdef uint64_t account_id
        cdef uint64_t known = 0
        for account_id in range(first, end):
            known += find_account(self.store, account_id) != 0
        return known
