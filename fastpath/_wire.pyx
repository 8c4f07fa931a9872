"""The hot frames of the validator link, byte by byte (docs/protocol.md): msgpack in, msgpack out, no Python objects.

The readers clamp every read to the cursor's end and accept any msgpack width of an integer; what they write is always
the shortest form. A cursor's position after anything but WIRE_OK means nothing.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, UINT32_MAX, UINT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from fastpath._layout cimport TOKEN_BYTES, RecordHead, Tap

cdef enum:
    TAP_FIELDS = 11            # and one more: the distance, when the device knows it
    DISTANCE_MAX_M = 0x7FFFFFFF
    PASSAGE_FIELDS = 6
    ALGORITHMS_MAX = 8         # in a hello
    TEXT_MAX = 64              # bytes of a firmware's name
    MODE_MAX = 21              # the highest DeviceMode
    ANSWER_FIELDS = 12
    TAP_KIND_MAX = 4           # TapKind.INSPECT
    TAP_FLAGS_MAX = 15         # all of TapFlag
    NIL = 0xC0
    FALSE_BYTE = 0xC2
    TRUE_BYTE = 0xC3
    BIN8 = 0xC4
    STR8 = 0xD9
    UINT8 = 0xCC
    INT8 = 0xD0
    ARRAY16 = 0xDC
    ARRAY32 = 0xDD

cdef extern from *:
    """
    #define TIME_MAX_US ((int64_t)1 << 53)
    """
    const int64_t TIME_MAX_US


cdef inline uint64_t read_big_endian(const uint8_t* at, size_t size) noexcept nogil:
    cdef uint64_t value = 0
    cdef size_t i
    for i in range(size):
        value = value << 8 | at[i]
    return value


# An unsigned integer of at most `highest`, in any of msgpack's nine integer forms; a negative one is out of range.
cdef inline WireStatus read_uint(Cursor* cursor, uint64_t highest, uint64_t* value) noexcept nogil:
    cdef uint8_t first
    cdef size_t size
    if cursor.at >= cursor.end:
        return WIRE_MALFORMED
    first = cursor.at[0]
    cursor.at += 1
    if first < 0x80:
        value[0] = first
    elif first >= 0xE0:
        return WIRE_OUT_OF_RANGE
    elif UINT8 <= first < INT8 + 4:
        size = <size_t> 1 << (first & 3)
        if <size_t> (cursor.end - cursor.at) < size:
            return WIRE_MALFORMED
        value[0] = read_big_endian(cursor.at, size)
        if first >= INT8 and cursor.at[0] & 0x80:
            return WIRE_OUT_OF_RANGE
        cursor.at += size
    else:
        return WIRE_MALFORMED
    return WIRE_OK if value[0] <= highest else WIRE_OUT_OF_RANGE


cdef inline WireStatus read_u64(Cursor* cursor, uint64_t lowest, uint64_t* value) noexcept nogil:
    cdef WireStatus status = read_uint(cursor, UINT64_MAX, value)
    return WIRE_OUT_OF_RANGE if status == WIRE_OK and value[0] < lowest else status


cdef inline WireStatus read_u32(Cursor* cursor, uint32_t lowest, uint32_t* value) noexcept nogil:
    cdef uint64_t wide = 0
    cdef WireStatus status = read_uint(cursor, UINT32_MAX, &wide)
    value[0] = <uint32_t> wide
    return WIRE_OUT_OF_RANGE if status == WIRE_OK and wide < lowest else status


cdef inline WireStatus read_u8(Cursor* cursor, uint8_t lowest, uint8_t highest, uint8_t* value) noexcept nogil:
    cdef uint64_t wide = 0
    cdef WireStatus status = read_uint(cursor, highest, &wide)
    value[0] = <uint8_t> wide
    return WIRE_OUT_OF_RANGE if status == WIRE_OK and wide < lowest else status


cdef inline WireStatus read_time(Cursor* cursor, int64_t* value) noexcept nogil:
    cdef uint64_t wide = 0
    cdef WireStatus status = read_uint(cursor, TIME_MAX_US, &wide)
    value[0] = <int64_t> wide
    return status


cdef inline WireStatus read_token(Cursor* cursor, uint8_t* token) noexcept nogil:
    if cursor.end - cursor.at < 2 or cursor.at[0] != BIN8:
        return WIRE_MALFORMED
    if cursor.at[1] != TOKEN_BYTES:
        return WIRE_OUT_OF_RANGE
    if cursor.end - cursor.at < 2 + TOKEN_BYTES:
        return WIRE_MALFORMED
    memcpy(token, cursor.at + 2, TOKEN_BYTES)
    cursor.at += 2 + TOKEN_BYTES
    return WIRE_OK


# The price of a flat tap that carries its own: nil = -1 = the tariff's.
cdef inline WireStatus read_amount(Cursor* cursor, int64_t* amount_minor) noexcept nogil:
    cdef uint64_t wide = 0
    cdef WireStatus status
    if cursor.at < cursor.end and cursor.at[0] == NIL:
        cursor.at += 1
        amount_minor[0] = -1
        return WIRE_OK
    status = read_uint(cursor, INT64_MAX, &wide)
    amount_minor[0] = <int64_t> wide
    return status


cdef inline WireStatus read_bool(Cursor* cursor, bint* value) noexcept nogil:
    if cursor.at >= cursor.end or not FALSE_BYTE <= cursor.at[0] <= TRUE_BYTE:
        return WIRE_MALFORMED
    value[0] = cursor.at[0] == TRUE_BYTE
    cursor.at += 1
    return WIRE_OK


cdef WireStatus read_array(Cursor* cursor, uint32_t* count) noexcept nogil:
    cdef uint8_t first
    cdef size_t size
    if cursor.at >= cursor.end:
        return WIRE_MALFORMED
    first = cursor.at[0]
    cursor.at += 1
    if 0x90 <= first <= 0x9F:
        count[0] = first & 15
    elif first == ARRAY16 or first == ARRAY32:
        size = 2 if first == ARRAY16 else 4
        if <size_t> (cursor.end - cursor.at) < size:
            return WIRE_MALFORMED
        count[0] = <uint32_t> read_big_endian(cursor.at, size)
        cursor.at += size
    else:
        return WIRE_MALFORMED
    # Every element takes a byte at least: a caller may trust the count before it reads on.
    return WIRE_OK if count[0] <= <size_t> (cursor.end - cursor.at) else WIRE_MALFORMED


cdef WireStatus read_head(Cursor* cursor, uint32_t* type, uint64_t* counter, uint32_t* fields) noexcept nogil:
    cdef uint32_t count = 0
    cdef WireStatus status = read_array(cursor, &count)
    if status != WIRE_OK or count < 2:
        return WIRE_MALFORMED
    fields[0] = count - 2
    status = read_u32(cursor, 0, type)
    return status if status != WIRE_OK else read_u64(cursor, 0, counter)


cdef WireStatus read_tap(Cursor* cursor, Tap* tap) noexcept nogil:
    cdef uint32_t count = 0
    cdef WireStatus status = read_array(cursor, &count)
    if status == WIRE_OK and count != TAP_FIELDS and count != TAP_FIELDS + 1:
        status = WIRE_MALFORMED
    tap.distance_m = 0
    if status == WIRE_OK:
        status = read_u64(cursor, 1, &tap.boot)
    if status == WIRE_OK:
        status = read_u32(cursor, 1, &tap.seq)
    if status == WIRE_OK:
        status = read_u8(cursor, 1, TAP_KIND_MAX, &tap.kind)
    if status == WIRE_OK:
        status = read_token(cursor, tap.token)
    if status == WIRE_OK:
        status = read_u32(cursor, 0, &tap.stop)
    if status == WIRE_OK:
        status = read_time(cursor, &tap.device_ts_us)
    if status == WIRE_OK:
        status = read_u32(cursor, 0, &tap.flags)
    if status == WIRE_OK and tap.flags > TAP_FLAGS_MAX:
        status = WIRE_OUT_OF_RANGE
    if status == WIRE_OK:
        status = read_u8(cursor, 0, 255, &tap.attempt)
    if status == WIRE_OK:
        status = read_u32(cursor, 0, &tap.line)
    if status == WIRE_OK:
        status = read_u32(cursor, 0, &tap.denylist_version)
    if status == WIRE_OK:
        status = read_amount(cursor, &tap.amount_minor)
    if status == WIRE_OK and count > TAP_FIELDS:
        status = read_u32(cursor, 0, &tap.distance_m)
        if status == WIRE_OK and tap.distance_m > DISTANCE_MAX_M:
            status = WIRE_OUT_OF_RANGE
    return status


# Here and in a heartbeat the fields stand in the frame itself, behind the head: no array of their own.
cdef WireStatus read_passage(Cursor* cursor, Tap* passage, uint64_t* original_boot, uint32_t* original_seq,
                             bint* passed) noexcept nogil:
    cdef WireStatus status = read_u64(cursor, 1, &passage.boot)
    if status == WIRE_OK:
        status = read_u32(cursor, 0, &passage.seq)
    if status == WIRE_OK:
        status = read_u64(cursor, 1, original_boot)
    if status == WIRE_OK:
        status = read_u32(cursor, 1, original_seq)
    if status == WIRE_OK:
        status = read_bool(cursor, passed)
    if status == WIRE_OK and not passed[0] and passage.seq == 0:
        status = WIRE_OUT_OF_RANGE
    if status == WIRE_OK:
        status = read_time(cursor, &passage.device_ts_us)
    return status


cdef WireStatus read_heartbeat(Cursor* cursor, int64_t* device_time_us, uint32_t* queue_depth) noexcept nogil:
    cdef uint8_t mode = 0
    cdef WireStatus status = read_time(cursor, device_time_us)
    if status == WIRE_OK:
        status = read_u32(cursor, 0, queue_depth)
    return status if status != WIRE_OK else read_u8(cursor, 1, MODE_MAX, &mode)


cdef inline WireStatus read_offered(Cursor* cursor, uint32_t* offered) noexcept nogil:
    cdef uint32_t count = 0
    cdef uint8_t algorithm = 0
    cdef WireStatus status = read_array(cursor, &count)
    if status == WIRE_OK and not 1 <= count <= ALGORITHMS_MAX:
        status = WIRE_OUT_OF_RANGE
    offered[0] = 0
    while status == WIRE_OK and count > 0:
        status = read_u8(cursor, 0, 255, &algorithm)
        if algorithm < 32:
            offered[0] |= <uint32_t> 1 << algorithm
        count -= 1
    return status


# Plain ASCII of at most TEXT_MAX bytes.
cdef inline WireStatus skip_text(Cursor* cursor) noexcept nogil:
    cdef size_t size
    cdef size_t i
    if cursor.at >= cursor.end:
        return WIRE_MALFORMED
    if 0xA0 <= cursor.at[0] <= 0xBF:
        size = cursor.at[0] & 31
    elif cursor.at[0] == STR8 and cursor.end - cursor.at >= 2:
        cursor.at += 1
        size = cursor.at[0]
    else:
        return WIRE_MALFORMED
    cursor.at += 1
    if <size_t> (cursor.end - cursor.at) < size:
        return WIRE_MALFORMED
    for i in range(size):
        if cursor.at[i] & 0x80:
            return WIRE_MALFORMED
    cursor.at += size
    return WIRE_OK if size <= TEXT_MAX else WIRE_OUT_OF_RANGE


cdef WireStatus read_hello(Cursor* cursor, Hello* hello) noexcept nogil:
    cdef WireStatus status = read_u32(cursor, 1, &hello.protocol_version)
    if status == WIRE_OK:
        status = read_u64(cursor, 1, &hello.device_id)
    if status == WIRE_OK:
        status = read_u32(cursor, 1, &hello.key_version)
    if status == WIRE_OK:
        status = read_u64(cursor, 1, &hello.boot_epoch)
    if status == WIRE_OK:
        status = read_token(cursor, hello.nonce)  # 16 bytes, as a token is
    if status == WIRE_OK:
        status = read_offered(cursor, &hello.offered)
    if status == WIRE_OK:
        status = skip_text(cursor)
    return WIRE_MALFORMED if status == WIRE_OK and cursor.at != cursor.end else status


cdef inline size_t write_big_endian(uint8_t* out, uint64_t value, size_t size) noexcept nogil:
    cdef size_t i
    for i in range(size):
        out[i] = <uint8_t> (value >> (8 * (size - 1 - i)))
    return size


cdef size_t write_uint(uint8_t* out, uint64_t value) noexcept nogil:
    cdef int power = 0
    if value < 0x80:
        out[0] = <uint8_t> value
        return 1
    if value > 0xFF:
        power = 1 if value <= 0xFFFF else 2 if value <= UINT32_MAX else 3
    out[0] = <uint8_t> (UINT8 + power)
    return 1 + write_big_endian(out + 1, value, <size_t> 1 << power)


cdef inline size_t write_int(uint8_t* out, int64_t value) noexcept nogil:
    cdef int power = 0
    if value >= 0:
        return write_uint(out, <uint64_t> value)
    if value >= -32:
        out[0] = <uint8_t> value
        return 1
    if value < -0x80:
        power = 1 if value >= -0x8000 else 2 if value >= -0x80000000LL else 3
    out[0] = <uint8_t> (INT8 + power)
    return 1 + write_big_endian(out + 1, <uint64_t> value, <size_t> 1 << power)


cdef size_t write_array(uint8_t* out, uint32_t count) noexcept nogil:
    if count < 16:
        out[0] = <uint8_t> (0x90 | count)
        return 1
    if count <= 0xFFFF:
        out[0] = ARRAY16
        return 1 + write_big_endian(out + 1, count, 2)
    out[0] = ARRAY32
    return 1 + write_big_endian(out + 1, count, 4)


cdef size_t write_head(uint8_t* out, uint32_t type, uint64_t counter, uint32_t extra) noexcept nogil:
    cdef size_t size = write_array(out, extra + 2)
    size += write_uint(out + size, type)
    return size + write_uint(out + size, counter)


cdef size_t write_answer(uint8_t* out, const RecordHead* head, uint64_t position) noexcept nogil:
    cdef size_t size = write_array(out, ANSWER_FIELDS)
    size += write_uint(out + size, head.id_b)
    size += write_uint(out + size, head.id_c)
    size += write_uint(out + size, head.verdict)
    size += write_uint(out + size, head.reason)
    size += write_int(out + size, head.fare_minor)
    size += write_int(out + size, head.balance_minor)
    size += write_int(out + size, head.period_paid_minor)
    size += write_uint(out + size, head.rules)
    size += write_uint(out + size, head.other_stop)
    size += write_int(out + size, head.fare_ts_us)
    size += write_uint(out + size, position)
    return size + write_uint(out + size, head.op)


# Python faces, for tests and tools. The readers work on a copy of exactly the input's size, so that a sanitizer build
# sees a read beyond it.
cdef Cursor cursor_on_copy(bytes data) except *:
    cdef Cursor cursor
    cdef size_t size = PyBytes_GET_SIZE(data)
    cdef uint8_t* copy = <uint8_t*> malloc(size)
    if copy == NULL and size > 0:
        raise MemoryError
    memcpy(copy, PyBytes_AS_STRING(data), size)
    cursor.at = copy
    cursor.end = copy + size
    return cursor


def decode_head(bytes data not None) -> tuple:
    """(status, bytes used, type, counter, fields to come)."""
    cdef Cursor cursor = cursor_on_copy(data)
    cdef uint8_t* copy = <uint8_t*> cursor.at
    cdef uint32_t type = 0, fields = 0
    cdef uint64_t counter = 0
    cdef WireStatus status = read_head(&cursor, &type, &counter, &fields)
    cdef size_t used = cursor.at - copy
    free(copy)
    return (<int> status, used, type, counter, fields)


def decode_tap(bytes data not None) -> tuple:
    """(status, bytes used, the fields of docs/protocol.md's TAP in order): amount -1 for nil, 0 beyond a fault."""
    cdef Cursor cursor = cursor_on_copy(data)
    cdef uint8_t* copy = <uint8_t*> cursor.at
    cdef Tap tap
    memset(&tap, 0, sizeof(tap))
    cdef WireStatus status = read_tap(&cursor, &tap)
    cdef size_t used = cursor.at - copy
    free(copy)
    return (<int> status, used, (
        tap.boot, tap.seq, tap.kind, PyBytes_FromStringAndSize(<const char*> tap.token, TOKEN_BYTES), tap.stop,
        tap.device_ts_us, tap.flags, tap.attempt, tap.line, tap.denylist_version, tap.amount_minor, tap.distance_m))


def decode_passage(bytes data not None) -> tuple:
    """(status, bytes used, (boot, seq, original boot, original seq, passed, device_ts_us))."""
    cdef Cursor cursor = cursor_on_copy(data)
    cdef uint8_t* copy = <uint8_t*> cursor.at
    cdef Tap passage
    memset(&passage, 0, sizeof(passage))
    cdef uint64_t boot = 0
    cdef uint32_t seq = 0
    cdef bint passed = False
    cdef WireStatus status = read_passage(&cursor, &passage, &boot, &seq, &passed)
    cdef size_t used = cursor.at - copy
    free(copy)
    return (<int> status, used, (passage.boot, passage.seq, boot, seq, passed != 0, passage.device_ts_us))


def decode_heartbeat(bytes data not None) -> tuple:
    """(status, bytes used, (device_time_us, queue_depth)); the mode is checked and not kept."""
    cdef Cursor cursor = cursor_on_copy(data)
    cdef uint8_t* copy = <uint8_t*> cursor.at
    cdef int64_t device_time_us = 0
    cdef uint32_t queue_depth = 0
    cdef WireStatus status = read_heartbeat(&cursor, &device_time_us, &queue_depth)
    cdef size_t used = cursor.at - copy
    free(copy)
    return (<int> status, used, (device_time_us, queue_depth))


def decode_array(bytes data not None) -> tuple:
    """(status, bytes used, count)."""
    cdef Cursor cursor = cursor_on_copy(data)
    cdef uint8_t* copy = <uint8_t*> cursor.at
    cdef uint32_t count = 0
    cdef WireStatus status = read_array(&cursor, &count)
    cdef size_t used = cursor.at - copy
    free(copy)
    return (<int> status, used, count)


def encode_head(uint32_t type, uint64_t counter, uint32_t extra) -> bytes:
    """The beginning of a frame with so many elements to come. extra below 2**32 - 2."""
    cdef uint8_t out[32]
    return PyBytes_FromStringAndSize(<const char*> out, write_head(out, type, counter, extra))


def encode_array(uint32_t count) -> bytes:
    """The beginning of an array."""
    cdef uint8_t out[8]
    return PyBytes_FromStringAndSize(<const char*> out, write_array(out, count))


def encode_answer(bytes record_head not None, uint64_t position) -> bytes:
    """The ANSWER that a journal record gives. Raises: ValueError: not the size of a record head."""
    cdef RecordHead head
    cdef uint8_t out[ANSWER_BYTES_MAX]
    if PyBytes_GET_SIZE(record_head) != sizeof(head):
        raise ValueError(f"a record head is {sizeof(head)} bytes")
    memcpy(&head, PyBytes_AS_STRING(record_head), sizeof(head))
    return PyBytes_FromStringAndSize(<const char*> out, write_answer(out, &head, position))
