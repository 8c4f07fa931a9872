# Memory of the engine: accounts, media, cells, boot windows, operations, and the undo log of the open groups.
# Addresses of accounts, cells and windows are stable for the life of the store; a Medium* only until the next new_medium.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastpath._layout cimport Account, BootWindow, Cell, Medium, RecordHead, RecordItem

cdef struct Store:
    # body: _accounts.pyx keeps it opaque behind these functions; only the counts are read elsewhere
    uint32_t account_count
    uint64_t medium_count
    uint32_t cell_count
    uint32_t window_count
    uint64_t operation_count
    void* impl

cdef Store* store_new(uint64_t accounts_max, uint64_t media_max) noexcept nogil
cdef void store_free(Store* store) noexcept nogil

# Slots count from 1; 0 = none or no room.
cdef Account* account_at(const Store* store, uint32_t slot) noexcept nogil
cdef uint32_t find_account(const Store* store, uint64_t account_id) noexcept nogil
cdef uint32_t new_account(Store* store, uint64_t account_id) noexcept nogil

# NULL = unknown or no room.
cdef Medium* find_medium(const Store* store, const uint8_t* token) noexcept nogil
cdef Medium* new_medium(Store* store, const uint8_t* token) noexcept nogil

cdef Cell* cell_at(const Store* store, uint32_t index) noexcept nogil
cdef uint32_t new_cell(Store* store) noexcept nogil

# One window per (device, boot). `floor_us`: windows of that device unused since then may be given up for the new one.
cdef BootWindow* find_window(const Store* store, uint64_t device_id, uint64_t boot_epoch) noexcept nogil
cdef BootWindow* new_window(Store* store, uint64_t device_id, uint64_t boot_epoch, uint32_t boots_max,
                            int64_t floor_us) noexcept nogil

cdef enum SeqState:
    SEQ_NEW = 0
    SEQ_SEEN = 1
    SEQ_TOO_OLD = 2    # below the window, or never seen and already passed by it

cdef SeqState window_check(const BootWindow* window, uint32_t seq) noexcept nogil
# Marks seq as seen and remembers where its answer stands in the journal. -1 = no memory.
cdef int window_mark(Store* store, BootWindow* window, uint32_t seq, uint64_t position, int64_t now_us) noexcept nogil
# 0 = not remembered.
cdef uint64_t window_answer(const Store* store, const BootWindow* window, uint32_t seq) noexcept nogil
cdef bint window_is_resolved(const BootWindow* window, uint32_t seq) noexcept nogil
cdef int window_resolve(Store* store, BootWindow* window, uint32_t seq, uint64_t position) noexcept nogil

# Control-plane operations: (client, id) -> journal position of the answer; 0 = unknown.
cdef uint64_t find_operation(const Store* store, uint64_t client, uint64_t id_high, uint64_t id_low) noexcept nogil
cdef int new_operation(Store* store, uint64_t client, uint64_t id_high, uint64_t id_low,
                       uint64_t position) noexcept nogil

# Undo. Two logs (0 and 1): the open group's and that of the group being written. Save *before* the first change.
# new_account/new_medium/new_cell/new_window/new_operation/window_mark/window_resolve log themselves into the current log.
cdef void undo_use(Store* store, int log) noexcept nogil
cdef int undo_save_account(Store* store, uint32_t slot) noexcept nogil
cdef int undo_save_cell(Store* store, uint32_t index) noexcept nogil
cdef int undo_save_medium(Store* store, const uint8_t* token) noexcept nogil
cdef const Account* undo_last_account(const Store* store) noexcept nogil  # the copy saved last: to diff lines
cdef void undo_forget(Store* store, int log) noexcept nogil
cdef void undo_restore(Store* store, int log) noexcept nogil

# Recovery: put one after-image in place / note the record's identity (window or operation) at its position.
cdef int store_apply_item(Store* store, const RecordHead* head, const RecordItem* item) noexcept nogil
cdef int store_apply_identity(Store* store, const RecordHead* head, uint64_t position) noexcept nogil
