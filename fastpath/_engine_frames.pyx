"""Frames of a session: cut out, checked, and what is hot among them carried out; the rest is events for Python."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastpath._accounts cimport account_at, cell_at, fetch_medium, find_medium
from fastpath._accounts_memory cimport faregate_prefetch
from fastpath._engine_passages cimport answer_passage
from fastpath._engine_replies cimport (
    FRAME_ANSWER, FRAME_BATCH_ANSWER, FRAME_PASSAGE_ANSWER, answer_heartbeat, say_busy,
)
from fastpath._engine_state cimport BATCH_MAX, EngineState, count_tap, has_room, open_group
from fastpath._engine_taps cimport answer_tap
from fastpath._group cimport Group, Pending, group_answer, group_pending
from fastpath._layout cimport KIND_CHECK_OUT, REASON_BUSY, Account, Medium, Tap
from fastpath._legs cimport fetch_pair
from fastpath._session cimport FRAME_PREFIX_BYTES, TAG_BYTES, Session
from fastpath._tariff cimport TariffC, book_at
from fastpath._wire cimport (
    WIRE_OK, Cursor, WireStatus, read_array, read_head, read_passage, read_tap,
)

cdef enum:
    FRAME_TAP = 10
    FRAME_TAP_BATCH = 12
    FRAME_PASSAGE = 14
    FRAME_HEARTBEAT = 16

    ERROR_FRAME_TOO_LONG = 1
    ERROR_MALFORMED = 3
    ERROR_OUT_OF_RANGE = 4
    ERROR_BAD_TAG = 9
    ERROR_OLD_COUNTER = 10
    ERROR_BATCH_TOO_LARGE = 12

    # What take_frame() tells read_frames().
    DONE = 0
    NO_ROOM = 1
    FATAL = 2

cdef Tap batch_taps[BATCH_MAX]
cdef const Account* batch_accounts[BATCH_MAX]


cdef size_t read_frames(EngineState engine, Session session, const uint8_t* at, size_t size,
                        int64_t mono_us, int* fed) except? 0:
    cdef size_t used = 0
    cdef size_t length
    cdef int handled
    cdef Group* group
    cdef uint32_t before
    while size - used >= FRAME_PREFIX_BYTES:
        length = ((<size_t> at[used] << 24) | (<size_t> at[used + 1] << 16) | (<size_t> at[used + 2] << 8)
                  | at[used + 3])
        if length > session.frame_max or length <= TAG_BYTES:
            session.events.append(("error", ERROR_FRAME_TOO_LONG if length > TAG_BYTES else ERROR_MALFORMED, 0))
            fed[0] |= FED_FATAL
            return size
        if size - used - FRAME_PREFIX_BYTES < length:
            break
        group = open_group(engine)
        before = group.pending_count
        handled = take_frame(engine, session, at + used + FRAME_PREFIX_BYTES, length - TAG_BYTES)
        if handled == NO_ROOM:
            fed[0] |= FED_FULL
            break
        if group.pending_count > before:
            group.pending[before].received_us = mono_us
        used += FRAME_PREFIX_BYTES + length
        if handled == FATAL:
            fed[0] |= FED_FATAL
            return size
    return used


cdef int take_frame(EngineState engine, Session session, const uint8_t* payload, size_t size) except -1:
    cdef Cursor cursor
    cdef uint32_t type
    cdef uint32_t fields
    cdef uint64_t counter
    cdef int handled = DONE
    if not session.tag_is_good(payload, size):
        session.events.append(("error", ERROR_BAD_TAG, 0))
        return FATAL
    cursor.at = payload
    cursor.end = payload + size
    if read_head(&cursor, &type, &counter, &fields) != WIRE_OK:
        session.events.append(("error", ERROR_MALFORMED, 0))
        return DONE
    if counter <= session.rx_counter:
        session.events.append(("error", ERROR_OLD_COUNTER, counter))
        return FATAL
    if type == FRAME_TAP and fields == 1:
        handled = take_taps(engine, session, counter, cursor.at, cursor.end, False)
    elif type == FRAME_TAP_BATCH and fields == 1:
        handled = take_taps(engine, session, counter, cursor.at, cursor.end, True)
    elif type == FRAME_PASSAGE:
        handled = take_passage(engine, session, counter, cursor.at, cursor.end)
    elif type == FRAME_HEARTBEAT and fields == 3 and answer_heartbeat(engine, session, cursor):
        pass
    else:
        session.events.append(("frame", type, counter, PyBytes_FromStringAndSize(<const char*> payload, size)))
    if handled != NO_ROOM:
        session.rx_counter = counter
    return handled


cdef int take_taps(EngineState engine, Session session, uint64_t counter, const uint8_t* at,
                   const uint8_t* end, bint batch) except -1:
    cdef Cursor cursor
    cdef uint32_t count = 1
    cdef uint32_t _i
    cdef uint32_t i
    cdef uint32_t first
    cdef WireStatus status = WIRE_OK
    cdef Pending* pending
    cursor.at = at
    cursor.end = end
    if batch:
        status = read_array(&cursor, &count)
        if status == WIRE_OK and not 1 <= count <= BATCH_MAX:
            session.events.append(("error", ERROR_BATCH_TOO_LARGE, counter))
            return DONE
    for i in range(count):
        if status == WIRE_OK:
            status = read_tap(&cursor, &batch_taps[i])
    if status != WIRE_OK or cursor.at != end:
        session.events.append(
            ("error", ERROR_OUT_OF_RANGE if status != WIRE_OK and status == 2 else ERROR_MALFORMED, counter))
        return DONE
    if not has_room(engine, 2 * count):
        return NO_ROOM
    if has_too_much(engine, count):
        return refuse_taps(engine, session, counter, count)
    engine.turn_taps += count
    if engine.turn_began_us == 0:
        engine.turn_began_us = engine.mono_us
    fetch_ahead(engine, session, count)
    first = open_group(engine).answer_count
    for _i in range(count):
        if group_answer(open_group(engine)) == NULL:
            raise MemoryError
    for i in range(count):
        answer_tap(engine, session, &batch_taps[i], &open_group(engine).answers[first + i])
    pending = wait_for_commit(engine, session, counter, FRAME_BATCH_ANSWER if batch else FRAME_ANSWER)
    pending.first_answer = first
    pending.answer_count = count
    return DONE


cdef int take_passage(EngineState engine, Session session, uint64_t counter, const uint8_t* at,
                      const uint8_t* end) except -1:
    cdef Cursor cursor
    cdef Tap passage
    cdef uint64_t original_boot = 0
    cdef uint32_t original_seq = 0
    cdef bint passed = False
    cdef WireStatus status
    cdef Pending* pending
    cdef uint32_t first
    memset(&passage, 0, sizeof(Tap))
    cursor.at = at
    cursor.end = end
    status = read_passage(&cursor, &passage, &original_boot, &original_seq, &passed)
    if status != WIRE_OK or cursor.at != end:
        session.events.append(("error", ERROR_OUT_OF_RANGE if status == 2 else ERROR_MALFORMED, counter))
        return DONE
    if not has_room(engine, 2):
        return NO_ROOM
    passage.device = session.device_id
    passage.tariff_slot = session.tariff_slot
    passage.now_us = engine.now_us
    passage.kind = 0
    first = open_group(engine).answer_count
    if group_answer(open_group(engine)) == NULL:
        raise MemoryError
    answer_passage(engine, &passage, original_boot, original_seq, passed, &open_group(engine).answers[first])
    pending = wait_for_commit(engine, session, counter, FRAME_PASSAGE_ANSWER)
    pending.first_answer = first
    pending.answer_count = 1
    return DONE


cdef void fetch_ahead(EngineState engine, Session session, uint32_t count) noexcept:
    """Have what a frame's taps are decided by come from memory together: of ten million accounts each is cold when its
    turn comes, and a decision takes less time than the way from there. Media first, their accounts, then the first
    cell of each and the price of its ride."""
    cdef const TariffC* tariff
    cdef const Medium* medium
    cdef const Account* account
    cdef uint32_t i
    for i in range(count):
        fetch_medium(engine.store, batch_taps[i].token)
    if count == 1:
        return
    for i in range(count):
        medium = find_medium(engine.store, batch_taps[i].token)
        batch_accounts[i] = account_at(engine.store, medium.account_slot) if medium != NULL else NULL
    tariff = book_at(&engine.book.c, session.tariff_slot, engine.now_us)
    for i in range(count):
        account = batch_accounts[i]
        if account == NULL:
            continue
        if account.first_cell != 0:
            faregate_prefetch(cell_at(engine.store, account.first_cell))
        if account.origin_stop != 0 and batch_taps[i].kind == KIND_CHECK_OUT and tariff != NULL:
            fetch_pair(tariff, account.origin_stop, batch_taps[i].stop or session.stop)


cdef Pending* wait_for_commit(EngineState engine, Session session, uint64_t counter, uint32_t reply_type) except NULL:
    cdef Pending* pending = group_pending(open_group(engine))
    if pending == NULL:
        raise MemoryError
    Py_INCREF(session)
    pending.session = <void*> session
    pending.request_counter = counter
    pending.reply_type = reply_type
    pending.received_us = 0
    return pending


cdef bint has_too_much(EngineState engine, uint32_t count) noexcept:
    """Whether so many taps more would have those wait too long that were taken before."""
    if engine.writing and open_group(engine).answer_count + count > engine.limits.waiting_max:
        return True
    if engine.turn_taps < TURN_TAPS_FREE:
        return False
    return (engine.spent_us + (engine.mono_us - engine.turn_began_us if engine.turn_began_us else 0)
            + engine.turn_taps * engine.write_ns // 1000 > engine.turn_max_us)


cdef int refuse_taps(EngineState engine, Session session, uint64_t counter, uint32_t count) except -1:
    cdef uint32_t i
    engine.refused = True
    for i in range(count):
        count_tap(engine, batch_taps[i].kind, REASON_BUSY)
    say_busy(engine, session, counter)
    return DONE
