"""Deciding a journal record again: the same state, the same command, the engine of today; what comes out otherwise.

For `faregate journal audit`. Nothing is changed: decisions run on copies.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fastpath._accounts cimport StoreHandle, account_at, cell_at, find_account, find_medium
from fastpath._core cimport decide_command, decide_reversal, decide_tap, wants_medium_period
from fastpath._layout cimport (
    ITEM_ACCOUNT_LINE, LINE_BYTES, OP_ACCOUNT_OPEN, OP_MEDIUM_LINK, OP_MEDIUM_STATE, OP_REVERSAL, OP_SETTLEMENT,
    REASON_ALREADY_EXISTS, REASON_NOTHING_TO_REVERSE, REASON_OK, REASON_OUT_OF_SERVICE, REASON_TOO_MANY_ACCOUNTS,
    REASON_TOO_MANY_CELLS, REASON_TOO_MANY_MEDIA, REASON_UNKNOWN_ACCOUNT, REASON_UNKNOWN_MEDIUM, RULE_DEVICE_AMOUNT,
    TAP_DEVICE_OPENED, TOKEN_BYTES, Account, Cell, Command, Decision, Medium, Period, RecordHead, RecordItem, Tap,
)
from fastpath._tariff cimport Book, book_by_key

cdef enum:
    REFUSALS = 16
    TAP_FLAGS_MASK = 0xffff
    KIND_SHIFT = 16
    SLOT_SHIFT = 24
    CELL_MEDIUM_PERIOD = 1

NOT_AGAIN = "not_decidable"
"""What the record says came from outside of the journal: a closed gate, a full table."""
NO_TARIFF = "tariff_not_kept"


# The state a record was decided on, as copies.
cdef struct Bench:
    uint32_t slot
    bint has_account
    Account account
    bint has_medium
    Medium medium
    bint has_period
    Period period


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
        index = cell.next
    bench.has_period = True
    return &bench.period


cdef void tap_of(const RecordHead* head, const Bench* bench, Tap* tap):
    memset(tap, 0, sizeof(Tap))
    tap.device = head.id_a
    tap.boot = head.id_b
    tap.seq = <uint32_t> head.id_c
    tap.stop = head.stop
    tap.device_ts_us = head.device_ts_us
    tap.now_us = head.ts_us
    memcpy(tap.token, head.token, TOKEN_BYTES)
    tap.flags = head.flags & TAP_FLAGS_MASK
    tap.kind = <uint8_t> (head.flags >> KIND_SHIFT)
    tap.tariff_slot = <uint8_t> (head.flags >> SLOT_SHIFT)
    tap.denylist_version = head.denylist_version
    tap.medium_kind = bench.medium.kind
    tap.amount_minor = head.nominal_minor if head.rules & RULE_DEVICE_AMOUNT else -1


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


cdef list differing(const RecordHead* head, const Decision* decision, bint is_tap):
    """Names of the fields that come out otherwise."""
    cdef list names = []
    pairs = [
        ("reason", head.reason, decision.reason),
        ("verdict", head.verdict, decision.verdict),
        ("fare_minor", head.fare_minor, decision.fare_minor),
        ("subsidy_minor", head.subsidy_minor, decision.subsidy_minor),
        ("balance_minor", head.balance_minor, decision.balance_minor),
    ]
    if is_tap:
        pairs += [
            ("rules", head.rules, decision.rules),
            ("nominal_minor", head.nominal_minor, decision.nominal_minor),
            ("tariff_key", head.tariff_key, decision.tariff_key),
            ("other_stop", head.other_stop, decision.other_stop),
            ("distance_m", head.distance_m, decision.distance_m),
            ("fare_ts_us", head.fare_ts_us, decision.ts_us),
            ("period_paid_minor", head.period_paid_minor, decision.period_paid_minor),
        ]
    for name, recorded, found in pairs:
        if recorded != found:
            names.append((name, recorded, found))
    return names


cdef list differing_lines(const uint8_t* record, const RecordHead* head, Bench* bench):
    """After-images that are not what today's decision leaves behind."""
    cdef list names = []
    cdef const RecordItem* item
    cdef size_t at = sizeof(RecordHead)
    cdef const uint8_t* account = <const uint8_t*> &bench.account
    while at < head.length_bytes:
        item = <const RecordItem*> (record + at)
        if item.type == ITEM_ACCOUNT_LINE and memcmp(item.image, account + item.line * LINE_BYTES, LINE_BYTES) != 0:
            names.append((f"account_line_{item.line}", bytes(item.image[:LINE_BYTES]).hex(),
                          bytes((account + item.line * LINE_BYTES)[:LINE_BYTES]).hex()))
        at += sizeof(RecordItem)
    return names


def redecide(StoreHandle memory not None, Book book not None, bytes record not None, uint64_t position,
             bytes original=None) -> object:
    """Decide a record again on memory as it was just before it.

    Args: original: in reversals and settlements that undo, the record of the tap they undo.
    Returns: [(field, recorded, found)], empty = the same; or NOT_AGAIN, NO_TARIFF.
    """
    cdef const uint8_t* bytes_at = <const uint8_t*> PyBytes_AS_STRING(record)
    cdef const RecordHead* head = <const RecordHead*> bytes_at
    cdef Bench bench
    cdef Decision decision
    cdef bint is_tap
    if PyBytes_GET_SIZE(record) < <Py_ssize_t> sizeof(RecordHead):
        raise ValueError("a record has at least 168 bytes")
    if head.reason in (REASON_OUT_OF_SERVICE, REASON_TOO_MANY_CELLS, REASON_TOO_MANY_ACCOUNTS, REASON_TOO_MANY_MEDIA):
        return NOT_AGAIN
    if head.tariff_key and head.op < OP_ACCOUNT_OPEN and book_by_key(&book.c, head.tariff_key) == NULL:
        return NO_TARIFF
    memset(&decision, 0, sizeof(Decision))
    lay_out(memory, head, &bench)
    is_tap = head.op < OP_ACCOUNT_OPEN
    if not is_tap:
        again_command(head, &bench, &decision)
    elif head.op == OP_REVERSAL or (head.op == OP_SETTLEMENT and not head.flags & TAP_DEVICE_OPENED):
        again_reversal(memory, book, head, original, &bench, &decision)
    else:
        again_tap(memory, book, head, &bench, &decision)
    if decision.reason < REFUSALS and bench.has_account:
        bench.account.version += 1
        bench.account.position = position
    found = differing(head, &decision, is_tap)
    if not found and not bench.has_period:
        found = differing_lines(bytes_at, head, &bench)
    return found


cdef void again_tap(StoreHandle memory, Book book, const RecordHead* head, Bench* bench, Decision* decision):
    cdef Tap tap
    cdef Period* period
    tap_of(head, bench, &tap)
    period = find_period(memory, book, &tap, bench)
    decide_tap(&book.c, &bench.medium if bench.has_medium else NULL, &bench.account if bench.has_account else NULL,
               period, NULL, &tap, decision)


cdef void again_reversal(StoreHandle memory, Book book, const RecordHead* head, bytes original, Bench* bench,
                         Decision* decision):
    cdef const RecordHead* undone
    cdef Decision charged
    cdef Tap tap
    cdef Period* period
    if original is None or not bench.has_account:
        decision.reason = REASON_NOTHING_TO_REVERSE
        return
    undone = <const RecordHead*> PyBytes_AS_STRING(original)
    tap_of(undone, bench, &tap)
    tap.now_us = head.ts_us
    tap.amount_minor = -1
    memset(&charged, 0, sizeof(Decision))
    charged.reason = undone.reason
    charged.verdict = undone.verdict
    charged.rules = undone.rules
    charged.fare_minor = undone.fare_minor
    charged.nominal_minor = undone.nominal_minor
    charged.subsidy_minor = undone.subsidy_minor
    charged.ts_us = undone.fare_ts_us
    charged.tariff_key = undone.tariff_key
    charged.distance_m = undone.distance_m
    charged.other_stop = undone.other_stop
    period = find_period(memory, book, &tap, bench)
    decide_reversal(&book.c, &bench.account, period, &tap, &charged, decision)


cdef void again_command(const RecordHead* head, Bench* bench, Decision* decision):
    cdef Command command
    command_of(head, &command)
    if head.op == OP_ACCOUNT_OPEN:
        if bench.has_account:
            decision.reason = REASON_ALREADY_EXISTS
            return
        bench.account.account_id = head.account_id
        bench.has_account = True
    elif head.op == OP_MEDIUM_STATE and not bench.has_medium:
        decision.reason = REASON_UNKNOWN_MEDIUM
        return
    elif not bench.has_account:
        decision.reason = REASON_UNKNOWN_ACCOUNT
        return
    if head.op == OP_MEDIUM_LINK and not bench.has_medium:
        memcpy(bench.medium.token, head.token, TOKEN_BYTES)
    decide_command(&bench.account, bench.slot, &bench.medium, &command, decision)
    if decision.reason != REASON_OK:
        bench.has_account = False
