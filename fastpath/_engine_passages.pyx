"""Passage reports: a rider who paid and did not pass gets the fare back (docs/protocol.md)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from fastpath._accounts cimport (
    SEQ_SEEN, SEQ_TOO_OLD, SeqState, find_window, new_window, window_answer, window_check,
    window_is_resolved, window_mark, window_resolve,
)
from fastpath._engine_cells cimport Places
from fastpath._engine_heads cimport REFUSALS, refuse
from fastpath._engine_state cimport EngineState, find_record
from fastpath._engine_taps cimport (
    Original, answer_unrecorded, is_refunded, record_tap, reverse_ride,
)
from fastpath._group cimport Answer
from fastpath._layout cimport (
    ITEM_ORIGINAL, OP_REVERSAL, REASON_BUSY, REASON_NOTHING_TO_REVERSE, REASON_OP_CONFLICT,
    REASON_OP_TOO_OLD, VERDICT_OPEN, BootWindow, Decision, RecordHead, RecordItem, Tap,
)

# Whether a record is the report of this passage; what it undid stands in it as its first item.
cdef inline bint same_passage(const RecordHead* head, const Tap* passage, const Original* named) noexcept nogil:
    cdef const RecordItem* item = <const RecordItem*> (<const uint8_t*> head + sizeof(RecordHead))
    if head.op != OP_REVERSAL or head.device_ts_us != passage.device_ts_us:
        return False
    return (head.reason >= REFUSALS
            or (item.type == ITEM_ORIGINAL and memcmp(item.image, named, sizeof(Original)) == 0))


cdef int answer_passage(EngineState engine, Tap* passage, uint64_t original_boot, uint32_t original_seq,
                        bint passed, Answer* answer) except -1:
    cdef BootWindow* window
    cdef BootWindow* original_window
    cdef Original named
    cdef Decision decision
    cdef SeqState state
    cdef uint64_t position
    memset(&decision, 0, sizeof(Decision))
    decision.verdict = VERDICT_OPEN
    if passed:
        return answer_unrecorded(engine, passage, OP_REVERSAL, &decision, answer)
    window = find_window(engine.store, passage.device, passage.boot)
    if window == NULL:
        window = new_window(engine.store, passage.device, passage.boot, engine.limits.boots_per_device,
                            engine.now_us - engine.limits.horizon_us)
    if window == NULL:
        refuse(&decision, REASON_BUSY)
        return answer_unrecorded(engine, passage, OP_REVERSAL, &decision, answer)
    state = window_check(window, passage.seq)
    if state == SEQ_SEEN:
        named.boot = original_boot
        named.seq = original_seq
        named.spare = 0
        return repeat_passage(engine, passage, window, &named, answer)
    if state == SEQ_TOO_OLD:
        refuse(&decision, REASON_OP_TOO_OLD)
        return answer_unrecorded(engine, passage, OP_REVERSAL, &decision, answer)
    original_window = find_window(engine.store, passage.device, original_boot)
    position = 0
    if original_window != NULL and not window_is_resolved(original_window, original_seq):
        if window_check(original_window, original_seq) == SEQ_SEEN:
            position = window_answer(engine.store, original_window, original_seq)
    record_passage(engine, passage, original_window, original_boot, original_seq, position, answer)
    if window_mark(engine.store, window, passage.seq, answer.position, engine.now_us) != 0:
        raise MemoryError
    return 0


cdef int repeat_passage(EngineState engine, Tap* passage, BootWindow* window, const Original* named,
                        Answer* answer) except -1:
    cdef uint64_t position = window_answer(engine.store, window, passage.seq)
    cdef const RecordHead* head
    cdef Decision decision
    refuse(&decision, REASON_OP_TOO_OLD)
    head = find_record(engine, position) if position != 0 else NULL
    if head != NULL:
        if same_passage(head, passage, named):
            answer.head = head[0]
            answer.position = position
            return 0
        refuse(&decision, REASON_OP_CONFLICT)
    return answer_unrecorded(engine, passage, OP_REVERSAL, &decision, answer)


cdef int record_passage(EngineState engine, Tap* passage, BootWindow* original_window,
                        uint64_t original_boot, uint32_t original_seq, uint64_t position, Answer* answer) except -1:
    cdef const RecordHead* original
    cdef Original named
    cdef Decision decision
    cdef Places places
    memset(&places, 0, sizeof(Places))
    original = find_record(engine, position) if position != 0 else NULL
    if (original == NULL or original.reason >= REFUSALS or original.op == OP_REVERSAL
            or is_refunded(engine, original)):
        refuse(&decision, REASON_NOTHING_TO_REVERSE)
        return record_tap(engine, passage, OP_REVERSAL, &decision, 0, &places, NULL, answer)
    named.boot = original_boot
    named.seq = original_seq
    named.spare = 0
    reverse_ride(engine, original, passage, OP_REVERSAL, &named, answer)
    if answer.head.reason < REFUSALS and window_resolve(engine.store, original_window, original_seq, 0) != 0:
        raise MemoryError
    return 0
