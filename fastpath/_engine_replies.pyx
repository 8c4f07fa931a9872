"""Frames the engine writes to a session by itself (docs/protocol.md)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastpath._accounts cimport find_window
from fastpath._engine_state cimport EngineState
from fastpath._group cimport Answer
from fastpath._layout cimport BootWindow
from fastpath._session cimport Session
from fastpath._wire cimport (
    ANSWER_BYTES_MAX, WIRE_OK, Cursor, read_heartbeat, write_answer, write_array, write_head,
    write_uint,
)

# The request a batch answer is for; always at full width.
cdef inline size_t write_request(uint8_t* out, uint64_t value) noexcept nogil:
    cdef int i
    out[0] = 0xcf
    for i in range(8):
        out[1 + i] = <uint8_t> (value >> (56 - 8 * i))
    return 9


cdef bint answer_heartbeat(EngineState engine, Session session, Cursor cursor) except -1:
    cdef int64_t device_time_us
    cdef uint32_t queue_depth
    cdef BootWindow* window
    cdef uint8_t* out
    cdef size_t size
    if not engine.news or read_heartbeat(&cursor, &device_time_us, &queue_depth) != WIRE_OK:
        return False
    if cursor.at != cursor.end:
        return False
    session.queue_depth = queue_depth
    window = find_window(engine.store, session.device_id, session.boot)
    out = session.begin_frame(64 + <size_t> PyBytes_GET_SIZE(engine.news))
    session.tx_counter += 1
    size = write_head(out, FRAME_HEARTBEAT_ANSWER, session.tx_counter, 6)
    size += write_uint(out + size, <uint64_t> engine.now_us)
    size += write_uint(out + size, <uint64_t> device_time_us)
    size += write_uint(out + size, window.acked_seq if window != NULL else 0)
    memcpy(out + size, PyBytes_AS_STRING(engine.news), PyBytes_GET_SIZE(engine.news))
    session.end_frame(size + PyBytes_GET_SIZE(engine.news))
    return True


cdef int say_busy(EngineState engine, Session session, uint64_t counter) except -1:
    cdef size_t before_bytes = PyBytes_GET_SIZE(engine.busy_before)
    cdef size_t behind_bytes = PyBytes_GET_SIZE(engine.busy_behind)
    cdef uint8_t* out
    cdef size_t size
    if before_bytes == 0:
        session.events.append(("error", ERROR_BUSY, counter))
        return 0
    if engine.page is not None:
        engine.page[engine.page_errors + ERROR_BUSY] += 1
    out = session.begin_frame(64 + before_bytes + behind_bytes)
    session.tx_counter += 1
    size = write_head(out, FRAME_ERROR, session.tx_counter, 6)
    memcpy(out + size, PyBytes_AS_STRING(engine.busy_before), before_bytes)
    size += before_bytes
    size += write_uint(out + size, counter)
    memcpy(out + size, PyBytes_AS_STRING(engine.busy_behind), behind_bytes)
    session.end_frame(size + behind_bytes)
    return 0


cdef int write_reply(Session session, uint32_t type, uint64_t counter, const Answer* answers,
                     uint32_t count) except -1:
    cdef uint8_t* out = session.begin_frame(64 + <size_t> count * ANSWER_BYTES_MAX)
    cdef size_t size
    cdef uint32_t i
    session.tx_counter += 1
    if type == FRAME_BATCH_ANSWER:
        size = write_head(out, type, session.tx_counter, 2)
        size += write_request(out + size, counter)
        size += write_array(out + size, count)
    else:
        size = write_head(out, type, session.tx_counter, 1)
    for i in range(count):
        size += write_answer(out + size, &answers[i].head, answers[i].position)
    session.end_frame(size)
    return 0
