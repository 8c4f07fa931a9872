"""Taps written and answers read by the load generator, without Python objects.

Must not import fastpath._wire: that is what is being measured.
"""

from libc.stdint cimport UINT32_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastpath._mac cimport mac_equal, mac_tag

cdef enum:
    FRAME_TAP = 10
    FRAME_ANSWER = 11
    FRAME_TAP_BATCH = 12
    FRAME_BATCH_ANSWER = 13
    FRAME_ERROR = 127
    ERROR_FIELDS = 8
    TAP_FIELDS = 11
    TAP_BYTES_MAX = 72
    HEAD_BYTES_MAX = 24
    ANSWER_FIELDS = 12
    KIND_CHECK_IN = 1
    KIND_CHECK_OUT = 2


cdef uint64_t random_next(uint64_t* state) noexcept nogil:
    """splitmix64."""
    cdef uint64_t mixed
    state[0] += 0x9E3779B97F4A7C15u
    mixed = state[0]
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu
    return mixed ^ (mixed >> 31)


cdef uint32_t random_below(uint64_t* state, uint32_t bound) noexcept nogil:
    return <uint32_t>((random_next(state) >> 32) * bound >> 32)


# --- writing

cdef inline uint8_t* put_big_endian(uint8_t* out, uint64_t value, int size) noexcept nogil:
    cdef int place
    for place in range(size):
        out[place] = <uint8_t>(value >> (8 * (size - 1 - place)))
    return out + size


cdef inline uint8_t* put_uint(uint8_t* out, uint64_t value) noexcept nogil:
    cdef int power
    if value < 0x80:
        out[0] = <uint8_t>value
        return out + 1
    power = 0 if value <= 0xFF else 1 if value <= 0xFFFF else 2 if value <= UINT32_MAX else 3
    out[0] = <uint8_t>(0xCC + power)
    return put_big_endian(out + 1, value, 1 << power)


cdef inline uint8_t* put_array(uint8_t* out, uint32_t count) noexcept nogil:
    if count < 16:
        out[0] = <uint8_t>(0x90 | count)
        return out + 1
    out[0] = 0xDC
    return put_big_endian(out + 1, count, 2)


cdef uint8_t next_kind(Riders* riders, uint32_t rider) noexcept nogil:
    cdef uint64_t bit = <uint64_t>1 << (rider & 63)
    if riders.kind:
        return riders.kind
    riders.inside[rider >> 6] ^= bit
    return KIND_CHECK_IN if riders.inside[rider >> 6] & bit else KIND_CHECK_OUT


cdef uint8_t* put_tap(Riders* riders, Device* device, int64_t ts_us, uint8_t* out) noexcept nogil:
    cdef uint32_t own = (riders.count - device.first_rider - 1) // device.rider_step + 1
    cdef uint32_t rider = device.first_rider + random_below(&riders.random, own) * device.rider_step
    out = put_array(out, TAP_FIELDS)
    out = put_uint(out, device.boot_epoch)
    out = put_uint(out, device.next_seq)
    out = put_uint(out, next_kind(riders, rider))
    out[0], out[1] = 0xC4, 16
    memcpy(out + 2, riders.tokens + <size_t>rider * 16, 16)
    out = put_uint(out + 18, riders.stops[random_below(&riders.random, riders.stop_count)])
    out = put_uint(out, <uint64_t>ts_us)
    out = put_uint(out, riders.flags)
    out = put_uint(out, 0)             # attempt
    out = put_uint(out, riders.line)
    out = put_uint(out, 0)             # version of the deny list
    out[0] = 0xC0                      # amount: the tariff's
    device.next_seq += 1
    return out + 1


cdef size_t frame_room(uint32_t batch) noexcept nogil:
    cdef size_t taps = max(batch, <uint32_t>1)
    return PREFIX_BYTES + HEAD_BYTES_MAX + taps * TAP_BYTES_MAX + TAG_BYTES


cdef size_t write_frame(Riders* riders, Device* device, uint32_t batch, int64_t ts_us,
                        uint8_t* out) noexcept nogil:
    cdef uint8_t* at = put_array(out + PREFIX_BYTES, 3)
    cdef uint32_t tap
    cdef size_t size
    device.send_counter += 1
    at = put_uint(put_uint(at, FRAME_TAP_BATCH if batch else FRAME_TAP), device.send_counter)
    if batch:
        at = put_array(at, batch)
    for tap in range(max(batch, <uint32_t>1)):
        at = put_tap(riders, device, ts_us + tap, at)
    size = at - out
    out[PREFIX_BYTES - 1] = DIRECTION_DEVICE   # under the tag; then the length goes there
    mac_tag(&device.send_key, out + PREFIX_BYTES - 1, size - PREFIX_BYTES + 1, at)
    put_big_endian(out, size - PREFIX_BYTES + TAG_BYTES, PREFIX_BYTES)
    return size + TAG_BYTES


# --- reading

cdef bint tag_is_good(const MacKey* key, uint8_t direction, uint8_t* payload,
                      size_t size) noexcept nogil:
    cdef uint8_t tag[TAG_BYTES]
    cdef uint8_t* start = payload - 1
    cdef uint8_t before = start[0]
    start[0] = direction
    mac_tag(key, start, size + 1, tag)
    start[0] = before
    return mac_equal(tag, payload + size)


cdef inline uint64_t get_big_endian(const uint8_t* at, int size) noexcept nogil:
    cdef uint64_t value = 0
    cdef int place
    for place in range(size):
        value = value << 8 | at[place]
    return value


cdef bint get_number(Reply* reply, uint64_t* value) noexcept nogil:
    """Any integer; a negative one comes as its two's complement."""
    cdef uint8_t first
    cdef int size
    if reply.at >= reply.end:
        return False
    first = reply.at[0]
    reply.at += 1
    if first < 0x80 or first >= 0xE0:
        value[0] = first if first < 0x80 else <uint64_t>(<int64_t>first - 256)
        return True
    size = 1 << (first & 3)
    if not 0xCC <= first <= 0xD3 or reply.end - reply.at < size:
        return False
    value[0] = get_big_endian(reply.at, size)
    if first >= 0xD0 and size < 8 and value[0] >> (8 * size - 1):
        value[0] -= <uint64_t>1 << (8 * size)
    reply.at += size
    return True


cdef bint get_array(Reply* reply, uint32_t* count) noexcept nogil:
    cdef int size
    if reply.at >= reply.end:
        return False
    size = 0 if reply.at[0] & 0xF0 == 0x90 else 2 if reply.at[0] == 0xDC else -1
    if size < 0 or reply.end - reply.at < size + 1:
        return False
    count[0] = reply.at[0] & 15 if size == 0 else <uint32_t>get_big_endian(reply.at + 1, size)
    reply.at += size + 1
    return True


cdef bint skip_text(Reply* reply) noexcept nogil:
    """A string of at most 255 bytes."""
    cdef int size
    if reply.end - reply.at < 2 or not (reply.at[0] & 0xE0 == 0xA0 or reply.at[0] == 0xD9):
        return False
    size = reply.at[0] & 31 if reply.at[0] != 0xD9 else reply.at[1] + 1
    if reply.end - reply.at - 1 < size:
        return False
    reply.at += size + 1
    return True


cdef ReplyKind read_body(Reply* reply, uint64_t type, uint32_t fields) noexcept nogil:
    cdef bint known
    reply.answers = 1
    if type == FRAME_ANSWER and fields == 3:
        return ReplyKind.REPLY_ANSWERS
    if type == FRAME_BATCH_ANSWER and fields == 4:
        if not get_number(reply, &reply.request_counter) or not get_array(reply, &reply.answers):
            return ReplyKind.REPLY_MALFORMED
        return ReplyKind.REPLY_ANSWERS if reply.answers else ReplyKind.REPLY_MALFORMED
    if type == FRAME_ERROR and fields == ERROR_FIELDS:
        if not get_number(reply, &reply.code) or not skip_text(reply):
            return ReplyKind.REPLY_MALFORMED
        known = get_number(reply, &reply.request_counter)
        return ReplyKind.REPLY_ERROR if known else ReplyKind.REPLY_MALFORMED
    return ReplyKind.REPLY_OTHER


cdef void read_reply(Reply* reply, const uint8_t* payload, size_t size) noexcept nogil:
    """[type, counter, answer], [type, counter, request counter, [answers]] or an error."""
    cdef uint32_t fields = 0
    cdef uint64_t type = 0
    reply.at, reply.end = payload, payload + size
    if not get_array(reply, &fields) or fields < 2 or not get_number(reply, &type):
        reply.kind = ReplyKind.REPLY_MALFORMED
    elif not get_number(reply, &reply.counter):
        reply.kind = ReplyKind.REPLY_MALFORMED
    else:
        reply.kind = read_body(reply, type, fields)


cdef bint read_answer(Reply* reply, Answer* answer) noexcept nogil:
    """boot, seq, verdict, reason, six that do not matter here, position, op."""
    cdef uint64_t numbers[ANSWER_FIELDS]
    cdef uint32_t fields = 0
    cdef int place
    if not get_array(reply, &fields) or fields != ANSWER_FIELDS:
        return False
    for place in range(ANSWER_FIELDS):
        if not get_number(reply, &numbers[place]):
            return False
    answer.boot_epoch, answer.seq = numbers[0], numbers[1]
    answer.verdict, answer.reason = numbers[2], numbers[3]
    answer.position = numbers[10]
    return answer.reason <= 255 and answer.verdict <= 3 and answer.seq <= UINT32_MAX
