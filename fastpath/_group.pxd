# One group: the records of one turn of the loop, and the answers that wait until they are durable.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastpath._layout cimport Account, RecordHead

cdef enum:
    GROUP_HEAD_BYTES = 128
    RECORD_HEAD_BYTES = 168
    ITEM_BYTES = 72
    # four account lines, a medium, a medium's period, four notes, an original, acts, facts, parts:
    # and every other cell of the account
    RECORD_ITEMS_MAX = 14

cdef struct Answer:
    RecordHead head
    uint64_t position          # 0 = not journaled

# A request whose reply waits for this group.
cdef struct Pending:
    void* session              # Session; the group holds a reference
    uint64_t request_counter
    int64_t received_us        # monotonic
    uint32_t first_answer
    uint32_t answer_count
    uint32_t reply_type

cdef struct Group:
    uint8_t* bytes             # head, then records
    size_t capacity
    size_t used                # head included
    uint64_t position
    uint64_t first_seq
    uint32_t record_count
    int64_t fare_total_minor
    int64_t amount_total_minor
    Answer* answers
    uint32_t answer_count
    uint32_t answer_capacity
    Pending* pending
    uint32_t pending_count
    uint32_t pending_capacity

cdef int group_init(Group* group, size_t capacity) noexcept nogil
cdef void group_free(Group* group) noexcept nogil
cdef void group_reset(Group* group, uint64_t position, uint64_t first_seq) noexcept nogil

# The next record, zeroed, with its sequence number; room was checked before.
cdef RecordHead* record_begin(Group* group, uint8_t op) noexcept nogil
cdef void record_item(Group* group, RecordHead* head, uint8_t type, uint8_t line, uint32_t index, const void* image,
                      size_t size) noexcept nogil
# After-images of the account's lines that differ from `before`.
cdef void record_account(Group* group, RecordHead* head, uint32_t slot, const Account* before,
                         const Account* after) noexcept nogil
# Close the record; its position in the journal.
cdef uint64_t record_end(Group* group, RecordHead* head) noexcept nogil
cdef uint64_t record_position(const Group* group, const RecordHead* head) noexcept nogil
# The record at a position if it stands in this group, else NULL.
cdef const RecordHead* group_find(const Group* group, uint64_t position) noexcept nogil

cdef Answer* group_answer(Group* group) noexcept nogil       # one more answer; NULL = no memory
cdef Pending* group_pending(Group* group) noexcept nogil     # one more waiting request; NULL = no memory
