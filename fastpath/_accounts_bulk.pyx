"""What a start with millions of accounts needs in one go, without a Python object for each."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t

from fastpath._accounts cimport Store, StoreHandle, account_at, cell_at, find_account
from fastpath._accounts_memory cimport (
    SHARD_COUNT, Shard, Slab, Table, key_is_zero, shard_entry, slab_chunk_bytes,
)
from fastpath._layout cimport CELL_HOLD, MEDIUM_ACTIVE, TOKEN_BYTES, Account, Cell, Medium

cdef extern from *:
    """
    #include <stddef.h>
    #include <sys/mman.h>
    #ifndef MADV_POPULATE_WRITE
    #define MADV_POPULATE_WRITE 23
    #endif
    /* Since Linux 5.14; where it is not known the pages come one by one, as they are used. */
    static inline int faregate_populate(void *start, size_t bytes) {
        return madvise(start, bytes, MADV_POPULATE_WRITE);
    }
    """
    int faregate_populate(void* start, size_t size_bytes) noexcept nogil


def denied_tokens(StoreHandle handle not None) -> list:
    """The tokens of all media that are not active, in no order."""
    cdef const Table* media = &handle.store.impl.media
    cdef const Shard* shard
    cdef const Medium* medium
    cdef uint32_t i, place
    cdef list found = []
    for i in range(<uint32_t> SHARD_COUNT):
        shard = &media.shards[i]
        if shard.entries == NULL:
            continue
        for place in range(shard.mask + 1):
            medium = <const Medium*> shard_entry(media, shard, place)
            if medium.state != MEDIUM_ACTIVE and not key_is_zero(<const uint64_t*> medium, 2):
                found.append(PyBytes_FromStringAndSize(<const char*> medium.token, TOKEN_BYTES))
    return found


cdef uint32_t chunk_count(const Slab* slab) noexcept nogil:
    return (slab.used >> slab.shift) + 1 if slab.used else 0


def populate_accounts(StoreHandle handle not None) -> int:
    """Have the system find the pages of all accounts now. Returns how many bytes they take.

    For a thread beside the one that fills them: gives the GIL up. Accounts may be written meanwhile,
    but their number must not change.
    """
    cdef const Slab* slab = &handle.store.impl.accounts
    cdef uint32_t count = chunk_count(slab)
    cdef uint32_t chunk
    with nogil:
        for chunk in range(count):
            if faregate_populate(slab.chunks[chunk], slab_chunk_bytes(slab)) != 0:
                break
    return count * slab_chunk_bytes(slab)


# Holds of one account, appended to a list of (expires_us, account, hold).
cdef int add_holds(const Store* store, const Account* account, list found) except -1:
    cdef uint32_t index = account.first_cell if account.held_minor != 0 else 0
    cdef const Cell* cell
    while index != 0:
        cell = cell_at(store, index)
        if cell.type == CELL_HOLD:
            found.append((cell.hold.expires_us, account.account_id, cell.key))
        index = cell.next
    return 0


def list_holds(StoreHandle handle not None) -> list:
    """All open holds as (expires_us, account, hold), in no order."""
    cdef uint32_t slot
    cdef list found = []
    for slot in range(1, handle.store.impl.accounts.used + 1):
        add_holds(handle.store, account_at(handle.store, slot), found)
    return found


def find_holds(StoreHandle handle not None, uint64_t account_id) -> list:
    """The same of one account."""
    cdef uint32_t slot = find_account(handle.store, account_id)
    cdef list found = []
    if slot != 0:
        add_holds(handle.store, account_at(handle.store, slot), found)
    return found
