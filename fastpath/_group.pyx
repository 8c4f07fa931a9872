"""Groups: records packed one after the other into a preallocated buffer (docs/journal.md)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from fastpath._layout cimport ACCOUNT_LINES, LINE_BYTES, Account, RecordHead, RecordItem

cdef enum:
    ITEM_ACCOUNT_LINE = 1
    FIRST_ANSWERS = 256


cdef int group_init(Group* group, size_t capacity) noexcept nogil:
    memset(group, 0, sizeof(Group))
    group.bytes = <uint8_t*> malloc(capacity)
    group.answers = <Answer*> calloc(FIRST_ANSWERS, sizeof(Answer))
    group.pending = <Pending*> calloc(FIRST_ANSWERS, sizeof(Pending))
    if group.bytes == NULL or group.answers == NULL or group.pending == NULL:
        group_free(group)
        return -1
    group.capacity = capacity
    group.answer_capacity = FIRST_ANSWERS
    group.pending_capacity = FIRST_ANSWERS
    return 0


cdef void group_free(Group* group) noexcept nogil:
    free(group.bytes)
    free(group.answers)
    free(group.pending)
    memset(group, 0, sizeof(Group))


cdef void group_reset(Group* group, uint64_t position, uint64_t first_seq) noexcept nogil:
    group.used = GROUP_HEAD_BYTES
    group.position = position
    group.first_seq = first_seq
    group.record_count = 0
    group.fare_total_minor = 0
    group.amount_total_minor = 0
    group.answer_count = 0
    group.pending_count = 0


cdef RecordHead* record_begin(Group* group, uint8_t op) noexcept nogil:
    cdef RecordHead* head = <RecordHead*> (group.bytes + group.used)
    memset(head, 0, RECORD_HEAD_BYTES)
    head.length_bytes = RECORD_HEAD_BYTES
    head.op = op
    head.seq = group.first_seq + group.record_count
    return head


cdef void record_item(Group* group, RecordHead* head, uint8_t type, uint8_t line, uint32_t index, const void* image,
                      size_t size) noexcept nogil:
    cdef RecordItem* item = <RecordItem*> (<uint8_t*> head + head.length_bytes)
    item.type = type
    item.line = line
    item.spare = 0
    item.index = index
    memcpy(item.image, image, size)
    if size < LINE_BYTES:
        memset(item.image + size, 0, LINE_BYTES - size)
    head.length_bytes += ITEM_BYTES
    head.item_count += 1


cdef void record_account(Group* group, RecordHead* head, uint32_t slot, const Account* before,
                         const Account* after) noexcept nogil:
    cdef const uint8_t* old = <const uint8_t*> before
    cdef const uint8_t* new = <const uint8_t*> after
    cdef int line
    for line in range(ACCOUNT_LINES):
        if memcmp(old + line * LINE_BYTES, new + line * LINE_BYTES, LINE_BYTES) != 0:
            record_item(group, head, ITEM_ACCOUNT_LINE, line, slot, new + line * LINE_BYTES, LINE_BYTES)


cdef uint64_t record_end(Group* group, RecordHead* head) noexcept nogil:
    cdef uint64_t position = record_position(group, head)
    group.used += head.length_bytes
    group.record_count += 1
    group.fare_total_minor += head.fare_minor
    group.amount_total_minor += head.amount_minor
    return position


cdef uint64_t record_position(const Group* group, const RecordHead* head) noexcept nogil:
    return group.position + <size_t> (<const uint8_t*> head - group.bytes)


cdef const RecordHead* group_find(const Group* group, uint64_t position) noexcept nogil:
    if position < group.position + GROUP_HEAD_BYTES or position >= group.position + group.used:
        return NULL
    return <const RecordHead*> (group.bytes + (position - group.position))


cdef Answer* group_answer(Group* group) noexcept nogil:
    cdef Answer* grown
    if group.answer_count == group.answer_capacity:
        grown = <Answer*> realloc(group.answers, 2 * group.answer_capacity * sizeof(Answer))
        if grown == NULL:
            return NULL
        group.answers = grown
        group.answer_capacity *= 2
    group.answer_count += 1
    return &group.answers[group.answer_count - 1]


cdef Pending* group_pending(Group* group) noexcept nogil:
    cdef Pending* grown
    if group.pending_count == group.pending_capacity:
        grown = <Pending*> realloc(group.pending, 2 * group.pending_capacity * sizeof(Pending))
        if grown == NULL:
            return NULL
        group.pending = grown
        group.pending_capacity *= 2
    group.pending_count += 1
    return &group.pending[group.pending_count - 1]
