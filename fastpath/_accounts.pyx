"""Memory of the engine: accounts, media, cells, boot windows, operations, and undo of open groups.

C functions over the containers of _accounts_memory.pxd; StoreHandle is the Python face. No I/O, no
clock. A function that gets no memory says so (0, NULL, -1) and has changed nothing. One module,
longer than most, so that the functions of a tap are inlined into each other.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastpath._accounts_memory cimport (
    KEY_WORDS_MAX, UNDO_BLOCK_BYTES, Slab, Table, UndoBlock, UndoEntry, UndoLog, faregate_prefetch,
    key_is_zero, log_clear, log_free, log_pop, log_push, log_room, shard_entry, slab_at,
    slab_extend, slab_free, slab_init, table_find, table_free, table_init, table_insert,
    table_prefetch, table_remove, undo_block_new,
)
from fastpath._accounts_windows cimport (
    RESIDUE_BITS, RESIDUE_MASK, Window, advance_acked, answers_are_tight, bit_is_set, grow_answers,
    put_answer, put_answer_back, set_bit, slide_window,
)
from fastpath._layout cimport (
    ACCOUNT_LINES, LINE_BYTES, TOKEN_BYTES, WINDOW_BITS, Account, BootWindow, Cell, Medium,
)

cimport cython

cdef extern from "<sys/random.h>" nogil:
    int getentropy(void* buffer, size_t size_bytes)

cdef enum:
    ACCOUNT_SHIFT = 13         # 8,192 accounts or 32,768 cells fill a huge page of 2 MiB
    CELL_SHIFT = 15
    WINDOW_SHIFT = 8
    WINDOWS_MAX = 1 << 24
    CELLS_PER_ACCOUNT = 16
    BOOTS_MAX = 64

    UNDO_ACCOUNT = 1           # images of what was there before
    UNDO_CELL = 2
    UNDO_MEDIUM = 3
    UNDO_WINDOW = 4
    UNDO_ANSWER = 5
    UNDO_NEW_ACCOUNT = 6       # things that were not there
    UNDO_NEW_CELL = 7
    UNDO_NEW_MEDIUM = 8
    UNDO_NEW_WINDOW = 9
    UNDO_NEW_OPERATION = 10
    UNDO_GIVEN_UP = 11         # a window that was unlinked and waits to be freed

cdef uint32_t NUMBERS_MAX = 0xFFFFFFFE
cdef uint32_t UNLINKED = 0xFFFFFFFF    # Window.saved_in of a window that is not in use
cdef uint64_t POSITION_MAX = (<uint64_t> 1 << (64 - RESIDUE_BITS)) - 1
cdef int64_t OP_HORIZON_US = 2592000000000


# ---- life ----------------------------------------------------------------------------------------

cdef int init_log(UndoLog* log) noexcept nogil:
    log.first = undo_block_new(NULL)
    log.current = log.first
    return 0 if log.first != NULL else -1


cdef int init_parts(StoreImpl* impl, uint32_t accounts_max, uint32_t cells_max) noexcept nogil:
    cdef uint64_t seeds[3]
    if getentropy(seeds, sizeof(seeds)) != 0:
        return -1
    if (slab_init(&impl.accounts, sizeof(Account), ACCOUNT_SHIFT, accounts_max) < 0
            or slab_init(&impl.cells, sizeof(Cell), CELL_SHIFT, cells_max) < 0
            or slab_init(&impl.windows, sizeof(Window), WINDOW_SHIFT, WINDOWS_MAX) < 0):
        return -1
    if (table_init(&impl.media, sizeof(Medium), 2, 0) < 0
            or table_init(&impl.account_ids, sizeof(SlotEntry), 1, seeds[0] | 1) < 0
            or table_init(&impl.devices, sizeof(SlotEntry), 1, seeds[1] | 1) < 0
            or table_init(&impl.operations, sizeof(OperationEntry), 3, seeds[2] | 1) < 0):
        return -1
    return -1 if init_log(&impl.logs[0]) < 0 or init_log(&impl.logs[1]) < 0 else 0


cdef Store* store_new(uint64_t accounts_max, uint64_t media_max) noexcept nogil:
    cdef Store* store = <Store*> calloc(1, sizeof(Store))
    cdef uint64_t cells_max
    if store == NULL:
        return NULL
    store.impl = <StoreImpl*> calloc(1, sizeof(StoreImpl))
    accounts_max = min(accounts_max, <uint64_t> NUMBERS_MAX)
    cells_max = min(accounts_max * CELLS_PER_ACCOUNT, <uint64_t> NUMBERS_MAX)
    if (store.impl == NULL
            or init_parts(store.impl, <uint32_t> accounts_max, <uint32_t> cells_max) < 0):
        store_free(store)
        return NULL
    store.impl.media_max = media_max
    store.impl.boots_max = BOOTS_MAX
    store.impl.op_horizon_us = OP_HORIZON_US
    store.impl.log = -1
    store.impl.logs[0].generation = 1
    store.impl.logs[1].generation = 2
    store.impl.generation = 2
    return store


cdef void store_free(Store* store) noexcept nogil:
    cdef StoreImpl* impl
    cdef uint32_t index
    if store == NULL:
        return
    impl = store.impl
    if impl != NULL:
        for index in range(1, impl.windows.used + 1):
            free((<Window*> slab_at(&impl.windows, index)).answers)
        slab_free(&impl.accounts)
        slab_free(&impl.cells)
        slab_free(&impl.windows)
        table_free(&impl.media)
        table_free(&impl.account_ids)
        table_free(&impl.devices)
        table_free(&impl.operations)
        log_free(&impl.logs[0])
        log_free(&impl.logs[1])
        free(impl)
    free(store)


cdef uint64_t log_bytes(const UndoLog* log) noexcept nogil:
    cdef uint64_t size_bytes = 0
    cdef const UndoBlock* block = log.first
    while block != NULL:
        size_bytes += sizeof(UndoBlock) + UNDO_BLOCK_BYTES
        block = block.newer
    return size_bytes


cdef uint64_t slab_bytes(const Slab* slab) noexcept nogil:
    return slab.size_bytes + ((slab.max >> slab.shift) + 1) * sizeof(void*)


cdef uint64_t store_bytes(const Store* store) noexcept nogil:
    cdef const StoreImpl* impl = store.impl
    return (sizeof(Store) + sizeof(StoreImpl) + slab_bytes(&impl.accounts) + slab_bytes(&impl.cells)
            + slab_bytes(&impl.windows) + impl.media.size_bytes + impl.account_ids.size_bytes
            + impl.devices.size_bytes + impl.operations.size_bytes + impl.answer_bytes
            + log_bytes(&impl.logs[0]) + log_bytes(&impl.logs[1]))


# ---- accounts, cells, media, operations ----------------------------------------------------------

# Keys are held in three words even when the table looks at fewer.
cdef inline void set_key(uint64_t* key, uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    key[0] = a
    key[1] = b
    key[2] = c


cdef inline void set_token_key(uint64_t* key, const uint8_t* token) noexcept nogil:
    memcpy(key, token, TOKEN_BYTES)
    key[2] = 0


# Room in the current log for entries of image_bytes in all; -1 = no memory.
cdef inline int undo_room(StoreImpl* impl, uint32_t entries, uint32_t image_bytes) noexcept nogil:
    if impl.log < 0:
        return 0
    return log_room(&impl.logs[impl.log], entries * <uint32_t> sizeof(UndoEntry) + image_bytes)


# Precondition: undo_room was asked. Returns the copy, NULL = nothing is logged.
cdef inline uint8_t* undo_push(StoreImpl* impl, uint8_t type, uint32_t index, const void* image,
                               uint32_t image_bytes) noexcept nogil:
    if impl.log < 0:
        return NULL
    return log_push(&impl.logs[impl.log], type, index, image, image_bytes)


cdef Account* account_at(const Store* store, uint32_t slot) noexcept nogil:
    if slot == 0 or slot > store.impl.accounts.used:
        return NULL
    return <Account*> slab_at(&store.impl.accounts, slot)


cdef uint32_t find_account(const Store* store, uint64_t account_id) noexcept nogil:
    cdef uint64_t key[KEY_WORDS_MAX]
    cdef const SlotEntry* entry
    set_key(key, account_id, 0, 0)
    entry = <const SlotEntry*> table_find(&store.impl.account_ids, key)
    return entry.slot if entry != NULL else 0


cdef int extend_accounts(Store* store, uint32_t slot) noexcept nogil:
    if slot == 0 or slab_extend(&store.impl.accounts, slot) < 0:
        return -1
    store.impl.accounts.used = max(store.impl.accounts.used, slot)
    return 0


cdef int index_account(Store* store, uint32_t slot, uint64_t account_id) noexcept nogil:
    cdef uint64_t key[KEY_WORDS_MAX]
    cdef SlotEntry* entry
    set_key(key, account_id, 0, 0)
    if account_id == 0 or table_find(&store.impl.account_ids, key) != NULL:
        return -1
    entry = <SlotEntry*> table_insert(&store.impl.account_ids, key)
    if entry == NULL:
        return -1
    entry.slot = slot
    store.account_count += 1
    return 0


cdef uint32_t new_account(Store* store, uint64_t account_id) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    cdef uint32_t slot = impl.accounts.used + 1
    if account_id == 0 or find_account(store, account_id) != 0:
        return 0
    if undo_room(impl, 1, 0) < 0 or slab_extend(&impl.accounts, slot) < 0:
        return 0
    if index_account(store, slot, account_id) < 0:
        return 0
    impl.accounts.used = slot
    (<Account*> slab_at(&impl.accounts, slot)).account_id = account_id
    undo_push(impl, UNDO_NEW_ACCOUNT, slot, NULL, 0)
    return slot


cdef Cell* cell_at(const Store* store, uint32_t index) noexcept nogil:
    if index == 0 or index > store.impl.cells.used:
        return NULL
    return <Cell*> slab_at(&store.impl.cells, index)


cdef int extend_cells(Store* store, uint32_t index) noexcept nogil:
    if index == 0 or slab_extend(&store.impl.cells, index) < 0:
        return -1
    store.impl.cells.used = max(store.impl.cells.used, index)
    store.cell_count = store.impl.cells.used
    return 0


cdef uint32_t new_cell(Store* store) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    cdef uint32_t index = impl.cells.used + 1
    if undo_room(impl, 1, 0) < 0 or slab_extend(&impl.cells, index) < 0:
        return 0
    impl.cells.used = index
    store.cell_count = index
    undo_push(impl, UNDO_NEW_CELL, index, NULL, 0)
    return index


cdef Medium* find_medium(const Store* store, const uint8_t* token) noexcept nogil:
    cdef uint64_t key[KEY_WORDS_MAX]
    cdef Medium* medium
    cdef const uint8_t* account
    cdef int line
    set_token_key(key, token)
    medium = <Medium*> table_find(&store.impl.media, key)
    if medium != NULL:
        account = <const uint8_t*> account_at(store, medium.account_slot)
        if account != NULL:
            for line in range(ACCOUNT_LINES):
                faregate_prefetch(account + line * LINE_BYTES)
    return medium


cdef void fetch_medium(const Store* store, const uint8_t* token) noexcept nogil:
    cdef uint64_t key[KEY_WORDS_MAX]
    set_token_key(key, token)
    table_prefetch(&store.impl.media, key)


cdef Medium* new_medium(Store* store, const uint8_t* token) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    cdef uint64_t key[KEY_WORDS_MAX]
    cdef Medium* medium
    set_token_key(key, token)
    if impl.media.count >= impl.media_max or key_is_zero(key, 2):
        return NULL
    if table_find(&impl.media, key) != NULL or undo_room(impl, 1, TOKEN_BYTES) < 0:
        return NULL
    medium = <Medium*> table_insert(&impl.media, key)
    if medium != NULL:
        undo_push(impl, UNDO_NEW_MEDIUM, 0, key, TOKEN_BYTES)
        store.medium_count = impl.media.count
    return medium


cdef uint64_t find_operation(const Store* store, uint64_t client, uint64_t id_high,
                             uint64_t id_low) noexcept nogil:
    cdef uint64_t key[KEY_WORDS_MAX]
    cdef const OperationEntry* entry
    set_key(key, client, id_high, id_low)
    entry = <const OperationEntry*> table_find(&store.impl.operations, key)
    return entry.position if entry != NULL else 0


# -1 also for an id that exists, an id of zeros and position 0.
cdef int new_operation(Store* store, uint64_t client, uint64_t id_high, uint64_t id_low,
                       uint64_t position) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    cdef uint64_t key[KEY_WORDS_MAX]
    cdef OperationEntry* entry
    set_key(key, client, id_high, id_low)
    if position == 0 or key_is_zero(key, 3) or table_find(&impl.operations, key) != NULL:
        return -1
    if undo_room(impl, 1, sizeof(key)) < 0:
        return -1
    entry = <OperationEntry*> table_insert(&impl.operations, key)
    if entry == NULL:
        return -1
    entry.position = position
    undo_push(impl, UNDO_NEW_OPERATION, 0, key, sizeof(key))
    store.operation_count = impl.operations.count
    return 0


# The first 48 bits of a time-ordered id (UUIDv7) are milliseconds.
cdef void operations_expire(Store* store, int64_t floor_us) noexcept nogil:
    if floor_us > 0:
        store.impl.operations.floor = <uint64_t> (floor_us // 1000) << 16


# ---- boot windows --------------------------------------------------------------------------------

cdef inline Window* window_at(const StoreImpl* impl, uint32_t index) noexcept nogil:
    return <Window*> slab_at(&impl.windows, index)


cdef inline SlotEntry* find_device(const StoreImpl* impl, uint64_t device_id) noexcept nogil:
    cdef uint64_t key[KEY_WORDS_MAX]
    set_key(key, device_id, 0, 0)
    return <SlotEntry*> table_find(&impl.devices, key)


# Newest window of a device, NULL = none.
cdef inline Window* first_window(const StoreImpl* impl, uint64_t device_id) noexcept nogil:
    cdef const SlotEntry* entry = find_device(impl, device_id)
    return window_at(impl, entry.slot) if entry != NULL and entry.slot != 0 else NULL


cdef BootWindow* find_window(const Store* store, uint64_t device_id,
                             uint64_t boot_epoch) noexcept nogil:
    cdef Window* window = first_window(store.impl, device_id)
    while window != NULL:
        if window.shown.boot_epoch == boot_epoch:
            return &window.shown
        window = window_at(store.impl, window.next) if window.next != 0 else NULL
    return NULL


# Of two windows used at the same time the earlier boot: how they are linked is no criterion, since
# undo and loading link them otherwise.
cdef inline bint is_older(const Window* window, const Window* other) noexcept nogil:
    if window.shown.last_used_us != other.shown.last_used_us:
        return window.shown.last_used_us < other.shown.last_used_us
    return window.shown.boot_epoch < other.shown.boot_epoch


# The window that may go for a new one: of boots_max or more the least recently used, if unused
# since floor_us. NULL with *full set = none may go; NULL without = no need.
cdef Window* window_to_give_up(const StoreImpl* impl, uint64_t device_id, uint32_t boots_max,
                               int64_t floor_us,
                               bint* full) noexcept nogil:
    cdef Window* window = first_window(impl, device_id)
    cdef Window* oldest = window
    cdef uint32_t count = 0
    while window != NULL:
        count += 1
        if is_older(window, oldest):
            oldest = window
        window = window_at(impl, window.next) if window.next != 0 else NULL
    full[0] = count >= boots_max and (count == 0 or oldest.shown.last_used_us >= floor_us)
    return oldest if count >= boots_max and not full[0] else NULL


cdef int link_window(Store* store, Window* window) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    cdef SlotEntry* entry = find_device(impl, window.shown.device_id)
    cdef uint64_t key[KEY_WORDS_MAX]
    if entry == NULL:
        set_key(key, window.shown.device_id, 0, 0)
        entry = <SlotEntry*> table_insert(&impl.devices, key)
        if entry == NULL:
            return -1
    window.next = entry.slot
    window.saved_in = 0
    entry.slot = window.index
    store.window_count += 1
    return 0


# A device keeps its index entry while it has none: linking a window again (undo) can then not fail.
cdef void unlink_window(Store* store, Window* window) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    cdef SlotEntry* entry = find_device(impl, window.shown.device_id)
    cdef uint32_t* link = &entry.slot
    while link[0] != window.index:
        link = &window_at(impl, link[0]).next
    link[0] = window.next
    window.next = 0
    window.saved_in = UNLINKED
    store.window_count -= 1


cdef void free_window(StoreImpl* impl, Window* window) noexcept nogil:
    cdef uint32_t index = window.index
    if window.answers != NULL:
        impl.answer_bytes -= (window.answer_mask + 1) * sizeof(uint64_t)
        free(window.answers)
    memset(window, 0, sizeof(Window))
    window.index = index
    window.saved_in = UNLINKED
    window.next = impl.free_window
    impl.free_window = index


# A window from the free list or the slab, not linked yet.
cdef Window* take_window(StoreImpl* impl) noexcept nogil:
    cdef Window* window
    if impl.free_window != 0:
        window = window_at(impl, impl.free_window)
        impl.free_window = window.next
        window.next = 0
        return window
    if slab_extend(&impl.windows, impl.windows.used + 1) < 0:
        return NULL
    impl.windows.used += 1
    window = window_at(impl, impl.windows.used)
    window.index = impl.windows.used
    return window


cdef void give_up_window(Store* store, Window* window) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    unlink_window(store, window)
    if impl.log < 0:
        free_window(impl, window)
        return
    undo_push(impl, UNDO_GIVEN_UP, window.index, NULL, 0)
    impl.logs[impl.log].given_up += 1


cdef BootWindow* new_window(Store* store, uint64_t device_id, uint64_t boot_epoch,
                            uint32_t boots_max,
                            int64_t floor_us) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    cdef bint full = False
    cdef Window* oldest
    cdef Window* window
    if device_id == 0 or find_window(store, device_id, boot_epoch) != NULL:
        return NULL
    if undo_room(impl, 2, 0) < 0:
        return NULL
    oldest = window_to_give_up(impl, device_id, boots_max, floor_us, &full)
    window = take_window(impl) if not full else NULL
    if window == NULL:
        return NULL
    window.shown.device_id = device_id
    window.shown.boot_epoch = boot_epoch
    if link_window(store, window) < 0:
        free_window(impl, window)
        return NULL
    if oldest != NULL:
        give_up_window(store, oldest)
    undo_push(impl, UNDO_NEW_WINDOW, window.index, NULL, 0)
    return &window.shown


cdef SeqState window_check(const BootWindow* window, uint32_t seq) noexcept nogil:
    if seq > window.top_seq:
        return SEQ_NEW
    if seq == 0 or window.top_seq - seq >= WINDOW_BITS:
        return SEQ_TOO_OLD
    return SEQ_SEEN if bit_is_set(window.seen, seq) else SEQ_NEW


# Room so that the answer of seq gets a place without pushing out one that is still wanted.
cdef int make_answer_room(StoreImpl* impl, Window* window, uint32_t seq) noexcept nogil:
    cdef uint32_t added
    while answers_are_tight(window, seq):
        added = grow_answers(window)
        if added == 0:
            return -1
        impl.answer_bytes += added
    return 0


# Copies the window into the log before its first change in a group, and the answer that seq will
# replace.
cdef int save_window(StoreImpl* impl, Window* window, uint32_t seq) noexcept nogil:
    cdef UndoLog* log
    cdef uint8_t* copy
    cdef uint64_t there
    if impl.log < 0:
        return 0
    log = &impl.logs[impl.log]
    if undo_room(impl, 2, sizeof(BootWindow) + sizeof(uint64_t)) < 0:
        return -1
    if window.saved_in != log.generation:
        log_push(log, UNDO_WINDOW, window.index, &window.shown, sizeof(BootWindow))
        window.saved_in = log.generation
    there = window.answers[seq & window.answer_mask]
    copy = log_push(log, UNDO_ANSWER, window.index, &there, sizeof(uint64_t))
    (<UndoEntry*> copy - 1).residue = <uint16_t> (seq & RESIDUE_MASK)
    return 0


cdef int window_mark(Store* store, BootWindow* shown, uint32_t seq, uint64_t position,
                     int64_t now_us) noexcept nogil:
    cdef Window* window = <Window*> shown
    if window.saved_in == UNLINKED or position > POSITION_MAX:
        return -1
    if seq == 0 or window_check(shown, seq) == SEQ_TOO_OLD:
        return -1
    if make_answer_room(store.impl, window, seq) < 0 or save_window(store.impl, window, seq) < 0:
        return -1
    if seq > shown.top_seq:
        slide_window(shown, seq)
    set_bit(shown.seen, seq)
    put_answer(window, seq, position)
    shown.last_used_us = max(shown.last_used_us, now_us)
    advance_acked(shown)
    return 0


cdef uint64_t window_answer(const Store* store, const BootWindow* shown,
                            uint32_t seq) noexcept nogil:
    cdef const Window* window = <const Window*> shown
    cdef uint64_t there
    if seq > shown.top_seq or window_check(shown, seq) != SEQ_SEEN or window.answers == NULL:
        return 0
    there = window.answers[seq & window.answer_mask]
    return there >> RESIDUE_BITS if ((there ^ seq) & RESIDUE_MASK) == 0 else 0


cdef bint window_is_resolved(const BootWindow* window, uint32_t seq) noexcept nogil:
    return window_check(window, seq) == SEQ_SEEN and bit_is_set(window.resolved, seq)


cdef int window_resolve(Store* store, BootWindow* shown, uint32_t seq,
                        uint64_t position) noexcept nogil:
    cdef Window* window = <Window*> shown
    if window.saved_in == UNLINKED or position > POSITION_MAX:
        return -1
    if window_check(shown, seq) != SEQ_SEEN:
        return -1
    if make_answer_room(store.impl, window, seq) < 0 or save_window(store.impl, window, seq) < 0:
        return -1
    set_bit(shown.resolved, seq)
    if position != 0:
        put_answer(window, seq, position)
    return 0


# ---- undo ----------------------------------------------------------------------------------------

cdef void undo_use(Store* store, int log) noexcept nogil:
    store.impl.log = log
    store.impl.last_account = NULL


cdef int undo_save_account(Store* store, uint32_t slot) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    cdef const Account* account = account_at(store, slot)
    if account == NULL or undo_room(impl, 1, sizeof(Account)) < 0:
        return -1
    impl.last_account = <const Account*> undo_push(impl, UNDO_ACCOUNT, slot, account,
                                                   sizeof(Account))
    return 0


cdef int undo_save_cell(Store* store, uint32_t index) noexcept nogil:
    cdef const Cell* cell = cell_at(store, index)
    if cell == NULL or undo_room(store.impl, 1, sizeof(Cell)) < 0:
        return -1
    undo_push(store.impl, UNDO_CELL, index, cell, sizeof(Cell))
    return 0


cdef int undo_save_medium(Store* store, const uint8_t* token) noexcept nogil:
    cdef uint64_t key[KEY_WORDS_MAX]
    cdef const Medium* medium
    set_token_key(key, token)
    medium = <const Medium*> table_find(&store.impl.media, key)
    if medium == NULL:
        return 0
    if undo_room(store.impl, 1, sizeof(Medium)) < 0:
        return -1
    undo_push(store.impl, UNDO_MEDIUM, 0, medium, sizeof(Medium))
    return 0


cdef const Account* undo_last_account(const Store* store) noexcept nogil:
    return store.impl.last_account


cdef void empty_log(StoreImpl* impl, UndoLog* log) noexcept nogil:
    log_clear(log)
    log.given_up = 0
    # 0 and UNLINKED are no generations: a window that says so is not in any log.
    impl.generation = impl.generation + 1 if impl.generation < UNLINKED - 1 else 1
    log.generation = impl.generation
    impl.last_account = NULL


cdef void undo_forget(Store* store, int log) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    cdef UndoEntry* entry
    while impl.logs[log].given_up > 0:
        entry = log_pop(&impl.logs[log])
        if entry == NULL:
            break
        if entry.type == UNDO_GIVEN_UP:
            free_window(impl, window_at(impl, entry.index))
            impl.logs[log].given_up -= 1
    empty_log(impl, &impl.logs[log])


cdef void drop_account(Store* store, uint32_t slot) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    cdef Account* account = <Account*> slab_at(&impl.accounts, slot)
    cdef uint64_t key[KEY_WORDS_MAX]
    set_key(key, account.account_id, 0, 0)
    table_remove(&impl.account_ids, key)
    memset(account, 0, sizeof(Account))
    impl.accounts.used = slot - 1
    store.account_count -= 1


cdef void drop_cell(Store* store, uint32_t index) noexcept nogil:
    memset(slab_at(&store.impl.cells, index), 0, sizeof(Cell))
    store.impl.cells.used = index - 1
    store.cell_count = index - 1


cdef void put_medium_back(StoreImpl* impl, const uint8_t* image) noexcept nogil:
    cdef uint64_t key[KEY_WORDS_MAX]
    cdef void* medium
    set_token_key(key, image)
    medium = table_find(&impl.media, key)
    if medium != NULL:
        memcpy(medium, image, sizeof(Medium))


cdef void undo_images(Store* store, const UndoEntry* entry) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    cdef const uint8_t* image = <const uint8_t*> (entry + 1)
    cdef uint64_t there
    if entry.type == UNDO_ACCOUNT:
        memcpy(slab_at(&impl.accounts, entry.index), image, sizeof(Account))
    elif entry.type == UNDO_CELL:
        memcpy(slab_at(&impl.cells, entry.index), image, sizeof(Cell))
    elif entry.type == UNDO_MEDIUM:
        put_medium_back(impl, image)
    elif entry.type == UNDO_WINDOW:
        memcpy(&window_at(impl, entry.index).shown, image, sizeof(BootWindow))
    elif entry.type == UNDO_ANSWER:
        memcpy(&there, image, sizeof(uint64_t))
        put_answer_back(window_at(impl, entry.index), entry.residue, there)


cdef void undo_creations(Store* store, const UndoEntry* entry) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    cdef uint64_t key[KEY_WORDS_MAX]
    if entry.type == UNDO_NEW_ACCOUNT:
        drop_account(store, entry.index)
    elif entry.type == UNDO_NEW_CELL:
        drop_cell(store, entry.index)
    elif entry.type == UNDO_NEW_MEDIUM:
        set_token_key(key, <const uint8_t*> (entry + 1))
        table_remove(&impl.media, key)
        store.medium_count = impl.media.count
    elif entry.type == UNDO_NEW_OPERATION:
        memcpy(key, entry + 1, sizeof(key))
        table_remove(&impl.operations, key)
        store.operation_count = impl.operations.count
    elif entry.type == UNDO_NEW_WINDOW:
        unlink_window(store, window_at(impl, entry.index))
        free_window(impl, window_at(impl, entry.index))
    elif entry.type == UNDO_GIVEN_UP:
        link_window(store, window_at(impl, entry.index))


cdef void undo_restore(Store* store, int log) noexcept nogil:
    cdef StoreImpl* impl = store.impl
    cdef UndoEntry* entry = log_pop(&impl.logs[log])
    while entry != NULL:
        undo_images(store, entry)
        undo_creations(store, entry)
        entry = log_pop(&impl.logs[log])
    empty_log(impl, &impl.logs[log])


# ---- Python face ---------------------------------------------------------------------------------

cdef bytes bytes_of(const void* at, size_t size_bytes):
    return PyBytes_FromStringAndSize(<const char*> at, size_bytes)


@cython.final
cdef class StoreHandle:
    """Owns a store; not to be copied. Thread: one at a time.

    Args: accounts_max and media_max bound the store (memory is taken as it fills); boots_max and
        op_horizon_us tell recovery which boot windows the engine may have given up.
    """

    def __cinit__(self, *, uint64_t accounts_max=64_000_000, uint64_t media_max=128_000_000,
                  uint32_t boots_max=BOOTS_MAX,
                  int64_t op_horizon_us=OP_HORIZON_US):
        self.store = store_new(accounts_max, media_max)
        if self.store == NULL:
            raise MemoryError("no memory for the store")
        self.store.impl.boots_max = boots_max
        self.store.impl.op_horizon_us = op_horizon_us
        self.accounts_max = accounts_max
        self.media_max = media_max

    def __dealloc__(self):
        store_free(self.store)

    def clear(self):
        """Empty the store, for another load.

        Precondition: nobody holds an address in it: no engine was made.
        """
        cdef Store* fresh = store_new(self.accounts_max, self.media_max)
        if fresh == NULL:
            raise MemoryError("no memory for the store")
        fresh.impl.boots_max = self.store.impl.boots_max
        fresh.impl.op_horizon_us = self.store.impl.op_horizon_us
        store_free(self.store)
        self.store = fresh
        self.denylist_version = 0

    @property
    def account_count(self) -> int:
        return self.store.account_count

    @property
    def medium_count(self) -> int:
        return self.store.medium_count

    @property
    def cell_count(self) -> int:
        return self.store.cell_count

    @property
    def window_count(self) -> int:
        return self.store.window_count

    @property
    def operation_count(self) -> int:
        return self.store.operation_count

    @property
    def bytes_used(self) -> int:
        """Everything mapped and allocated, indexes and undo logs included."""
        return store_bytes(self.store)

    def account_slot(self, uint64_t account_id) -> int:
        """Slot of an account, from 1; 0 = unknown."""
        return find_account(self.store, account_id)

    def account(self, uint64_t account_id):
        """The 256 bytes of an account (layout.h), None = unknown."""
        cdef const Account* account = account_at(self.store, find_account(self.store, account_id))
        return bytes_of(account, sizeof(Account)) if account != NULL else None

    def account_at(self, uint32_t slot):
        """The 256 bytes of the account in a slot, None = nothing there."""
        cdef const Account* account = account_at(self.store, slot)
        if account == NULL or account.account_id == 0:
            return None
        return bytes_of(account, sizeof(Account))

    def cell(self, uint32_t index):
        """The 64 bytes of an extension cell, None = not given out."""
        cdef const Cell* cell = cell_at(self.store, index)
        return bytes_of(cell, sizeof(Cell)) if cell != NULL else None

    def medium(self, bytes token not None):
        """The 32 bytes of a medium, None = unknown token."""
        cdef const Medium* medium
        if PyBytes_GET_SIZE(token) != TOKEN_BYTES:
            raise ValueError("a token is 16 bytes")
        medium = find_medium(self.store, <const uint8_t*> PyBytes_AS_STRING(token))
        return bytes_of(medium, sizeof(Medium)) if medium != NULL else None

    def window(self, uint64_t device_id, uint64_t boot_epoch):
        """The 1,056 bytes of a boot window, None = unknown."""
        cdef const BootWindow* window = find_window(self.store, device_id, boot_epoch)
        return bytes_of(window, sizeof(BootWindow)) if window != NULL else None

    def answer(self, uint64_t device_id, uint64_t boot_epoch, uint32_t seq) -> int:
        """Journal position of the record that answered a tap; 0 = not remembered."""
        cdef const BootWindow* window = find_window(self.store, device_id, boot_epoch)
        return window_answer(self.store, window, seq) if window != NULL else 0

    def operation(self, uint64_t client, uint64_t id_high, uint64_t id_low) -> int:
        """Journal position of the record that answered a command; 0 = not remembered."""
        return find_operation(self.store, client, id_high, id_low)

    def iter_accounts(self):
        """The 256 bytes of every account, by slot. The store must not change meanwhile."""
        cdef uint32_t slot
        for slot in range(1, self.store.impl.accounts.used + 1):
            image = self.account_at(slot)
            if image is not None:
                yield image

    def iter_media(self):
        """The 32 bytes of every medium, in no order. The store must not change meanwhile."""
        cdef Table* media = &self.store.impl.media
        cdef uint32_t i, place
        cdef const uint64_t* entry
        for i in range(4096):
            if media.shards[i].entries != NULL:
                for place in range(media.shards[i].mask + 1):
                    entry = shard_entry(media, &media.shards[i], place)
                    if entry[0] or entry[1]:
                        yield bytes_of(entry, sizeof(Medium))

    def apply_group(self, group) -> int:
        """Recovery: put the after-images and identities of one whole journal group in place.

        Nothing is decided again and nothing is logged for undo.
        Returns: the seq of the first record whose account's value did not change by amount less
            fare; 0 = all keep that law (fares at the operator's risk charge nobody).
        Raises: ValueError: something does not fit; it names the record's seq. The store is then of
            no use.
        """
        from fastpath._accounts_recovery import apply_group

        return apply_group(self, group)
