"""Taps: decided, recorded, answered again, settled and reversed (docs/protocol.md)."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath._accounts cimport (
    SEQ_SEEN, SEQ_TOO_OLD, SeqState, account_at, cell_at, find_account, find_medium, find_window,
    new_window, undo_last_account, undo_save_account, window_answer, window_check,
    window_is_resolved, window_mark, window_resolve,
)
from fastpath._core cimport decide_reversal, decide_tap
from fastpath._engine_cells cimport Places, find_cells, find_period, find_undo_cells, keep_places
from fastpath._engine_heads cimport (
    REFUSALS, answer_only, fill_decision, fill_identity, fill_leg, refuse, same_facts,
)
from fastpath._engine_state cimport EngineState, count_tap, find_record, open_group
from fastpath._facts cimport decision_of_record, tap_of_record
from fastpath._group cimport Answer, Group, record_account, record_begin, record_end, record_item
from fastpath._layout cimport (
    CELL_REFUND, ITEM_ACTS, ITEM_ORIGINAL, ITEM_PARTS, KIND_INSPECT, OP_SETTLEMENT, REASON_BUSY,
    REASON_OK_RISK, REASON_OP_CONFLICT, REASON_OP_TOO_OLD, REASON_OUT_OF_SERVICE,
    REASON_TOO_MANY_CELLS, TAP_DEVICE_OPENED, TAP_OFFLINE, TOKEN_BYTES, Account, BootWindow, Cell,
    Decision, Medium, Parts, RecordHead, Tap,
)
from fastpath._session cimport Session

cdef int answer_tap(EngineState engine, Session session, Tap* tap, Answer* answer) except -1:
    cdef BootWindow* window
    cdef Decision decision
    cdef SeqState state
    tap.device = session.device_id
    tap.tariff_slot = session.tariff_slot
    tap.now_us = engine.now_us
    if tap.stop == 0:
        tap.stop = session.stop
    if tap.kind == KIND_INSPECT:
        return inspect_tap(engine, tap, answer)
    window = find_window(engine.store, tap.device, tap.boot)
    if window == NULL:
        window = new_window(engine.store, tap.device, tap.boot, engine.limits.boots_per_device,
                            engine.now_us - engine.limits.horizon_us)
    if window == NULL:
        refuse(&decision, REASON_BUSY)
        return answer_unrecorded(engine, tap, tap.kind, &decision, answer)
    state = window_check(window, tap.seq)
    if state == SEQ_SEEN:
        return repeat_tap(engine, tap, window, answer)
    if state == SEQ_TOO_OLD:
        refuse(&decision, REASON_OP_TOO_OLD)
        return answer_unrecorded(engine, tap, tap.kind, &decision, answer)
    decide_and_record(engine, tap, tap.kind, session.in_service, answer)
    if window_mark(engine.store, window, tap.seq, answer.position, engine.now_us) != 0:
        raise MemoryError
    return 0


cdef int answer_unrecorded(EngineState engine, Tap* tap, uint8_t op, Decision* decision, Answer* answer) except -1:
    answer_only(answer, tap, op, decision)
    count_tap(engine, op, decision.reason)
    return 0


cdef int inspect_tap(EngineState engine, Tap* tap, Answer* answer) except -1:
    cdef Medium* medium = find_medium(engine.store, tap.token)
    cdef Account* account = account_at(engine.store, medium.account_slot) if medium != NULL else NULL
    cdef Decision decision
    memset(&decision, 0, sizeof(Decision))
    if medium != NULL:
        tap.medium_kind = medium.kind
    decide_tap(&engine.book.c, medium, account, NULL, NULL, tap, &decision)
    return answer_unrecorded(engine, tap, KIND_INSPECT, &decision, answer)


cdef int decide_and_record(EngineState engine, Tap* tap, uint8_t op, bint in_service, Answer* answer) except -1:
    """Decide on the state as it is and write the record; the caller marks the window."""
    cdef Medium* medium = find_medium(engine.store, tap.token)
    cdef uint32_t slot = medium.account_slot if medium != NULL else 0
    cdef Account* account = account_at(engine.store, slot)
    cdef Places places
    cdef Decision decision
    memset(&decision, 0, sizeof(Decision))
    memset(&places, 0, sizeof(Places))
    if medium != NULL:
        tap.medium_kind = medium.kind
    if account != NULL and undo_save_account(engine.store, slot) != 0:
        raise MemoryError
    if not in_service:
        refuse(&decision, REASON_OUT_OF_SERVICE)
    elif not find_period(engine, account, tap, &places):
        refuse(&decision, REASON_TOO_MANY_CELLS)
    else:
        find_cells(engine, account, tap, &places)
        decide_tap(&engine.book.c, medium, account, places.period, places.extras, tap, &decision)
    return record_tap(engine, tap, op, &decision, slot, &places, NULL, answer)


cdef int record_tap(EngineState engine, Tap* tap, uint8_t op, Decision* decision, uint32_t slot,
                    Places* places, const Original* original, Answer* answer) except -1:
    cdef Group* group = open_group(engine)
    cdef RecordHead* head = record_begin(group, op)
    cdef Account* account = account_at(engine.store, slot)
    fill_identity(head, tap, op)
    fill_decision(head, decision)
    fill_leg(head, &engine.book.c, account, tap, decision)
    if original != NULL and decision.reason < REFUSALS:
        record_item(group, head, ITEM_ORIGINAL, 0, 0, original, sizeof(Original))
    if decision.act_count > 0:
        record_item(group, head, ITEM_ACTS, 0, 0, decision.acts, sizeof(decision.acts))
    if decision.part_count > 0:
        record_item(group, head, ITEM_PARTS, 0, 0, &decision.parts, sizeof(Parts))
    if account != NULL:
        head.account_id = account.account_id
        if decision.reason < REFUSALS:
            keep_places(engine, head, account, tap, places)
            account.version += 1
            account.position = group.position + group.used
            record_account(group, head, slot, undo_last_account(engine.store), account)
    count_tap(engine, op, decision.reason)
    answer.head = head[0]
    answer.position = record_end(group, head)
    return 0


cdef int repeat_tap(EngineState engine, Tap* tap, BootWindow* window, Answer* answer) except -1:
    """Answer a tap seen before: the same again, or the settlement of a disagreement (docs/protocol.md)."""
    cdef uint64_t position = window_answer(engine.store, window, tap.seq)
    cdef const RecordHead* head
    cdef Decision decision
    cdef bint accepted
    cdef bint opened = tap.flags & TAP_DEVICE_OPENED != 0
    head = find_record(engine, position) if position != 0 else NULL
    if head == NULL:
        refuse(&decision, REASON_OP_TOO_OLD)
        return answer_unrecorded(engine, tap, tap.kind, &decision, answer)
    if head.id_a != tap.device or head.id_b != tap.boot or head.id_c != tap.seq:
        raise ValueError(f"the record at journal position {position} is not the one that was remembered")
    if not same_facts(head, tap):
        refuse(&decision, REASON_OP_CONFLICT)
        return answer_unrecorded(engine, tap, tap.kind, &decision, answer)
    if engine.page is not None:
        engine.page[engine.page_repeats] += 1
    accepted = head.reason < REFUSALS
    if (tap.flags & TAP_OFFLINE and not head.flags & TAP_OFFLINE and accepted != opened
            and not window_is_resolved(window, tap.seq) and not (accepted and is_refunded(engine, head))):
        return settle_tap(engine, tap, window, answer, accepted)
    answer.head = head[0]
    answer.position = position
    return 0


cdef int settle_tap(EngineState engine, Tap* tap, BootWindow* window, Answer* answer, bint reverse) except -1:
    """The device decided otherwise than we did: undo the ride, or post the one that was made."""
    cdef const RecordHead* original
    if reverse:
        original = find_record(engine, window_answer(engine.store, window, tap.seq))
        reverse_ride(engine, original, tap, OP_SETTLEMENT, NULL, answer)
    else:
        decide_and_record(engine, tap, OP_SETTLEMENT, True, answer)
    if window_resolve(engine.store, window, tap.seq, answer.position) != 0:
        raise MemoryError
    return 0


cdef int reverse_ride(EngineState engine, const RecordHead* original, Tap* tap, uint8_t op,
                      const Original* named, Answer* answer) except -1:
    # A ride at the operator's risk charged no account, so its reversal is about none either.
    cdef uint32_t slot = find_account(engine.store, original.account_id) if original.reason != REASON_OK_RISK else 0
    cdef Account* account = account_at(engine.store, slot)
    cdef Places places
    cdef Tap undone
    cdef const Medium* medium
    cdef Decision charged
    cdef Decision decision
    memset(&places, 0, sizeof(Places))
    memset(&decision, 0, sizeof(Decision))
    tap_of_record(original, engine.now_us, &undone)
    medium = find_medium(engine.store, original.token)
    undone.medium_kind = medium.kind if medium != NULL else 0
    decision_of_record(original, &charged)
    if account != NULL:
        if undo_save_account(engine.store, slot) != 0:
            raise MemoryError
        find_period(engine, account, &undone, &places)
        find_undo_cells(engine, account, &undone, &charged, &places)
    decide_reversal(&engine.book.c, account, places.period, places.extras, &undone, &charged, original.ts_us,
                    &decision)
    if named != NULL:
        memcpy(tap.token, original.token, TOKEN_BYTES)
        tap.stop = original.stop
    return record_tap(engine, tap, op, &decision, slot, &places, named, answer)


cdef bint is_refunded(EngineState engine, const RecordHead* head) noexcept:
    cdef Account* account = account_at(engine.store, find_account(engine.store, head.account_id))
    cdef uint32_t index = account.first_cell if account != NULL else 0
    cdef const Cell* cell
    while index != 0:
        cell = cell_at(engine.store, index)
        if (cell.type == CELL_REFUND and cell.key == head.id_c and cell.refunded.client == head.id_a
                and cell.refunded.id_high == head.id_b):
            return True
        index = cell.next
    return False
