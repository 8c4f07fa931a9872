"""Deciding a journal record again: the same state, the same command, the engine of today; what comes out otherwise.

For `faregate journal audit`. Nothing is changed: decisions run on copies.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fastpath._accounts cimport StoreHandle, account_at, cell_at, find_account, find_medium
from fastpath._cell_commands cimport Rerate, decide_cell_command, is_cell_command
from fastpath._cells cimport gather_all_cells, gather_cells
from fastpath._core cimport (
    decide_command, decide_move, decide_reversal, decide_tap, wants_extras, wants_medium_period, wants_undo_extras,
)
from fastpath._extras cimport EXTRA_CELLS, Extras
from fastpath._facts cimport (
    DISTANCE_KEPT, KIND_SHIFT, SLOT_SHIFT, decision_of_record, facts_of_record, paid_of_record, tap_of_record,
)
from fastpath._layout cimport (
    CELL_CHAIN_BEFORE, CELL_MEDIUM_PERIOD, CELL_SPAN, ITEM_ACCOUNT_LINE, ITEM_ACTS, ITEM_CELL, ITEM_PARTS, LINE_BYTES,
    OP_ACCOUNT_OPEN, OP_MEDIUM_LINK, OP_MEDIUM_MOVE, OP_MEDIUM_STATE, OP_RERATE, OP_REVERSAL, OP_SETTLEMENT,
    REASON_ALREADY_EXISTS, REASON_NOTHING_TO_REVERSE, REASON_OK, REASON_OK_RISK, REASON_OUT_OF_SERVICE,
    REASON_TOO_MANY_ACCOUNTS, REASON_TOO_MANY_CELLS, REASON_TOO_MANY_MEDIA, REASON_UNKNOWN_ACCOUNT,
    REASON_UNKNOWN_CHARGE, REASON_UNKNOWN_MEDIUM, RULE_DEVICE_AMOUNT, TAP_DEVICE_OPENED, TOKEN_BYTES, Account,
    Cell, Command, Decision, Medium, Period, RecordHead, RecordItem, Tap,
)
from fastpath._tariff cimport Book, book_by_key
from fastpath._wallet cimport Paid, decide_wallet_command, is_wallet_command

cdef enum:
    REFUSALS = 16
    CELL_HEAD_BYTES = 4    # `next`: where a cell is linked is no decision

cdef extern from *:
    """
    #define HORIZON_US 2592000000000LL
    """
    const int64_t HORIZON_US   # EngineLimits.op_horizon_us as it is shipped

NOT_AGAIN = "not_decidable"
"""What the record says came from outside of the journal: a closed gate, a full table."""
NO_TARIFF = "tariff_not_kept"


# The state a record was decided on, as copies.
cdef struct Bench:
    uint32_t slot
    bint has_account
    uint32_t first_cell
    Account account
    bint has_medium
    Medium medium
    bint has_period
    uint32_t period_cell   # 0 = it had none yet
    Period period
    bint has_extras
    Extras extras


cdef void lay_out(StoreHandle memory, const RecordHead* head, Bench* bench):
    cdef const Medium* medium = find_medium(memory.store, head.token)
    memset(bench, 0, sizeof(Bench))
    if medium != NULL:
        bench.has_medium = True
        bench.medium = medium[0]
    bench.slot = find_account(memory.store, head.account_id) if head.account_id else 0
    if bench.slot == 0 and medium != NULL and head.op < OP_ACCOUNT_OPEN:
        bench.slot = medium.account_slot
    if bench.slot != 0:
        bench.has_account = True
        bench.account = account_at(memory.store, bench.slot)[0]
        bench.first_cell = bench.account.first_cell


cdef Period* find_period(StoreHandle memory, Book book, const Tap* tap, Bench* bench):
    cdef uint32_t index = bench.account.first_cell
    cdef const Cell* cell
    cdef uint64_t key
    if not bench.has_account or not wants_medium_period(&book.c, tap):
        return NULL
    memcpy(&key, tap.token, sizeof(uint64_t))
    while index != 0:
        cell = cell_at(memory.store, index)
        if cell.type == CELL_MEDIUM_PERIOD and cell.key == key:
            bench.period = cell.period
            bench.period_cell = index
        index = cell.next
    bench.has_period = True
    return &bench.period


# Room for cells is not asked about again: what had none was refused, and is not decided here.
cdef Extras* find_cells(StoreHandle memory, uint64_t owner, Bench* bench):
    gather_cells(memory.store, &bench.account, owner, EXTRA_CELLS, &bench.extras)
    bench.has_extras = True
    return &bench.extras


cdef void tap_of(const RecordHead* head, const Bench* bench, Tap* tap):
    tap_of_record(head, head.ts_us, tap)
    tap.medium_kind = bench.medium.kind
    if head.rules & RULE_DEVICE_AMOUNT:
        tap.amount_minor = head.nominal_minor


cdef void command_of(const RecordHead* head, Command* command):
    memset(command, 0, sizeof(Command))
    command.op = head.op
    command.client = head.id_a
    command.id_high = head.id_b
    command.id_low = head.id_c
    command.account_id = head.account_id
    command.expected_version = head.stop
    command.now_us = head.ts_us
    command.amount_minor = head.nominal_minor
    command.expires_us = head.device_ts_us
    memcpy(command.token, head.token, TOKEN_BYTES)
    command.status_bits = <uint16_t> head.flags
    command.purse = <uint8_t> (head.flags >> KIND_SHIFT)
    command.medium_state = <uint8_t> (head.flags >> SLOT_SHIFT)
    command.currency = <uint16_t> head.distance_m
    command.rider_category = <uint8_t> (head.distance_m >> KIND_SHIFT)
    command.medium_kind = <uint8_t> (head.distance_m >> SLOT_SHIFT)
    facts_of_record(head, &command.facts)
    command.horizon_us = HORIZON_US
    command.from_us = head.fare_ts_us
    command.pass_id = head.other_stop
    command.rides = <int32_t> head.period_paid_minor


# What a record says of a tap that no distance priced is what came with it.
cdef uint32_t distance_of(const RecordHead* head, const Decision* decision):
    if decision.reason >= REFUSALS or head.flags & DISTANCE_KEPT:
        return head.distance_m
    return decision.distance_m


cdef list differing(const RecordHead* head, const Decision* decision, bint is_tap):
    """Names of the fields that come out otherwise."""
    cdef list names = []
    cdef uint32_t rules = head.rules
    cdef int64_t nominal_minor = head.nominal_minor
    if head.reason >= REFUSALS and is_tap:   # what the device asked for, which a refusal does not tell
        rules &= ~<uint32_t> RULE_DEVICE_AMOUNT
        nominal_minor = 0
    pairs = [
        ("reason", head.reason, decision.reason),
        ("verdict", head.verdict, decision.verdict),
        ("fare_minor", head.fare_minor, decision.fare_minor),
        ("subsidy_minor", head.subsidy_minor, decision.subsidy_minor),
        ("balance_minor", head.balance_minor, decision.balance_minor),
    ]
    if is_tap:
        pairs += [
            ("rules", rules, decision.rules),
            ("nominal_minor", nominal_minor, decision.nominal_minor),
            ("tariff_key", head.tariff_key, decision.tariff_key),
            ("other_stop", head.other_stop, decision.other_stop),
            ("distance_m", head.distance_m, distance_of(head, decision)),
            ("fare_ts_us", head.fare_ts_us, decision.ts_us),
            ("period_paid_minor", head.period_paid_minor, decision.period_paid_minor),
        ]
    else:
        pairs.append(("amount_minor", head.amount_minor, decision.amount_minor))
    for name, recorded, found in pairs:
        if recorded != found:
            names.append((name, recorded, found))
    return names


cdef list items_of(const RecordHead* head, uint8_t type):
    """(line, index, image) of the items of one type."""
    cdef list found = []
    cdef const RecordItem* item = <const RecordItem*> (<const uint8_t*> head + sizeof(RecordHead))
    cdef uint32_t i
    for i in range(head.item_count):
        if item[i].type == type:
            found.append((item[i].line, item[i].index, bytes(item[i].image[:LINE_BYTES])))
    return found


cdef list differing_lines(const RecordHead* head, Bench* bench):
    """After-images that are not what today's decision leaves behind."""
    cdef list names = []
    cdef const uint8_t* account = <const uint8_t*> &bench.account
    cdef Account recorded
    cdef const uint8_t* whole = <const uint8_t*> &recorded
    for line, _, image in items_of(head, ITEM_ACCOUNT_LINE):
        recorded = bench.account
        memcpy(<uint8_t*> &recorded + <int> line * LINE_BYTES, PyBytes_AS_STRING(image), LINE_BYTES)
        bench.account.cell_count = recorded.cell_count      # where cells went is no decision
        bench.account.first_cell = recorded.first_cell
        if memcmp(account, whole, sizeof(Account)) != 0:
            found = bytes((account + <int> line * LINE_BYTES)[:LINE_BYTES])
            names.append((f"account_line_{line}", image.hex(), found.hex()))
            bench.account = recorded
    return names


cdef tuple changed_cells(StoreHandle memory, Bench* bench):
    """({index: image}, [image of a new cell]) that today's decision leaves behind, without `next`."""
    cdef dict changed = {}
    cdef list made = []
    cdef Extras* extras = &bench.extras
    cdef const uint8_t* after
    cdef uint32_t i
    for i in range(extras.count if bench.has_extras else 0):
        after = <const uint8_t*> &extras.cells[i]
        image = bytes(after[CELL_HEAD_BYTES:sizeof(Cell)])
        if extras.index[i] == 0:
            if extras.cells[i].type != 0:
                made.append(image)
        elif memcmp(after, cell_at(memory.store, extras.index[i]), sizeof(Cell)) != 0:
            changed[extras.index[i]] = image
    return changed, made


cdef tuple period_cell(const RecordHead* head, Bench* bench):
    """(index, image) of a medium's totals, (0, None) = there are none to keep."""
    cdef Period nothing
    cdef Cell cell
    cdef const uint8_t* after = <const uint8_t*> &cell
    memset(&nothing, 0, sizeof(Period))
    if not bench.has_period or (bench.period_cell == 0
                                and memcmp(&bench.period, &nothing, sizeof(Period)) == 0):
        return 0, None
    memset(&cell, 0, sizeof(Cell))
    cell.type = CELL_MEDIUM_PERIOD
    memcpy(&cell.key, head.token, sizeof(uint64_t))
    cell.period = bench.period
    return bench.period_cell, bytes(after[CELL_HEAD_BYTES:sizeof(Cell)])


cdef list differing_cells(StoreHandle memory, const RecordHead* head, Bench* bench):
    """Cells that come out otherwise. New ones are compared in their order: their places are memory's business."""
    cdef list names = []
    known = own_cells(memory, bench)
    recorded = {}
    new = []
    for _, index, image in items_of(head, ITEM_CELL):
        if index in known:
            recorded[index] = image[CELL_HEAD_BYTES:]
        else:
            new.append(image[CELL_HEAD_BYTES:])
    changed, made = changed_cells(memory, bench)
    index, image = period_cell(head, bench)
    if index:
        changed[index] = image
    elif image is not None:
        made.insert(0, image)
    for at in sorted(recorded.keys() | changed.keys()):
        if recorded.get(at) != changed.get(at):
            names.append((f"cell_{at}", recorded.get(at, b"").hex(), changed.get(at, b"").hex()))
    if new != made:
        names.append(("new_cells", b"".join(new).hex(), b"".join(made).hex()))
    return names


cdef set own_cells(StoreHandle memory, Bench* bench):
    """The cells in use that the account had before the record."""
    cdef uint32_t index = bench.first_cell
    cdef const Cell* cell
    cdef set found = set()
    while index != 0:
        cell = cell_at(memory.store, index)
        if cell.type != 0:
            found.add(index)
        index = cell.next
    return found


cdef list differing_acts(const RecordHead* head, Decision* decision):
    cdef list recorded = [image for _, _, image in items_of(head, ITEM_ACTS)]
    cdef const uint8_t* acts = <const uint8_t*> decision.acts
    cdef list found = [bytes(acts[:LINE_BYTES])] if decision.act_count else []
    return [] if recorded == found else [("acts", b"".join(recorded).hex(), b"".join(found).hex())]


cdef list differing_parts(const RecordHead* head, Decision* decision):
    cdef list recorded = [image for _, _, image in items_of(head, ITEM_PARTS)]
    cdef const uint8_t* parts = <const uint8_t*> &decision.parts
    cdef list found = [bytes(parts[:LINE_BYTES])] if decision.part_count else []
    return [] if recorded == found else [("parts", b"".join(recorded).hex(), b"".join(found).hex())]


def redecide(StoreHandle memory not None, Book book not None, bytes record not None, uint64_t position,
             bytes original=None) -> object:
    """Decide a record again on memory as it was just before it.

    Args: original: in reversals and settlements that undo, the record of the tap they undo; in refunds the charge's.
    Returns: [(field, recorded, found)], empty = the same; or NOT_AGAIN, NO_TARIFF.
    """
    cdef const uint8_t* bytes_at = <const uint8_t*> PyBytes_AS_STRING(record)
    cdef const RecordHead* head = <const RecordHead*> bytes_at
    cdef Bench bench
    cdef Decision decision
    cdef bint is_tap
    if PyBytes_GET_SIZE(record) < <Py_ssize_t> sizeof(RecordHead):
        raise ValueError("a record has at least 168 bytes")
    if head.reason in (REASON_OUT_OF_SERVICE, REASON_TOO_MANY_CELLS, REASON_TOO_MANY_ACCOUNTS, REASON_TOO_MANY_MEDIA,
                       REASON_UNKNOWN_CHARGE):
        return NOT_AGAIN
    if head.tariff_key and head.op < OP_ACCOUNT_OPEN and book_by_key(&book.c, head.tariff_key) == NULL:
        return NO_TARIFF
    memset(&decision, 0, sizeof(Decision))
    lay_out(memory, head, &bench)
    is_tap = head.op < OP_ACCOUNT_OPEN
    if not is_tap:
        again_command(memory, book, head, original, &bench, &decision)
    elif head.op == OP_REVERSAL or (head.op == OP_SETTLEMENT and not head.flags & TAP_DEVICE_OPENED):
        again_reversal(memory, book, head, original, &bench, &decision)
    else:
        again_tap(memory, book, head, &bench, &decision)
    if decision.reason < REFUSALS and bench.has_account:
        bench.account.version += 1
        bench.account.position = position
    found = differing(head, &decision, is_tap)
    if is_tap and not found:
        found = differing_acts(head, &decision)
    if not found:
        found = differing_parts(head, &decision)
    if not found and decision.reason < REFUSALS:
        found = differing_lines(head, &bench) + differing_cells(memory, head, &bench)
    return found


cdef void again_tap(StoreHandle memory, Book book, const RecordHead* head, Bench* bench, Decision* decision):
    cdef Tap tap
    cdef Period* period
    cdef Extras* extras = NULL
    cdef uint64_t owner = 0
    tap_of(head, bench, &tap)
    period = find_period(memory, book, &tap, bench)
    if bench.has_account and (wants_extras(&book.c, &bench.account, &tap, &owner) or bench.first_cell != 0):
        extras = find_cells(memory, owner, bench)
    decide_tap(&book.c, &bench.medium if bench.has_medium else NULL, &bench.account if bench.has_account else NULL,
               period, extras, &tap, decision)


cdef void again_reversal(StoreHandle memory, Book book, const RecordHead* head, bytes original, Bench* bench,
                         Decision* decision):
    cdef const RecordHead* undone
    cdef const Medium* medium
    cdef Decision charged
    cdef Tap tap
    cdef Period* period
    cdef Extras* extras = NULL
    cdef uint64_t owner = 0
    if original is None:
        decision.reason = REASON_NOTHING_TO_REVERSE
        return
    undone = <const RecordHead*> PyBytes_AS_STRING(original)
    if undone.reason == REASON_OK_RISK:
        bench.has_account = False
    tap_of_record(undone, head.ts_us, &tap)
    medium = find_medium(memory.store, undone.token)
    tap.medium_kind = medium.kind if medium != NULL else 0
    decision_of_record(undone, &charged)
    period = find_period(memory, book, &tap, bench)
    if bench.has_account and (wants_undo_extras(&book.c, &tap, &charged, &owner) or bench.first_cell != 0):
        extras = find_cells(memory, owner, bench)
    decide_reversal(&book.c, &bench.account if bench.has_account else NULL, period, extras, &tap, &charged,
                    undone.ts_us, decision)


# What a re-rating brought: lines it did not change are those of now.
cdef void rerate_of(const RecordHead* head, const Bench* bench, Rerate* rerate):
    memcpy(rerate.lines, <const uint8_t*> &bench.account + LINE_BYTES, sizeof(rerate.lines))
    rerate.cell_count = 0
    for line, _, image in items_of(head, ITEM_ACCOUNT_LINE):
        if 1 <= line <= 2:
            memcpy(rerate.lines + (<int> line - 1) * LINE_BYTES, PyBytes_AS_STRING(image), LINE_BYTES)


# The record has the cells that a re-rating changed, not those it left as they were: all that can be asked is whether
# they go together with the rest of the record.
cdef void again_rerate(StoreHandle memory, const RecordHead* head, Bench* bench, const Command* command,
                       Decision* decision):
    cdef Rerate rerate
    cdef uint32_t i
    rerate_of(head, bench, &rerate)
    gather_all_cells(memory.store, &bench.account, EXTRA_CELLS, &bench.extras)
    images = {index: image for _, index, image in items_of(head, ITEM_CELL)}
    for i in range(bench.extras.count):
        image = images.pop(bench.extras.index[i], None)
        if image is not None:
            memcpy(&bench.extras.cells[i], PyBytes_AS_STRING(image), sizeof(Cell))
    for image in list(images.values())[:<Py_ssize_t> (EXTRA_CELLS - bench.extras.count)]:
        i = bench.extras.count
        bench.extras.index[i] = 0
        bench.extras.count += 1
        memcpy(&bench.extras.cells[i], PyBytes_AS_STRING(image), sizeof(Cell))
    for i in range(bench.extras.count):
        if (CELL_MEDIUM_PERIOD <= bench.extras.cells[i].type <= CELL_CHAIN_BEFORE
                or bench.extras.cells[i].type == CELL_SPAN):
            rerate.cells[rerate.cell_count] = bench.extras.cells[i]
            rerate.cell_count += 1
    bench.has_extras = True
    decide_cell_command(&bench.account, &bench.extras, &rerate, NULL, command, decision)


cdef void again_wallet(StoreHandle memory, Book book, const RecordHead* head, bytes original, Bench* bench,
                       const Command* command, Decision* decision):
    cdef Paid paid
    memset(&paid, 0, sizeof(Paid))
    if original is not None:
        paid_of_record(<const RecordHead*> PyBytes_AS_STRING(original), &paid)
    gather_all_cells(memory.store, &bench.account, EXTRA_CELLS, &bench.extras)
    bench.has_extras = True
    decide_wallet_command(&bench.account, &bench.extras, &paid, book.c.limits, command, decision)


cdef void again_command(StoreHandle memory, Book book, const RecordHead* head, bytes original, Bench* bench,
                        Decision* decision):
    cdef const Account* leaves
    cdef Command command
    command_of(head, &command)
    if head.op == OP_ACCOUNT_OPEN:
        if bench.has_account:
            decision.reason = REASON_ALREADY_EXISTS
            return
        bench.account.account_id = head.account_id
        bench.has_account = True
    elif (head.op == OP_MEDIUM_STATE or head.op == OP_MEDIUM_MOVE) and not bench.has_medium:
        decision.reason = REASON_UNKNOWN_MEDIUM
        return
    elif not bench.has_account:
        decision.reason = REASON_UNKNOWN_ACCOUNT
        return
    if head.op == OP_RERATE:
        again_rerate(memory, head, bench, &command, decision)
        return
    if is_cell_command(head.op):
        gather_all_cells(memory.store, &bench.account, EXTRA_CELLS, &bench.extras)
        bench.has_extras = True
        decide_cell_command(&bench.account, &bench.extras, NULL, book.c.limits, &command, decision)
        return
    if is_wallet_command(head.op):
        again_wallet(memory, book, head, original, bench, &command, decision)
        return
    if head.op == OP_MEDIUM_MOVE:
        leaves = account_at(memory.store, bench.medium.account_slot)
        decide_move(&bench.account, leaves, bench.slot, &bench.medium, &command, decision)
        return
    if head.op == OP_MEDIUM_LINK and not bench.has_medium:
        memcpy(bench.medium.token, head.token, TOKEN_BYTES)
    decide_command(&bench.account, bench.slot, &bench.medium, &command, decision)
    if decision.reason != REASON_OK:
        bench.has_account = False
