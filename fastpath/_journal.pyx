"""Groups of the journal as bytes: sealing, checking, walking (docs/journal.md).

No I/O and no hashing: SHA-256 of a group is taken by the caller (hashlib uses the CPU's instructions).
The Python face is for recovery, tools and tests; the engine uses the functions of the .pxd.
"""

from collections import namedtuple
from struct import Struct

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fastpath._layout cimport FAREGATE_STRUCT_VERSION, GROUP_MAGIC, GroupHead, RecordHead

from fastpath.types import ENGINE_VERSION as _ENGINE_VERSION

EMPTY = GROUP_EMPTY
SHORT = GROUP_SHORT
BAD_HEAD = GROUP_BAD_HEAD
BAD_POSITION = GROUP_BAD_POSITION
BAD_CRC = GROUP_BAD_CRC
BAD_CHAIN = GROUP_BAD_CHAIN

GROUP_HEAD_BYTES = JOURNAL_HEAD_BYTES
RECORD_HEAD_BYTES = JOURNAL_RECORD_BYTES
RECORD_ITEM_BYTES = JOURNAL_ITEM_BYTES
NO_HASH = bytes(32)

_RECORD = Struct("<IBBBBQqqQQQQ16sqqqqqQIIIIIIqq")
_ITEM = Struct("<BBHI64s")

ItemView = namedtuple("ItemView", "type line slot image")
RecordView = namedtuple(
    "RecordView",
    "length_bytes op reason verdict item_count seq ts_us device_ts_us account_id id_a id_b id_c token fare_minor "
    "amount_minor balance_minor nominal_minor subsidy_minor tariff_key stop other_stop flags rules distance_m "
    "denylist_version fare_ts_us period_paid_minor items position",
)
_FIELDS = [name for name in RecordView._fields if name not in ("items", "position")]
GroupView = namedtuple(
    "GroupView",
    "position length_bytes record_count first_seq ts_us fare_total_minor amount_total_minor engine_version "
    "struct_version previous_hash limits_key",
)


cdef uint32_t head_crc(const GroupHead* head, size_t size) noexcept nogil:
    """Checksum of head and body with the checksum's own field as 0; `size` bytes from `head` on."""
    cdef GroupHead copy
    memcpy(&copy, head, sizeof(GroupHead))
    copy.crc32c = 0
    cdef uint32_t crc = crc32c_update(0, <const uint8_t*> &copy, sizeof(GroupHead))
    return crc32c_update(crc, <const uint8_t*> head + sizeof(GroupHead), size - sizeof(GroupHead))


cdef void seal_head(GroupHead* head, const GroupFacts* facts, const uint8_t* previous_hash32) noexcept nogil:
    memset(head, 0, sizeof(GroupHead))
    head.magic = GROUP_MAGIC
    head.format = JOURNAL_GROUP_FORMAT
    head.head_bytes = sizeof(GroupHead)
    head.position = facts.position
    head.body_bytes = facts.body_bytes
    head.record_count = facts.record_count
    head.first_seq = facts.first_seq
    head.ts_us = facts.ts_us
    head.fare_total_minor = facts.fare_total_minor
    head.amount_total_minor = facts.amount_total_minor
    head.engine_version = facts.engine_version
    head.struct_version = FAREGATE_STRUCT_VERSION
    memcpy(head.previous_hash, previous_hash32, 32)
    head.crc32c = head_crc(head, sizeof(GroupHead) + facts.body_bytes)


cdef bint is_zero(const uint8_t* data, size_t size) noexcept nogil:
    return size == 0 or (data[0] == 0 and memcmp(data, data + 1, size - 1) == 0)


cdef int64_t check_group_at(const uint8_t* data, size_t available, bint any_position, uint64_t position,
                            const uint8_t* previous_hash32) noexcept nogil:
    cdef GroupHead head
    cdef size_t size
    if available < sizeof(GroupHead):
        return GROUP_EMPTY if is_zero(data, available) else GROUP_SHORT
    if is_zero(data, sizeof(GroupHead)):
        return GROUP_EMPTY
    memcpy(&head, data, sizeof(GroupHead))
    if head.magic != GROUP_MAGIC or head.format != JOURNAL_GROUP_FORMAT or head.head_bytes != sizeof(GroupHead):
        return GROUP_BAD_HEAD
    if head.body_bytes % 8 != 0:
        return GROUP_BAD_HEAD
    if not any_position and head.position != position:
        return GROUP_BAD_POSITION
    size = sizeof(GroupHead) + <size_t> head.body_bytes
    if available < size:
        return GROUP_SHORT
    if head.crc32c != head_crc(<const GroupHead*> data, size):
        return GROUP_BAD_CRC
    if previous_hash32 != NULL and memcmp(head.previous_hash, previous_hash32, 32) != 0:
        return GROUP_BAD_CHAIN
    return <int64_t> size


cdef const RecordHead* next_record(const GroupHead* group, const RecordHead* record) noexcept nogil:
    cdef const uint8_t* body = <const uint8_t*> group + sizeof(GroupHead)
    cdef const uint8_t* at = body
    if record != NULL:
        at = <const uint8_t*> record + record.length_bytes
    return <const RecordHead*> at if at < body + group.body_bytes else NULL


cdef int64_t body_fault(const uint8_t* group, size_t size) noexcept nogil:
    cdef GroupHead head
    cdef RecordHead record
    cdef uint64_t fares = 0     # unsigned: the sums of a damaged body may wrap
    cdef uint64_t amounts = 0
    cdef uint32_t count = 0
    cdef uint32_t length
    cdef size_t at = sizeof(GroupHead)
    memcpy(&head, group, sizeof(GroupHead))
    while at < size:
        if size - at < JOURNAL_RECORD_BYTES:
            return <int64_t> at
        memcpy(&record, group + at, JOURNAL_RECORD_BYTES)
        length = JOURNAL_RECORD_BYTES + <uint32_t> record.item_count * JOURNAL_ITEM_BYTES
        if record.length_bytes != length:
            return <int64_t> at
        if record.length_bytes > size - at or record.seq != head.first_seq + count:
            return <int64_t> at
        fares += <uint64_t> record.fare_minor
        amounts += <uint64_t> record.amount_minor
        count += 1
        at += record.length_bytes
    if count != head.record_count or fares != <uint64_t> head.fare_total_minor:
        return 0
    return -1 if amounts == <uint64_t> head.amount_total_minor else 0


def crc32c(const uint8_t[::1] data, uint32_t crc=0):
    """CRC-32C of data, going on from `crc` (0 at the start)."""
    return crc32c_update(crc, &data[0], data.shape[0]) if data.shape[0] > 0 else crc


def crc32c_portable(const uint8_t[::1] data, uint32_t crc=0):
    """The same by tables, as CPUs without the instruction compute it; for the tests."""
    return crc32c_by_table(crc, &data[0], data.shape[0]) if data.shape[0] > 0 else crc


def check_group(const uint8_t[::1] buffer, Py_ssize_t offset=0, position=None, previous_hash=None):
    """Check the group at `offset`: its length in bytes (> 0), EMPTY (0), or one of the faults below 0.

    Args: position: address the group must name, None = any; previous_hash: 32 bytes, None = any.
    """
    cdef const uint8_t* previous = NULL
    cdef uint64_t expected = 0
    cdef bytes hash_bytes
    if offset < 0 or offset > buffer.shape[0]:
        raise ValueError("offset lies outside the buffer")
    if offset == buffer.shape[0]:
        return SHORT
    if position is not None:
        expected = position
    if previous_hash is not None:
        hash_bytes = bytes(previous_hash)
        if len(hash_bytes) != 32:
            raise ValueError("previous_hash has 32 bytes")
        previous = hash_bytes
    return check_group_at(&buffer[offset], buffer.shape[0] - offset, position is None, expected, previous)


def wanted_bytes(const uint8_t[::1] buffer, Py_ssize_t offset=0):
    """Length in bytes the group head at `offset` claims, head and body; unchecked, 0 = no whole head there."""
    cdef GroupHead head
    if offset < 0 or offset + <Py_ssize_t> sizeof(GroupHead) > buffer.shape[0]:
        return 0
    memcpy(&head, &buffer[offset], sizeof(GroupHead))
    return sizeof(GroupHead) + <int64_t> head.body_bytes


def find_records_fault(const uint8_t[::1] group):
    """Offset of the first record that does not fit (length, count, order; 0 = totals), or None.

    Precondition: check_group accepted the group.
    """
    if group.shape[0] < <Py_ssize_t> sizeof(GroupHead):
        return 0
    cdef int64_t at = body_fault(&group[0], group.shape[0])
    return None if at < 0 else at


def find_nonzero(const uint8_t[::1] buffer, Py_ssize_t offset=0):
    """Offset of the first byte that is not 0, or -1."""
    cdef Py_ssize_t end = buffer.shape[0]
    cdef Py_ssize_t at = offset
    cdef Py_ssize_t step
    if offset < 0:
        raise ValueError("offset lies outside the buffer")
    while at < end:
        step = min(4096, end - at)
        if not is_zero(&buffer[at], step):
            while buffer[at] == 0:
                at += 1
            return at
        at += step
    return -1


def find_head(const uint8_t[::1] buffer, uint64_t address, Py_ssize_t offset=0):
    """Offset (a multiple of 8) of the first group head that names its own address, or -1.

    Args: address: position of buffer[0] in the journal, a multiple of 8; offset: where to begin, a multiple of 8.
    """
    cdef GroupHead head
    cdef Py_ssize_t at = offset
    if offset < 0 or offset % 8 or address % 8:
        raise ValueError("groups begin at multiples of 8")
    while at + 16 <= buffer.shape[0]:
        memcpy(&head, &buffer[at], 16)
        if head.magic == GROUP_MAGIC and head.position == address + <uint64_t> at:
            return at
        at += 8
    return -1


def view_group(const uint8_t[::1] group):
    """The head's fields. Precondition: check_group accepted the group."""
    cdef GroupHead head
    if group.shape[0] < <Py_ssize_t> sizeof(GroupHead):
        raise ValueError("shorter than a group head")
    memcpy(&head, &group[0], sizeof(GroupHead))
    return GroupView(
        head.position,
        sizeof(GroupHead) + <int64_t> head.body_bytes,
        head.record_count,
        head.first_seq,
        head.ts_us,
        head.fare_total_minor,
        head.amount_total_minor,
        head.engine_version,
        head.struct_version,
        (<const uint8_t*> head.previous_hash)[:32],
        head.limits_key,
    )


def view_head(const uint8_t[::1] record, uint64_t position=0):
    """The head of a record without its items. Raises ValueError: shorter than a head."""
    if record.shape[0] < JOURNAL_RECORD_BYTES:
        raise ValueError("shorter than a record head")
    return RecordView(*_RECORD.unpack_from(record, 0), (), position)


def view_record(const uint8_t[::1] record, uint64_t position=0):
    """One record, head and items, as a named tuple. Raises ValueError when the lengths do not fit."""
    if record.shape[0] < JOURNAL_RECORD_BYTES:
        raise ValueError("shorter than a record head")
    cdef tuple fields = _RECORD.unpack_from(record, 0)
    cdef Py_ssize_t length = fields[0]
    if length != JOURNAL_RECORD_BYTES + fields[4] * JOURNAL_ITEM_BYTES or length > record.shape[0]:
        raise ValueError("record length does not fit its items")
    cdef list items = [
        ItemView(kind, line, slot, image)
        for at in range(JOURNAL_RECORD_BYTES, length, JOURNAL_ITEM_BYTES)
        for kind, line, _, slot, image in (_ITEM.unpack_from(record, at),)
    ]
    return RecordView(*fields, tuple(items), position)


def iter_records(group):
    """The records of one group, in order. Precondition: check_group accepted the group."""
    whole = memoryview(group).cast("B")
    head = view_group(whole)
    at = JOURNAL_HEAD_BYTES
    while at < head.length_bytes:
        record = view_record(whole[at:head.length_bytes], head.position + at)
        yield record
        at += record.length_bytes


def build_item(type, line, slot, image):
    """One after-image: bytes of up to 64, zero padded."""
    if len(image) > 64:
        raise ValueError("an image has at most 64 bytes")
    return _ITEM.pack(type, line, 0, slot, image)


def build_record(**fields):
    """A record from RecordView's field names; what is not named is 0. `items`: results of build_item.

    For tools and tests: the engine writes its records itself.
    """
    items = tuple(fields.pop("items", ()))
    values = dict.fromkeys(_FIELDS, 0)
    values["token"] = bytes(16)
    unknown = fields.keys() - values.keys()
    if unknown:
        raise TypeError(f"a record has no field {', '.join(sorted(unknown))}")
    values.update(fields)
    values["item_count"] = len(items)
    values["length_bytes"] = JOURNAL_RECORD_BYTES + len(items) * JOURNAL_ITEM_BYTES
    return _RECORD.pack(*values.values()) + b"".join(items)


def build_group(records, *, uint64_t position, uint64_t first_seq, bytes previous_hash=NO_HASH, int64_t ts_us=0,
                uint32_t engine_version=_ENGINE_VERSION):
    """A sealed group around records as bytes, whose totals it takes from them.

    For tools and tests; the records' seq must already count from first_seq.
    """
    cdef bytes body = b"".join(records)
    cdef GroupFacts facts
    if len(previous_hash) != 32:
        raise ValueError("previous_hash has 32 bytes")
    views = [view_record(record) for record in records]
    facts.position = position
    facts.first_seq = first_seq
    facts.record_count = len(views)
    facts.body_bytes = len(body)
    facts.ts_us = ts_us
    facts.fare_total_minor = sum([view.fare_minor for view in views])
    facts.amount_total_minor = sum([view.amount_minor for view in views])
    facts.engine_version = engine_version
    cdef bytearray whole = bytearray(JOURNAL_HEAD_BYTES) + body
    cdef uint8_t[::1] room = whole
    seal_head(<GroupHead*> &room[0], &facts, previous_hash)
    return bytes(whole)
