# Memory of the engine: accounts, media, cells, boot windows, operations, and the undo log of the
# open groups. Addresses of accounts, cells and windows are stable for the life of the store; a
# Medium* only until the next new_medium.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastpath._accounts_memory cimport Slab, Table, UndoLog
from fastpath._accounts_windows cimport Window
from fastpath._layout cimport Account, BootWindow, Cell, Medium

cdef struct Store:
    # only the counts are read elsewhere
    uint32_t account_count
    uint64_t medium_count
    uint32_t cell_count
    uint32_t window_count
    uint64_t operation_count
    StoreImpl* impl

# Entry of the small indexes: account id -> slot, device -> newest window of its chain.
cdef struct SlotEntry:
    uint64_t key
    uint32_t slot
    uint32_t spare

cdef struct OperationEntry:
    uint64_t key[3]        # client, id_high, id_low
    uint64_t position

cdef struct StoreImpl:
    Slab accounts
    Slab cells
    Slab windows
    Table media            # Medium
    Table account_ids      # SlotEntry
    Table devices          # SlotEntry
    Table operations       # OperationEntry
    uint64_t media_max
    uint64_t answer_bytes
    uint32_t free_window
    uint32_t boots_max     # used by recovery only
    int64_t op_horizon_us  # used by recovery only
    uint32_t generation
    int log                # 0, 1, -1 = nothing is logged
    const Account* last_account
    UndoLog logs[2]

cdef Store* store_new(uint64_t accounts_max, uint64_t media_max) noexcept nogil
cdef void store_free(Store* store) noexcept nogil
# Everything mapped and allocated, indexes and undo logs included.
cdef uint64_t store_bytes(const Store* store) noexcept nogil

# Slots count from 1; 0 = none, no room, id 0, or (new_account) an id that exists. account_at gives
# NULL for 0 and for slots not given out.
cdef Account* account_at(const Store* store, uint32_t slot) noexcept nogil
cdef uint32_t find_account(const Store* store, uint64_t account_id) noexcept nogil
cdef uint32_t new_account(Store* store, uint64_t account_id) noexcept nogil

# NULL = unknown or no room; new_medium also for a token that exists and for 16 zero bytes.
# find_medium also fetches the account's lines into the cache.
cdef Medium* find_medium(const Store* store, const uint8_t* token) noexcept nogil
# Where find_medium will look soon. One after the other for many media, then find_medium for each:
# their lines, and those of their accounts, come from memory at the same time.
cdef void fetch_medium(const Store* store, const uint8_t* token) noexcept nogil
cdef Medium* new_medium(Store* store, const uint8_t* token) noexcept nogil

cdef Cell* cell_at(const Store* store, uint32_t index) noexcept nogil
cdef uint32_t new_cell(Store* store) noexcept nogil

# One window per (device, boot). `floor_us`: windows of that device unused since then may be given
# up for the new one. Do not keep a BootWindow* over a new_window of the same device: a window given
# up is used again for another boot. new_window gives NULL when there are boots_max and none may go,
# on no memory, for device 0 and for a pair that exists.
cdef BootWindow* find_window(const Store* store, uint64_t device_id,
                             uint64_t boot_epoch) noexcept nogil
cdef BootWindow* new_window(Store* store, uint64_t device_id, uint64_t boot_epoch,
                            uint32_t boots_max,
                            int64_t floor_us) noexcept nogil

cdef enum SeqState:
    SEQ_NEW = 0
    SEQ_SEEN = 1
    SEQ_TOO_OLD = 2    # below the window, or never seen and already passed by it

cdef SeqState window_check(const BootWindow* window, uint32_t seq) noexcept nogil
# Marks seq as seen and remembers where its answer stands in the journal. -1 = no memory, or seq is
# SEQ_TOO_OLD.
cdef int window_mark(Store* store, BootWindow* window, uint32_t seq, uint64_t position,
                     int64_t now_us) noexcept nogil
# 0 = not remembered.
cdef uint64_t window_answer(const Store* store, const BootWindow* window,
                            uint32_t seq) noexcept nogil
cdef bint window_is_resolved(const BootWindow* window, uint32_t seq) noexcept nogil
# The answer of a seen tap becomes the record at this position. -1 = no memory, or not SEQ_SEEN.
cdef int window_resolve(Store* store, BootWindow* window, uint32_t seq,
                        uint64_t position) noexcept nogil

# Control-plane operations: (client, id) -> journal position of the answer; 0 = unknown.
cdef uint64_t find_operation(const Store* store, uint64_t client, uint64_t id_high,
                             uint64_t id_low) noexcept nogil
cdef int new_operation(Store* store, uint64_t client, uint64_t id_high, uint64_t id_low,
                       uint64_t position) noexcept nogil
# Operations whose time-ordered id was made before floor_us are too old to be answered: they may be
# dropped when their table would have to grow.
cdef void operations_expire(Store* store, int64_t floor_us) noexcept nogil

# Undo. Two logs (0 and 1): the open group's and that of the group being written. Save *before* the
# first change. new_account/new_medium/new_cell/new_window/new_operation/window_mark/window_resolve
# log themselves into the current log. Nothing is logged until the first undo_use (log -1 switches
# it off again: recovery). With both logs filled the newer one must be restored first; either may be
# forgotten first. Saves return -1 for a slot or index not in use and on no memory; undo_save_medium
# of an unknown token has nothing to save and returns 0.
cdef void undo_use(Store* store, int log) noexcept nogil
cdef int undo_save_account(Store* store, uint32_t slot) noexcept nogil
cdef int undo_save_cell(Store* store, uint32_t index) noexcept nogil
cdef int undo_save_medium(Store* store, const uint8_t* token) noexcept nogil
# The copy saved last: to diff lines. NULL = none in the current log.
cdef const Account* undo_last_account(const Store* store) noexcept nogil
cdef void undo_forget(Store* store, int log) noexcept nogil
cdef void undo_restore(Store* store, int log) noexcept nogil
# Recovery and loading, nothing is logged: memory for everything up to a slot or an index; the slot
# of an id. -1 = over the limit, no memory, an id of 0 or one that has a slot.
cdef int extend_accounts(Store* store, uint32_t slot) noexcept nogil
cdef int extend_cells(Store* store, uint32_t index) noexcept nogil
cdef int index_account(Store* store, uint32_t slot, uint64_t account_id) noexcept nogil


cdef class StoreHandle:
    """Owns a Store; its Python face (counts, look-ups, recovery)."""
    cdef Store* store
    cdef uint64_t accounts_max
    cdef uint64_t media_max
    cdef public uint64_t denylist_version  # as of the last group applied
