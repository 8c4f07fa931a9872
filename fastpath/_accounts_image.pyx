"""The store as a stream of bytes: what a snapshot holds. No I/O: the caller writes and reads.

Little-endian. ImageHead, then the accounts by slot (256 bytes each, free slots as zeros), the cells
by index (64), the media (32, in no order), the boot windows (1,056 and 8 for every number seen: the
position of its answer, by number modulo 4,096), the operations (32: client, id in two halves,
position; in no order). Indexes are made again when loading.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from fastpath._accounts cimport (
    OperationEntry, Store, StoreHandle, StoreImpl, account_at, extend_accounts, extend_cells,
    index_account, new_medium, new_operation, new_window, window_answer,
)
from fastpath._accounts_memory cimport (
    SHARD_COUNT, Shard, Slab, Table, key_is_zero, shard_entry, slab_at, table_expect,
    table_prefetch,
)
from fastpath._accounts_windows cimport (
    RESIDUE_MASK, Window, answers_are_tight, bit_is_set, grow_answers, put_answer,
)
from fastpath._layout cimport (
    FAREGATE_STRUCT_VERSION, WINDOW_BITS, Account, BootWindow, Cell, Medium,
)

cimport cython

import hashlib

cdef extern from "Python.h":
    int PyBUF_READ
    int PyBUF_WRITE

cdef enum:
    BUFFER_BYTES = 1 << 20
    IMAGE_MAGIC_BYTES = 8
    AHEAD = 24    # accounts whose index entries are under way while one is put in its place

cdef const char* IMAGE_MAGIC = b"FGIMAGE1"

cdef struct ImageHead:
    char magic[8]
    uint64_t struct_version
    uint64_t account_slots     # highest slot given out
    uint64_t account_count
    uint64_t cell_count
    uint64_t medium_count
    uint64_t window_count
    uint64_t operation_count


def layout_digest() -> bytes:
    """8 bytes that change with the shapes an image is made of."""
    shapes = (
        FAREGATE_STRUCT_VERSION, sizeof(ImageHead), sizeof(Account), sizeof(Cell), sizeof(Medium),
        sizeof(BootWindow), WINDOW_BITS, sizeof(OperationEntry),
    )
    return hashlib.sha256(repr(shapes).encode()).digest()[:8]


# ---- dump ----------------------------------------------------------------------------------------

# Collects small pieces into large writes.
@cython.final
cdef class _Collector:
    cdef object write
    cdef bytearray buffer
    cdef uint8_t[::1] view
    cdef size_t used

    def __init__(self, write):
        self.write = write
        self.buffer = bytearray(BUFFER_BYTES)
        self.view = self.buffer

    cdef int add(self, const void* data, size_t size_bytes) except -1:
        if self.used + size_bytes > BUFFER_BYTES:
            self.flush()
        memcpy(&self.view[self.used], data, size_bytes)
        self.used += size_bytes
        return 0

    cdef int flush(self) except -1:
        if self.used:
            self.write(memoryview(self.buffer)[:self.used])
            self.used = 0
        return 0


# Gives `take` the entries of a slab from `first` to the end of its chunk or to `used`, as one
# memoryview. Returns the entry to go on with.
cdef uint64_t take_chunk(const Slab* slab, uint64_t first, uint64_t used, object take,
                         int mode) except 0:
    cdef uint64_t end = min(((first >> slab.shift) + 1) << slab.shift, used + 1)
    take(PyMemoryView_FromMemory(<char*> slab_at(slab, <uint32_t> first),
                                 (end - first) * slab.entry_bytes, mode))
    return end


cdef int each_chunk(const Slab* slab, uint64_t used, object take, int mode) except -1:
    cdef uint64_t first = 1
    while first <= used:
        first = take_chunk(slab, first, used, take, mode)
    return 0


cdef int dump_table(const Table* table, _Collector out) except -1:
    cdef const Shard* shard
    cdef const uint64_t* entry
    cdef uint32_t i, place
    for i in range(<uint32_t> SHARD_COUNT):
        shard = &table.shards[i]
        if shard.entries == NULL:
            continue
        for place in range(shard.mask + 1):
            entry = shard_entry(table, shard, place)
            if not key_is_zero(entry, table.key_words):
                out.add(entry, table.entry_bytes)
    return 0


# The number that a window knows by its low 12 bits.
cdef inline uint32_t seq_of_residue(const BootWindow* window, uint32_t residue) noexcept nogil:
    return window.top_seq - ((window.top_seq - residue) & RESIDUE_MASK)


cdef int dump_windows(const Store* store, _Collector out) except -1:
    cdef const Window* window
    cdef uint32_t index, residue
    cdef uint64_t position
    for index in range(1, store.impl.windows.used + 1):
        window = <const Window*> slab_at(&store.impl.windows, index)
        if window.saved_in == <uint32_t> 0xFFFFFFFF:
            continue
        out.add(&window.shown, sizeof(BootWindow))
        for residue in range(<uint32_t> WINDOW_BITS):
            if bit_is_set(window.shown.seen, residue):
                position = window_answer(store, &window.shown,
                                         seq_of_residue(&window.shown, residue))
                out.add(&position, sizeof(uint64_t))
    return 0


def dump(StoreHandle handle not None, write) -> None:
    """Write the image with `write(buffer)`, in pieces of up to 2 MiB.

    A piece is only valid during its call.
    The store must not change meanwhile. Raises: what `write` raises.
    """
    cdef Store* store = handle.store
    cdef _Collector out = _Collector(write)
    cdef ImageHead head
    memcpy(head.magic, IMAGE_MAGIC, IMAGE_MAGIC_BYTES)
    head.struct_version = FAREGATE_STRUCT_VERSION
    head.account_slots = store.impl.accounts.used
    head.account_count = store.account_count
    head.cell_count = store.impl.cells.used
    head.medium_count = store.impl.media.count
    head.window_count = store.window_count
    head.operation_count = store.impl.operations.count
    write(PyBytes_FromStringAndSize(<const char*> &head, sizeof(ImageHead)))
    each_chunk(&store.impl.accounts, head.account_slots, write, PyBUF_READ)
    each_chunk(&store.impl.cells, head.cell_count, write, PyBUF_READ)
    dump_table(&store.impl.media, out)
    dump_windows(store, out)
    dump_table(&store.impl.operations, out)
    out.flush()


# ---- load ----------------------------------------------------------------------------------------

cdef object read_struct(object read_into, void* at, size_t size_bytes):
    read_into(PyMemoryView_FromMemory(<char*> at, size_bytes, PyBUF_WRITE))


cdef int index_slots(Store* store, uint32_t first, uint32_t end) except -1:
    cdef uint32_t slot
    cdef uint64_t account_id
    for slot in range(first, end):
        account_id = account_at(store, slot).account_id
        if slot + AHEAD < end:
            table_prefetch(&store.impl.account_ids, &account_at(store, slot + AHEAD).account_id)
        if account_id != 0 and index_account(store, slot, account_id) < 0:
            raise ValueError(f"account slot {slot} cannot be indexed")
    return 0


# Each chunk is indexed while it is in the caches.
cdef int load_accounts(Store* store, const ImageHead* head, object read_into) except -1:
    cdef uint64_t first = 1
    cdef uint64_t end
    if head.account_slots == 0:
        return 0
    if head.account_slots > 0xFFFFFFFE or extend_accounts(store, <uint32_t> head.account_slots) < 0:
        raise ValueError(f"no room for {head.account_slots} accounts")
    table_expect(&store.impl.account_ids, head.account_count)
    while first <= head.account_slots:
        end = take_chunk(&store.impl.accounts, first, head.account_slots, read_into, PyBUF_WRITE)
        index_slots(store, <uint32_t> first, <uint32_t> end)
        first = end
    return 0


cdef int load_cells(Store* store, const ImageHead* head, object read_into) except -1:
    if head.cell_count == 0:
        return 0
    if head.cell_count > 0xFFFFFFFE or extend_cells(store, <uint32_t> head.cell_count) < 0:
        raise ValueError(f"no room for {head.cell_count} cells")
    each_chunk(&store.impl.cells, head.cell_count, read_into, PyBUF_WRITE)
    return 0


cdef int put_medium(Store* store, const uint8_t* entry) except -1:
    cdef const Medium* image = <const Medium*> entry
    cdef Medium* medium
    if image.account_slot > store.impl.accounts.used:
        raise ValueError("a medium names an account that is not there")
    medium = new_medium(store, image.token)
    if medium == NULL:
        raise ValueError("a medium cannot be put in its place")
    medium[0] = image[0]
    return 0


cdef int put_operation(Store* store, const uint8_t* entry) except -1:
    cdef const OperationEntry* image = <const OperationEntry*> entry
    if new_operation(store, image.key[0], image.key[1], image.key[2], image.position) < 0:
        raise ValueError("an operation cannot be put in its place")
    return 0


ctypedef int (*Put)(Store* store, const uint8_t* entry) except -1


cdef int load_table(Store* store, uint64_t count, object read_into, Put put) except -1:
    cdef bytearray buffer = bytearray(BUFFER_BYTES)
    cdef const uint8_t[::1] view = buffer
    cdef uint64_t left = count
    cdef uint64_t some, i
    while left > 0:
        some = min(left, <uint64_t> BUFFER_BYTES // 32)
        read_into(memoryview(buffer)[:some * 32])
        for i in range(some):
            put(store, &view[i * 32])
        left -= some
    return 0


cdef int load_window(Store* store, object read_into) except -1:
    cdef BootWindow image
    cdef Window* window
    cdef uint64_t positions[WINDOW_BITS]
    cdef uint32_t residue, count = 0
    read_struct(read_into, &image, sizeof(BootWindow))
    window = <Window*> new_window(store, image.device_id, image.boot_epoch, 0xFFFFFFFF, 0)
    if window == NULL or image.acked_seq > image.top_seq:
        raise ValueError("a boot window cannot be put in its place")
    window.shown = image
    for residue in range(<uint32_t> WINDOW_BITS):
        count += bit_is_set(image.seen, residue)
    if count:
        read_struct(read_into, positions, count * sizeof(uint64_t))
    count = 0
    for residue in range(<uint32_t> WINDOW_BITS):
        if bit_is_set(image.seen, residue):
            put_position(store.impl, window, residue, positions[count])
            count += 1
    return 0


cdef int put_position(StoreImpl* impl, Window* window, uint32_t residue,
                      uint64_t position) except -1:
    cdef uint32_t added
    while answers_are_tight(window, residue):
        added = grow_answers(window)
        if added == 0:
            raise MemoryError("no memory for the answers of a boot window")
        impl.answer_bytes += added
    if position != 0:
        put_answer(window, residue, position)
    return 0


cdef int load_parts(Store* store, const ImageHead* head, object read_into) except -1:
    cdef uint64_t _i
    load_accounts(store, head, read_into)
    if store.account_count != head.account_count:
        raise ValueError(f"{store.account_count} accounts instead of {head.account_count}")
    load_cells(store, head, read_into)
    table_expect(&store.impl.media, head.medium_count)
    load_table(store, head.medium_count, read_into, put_medium)
    for _i in range(head.window_count):
        load_window(store, read_into)
    table_expect(&store.impl.operations, head.operation_count)
    return load_table(store, head.operation_count, read_into, put_operation)


# Asked before anything is allocated: counts that a damaged head makes up do not fit the image.
cdef bint counts_fit(const ImageHead* head, uint64_t size_bytes) noexcept nogil:
    cdef uint64_t most = 1 << 40
    if (head.account_slots > most or head.cell_count > most or head.medium_count > most
            or head.operation_count > most or head.window_count > most):
        return False
    return (sizeof(ImageHead) + head.account_slots * sizeof(Account)
            + head.cell_count * sizeof(Cell)
            + head.medium_count * sizeof(Medium) + head.window_count * sizeof(BootWindow)
            + head.operation_count * sizeof(OperationEntry)) <= size_bytes


def load(StoreHandle handle not None, read_into, uint64_t size_bytes) -> None:
    """Fill an empty store from an image.

    `read_into(buffer)` fills the whole buffer with what comes next, or raises.
    Args: size_bytes: of the whole image; bounds what a damaged one may ask for.
    Raises: ValueError: the store is not empty, the image has other shapes or does not fit together;
        the store is then of no use until it is cleared. Also what `read_into` raises.
    """
    cdef Store* store = handle.store
    cdef ImageHead head
    cdef int log = store.impl.log
    if (store.impl.accounts.used or store.impl.media.count or store.window_count
            or store.impl.operations.count):
        raise ValueError("the store is not empty")
    read_struct(read_into, &head, sizeof(ImageHead))
    if (memcmp(head.magic, IMAGE_MAGIC, IMAGE_MAGIC_BYTES) != 0
            or head.struct_version != FAREGATE_STRUCT_VERSION):
        raise ValueError("not an image of this version")
    if head.account_count > head.account_slots or not counts_fit(&head, size_bytes):
        raise ValueError("the counts of the image do not fit its size")
    store.impl.log = -1
    try:
        load_parts(store, &head, read_into)
    finally:
        store.impl.log = log
