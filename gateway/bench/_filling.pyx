"""Many riders put into memory at once, for benchmarks that need millions of them.

What they amount to is what the commands account_open, credit and medium_link would have left, less
the operations: those are forgotten after their horizon anyway. Must not import the engine.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastpath._accounts cimport Store, StoreHandle, account_at, new_account, new_medium
from fastpath._accounts_memory cimport mix64, table_expect
from fastpath._layout cimport TOKEN_BYTES, Account, Medium

cdef uint64_t DENIED_SALT = 0x9E3779B97F4A7C15


cdef inline void make_token(uint8_t* token, uint64_t number, uint64_t salt) noexcept nogil:
    cdef uint64_t halves[2]
    halves[0] = mix64(number + salt)
    halves[1] = mix64(halves[0] ^ 0xD6E8FEB86659FD93u) | 1
    memcpy(token, halves, TOKEN_BYTES)


cdef int put_medium(Store* store, const uint8_t* token, uint32_t slot, uint8_t kind,
                    uint8_t state) noexcept nogil:
    cdef Medium* medium = new_medium(store, token)
    if medium == NULL:
        return -1
    medium.account_slot = slot
    medium.kind = kind
    medium.state = state
    return 0


cdef int put_rider(Store* store, uint64_t account_id, const uint8_t* token, uint16_t currency,
                   int64_t balance_minor, uint8_t kind, uint8_t state) noexcept nogil:
    cdef uint32_t slot = new_account(store, account_id)
    cdef Account* account
    if slot == 0:
        return -1
    account = account_at(store, slot)
    account.currency = currency
    account.balance_minor = balance_minor
    return put_medium(store, token, slot, kind, state)


def fill_riders(StoreHandle handle not None, uint64_t first_id, uint64_t count, *,
                uint16_t currency, int64_t balance_minor, uint8_t kind, uint8_t state) -> bytes:
    """Accounts first_id, first_id + 1 ... with a balance and a medium each; their tokens."""
    cdef bytes tokens = PyBytes_FromStringAndSize(NULL, count * TOKEN_BYTES)
    cdef uint8_t* token = <uint8_t*> PyBytes_AS_STRING(tokens)
    cdef uint64_t account_id
    table_expect(&handle.store.impl.account_ids, handle.store.account_count + count)
    table_expect(&handle.store.impl.media, handle.store.impl.media.count + count)
    for account_id in range(first_id, first_id + count):
        make_token(token, account_id, 0)
        if put_rider(handle.store, account_id, token, currency, balance_minor, kind, state) < 0:
            raise MemoryError(f"no room for account {account_id}")
        token += TOKEN_BYTES
    return tokens


def fill_media(StoreHandle handle not None, uint64_t count, uint32_t slot, *, uint8_t kind,
               uint8_t state) -> bytes:
    """So many more media of one account, by its slot; their tokens."""
    cdef bytes tokens = PyBytes_FromStringAndSize(NULL, count * TOKEN_BYTES)
    cdef uint8_t* token = <uint8_t*> PyBytes_AS_STRING(tokens)
    cdef uint64_t number
    for number in range(1, count + 1):
        make_token(token, number, DENIED_SALT)
        if put_medium(handle.store, token, slot, kind, state) < 0:
            raise MemoryError(f"no room for medium {number}")
        token += TOKEN_BYTES
    return tokens
