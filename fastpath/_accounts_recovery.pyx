"""Recovery: after-images and identities of journal groups put in place, nothing decided again."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath._accounts cimport (
    SEQ_NEW, Store, StoreHandle, account_at, cell_at, extend_accounts, extend_cells, find_medium,
    find_window, index_account, new_medium, new_operation, new_window, operations_expire,
    window_check, window_mark, window_resolve,
)
from fastpath._journal cimport JOURNAL_HEAD_BYTES, JOURNAL_RECORD_BYTES, body_fault, next_record
from fastpath._layout cimport (
    ACCOUNT_LINES, FAREGATE_STRUCT_VERSION, GROUP_MAGIC, ITEM_ACCOUNT_LINE, ITEM_ACTS, ITEM_CELL, ITEM_MEDIUM,
    ITEM_FACTS, ITEM_NOTE, ITEM_ORIGINAL, ITEM_PARTS, KIND_INSPECT, LINE_BYTES, OP_ACCOUNT_OPEN, OP_CHECK_IN,
    OP_CONTEXT, CELL_PURSE, OP_SETTLEMENT, REASON_OK_RISK, Account, BootWindow, Cell, GroupHead, Medium, RecordHead,
    RecordItem,
)

cdef enum:
    LINE_WORDS = 8    # LINE_BYTES / 8


cdef int apply_account_line(Store* store, const RecordHead* head,
                            const RecordItem* item) noexcept nogil:
    cdef Account* account
    cdef uint64_t account_id
    if item.line >= ACCOUNT_LINES or extend_accounts(store, item.index) < 0:
        return -1
    account = account_at(store, item.index)
    if item.line == 0:
        memcpy(&account_id, item.image, sizeof(uint64_t))
        if account_id == 0 or account_id != head.account_id:
            return -1
        if account.account_id != account_id:
            if account.account_id != 0 or index_account(store, item.index, account_id) < 0:
                return -1
    memcpy(<uint8_t*> account + item.line * LINE_BYTES, item.image, LINE_BYTES)
    return 0


cdef int apply_cell(Store* store, const RecordItem* item) noexcept nogil:
    if extend_cells(store, item.index) < 0:
        return -1
    memcpy(cell_at(store, item.index), item.image, sizeof(Cell))
    return 0


cdef int apply_medium(Store* store, const RecordItem* item) noexcept nogil:
    cdef uint64_t words[LINE_WORDS]
    cdef const Medium* image = <const Medium*> words
    cdef Medium* medium
    memcpy(words, item.image, LINE_BYTES)
    if words[4] | words[5] | words[6] | words[7] or image.state == 0:
        return -1
    if image.account_slot > store.impl.accounts.used:
        return -1
    medium = find_medium(store, image.token)
    if medium == NULL:
        medium = new_medium(store, image.token)
    if medium == NULL:
        return -1
    medium[0] = image[0]
    return 0


# In a reversal: boot epoch and sequence of the tap that it undoes; that tap keeps its answer.
cdef int apply_original(Store* store, const RecordHead* head,
                        const RecordItem* item) noexcept nogil:
    cdef uint64_t boot
    cdef uint32_t seq
    cdef BootWindow* window
    memcpy(&boot, item.image, sizeof(uint64_t))
    memcpy(&seq, item.image + 8, sizeof(uint32_t))
    window = find_window(store, head.id_a, boot)
    return window_resolve(store, window, seq, 0) if window != NULL else -1


# What tells about a record and changes nothing in memory.
cdef inline bint is_said_only(uint8_t type) noexcept nogil:
    return type == ITEM_NOTE or type == ITEM_ACTS or type == ITEM_FACTS or type == ITEM_PARTS


cdef int apply_item(Store* store, const RecordHead* head, const RecordItem* item) noexcept nogil:
    if item.type == ITEM_ACCOUNT_LINE:
        return apply_account_line(store, head, item)
    if item.type == ITEM_CELL:
        return apply_cell(store, item)
    if item.type == ITEM_MEDIUM:
        return apply_medium(store, item)
    if item.type == ITEM_ORIGINAL:
        return apply_original(store, head, item)
    return 0 if is_said_only(item.type) else -1


# History is the truth: a boot that the journal names gets its window even beyond boots_max.
cdef BootWindow* window_of_record(Store* store, const RecordHead* head) noexcept nogil:
    cdef BootWindow* window = find_window(store, head.id_a, head.id_b)
    if window == NULL:
        window = new_window(store, head.id_a, head.id_b, store.impl.boots_max,
                            head.ts_us - store.impl.op_horizon_us)
    if window == NULL:
        window = new_window(store, head.id_a, head.id_b, <uint32_t> 0xFFFFFFFF, 0)
    return window


cdef int apply_tap_identity(Store* store, const RecordHead* head, uint64_t position) noexcept nogil:
    cdef BootWindow* window
    if head.id_c == 0 or head.id_c > <uint64_t> 0xFFFFFFFF:
        return -1
    if head.op == OP_SETTLEMENT:
        window = find_window(store, head.id_a, head.id_b)
        if window == NULL:
            return -1
        return window_resolve(store, window, <uint32_t> head.id_c, position)
    window = window_of_record(store, head)
    if window == NULL or window_check(window, <uint32_t> head.id_c) != SEQ_NEW:
        return -1
    return window_mark(store, window, <uint32_t> head.id_c, position, head.ts_us)


cdef int apply_identity(Store* store, const RecordHead* head, uint64_t position) noexcept nogil:
    if head.op >= OP_ACCOUNT_OPEN:
        return new_operation(store, head.id_a, head.id_b, head.id_c, position)
    if head.op == OP_CONTEXT:
        return 0
    if OP_CHECK_IN <= head.op <= OP_SETTLEMENT and head.op != KIND_INSPECT:
        return apply_tap_identity(store, head, position)
    return -1


cdef enum Fault:
    FAULT_NONE = 0
    FAULT_GROUP = 1
    FAULT_RECORDS = 2
    FAULT_IDENTITY = 3
    FAULT_ITEM = 4
    FAULT_OWNER = 5

FAULTS = {
    FAULT_GROUP: "the group's head and length do not fit, or its struct version is another",
    FAULT_RECORDS: "lengths, order, count or control totals of the records do not fit",
    FAULT_IDENTITY: "its identity was used before, is too old, or names nothing known",
    FAULT_ITEM: "an after-image cannot be put in its place",
    FAULT_OWNER: "it changes an account that it does not name",
}

# What a group did, for those who watch.
cdef struct Applied:
    uint64_t fault_seq
    uint64_t law_broken_seq    # first record that moved something else than it says; 0 = none


cdef inline const RecordItem* item_of(const RecordHead* head, uint32_t i) noexcept nogil:
    return <const RecordItem*> (<const uint8_t*> head + JOURNAL_RECORD_BYTES
                                + i * sizeof(RecordItem))


# Value of the accounts that a record touches, modulo 2^64.
cdef uint64_t value_of_items(const Store* store, const RecordHead* head) noexcept nogil:
    cdef const RecordItem* item
    cdef const Account* account
    cdef const Cell* cell
    cdef uint64_t value = 0
    cdef uint32_t i
    for i in range(head.item_count):
        item = item_of(head, i)
        if item.type == ITEM_CELL:
            cell = cell_at(store, item.index)
            if cell != NULL and cell.type == CELL_PURSE:
                value += <uint64_t> cell.purse.balance_minor
            continue
        account = account_at(store, item.index)
        if item.type == ITEM_ACCOUNT_LINE and item.line == 0 and account != NULL:
            value += <uint64_t> account.balance_minor + <uint64_t> account.subsidy_minor
    return value


cdef bint items_have_owner(const Store* store, const RecordHead* head) noexcept nogil:
    cdef const RecordItem* item
    cdef uint32_t i
    for i in range(head.item_count):
        item = item_of(head, i)
        if item.type != ITEM_ACCOUNT_LINE:
            continue
        if account_at(store, item.index).account_id != head.account_id:
            return False
    return True


# What came in, less the fare, is what the balances grew by. A fare at the operator's risk and a
# record without an account charge nobody.
cdef bint value_law_holds(const RecordHead* head, uint64_t before, uint64_t after) noexcept nogil:
    cdef uint64_t moved = 0
    if head.account_id != 0:
        moved = <uint64_t> head.amount_minor
        if head.reason != REASON_OK_RISK:
            moved -= <uint64_t> head.fare_minor
    return after - before == moved


cdef Fault apply_record(Store* store, const RecordHead* head, uint64_t position,
                        Applied* applied) noexcept nogil:
    cdef uint64_t before = value_of_items(store, head)
    cdef uint64_t after
    cdef uint32_t i
    applied.fault_seq = head.seq
    if apply_identity(store, head, position) < 0:
        return FAULT_IDENTITY
    for i in range(head.item_count):
        if apply_item(store, head, item_of(head, i)) < 0:
            return FAULT_ITEM
    if not items_have_owner(store, head):
        return FAULT_OWNER
    after = value_of_items(store, head)
    if applied.law_broken_seq == 0 and not value_law_holds(head, before, after):
        applied.law_broken_seq = head.seq
    return FAULT_NONE


cdef Fault check_records(const uint8_t* bytes, size_t size_bytes, Applied* applied) noexcept nogil:
    cdef GroupHead head
    cdef int64_t at
    if size_bytes < JOURNAL_HEAD_BYTES:
        return FAULT_GROUP
    memcpy(&head, bytes, sizeof(GroupHead))
    applied.fault_seq = head.first_seq
    if (head.magic != GROUP_MAGIC or head.format != 1
            or head.struct_version != FAREGATE_STRUCT_VERSION
            or size_bytes != JOURNAL_HEAD_BYTES + <size_t> head.body_bytes):
        return FAULT_GROUP
    at = body_fault(bytes, size_bytes)
    if at > 0 and <size_t> at + JOURNAL_RECORD_BYTES <= size_bytes:
        memcpy(&applied.fault_seq, bytes + at + 8, sizeof(uint64_t))
    return FAULT_NONE if at == -1 else FAULT_RECORDS


cdef Fault apply_records(Store* store, const uint8_t* bytes, size_t size_bytes,
                         Applied* applied) noexcept nogil:
    cdef const GroupHead* group = <const GroupHead*> bytes
    cdef const RecordHead* record
    cdef uint64_t position
    cdef Fault fault = check_records(bytes, size_bytes, applied)
    if fault != FAULT_NONE:
        return fault
    operations_expire(store, group.ts_us - store.impl.op_horizon_us)
    record = next_record(group, NULL)
    while record != NULL and fault == FAULT_NONE:
        position = group.position + <size_t> (<const uint8_t*> record - bytes)
        fault = apply_record(store, record, position, applied)
        record = next_record(group, record)
    return fault


def apply_group(StoreHandle handle not None, const uint8_t[::1] group not None) -> int:
    """StoreHandle.apply_group; see there."""
    cdef int log = handle.store.impl.log
    cdef Applied applied
    cdef Fault fault = FAULT_GROUP
    memset(&applied, 0, sizeof(Applied))
    handle.store.impl.log = -1
    if group.shape[0] > 0:
        fault = apply_records(handle.store, &group[0], group.shape[0], &applied)
    handle.store.impl.log = log
    if fault != FAULT_NONE:
        raise ValueError(f"record {applied.fault_seq}: {FAULTS[fault]}")
    handle.denylist_version = (<const GroupHead*> &group[0]).denylist_version
    return applied.law_broken_seq
