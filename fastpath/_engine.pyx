"""The engine: frames of authenticated sessions in, journal records and answers out.

One loop turn: `feed` any number of times -> `seal` -> (journal append, outside) -> `commit` or `abort`. No I/O and no
clock here: instants come in as arguments, records that are already durable are fetched through `read_record`.
Nothing is told to anybody before `commit`; `abort` puts memory back to what it was.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fastpath._accounts cimport (
    SEQ_SEEN, SEQ_TOO_OLD, SeqState, Store, StoreHandle, account_at, cell_at, fetch_medium, find_account, find_medium,
    find_operation, find_window, new_account, new_medium, new_operation, new_window, operations_expire, undo_forget,
    undo_last_account, undo_restore, undo_save_account, undo_save_cell, undo_save_medium, undo_use,
    window_answer, window_check, window_is_resolved, window_mark, window_resolve,
)
from fastpath._buffer cimport buffer_append, buffer_consume
from fastpath._cell_commands cimport Rerate, decide_cell_command, is_cell_command
from fastpath._cells cimport cells_free, gather_all_cells, gather_cells, keep_cells, place_cell
from fastpath._core cimport (
    decide_command, decide_move, decide_reversal, decide_tap, find_network, wants_extras, wants_medium_period,
    wants_undo_extras,
)
from fastpath._extras cimport EXTRA_CELLS, Extras
from fastpath._facts cimport (
    DISTANCE_KEPT, KIND_SHIFT, NETWORK_SHIFT, SLOT_SHIFT, TAP_FLAGS_MASK, decision_of_record, facts_of_record,
    given_distance, paid_of_record, tap_of_record,
)
from fastpath._group cimport (
    GROUP_HEAD_BYTES, ITEM_BYTES, RECORD_HEAD_BYTES, RECORD_ITEMS_MAX, Answer, Group, Pending, group_answer,
    group_find, group_free, group_init, group_pending, group_reset, record_account, record_begin, record_end,
    record_item,
)
from fastpath._journal cimport crc32c_update
from fastpath._layout cimport (
    CELL_REFUND, FACT_FARE, FAREGATE_STRUCT_VERSION, GROUP_MAGIC, ITEM_ACTS, ITEM_FACTS, ITEM_PARTS, LINE_BYTES,
    OP_CONCESSION, OP_DEBIT, OP_MEDIUM_MOVE, OP_PASS_ADD, OP_PASS_REMOVE, OP_PURSE_OPEN, OP_REFUND, OP_RERATE, PURPOSE_NONE, REASON_OK_RISK,
    RULE_DEVICE_AMOUNT, TOKEN_BYTES, Account, BootWindow, Cell, Command, Decision, Facts, GroupHead, Medium, Parts,
    Period, RecordHead,
    RecordItem, Tap,
)
from fastpath._limit_book cimport LimitBook
from fastpath._session cimport FRAME_PREFIX_BYTES, TAG_BYTES, Session
from fastpath._tariff cimport Book, TariffBook
from fastpath._wallet cimport Paid, decide_wallet_command, is_wallet_command
from fastpath._wire cimport (
    ANSWER_BYTES_MAX, WIRE_OK, Cursor, WireStatus, read_array, read_head, read_heartbeat, read_passage, read_tap,
    write_answer, write_array, write_head, write_uint,
)

cimport cython

from fastpath.types import ENGINE_VERSION, EngineLimits

cdef enum:
    FRAME_TAP = 10
    FRAME_ANSWER = 11
    FRAME_TAP_BATCH = 12
    FRAME_BATCH_ANSWER = 13
    FRAME_PASSAGE = 14
    FRAME_PASSAGE_ANSWER = 15
    FRAME_HEARTBEAT = 16
    FRAME_HEARTBEAT_ANSWER = 17
    FRAME_ERROR = 127

    ERROR_FRAME_TOO_LONG = 1
    ERROR_MALFORMED = 3
    ERROR_OUT_OF_RANGE = 4
    ERROR_BAD_TAG = 9
    ERROR_OLD_COUNTER = 10
    ERROR_BATCH_TOO_LARGE = 12
    ERROR_BUSY = 13

    BATCH_MAX = 256
    TURN_TAPS_FREE = 256  # so many taps a turn may take however long it took: what is little is never too much

    # What feed() tells its caller, as bits.
    FED_WAITING = 1      # something waits for the next commit
    FED_EVENTS = 2       # session.take_events() has something
    FED_FATAL = 4        # the connection has to end after what is in its output
    FED_FULL = 8         # the group is full: commit, then feed(session, b"") to go on
    FED_READY = 16       # this session has output that waits for no commit: session.take()
    FED_HALF = 32        # a frame has begun and not ended
    FED_BUSY = 64        # taps were refused: read no more from this session in this turn

    # What handle() tells feed().
    DONE = 0
    NO_ROOM = 1
    FATAL = 2

    KIND_CHECK_IN = 1
    KIND_CHECK_OUT = 2
    KIND_FLAT = 3
    KIND_INSPECT = 4

    OP_REVERSAL = 5
    OP_SETTLEMENT = 6
    OP_ACCOUNT_OPEN = 16
    OP_MEDIUM_LINK = 24
    OP_MEDIUM_STATE = 25

    ITEM_CELL = 2
    ITEM_MEDIUM = 3
    ITEM_NOTE = 4
    ITEM_ORIGINAL = 5
    CELL_MEDIUM_PERIOD = 1
    RERATE_LINES_BYTES = 2 * LINE_BYTES

    VERDICT_DENY = 0
    VERDICT_OPEN = 1
    VERDICT_RETRY = 3

    OK = 0
    REFUSALS = 16                  # reasons from here on refuse
    BUSY = 16
    OP_TOO_OLD = 18
    OP_CONFLICT = 19
    BAD_TIME = 21
    OUT_OF_SERVICE = 22
    UNKNOWN_MEDIUM = 25
    UNKNOWN_ACCOUNT = 26
    ALREADY_EXISTS = 41
    TOO_MANY_ACCOUNTS = 42
    TOO_MANY_MEDIA = 43
    TOO_MANY_CELLS = 44
    NOTHING_TO_REVERSE = 45

    TAP_OFFLINE = 1
    TAP_DEVICE_OPENED = 2
    MINUTE_US = 60000000
    REASONS_PER_KIND = 64
    LATENCY_BUCKETS = 96

FED = {"waiting": FED_WAITING, "events": FED_EVENTS, "fatal": FED_FATAL, "full": FED_FULL, "ready": FED_READY,
       "half": FED_HALF, "busy": FED_BUSY}

cdef Tap batch_taps[BATCH_MAX]


# The request a batch answer is for; always at full width.
cdef inline size_t write_request(uint8_t* out, uint64_t value) noexcept nogil:
    cdef int i
    out[0] = 0xcf
    for i in range(8):
        out[1 + i] = <uint8_t> (value >> (56 - 8 * i))
    return 9


cdef inline void fill_identity(RecordHead* head, const Tap* tap, uint8_t op) noexcept nogil:
    head.op = op
    head.ts_us = tap.now_us
    head.device_ts_us = tap.device_ts_us
    head.id_a = tap.device
    head.id_b = tap.boot
    head.id_c = tap.seq
    memcpy(head.token, tap.token, TOKEN_BYTES)
    head.stop = tap.stop
    head.flags = ((tap.flags & TAP_FLAGS_MASK) | (<uint32_t> tap.kind << KIND_SHIFT)
                  | (<uint32_t> tap.tariff_slot << SLOT_SHIFT))
    head.denylist_version = tap.denylist_version


cdef inline void fill_decision(RecordHead* head, const Decision* decision) noexcept nogil:
    head.reason = decision.reason
    head.verdict = decision.verdict
    head.fare_minor = decision.fare_minor
    head.balance_minor = decision.balance_minor
    head.nominal_minor = decision.nominal_minor
    head.subsidy_minor = decision.subsidy_minor
    head.tariff_key = decision.tariff_key
    head.other_stop = decision.other_stop
    head.rules = decision.rules
    head.distance_m = decision.distance_m
    head.fare_ts_us = decision.ts_us
    head.period_paid_minor = decision.period_paid_minor


# Facts of a tap that only its decision knows; those of a refused one, which its decision does not tell.
cdef inline void fill_leg(RecordHead* head, const TariffBook* book, const Account* account, const Tap* tap,
                          const Decision* decision) noexcept nogil:
    cdef uint8_t network = decision.network
    if decision.reason >= REFUSALS:
        network = find_network(book, account, tap)
        head.distance_m = tap.distance_m
        if tap.kind == KIND_FLAT and tap.amount_minor != -1:
            head.nominal_minor = tap.amount_minor
            head.rules |= RULE_DEVICE_AMOUNT
    elif tap.kind != KIND_CHECK_IN and decision.distance_m == 0 and tap.distance_m != 0:
        head.distance_m = tap.distance_m
        head.flags |= DISTANCE_KEPT
    head.flags |= <uint32_t> network << NETWORK_SHIFT


cdef inline void refuse(Decision* decision, uint8_t reason) noexcept nogil:
    memset(decision, 0, sizeof(Decision))
    decision.reason = reason
    decision.verdict = VERDICT_RETRY if reason == BUSY else VERDICT_DENY


# An answer about a tap that leaves no record.
cdef inline void answer_only(Answer* answer, const Tap* tap, uint8_t op, const Decision* decision) noexcept nogil:
    memset(answer, 0, sizeof(Answer))
    fill_identity(&answer.head, tap, op)
    fill_decision(&answer.head, decision)


cdef inline bint same_facts(const RecordHead* head, const Tap* tap) noexcept nogil:
    return (memcmp(head.token, tap.token, TOKEN_BYTES) == 0 and head.device_ts_us == tap.device_ts_us
            and head.stop == tap.stop and ((head.flags >> KIND_SHIFT) & 0xff) == tap.kind
            and (head.flags & DISTANCE_KEPT or not given_distance(head) or head.distance_m == tap.distance_m))


cdef inline uint64_t cell_key(const uint8_t* token) noexcept nogil:
    cdef uint64_t key
    memcpy(&key, token, 8)
    return key


cdef struct Limits:
    size_t group_bytes
    uint32_t group_records
    uint32_t cells_per_account
    uint32_t boots_per_device
    uint32_t waiting_max
    int64_t horizon_us


# Where a decision finds what stands beside the account: the running totals of a medium, in its cell or in a blank that
# becomes one if it is written to; and copies of other cells.
cdef struct Places:
    uint32_t cell              # 0 = none yet
    Period blank
    Period* period             # NULL = the account's own period counts
    Extras* extras             # NULL = the tariff looks at none


# Which tap a reversal undoes: the image of an ORIGINAL item.
cdef struct Original:
    uint64_t boot
    uint32_t seq
    uint32_t spare


# Whether a record is the report of this passage; what it undid stands in it as its first item.
cdef inline bint same_passage(const RecordHead* head, const Tap* passage, const Original* named) noexcept nogil:
    cdef const RecordItem* item = <const RecordItem*> (<const uint8_t*> head + sizeof(RecordHead))
    if head.op != OP_REVERSAL or head.device_ts_us != passage.device_ts_us:
        return False
    return (head.reason >= REFUSALS
            or (item.type == ITEM_ORIGINAL and memcmp(item.image, named, sizeof(Original)) == 0))


# What a command is about: places in memory, or the blanks that get a place when it is accepted.
cdef struct Target:
    uint32_t slot
    Account* account
    Medium* medium
    Account new_account
    Medium new_medium


# Commands about something that is valid from an instant on.
cdef inline bint has_span(uint8_t op) noexcept nogil:
    return op == OP_PASS_ADD or op == OP_PASS_REMOVE or op == OP_CONCESSION or op == OP_RERATE


# What a fastpath.commands.Command asks for, but its images and notes.
cdef int read_command(object asked, Command* command) except -1:
    cdef int op = asked.op
    cdef bytes token = asked.token
    cdef bytes facts
    if not 16 <= op <= 63 or len(asked.notes) > 4:
        raise ValueError("an operation is 16 to 63 and has at most four notes")
    if token and len(token) != TOKEN_BYTES:
        raise ValueError("a token is 16 bytes")
    command.op = <uint8_t> op
    command.account_id = asked.account_id
    command.expected_version = asked.expected_version
    command.amount_minor = asked.amount_minor
    command.currency = asked.currency
    command.status_bits = asked.status_bits
    command.purse = asked.purse
    command.rider_category = asked.rider_category
    command.medium_kind = asked.medium_kind
    command.medium_state = asked.medium_state
    command.from_us = asked.from_us
    command.expires_us = asked.expires_us
    command.pass_id = asked.pass_id
    command.rides = asked.rides
    if token:
        memcpy(command.token, PyBytes_AS_STRING(token), TOKEN_BYTES)
    command.facts.purpose = PURPOSE_NONE
    if asked.facts is not None:
        facts = asked.facts.pack()
        if len(facts) != sizeof(Facts):
            raise ValueError("facts are 64 bytes")
        memcpy(&command.facts, PyBytes_AS_STRING(facts), sizeof(Facts))
        command.has_facts = True
    command.facts.amount_minor = command.amount_minor
    command.facts.expires_us = command.expires_us
    return 0


# Who asked for what. Called after fill_decision: for commands some fields of the head keep what was asked for, so that
# a repeat with other contents is known as such (docs/journal.md).
cdef inline void fill_command(RecordHead* head, const Command* command) noexcept nogil:
    head.op = command.op
    head.ts_us = command.now_us
    head.account_id = command.account_id
    head.id_a = command.client
    head.id_b = command.id_high
    head.id_c = command.id_low
    memcpy(head.token, command.token, TOKEN_BYTES)
    head.device_ts_us = command.expires_us
    head.nominal_minor = command.amount_minor
    head.stop = <uint32_t> command.expected_version
    head.flags = (command.status_bits | (<uint32_t> command.purse << KIND_SHIFT)
                  | (<uint32_t> command.medium_state << SLOT_SHIFT))
    head.distance_m = (command.currency | (<uint32_t> command.rider_category << KIND_SHIFT)
                       | (<uint32_t> command.medium_kind << SLOT_SHIFT))
    if has_span(command.op):
        head.other_stop = command.pass_id
        head.fare_ts_us = command.from_us
        head.period_paid_minor = command.rides


# Commands of the wallet say more than fits a head.
cdef inline bint has_facts(const Command* command) noexcept nogil:
    return command.has_facts or command.op == OP_DEBIT or command.op >= OP_PURSE_OPEN


cdef inline bint same_facts_of(const RecordHead* head, const Command* command) noexcept nogil:
    cdef Facts recorded
    facts_of_record(head, &recorded)
    return memcmp(&recorded, &command.facts, sizeof(Facts)) == 0


cdef inline bint same_span(const RecordHead* head, const RecordHead* asked) noexcept nogil:
    return (head.other_stop == asked.other_stop and head.fare_ts_us == asked.fare_ts_us
            and head.period_paid_minor == asked.period_paid_minor)


cdef inline bint same_command(const RecordHead* head, const Command* command) noexcept nogil:
    cdef RecordHead asked
    memset(&asked, 0, sizeof(RecordHead))
    fill_command(&asked, command)
    return (head.op == asked.op and memcmp(head.token, asked.token, TOKEN_BYTES) == 0
            and (asked.account_id == 0 or head.account_id == asked.account_id)
            and head.device_ts_us == asked.device_ts_us and head.nominal_minor == asked.nominal_minor
            and head.stop == asked.stop and head.flags == asked.flags and head.distance_m == asked.distance_m
            and (same_span(head, &asked) if has_span(head.op) else same_facts_of(head, command)))


@cython.final
cdef class Engine:
    """Decide, remember, record. Thread: one; the group being written is only read by whoever writes it.

    Args: read_record(position) returns the bytes of a durable record (head and items) or raises; page is a writable
        int64 buffer; page_slots are the first slots for (taps [op][reason], commands [reason], latency [bucket],
        latency sum, repeats, frame errors [code]), as in gateway.observability.page; waiting_max bounds the taps that
        wait while a group is being written, turn_max_us how long one turn may decide (`end_turn`).
    """

    cdef readonly StoreHandle memory
    cdef readonly Book book
    cdef Store* store
    cdef Limits limits
    cdef Extras extras                        # of the decision under way
    cdef Rerate rerate
    cdef Paid paid
    cdef size_t record_bytes_max
    cdef Group groups[2]
    cdef int open_log                         # the group being filled; the other one may be in writing
    cdef bint writing
    cdef readonly uint64_t denylist_version
    cdef uint64_t sealed_denylist_version     # as of the sealed group
    cdef uint64_t durable_denylist_version    # as of the last committed group: what abort goes back to
    cdef object read_record                   # position -> bytes of a durable record
    cdef bytes looked_up                      # keeps the last of them alive
    cdef int64_t[::1] page
    cdef int page_taps
    cdef int page_commands
    cdef int page_latency
    cdef int page_latency_sum
    cdef int page_repeats
    cdef int page_errors
    cdef int64_t now_us
    cdef int64_t mono_us
    cdef int64_t turn_max_us
    cdef int64_t turn_began_us                # monotonic, of the first tap of this turn; 0 = none yet
    cdef bint refused                         # something, in this feed
    cdef int64_t spent_us                     # what earlier turns took for taps that wait for the same commit
    cdef uint32_t turn_taps                   # taken since spent_us was 0
    cdef int64_t write_ns                     # what the write of a large group lately took for each tap
    cdef LimitBook next_limits                # taken over when the open group is sealed
    cdef bint has_next_limits
    cdef bytes news                           # the last fields of a heartbeat's answer, encoded
    cdef bytes busy_before                    # what stands before the request counter of an error `busy`
    cdef bytes busy_behind                    # and what behind it

    def __init__(self, StoreHandle memory not None, Book book not None, object limits=None, *, object read_record=None,
                 int64_t[::1] page=None, tuple page_slots=(0, 0, 0, 0, 0, 0), uint32_t waiting_max=20000,
                 int64_t turn_max_us=5000):
        limits = limits or EngineLimits()
        self.memory = memory
        self.book = book
        self.store = memory.store
        self.limits.group_bytes = limits.group_bytes_max
        self.limits.group_records = limits.group_records_max
        self.limits.cells_per_account = min(<uint32_t> limits.cells_per_account_max, <uint32_t> EXTRA_CELLS)
        self.limits.boots_per_device = limits.boots_per_device_max
        self.limits.waiting_max = waiting_max
        self.limits.horizon_us = limits.op_horizon_us
        self.record_bytes_max = RECORD_HEAD_BYTES + (RECORD_ITEMS_MAX + self.limits.cells_per_account) * ITEM_BYTES
        if self.limits.group_bytes < GROUP_HEAD_BYTES + 2 * BATCH_MAX * self.record_bytes_max:
            raise ValueError("group_bytes_max must hold two full batches")
        self.read_record = read_record
        self.page = page
        (self.page_taps, self.page_commands, self.page_latency, self.page_latency_sum, self.page_repeats,
         self.page_errors) = page_slots
        self.turn_max_us = turn_max_us
        self.news = b""
        self.busy_before = b""
        self.busy_behind = b""
        if group_init(&self.groups[0], self.limits.group_bytes) or group_init(&self.groups[1], self.limits.group_bytes):
            raise MemoryError
        undo_use(self.store, 0)

    def __dealloc__(self):
        group_free(&self.groups[0])
        group_free(&self.groups[1])

    # --- where we are -------------------------------------------------------------------------------------------

    cdef Group* open_group(self) noexcept:
        return &self.groups[self.open_log]

    cdef bint has_room(self, uint32_t records) noexcept:
        cdef Group* group = self.open_group()
        return (group.used + records * self.record_bytes_max <= group.capacity
                and group.record_count + records <= self.limits.group_records)

    def begin(self, uint64_t position, uint64_t seq, *, uint64_t denylist_version=0) -> None:
        """Say where the next group stands. Only between groups, at start."""
        group_reset(self.open_group(), position, seq)
        self.denylist_version = denylist_version
        self.durable_denylist_version = denylist_version

    def set_limits(self, LimitBook limits) -> None:
        """Use other limits of identity tiers (None = none) from the next group on.

        Every group names the limits of all its decisions; an open one that is empty begins with the new ones.
        """
        self.next_limits = limits
        self.has_next_limits = True
        if self.open_group().record_count == 0:
            self.take_limits()

    cdef int take_limits(self) except -1:
        if self.has_next_limits:
            self.book.set_limits(self.next_limits)
            self.next_limits = None
            self.has_next_limits = False
        return 0

    @property
    def waiting(self) -> bool:
        """Whether the open group has records or replies."""
        return self.open_group().record_count > 0 or self.open_group().pending_count > 0

    @property
    def record_count(self) -> int:
        """Records in the open group."""
        return self.open_group().record_count

    @property
    def open_end(self) -> int:
        """Journal address just behind the open group as it is now."""
        return self.open_group().position + self.open_group().used

    @property
    def is_writing(self) -> bool:
        """Whether a sealed group waits for commit() or abort()."""
        return self.writing

    # --- frames in ----------------------------------------------------------------------------------------------

    def feed(self, Session session not None, bytes data not None, int64_t now_us, int64_t mono_us) -> int:
        """Take bytes of a session; returns FED bits.

        Args: now_us is UTC, mono_us monotonic; both microseconds. Data may hold any part of any number of frames.
        """
        cdef const uint8_t* at = <const uint8_t*> PyBytes_AS_STRING(data)
        cdef size_t size = PyBytes_GET_SIZE(data)
        cdef bint buffered = session.inbox.size > 0
        cdef size_t used
        cdef int fed = 0
        cdef size_t waiting_bytes = session.outbox.size
        self.now_us = now_us
        self.mono_us = mono_us
        self.refused = False
        if buffered:
            if buffer_append(&session.inbox, at, size) != 0:
                raise MemoryError
            at = session.inbox.data
            size = session.inbox.size
        used = self.frames(session, at, size, mono_us, &fed)
        if buffered:
            buffer_consume(&session.inbox, used)
        elif used < size and not fed & FED_FATAL and buffer_append(&session.inbox, at + used, size - used) != 0:
            raise MemoryError
        if session.events:
            fed |= FED_EVENTS
        if session.outbox.size > waiting_bytes:
            fed |= FED_READY
        if session.inbox.size > 0:
            fed |= FED_HALF
        if self.refused:
            fed |= FED_BUSY
        return fed | (FED_WAITING if self.waiting else 0)

    cdef size_t frames(self, Session session, const uint8_t* at, size_t size, int64_t mono_us, int* fed) except? 0:
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
            group = self.open_group()
            before = group.pending_count
            handled = self.handle(session, at + used + FRAME_PREFIX_BYTES, length - TAG_BYTES)
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

    cdef int handle(self, Session session, const uint8_t* payload, size_t size) except -1:
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
            handled = self.handle_taps(session, counter, cursor.at, cursor.end, False)
        elif type == FRAME_TAP_BATCH and fields == 1:
            handled = self.handle_taps(session, counter, cursor.at, cursor.end, True)
        elif type == FRAME_PASSAGE:
            handled = self.handle_passage(session, counter, cursor.at, cursor.end)
        elif type == FRAME_HEARTBEAT and fields == 3 and self.answer_heartbeat(session, cursor):
            pass
        else:
            session.events.append(("frame", type, counter, PyBytes_FromStringAndSize(<const char*> payload, size)))
        if handled != NO_ROOM:
            session.rx_counter = counter
        return handled

    cdef int handle_taps(self, Session session, uint64_t counter, const uint8_t* at, const uint8_t* end,
                         bint batch) except -1:
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
        if not self.has_room(2 * count):
            return NO_ROOM
        if self.has_too_much(count):
            return self.refuse_busy(session, counter, count)
        self.turn_taps += count
        if self.turn_began_us == 0:
            self.turn_began_us = self.mono_us
        self.fetch_ahead(count)
        first = self.open_group().answer_count
        for _i in range(count):
            if group_answer(self.open_group()) == NULL:
                raise MemoryError
        for i in range(count):
            self.answer_tap(session, &batch_taps[i], &self.open_group().answers[first + i])
        pending = self.wait(session, counter, FRAME_BATCH_ANSWER if batch else FRAME_ANSWER)
        pending.first_answer = first
        pending.answer_count = count
        return DONE

    cdef void fetch_ahead(self, uint32_t count) noexcept:
        """Have the media and accounts of a frame's taps come from memory together: of ten million accounts each is cold
        when its turn comes, and a decision takes less time than the way from there."""
        cdef uint32_t i
        for i in range(count):
            fetch_medium(self.store, batch_taps[i].token)
        if count > 1:
            for i in range(count):
                find_medium(self.store, batch_taps[i].token)

    cdef Pending* wait(self, Session session, uint64_t counter, uint32_t reply_type) except NULL:
        cdef Pending* pending = group_pending(self.open_group())
        if pending == NULL:
            raise MemoryError
        Py_INCREF(session)
        pending.session = <void*> session
        pending.request_counter = counter
        pending.reply_type = reply_type
        pending.received_us = 0
        return pending

    # --- what is answered at once -------------------------------------------------------------------------------

    def tell(self, *, bytes news=None, tuple busy=None) -> None:
        """Take over what the link words of answers that are made here.

        Args: news: the last three fields of heartbeat_answer, each encoded; b"" = heartbeats are events for Python.
            busy: the encoded fields of the error `busy` between its counter and request_counter, and those behind;
            without them it is an event for Python.
        """
        if news is not None:
            self.news = news
        if busy is not None:
            self.busy_before, self.busy_behind = busy

    cdef bint answer_heartbeat(self, Session session, Cursor cursor) except -1:
        """Answer a heartbeat from what was told; False = Python has to look at it, and nothing has happened."""
        cdef int64_t device_time_us
        cdef uint32_t queue_depth
        cdef BootWindow* window
        cdef uint8_t* out
        cdef size_t size
        if not self.news or read_heartbeat(&cursor, &device_time_us, &queue_depth) != WIRE_OK:
            return False
        if cursor.at != cursor.end:
            return False
        session.queue_depth = queue_depth
        window = find_window(self.store, session.device_id, session.boot)
        out = session.begin_frame(64 + <size_t> PyBytes_GET_SIZE(self.news))
        session.tx_counter += 1
        size = write_head(out, FRAME_HEARTBEAT_ANSWER, session.tx_counter, 6)
        size += write_uint(out + size, <uint64_t> self.now_us)
        size += write_uint(out + size, <uint64_t> device_time_us)
        size += write_uint(out + size, window.acked_seq if window != NULL else 0)
        memcpy(out + size, PyBytes_AS_STRING(self.news), PyBytes_GET_SIZE(self.news))
        session.end_frame(size + PyBytes_GET_SIZE(self.news))
        return True

    cdef bint has_too_much(self, uint32_t count) noexcept:
        """Whether so many taps more would have those wait too long that were taken before."""
        if self.writing and self.open_group().answer_count + count > self.limits.waiting_max:
            return True
        if self.turn_taps < TURN_TAPS_FREE:
            return False
        return (self.spent_us + (self.mono_us - self.turn_began_us if self.turn_began_us else 0)
                + self.turn_taps * self.write_ns // 1000 > self.turn_max_us)

    def note_write(self, int64_t duration_us, uint32_t records) -> None:
        """How long the write of a group took: the taps of a turn wait for it too, and large groups take longer.

        A single slow one counts for little. Small groups say nothing about the size.
        """
        cdef int64_t each_ns
        if records < TURN_TAPS_FREE:
            return
        each_ns = duration_us * 1000 // records
        if self.write_ns == 0:
            self.write_ns = each_ns
        else:
            self.write_ns += (min(each_ns, 4 * self.write_ns) - self.write_ns) // 8

    def end_turn(self, bint sealed) -> None:
        """A turn of the loop has ended; sealed: nothing it decided waits to be written any more.

        Otherwise the next turn goes on with the same time: its taps wait for the same commit.
        """
        if sealed:
            self.spent_us = 0
            self.turn_taps = 0
        elif self.turn_began_us:
            self.spent_us += self.mono_us - self.turn_began_us
        self.turn_began_us = 0

    cdef int refuse_busy(self, Session session, uint64_t counter, uint32_t count) except -1:
        cdef size_t before_bytes = PyBytes_GET_SIZE(self.busy_before)
        cdef size_t behind_bytes = PyBytes_GET_SIZE(self.busy_behind)
        cdef uint32_t i
        cdef uint8_t* out
        cdef size_t size
        self.refused = True
        for i in range(count):
            self.count(batch_taps[i].kind, BUSY)
        if before_bytes == 0:
            session.events.append(("error", ERROR_BUSY, counter))
            return DONE
        if self.page is not None:
            self.page[self.page_errors + ERROR_BUSY] += 1
        out = session.begin_frame(64 + before_bytes + behind_bytes)
        session.tx_counter += 1
        size = write_head(out, FRAME_ERROR, session.tx_counter, 6)
        memcpy(out + size, PyBytes_AS_STRING(self.busy_before), before_bytes)
        size += before_bytes
        size += write_uint(out + size, counter)
        memcpy(out + size, PyBytes_AS_STRING(self.busy_behind), behind_bytes)
        session.end_frame(size + behind_bytes)
        return DONE

    cdef void count(self, uint8_t kind, uint8_t reason) noexcept:
        if self.page is not None:
            self.page[self.page_taps + (kind & 7) * REASONS_PER_KIND + (reason & 63)] += 1

    cdef void count_command(self, uint8_t reason) noexcept:
        if self.page is not None:
            self.page[self.page_commands + (reason & 63)] += 1

    cdef void note_latency(self, int64_t us, uint32_t count) noexcept:
        """Four buckets a doubling (gateway.observability.page.bucket_of)."""
        cdef int exponent = 0
        cdef int64_t rest = us
        cdef int64_t bucket = max(us, 0)
        if self.page is None:
            return
        while rest > 1:
            rest >>= 1
            exponent += 1
        if us >= 4:
            bucket = min(4 * (exponent - 1) + ((us >> (exponent - 2)) & 3), LATENCY_BUCKETS - 1)
        self.page[self.page_latency + bucket] += count
        self.page[self.page_latency_sum] += us * count

    # --- one tap ------------------------------------------------------------------------------------------------

    cdef int answer_tap(self, Session session, Tap* tap, Answer* answer) except -1:
        cdef BootWindow* window
        cdef Decision decision
        cdef SeqState state
        tap.device = session.device_id
        tap.tariff_slot = session.tariff_slot
        tap.now_us = self.now_us
        if tap.stop == 0:
            tap.stop = session.stop
        if tap.kind == KIND_INSPECT:
            return self.inspect(tap, answer)
        window = find_window(self.store, tap.device, tap.boot)
        if window == NULL:
            window = new_window(self.store, tap.device, tap.boot, self.limits.boots_per_device,
                                self.now_us - self.limits.horizon_us)
        if window == NULL:
            refuse(&decision, BUSY)
            return self.answer_unrecorded(tap, tap.kind, &decision, answer)
        state = window_check(window, tap.seq)
        if state == SEQ_SEEN:
            return self.repeat(tap, window, answer)
        if state == SEQ_TOO_OLD:
            refuse(&decision, OP_TOO_OLD)
            return self.answer_unrecorded(tap, tap.kind, &decision, answer)
        self.decide_and_record(tap, tap.kind, session.in_service, answer)
        if window_mark(self.store, window, tap.seq, answer.position, self.now_us) != 0:
            raise MemoryError
        return 0

    cdef int answer_unrecorded(self, Tap* tap, uint8_t op, Decision* decision, Answer* answer) except -1:
        answer_only(answer, tap, op, decision)
        self.count(op, decision.reason)
        return 0

    cdef int inspect(self, Tap* tap, Answer* answer) except -1:
        cdef Medium* medium = find_medium(self.store, tap.token)
        cdef Account* account = account_at(self.store, medium.account_slot) if medium != NULL else NULL
        cdef Decision decision
        memset(&decision, 0, sizeof(Decision))
        if medium != NULL:
            tap.medium_kind = medium.kind
        decide_tap(&self.book.c, medium, account, NULL, NULL, tap, &decision)
        return self.answer_unrecorded(tap, KIND_INSPECT, &decision, answer)

    cdef int decide_and_record(self, Tap* tap, uint8_t op, bint in_service, Answer* answer) except -1:
        """Decide on the state as it is and write the record; the caller marks the window."""
        cdef Medium* medium = find_medium(self.store, tap.token)
        cdef uint32_t slot = medium.account_slot if medium != NULL else 0
        cdef Account* account = account_at(self.store, slot)
        cdef Places places
        cdef Decision decision
        memset(&decision, 0, sizeof(Decision))
        memset(&places, 0, sizeof(Places))
        if medium != NULL:
            tap.medium_kind = medium.kind
        if account != NULL and undo_save_account(self.store, slot) != 0:
            raise MemoryError
        if not in_service:
            refuse(&decision, OUT_OF_SERVICE)
        elif not self.find_period(account, tap, &places):
            refuse(&decision, TOO_MANY_CELLS)
        else:
            self.find_cells(account, tap, &places)
            decide_tap(&self.book.c, medium, account, places.period, places.extras, tap, &decision)
        return self.record_tap(tap, op, &decision, slot, &places, NULL, answer)

    cdef bint find_period(self, Account* account, const Tap* tap, Places* places) except? False:
        """Find where a medium's totals stand, if the tariff wants them; False = no room for one more cell."""
        cdef uint32_t index
        cdef Cell* cell
        if account == NULL or not wants_medium_period(&self.book.c, tap):
            return True
        index = account.first_cell
        while index != 0:
            cell = cell_at(self.store, index)
            if cell.type == CELL_MEDIUM_PERIOD and cell.key == cell_key(tap.token):
                if undo_save_cell(self.store, index) != 0:
                    raise MemoryError
                places.cell = index
                places.period = &cell.period
                return True
            index = cell.next
        places.period = &places.blank
        return cells_free(self.store, account, self.limits.cells_per_account) > 0

    cdef void find_cells(self, Account* account, const Tap* tap, Places* places) noexcept:
        """Copy the cells that tariff or funding look at; a blank period has its place already."""
        cdef uint64_t owner = 0
        if not wants_extras(&self.book.c, account, tap, &owner) and (account == NULL or account.first_cell == 0):
            return
        gather_cells(self.store, account, owner, self.limits.cells_per_account, &self.extras)
        if places.period == &places.blank and self.extras.room > 0:
            self.extras.room -= 1
        places.extras = &self.extras

    cdef int keep_period(self, RecordHead* head, Account* account, const Tap* tap, Places* places) except -1:
        """Write the cell of a medium's totals into the record; make it first if the decision filled a blank."""
        cdef Period nothing
        cdef Cell* cell
        memset(&nothing, 0, sizeof(Period))
        if places.cell == 0:
            if places.period == NULL or memcmp(&places.blank, &nothing, sizeof(Period)) == 0:
                return 0
            places.cell = place_cell(self.store, account)
            if places.cell == 0:
                raise MemoryError
            cell = cell_at(self.store, places.cell)
            cell.type = CELL_MEDIUM_PERIOD
            cell.key = cell_key(tap.token)
            cell.period = places.blank
        record_item(self.open_group(), head, ITEM_CELL, 0, places.cell, cell_at(self.store, places.cell), sizeof(Cell))
        return 0

    cdef int keep_places(self, RecordHead* head, Account* account, const Tap* tap, Places* places) except -1:
        """What an accepted tap changed beside the account."""
        self.keep_period(head, account, tap, places)
        if places.extras != NULL and keep_cells(self.store, self.open_group(), head, account, places.extras) != 0:
            raise MemoryError
        return 0

    cdef int record_tap(self, Tap* tap, uint8_t op, Decision* decision, uint32_t slot, Places* places,
                        const Original* original, Answer* answer) except -1:
        cdef Group* group = self.open_group()
        cdef RecordHead* head = record_begin(group, op)
        cdef Account* account = account_at(self.store, slot)
        fill_identity(head, tap, op)
        fill_decision(head, decision)
        fill_leg(head, &self.book.c, account, tap, decision)
        if original != NULL and decision.reason < REFUSALS:
            record_item(group, head, ITEM_ORIGINAL, 0, 0, original, sizeof(Original))
        if decision.act_count > 0:
            record_item(group, head, ITEM_ACTS, 0, 0, decision.acts, sizeof(decision.acts))
        if decision.part_count > 0:
            record_item(group, head, ITEM_PARTS, 0, 0, &decision.parts, sizeof(Parts))
        if account != NULL:
            head.account_id = account.account_id
            if decision.reason < REFUSALS:
                self.keep_places(head, account, tap, places)
                account.version += 1
                account.position = group.position + group.used
                record_account(group, head, slot, undo_last_account(self.store), account)
        self.count(op, decision.reason)
        answer.head = head[0]
        answer.position = record_end(group, head)
        return 0

    # --- the same tap again -------------------------------------------------------------------------------------

    cdef const RecordHead* find_record(self, uint64_t position) except? NULL:
        """A record wherever it stands: in an open group or in the journal; NULL = past its retention."""
        cdef const RecordHead* head = group_find(&self.groups[self.open_log], position)
        if head == NULL and self.writing:
            head = group_find(&self.groups[1 - self.open_log], position)
        if head == NULL:
            self.looked_up = self.read_record(position)
            if PyBytes_GET_SIZE(self.looked_up) == 0:
                return NULL
            if PyBytes_GET_SIZE(self.looked_up) < <Py_ssize_t> sizeof(RecordHead):
                raise ValueError(f"no whole record at journal position {position}")
            head = <const RecordHead*> PyBytes_AS_STRING(self.looked_up)
        return head

    cdef int repeat(self, Tap* tap, BootWindow* window, Answer* answer) except -1:
        """Answer a tap seen before: the same again, or the settlement of a disagreement (docs/protocol.md)."""
        cdef uint64_t position = window_answer(self.store, window, tap.seq)
        cdef const RecordHead* head
        cdef Decision decision
        cdef bint accepted
        cdef bint opened = tap.flags & TAP_DEVICE_OPENED != 0
        head = self.find_record(position) if position != 0 else NULL
        if head == NULL:
            refuse(&decision, OP_TOO_OLD)
            return self.answer_unrecorded(tap, tap.kind, &decision, answer)
        if head.id_a != tap.device or head.id_b != tap.boot or head.id_c != tap.seq:
            raise ValueError(f"the record at journal position {position} is not the one that was remembered")
        if not same_facts(head, tap):
            refuse(&decision, OP_CONFLICT)
            return self.answer_unrecorded(tap, tap.kind, &decision, answer)
        if self.page is not None:
            self.page[self.page_repeats] += 1
        accepted = head.reason < REFUSALS
        if (tap.flags & TAP_OFFLINE and not head.flags & TAP_OFFLINE and accepted != opened
                and not window_is_resolved(window, tap.seq) and not (accepted and self.is_refunded(head))):
            return self.settle(tap, window, answer, accepted)
        answer.head = head[0]
        answer.position = position
        return 0

    cdef int settle(self, Tap* tap, BootWindow* window, Answer* answer, bint reverse) except -1:
        """The device decided otherwise than we did: undo the ride, or post the one that was made."""
        if reverse:
            self.reverse(self.find_record(window_answer(self.store, window, tap.seq)), tap, OP_SETTLEMENT, NULL, answer)
        else:
            self.decide_and_record(tap, OP_SETTLEMENT, True, answer)
        if window_resolve(self.store, window, tap.seq, answer.position) != 0:
            raise MemoryError
        return 0

    cdef int reverse(self, const RecordHead* original, Tap* tap, uint8_t op, const Original* named,
                     Answer* answer) except -1:
        """Record the reversal of an accepted record under the identity of `tap`.

        A ride at the operator's risk charged no account, so its reversal is about none either.
        """
        cdef uint32_t slot = find_account(self.store, original.account_id) if original.reason != REASON_OK_RISK else 0
        cdef Account* account = account_at(self.store, slot)
        cdef Places places
        cdef Tap undone
        cdef const Medium* medium
        cdef Decision charged
        cdef Decision decision
        memset(&places, 0, sizeof(Places))
        memset(&decision, 0, sizeof(Decision))
        tap_of_record(original, self.now_us, &undone)
        medium = find_medium(self.store, original.token)
        undone.medium_kind = medium.kind if medium != NULL else 0
        decision_of_record(original, &charged)
        if account != NULL:
            if undo_save_account(self.store, slot) != 0:
                raise MemoryError
            self.find_period(account, &undone, &places)
            self.find_undo_cells(account, &undone, &charged, &places)
        decide_reversal(&self.book.c, account, places.period, places.extras, &undone, &charged, original.ts_us,
                        &decision)
        if named != NULL:
            memcpy(tap.token, original.token, TOKEN_BYTES)
            tap.stop = original.stop
        return self.record_tap(tap, op, &decision, slot, &places, named, answer)

    cdef void find_undo_cells(self, Account* account, const Tap* undone, const Decision* charged,
                              Places* places) noexcept:
        """Copy the cells that the tariff of a ride looked at, and the purses that paid."""
        cdef uint64_t owner = 0
        if wants_undo_extras(&self.book.c, undone, charged, &owner) or account.first_cell != 0:
            gather_cells(self.store, account, owner, self.limits.cells_per_account, &self.extras)
            places.extras = &self.extras

    # --- passage reports ----------------------------------------------------------------------------------------

    cdef int handle_passage(self, Session session, uint64_t counter, const uint8_t* at, const uint8_t* end) except -1:
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
        if not self.has_room(2):
            return NO_ROOM
        passage.device = session.device_id
        passage.tariff_slot = session.tariff_slot
        passage.now_us = self.now_us
        passage.kind = 0
        first = self.open_group().answer_count
        if group_answer(self.open_group()) == NULL:
            raise MemoryError
        self.answer_passage(&passage, original_boot, original_seq, passed, &self.open_group().answers[first])
        pending = self.wait(session, counter, FRAME_PASSAGE_ANSWER)
        pending.first_answer = first
        pending.answer_count = 1
        return DONE

    cdef int answer_passage(self, Tap* passage, uint64_t original_boot, uint32_t original_seq, bint passed,
                            Answer* answer) except -1:
        cdef BootWindow* window
        cdef BootWindow* original_window
        cdef Original named
        cdef Decision decision
        cdef SeqState state
        cdef uint64_t position
        memset(&decision, 0, sizeof(Decision))
        decision.verdict = VERDICT_OPEN
        if passed:
            return self.answer_unrecorded(passage, OP_REVERSAL, &decision, answer)
        window = find_window(self.store, passage.device, passage.boot)
        if window == NULL:
            window = new_window(self.store, passage.device, passage.boot, self.limits.boots_per_device,
                                self.now_us - self.limits.horizon_us)
        if window == NULL:
            refuse(&decision, BUSY)
            return self.answer_unrecorded(passage, OP_REVERSAL, &decision, answer)
        state = window_check(window, passage.seq)
        if state == SEQ_SEEN:
            named.boot = original_boot
            named.seq = original_seq
            named.spare = 0
            return self.repeat_passage(passage, window, &named, answer)
        if state == SEQ_TOO_OLD:
            refuse(&decision, OP_TOO_OLD)
            return self.answer_unrecorded(passage, OP_REVERSAL, &decision, answer)
        original_window = find_window(self.store, passage.device, original_boot)
        position = 0
        if original_window != NULL and not window_is_resolved(original_window, original_seq):
            if window_check(original_window, original_seq) == SEQ_SEEN:
                position = window_answer(self.store, original_window, original_seq)
        self.record_passage(passage, original_window, original_boot, original_seq, position, answer)
        if window_mark(self.store, window, passage.seq, answer.position, self.now_us) != 0:
            raise MemoryError
        return 0

    cdef int repeat_passage(self, Tap* passage, BootWindow* window, const Original* named,
                            Answer* answer) except -1:
        cdef uint64_t position = window_answer(self.store, window, passage.seq)
        cdef const RecordHead* head
        cdef Decision decision
        refuse(&decision, OP_TOO_OLD)
        head = self.find_record(position) if position != 0 else NULL
        if head != NULL:
            if same_passage(head, passage, named):
                answer.head = head[0]
                answer.position = position
                return 0
            refuse(&decision, OP_CONFLICT)
        return self.answer_unrecorded(passage, OP_REVERSAL, &decision, answer)

    cdef int record_passage(self, Tap* passage, BootWindow* original_window, uint64_t original_boot,
                            uint32_t original_seq, uint64_t position, Answer* answer) except -1:
        cdef const RecordHead* original
        cdef Original named
        cdef Decision decision
        cdef Places places
        memset(&places, 0, sizeof(Places))
        original = self.find_record(position) if position != 0 else NULL
        if (original == NULL or original.reason >= REFUSALS or original.op == OP_REVERSAL
                or self.is_refunded(original)):
            refuse(&decision, NOTHING_TO_REVERSE)
            return self.record_tap(passage, OP_REVERSAL, &decision, 0, &places, NULL, answer)
        named.boot = original_boot
        named.seq = original_seq
        named.spare = 0
        self.reverse(original, passage, OP_REVERSAL, &named, answer)
        if answer.head.reason < REFUSALS and window_resolve(self.store, original_window, original_seq, 0) != 0:
            raise MemoryError
        return 0

    # --- commands of the control plane --------------------------------------------------------------------------

    def command(self, operation, asked, int64_t now_us) -> tuple:
        """Carry out one command; returns (record head bytes, journal position or 0, whether it was a repeat).

        Args: operation: an OperationId; asked: a Command (fastpath.commands); now_us: UTC microseconds.
        The result holds once the open group has been committed. Raises BufferError: the group is full, commit first;
        ValueError: the arguments do not fit the record. A refusal is a value (reason in the head).
        """
        cdef Command command
        if not self.has_room(2):
            raise BufferError("the open group is full")
        memset(&command, 0, sizeof(Command))
        command.client, command.id_high, command.id_low = operation
        command.now_us = now_us
        command.horizon_us = self.limits.horizon_us
        read_command(asked, &command)
        self.take_images(command.op, asked.images)
        return self.carry_out(&command, asked.notes)

    cdef int take_images(self, int op, bytes images) except -1:
        cdef size_t size = PyBytes_GET_SIZE(images)
        if (op == OP_RERATE) != (size > 0):
            raise ValueError("images belong to a re-rating")
        if op != OP_RERATE:
            return 0
        if size % LINE_BYTES or not RERATE_LINES_BYTES <= size <= RERATE_LINES_BYTES + EXTRA_CELLS * sizeof(Cell):
            raise ValueError("a re-rating brings two account lines and at most 32 cells")
        memcpy(self.rerate.lines, PyBytes_AS_STRING(images), RERATE_LINES_BYTES)
        memcpy(self.rerate.cells, PyBytes_AS_STRING(images) + RERATE_LINES_BYTES, size - RERATE_LINES_BYTES)
        self.rerate.cell_count = <uint32_t> ((size - RERATE_LINES_BYTES) // sizeof(Cell))
        return 0

    def operation(self, operation) -> tuple:
        """(record head, journal position) of an operation (an OperationId), (None, 0) when it is not known."""
        cdef uint64_t client
        cdef uint64_t id_high
        cdef uint64_t id_low
        cdef uint64_t position
        cdef const RecordHead* head
        client, id_high, id_low = operation
        position = find_operation(self.store, client, id_high, id_low)
        head = self.find_record(position) if position != 0 else NULL
        if head == NULL:
            return None, 0
        return PyBytes_FromStringAndSize(<const char*> head, sizeof(RecordHead)), position

    cdef tuple carry_out(self, Command* command, tuple notes):
        cdef RecordHead head
        cdef const RecordHead* seen
        cdef uint64_t position = find_operation(self.store, command.client, command.id_high, command.id_low)
        cdef int64_t made_us = <int64_t> (command.id_high >> 16) * 1000
        cdef Decision decision
        if position != 0:
            seen = self.find_record(position)
            if seen == NULL:
                return self.refuse_command(command, OP_TOO_OLD)
            if not same_command(seen, command):
                return self.refuse_command(command, OP_CONFLICT)
            return PyBytes_FromStringAndSize(<const char*> seen, sizeof(RecordHead)), position, True
        if made_us < command.now_us - self.limits.horizon_us:
            return self.refuse_command(command, OP_TOO_OLD)
        if made_us > command.now_us + 5 * MINUTE_US:
            return self.refuse_command(command, BAD_TIME)
        memset(&decision, 0, sizeof(Decision))
        position = self.record_command(command, notes, &decision, &head)
        return PyBytes_FromStringAndSize(<const char*> &head, sizeof(RecordHead)), position, False

    cdef tuple refuse_command(self, Command* command, uint8_t reason):
        cdef RecordHead head
        cdef Decision decision
        memset(&head, 0, sizeof(RecordHead))
        refuse(&decision, reason)
        fill_decision(&head, &decision)
        fill_command(&head, command)
        return PyBytes_FromStringAndSize(<const char*> &head, sizeof(RecordHead)), 0, False

    cdef uint64_t record_command(self, Command* command, tuple notes, Decision* decision, RecordHead* out) except 0:
        cdef Group* group = self.open_group()
        cdef RecordHead* head = record_begin(group, command.op)
        cdef uint64_t position = group.position + group.used
        cdef Target target
        cdef bytes note
        cdef int line
        memset(&target, 0, sizeof(Target))
        self.find_target(command, &target, decision)
        if decision.reason == OK and is_cell_command(command.op):
            gather_all_cells(self.store, target.account, self.limits.cells_per_account, &self.extras)
            decide_cell_command(target.account, &self.extras, &self.rerate, self.book.c.limits, command, decision)
        elif decision.reason == OK and is_wallet_command(command.op):
            gather_all_cells(self.store, target.account, self.limits.cells_per_account, &self.extras)
            self.find_paid(command)
            decide_wallet_command(target.account, &self.extras, &self.paid, self.book.c.limits, command, decision)
        elif decision.reason == OK and command.op == OP_MEDIUM_MOVE:
            decide_move(target.account, account_at(self.store, target.medium.account_slot), target.slot, target.medium,
                        command, decision)
        elif decision.reason == OK:
            decide_command(target.account, target.slot, target.medium, command, decision)
        if decision.reason == OK:
            self.place_target(command, &target, decision)
        fill_decision(head, decision)
        fill_command(head, command)
        if has_facts(command):
            record_item(group, head, ITEM_FACTS, 0, 0, &command.facts, sizeof(Facts))
        if decision.part_count > 0:
            record_item(group, head, ITEM_PARTS, 0, 0, &decision.parts, sizeof(Parts))
        if decision.reason < REFUSALS:
            head.amount_minor = decision.amount_minor
            self.record_target(command, &target, head, position)
        for line in range(len(notes)):
            note = notes[line]
            if note:
                record_item(group, head, ITEM_NOTE, line, 0, PyBytes_AS_STRING(note), min(PyBytes_GET_SIZE(note), 64))
        if new_operation(self.store, command.client, command.id_high, command.id_low, position) != 0:
            raise MemoryError
        self.count_command(head.reason)
        out[0] = head[0]
        return record_end(group, head)

    cdef int find_target(self, Command* command, Target* target, Decision* decision) except -1:
        """Find what the command is about, or blanks for what it would make."""
        cdef bint of_medium = (command.op == OP_MEDIUM_LINK or command.op == OP_MEDIUM_STATE
                               or command.op == OP_MEDIUM_MOVE)
        target.medium = find_medium(self.store, command.token) if of_medium else NULL
        if of_medium and target.medium == NULL:
            if command.op != OP_MEDIUM_LINK:
                refuse(decision, UNKNOWN_MEDIUM)
                return 0
            target.medium = &target.new_medium
            memcpy(target.new_medium.token, command.token, TOKEN_BYTES)
        if command.op == OP_MEDIUM_STATE:
            command.account_id = account_at(self.store, target.medium.account_slot).account_id
        if command.op == OP_ACCOUNT_OPEN and command.account_id == 0:
            command.account_id = self.free_account_id()
        target.slot = find_account(self.store, command.account_id)
        target.account = account_at(self.store, target.slot)
        if command.op == OP_ACCOUNT_OPEN:
            if target.slot != 0:
                refuse(decision, ALREADY_EXISTS)
            target.account = &target.new_account
            target.new_account.account_id = command.account_id
        elif target.slot == 0:
            refuse(decision, UNKNOWN_ACCOUNT)
        elif undo_save_account(self.store, target.slot) != 0:
            raise MemoryError
        if target.medium != NULL and target.medium != &target.new_medium:
            if undo_save_medium(self.store, command.token) != 0:
                raise MemoryError
        return 0

    cdef int find_paid(self, const Command* command) except -1:
        """What the charge took that a refund names."""
        cdef const Facts* facts = &command.facts
        cdef const RecordHead* head = NULL
        cdef uint64_t position = 0
        memset(&self.paid, 0, sizeof(Paid))
        if command.op != OP_REFUND:
            return 0
        if facts.flags & FACT_FARE:
            return self.find_fare(command)
        position = find_operation(self.store, facts.charge_client, facts.charge_high, facts.charge_low)
        head = self.find_record(position) if position != 0 else NULL
        if head != NULL and head.account_id == command.account_id:
            paid_of_record(head, &self.paid)
        return 0

    cdef int find_fare(self, const Command* command) except -1:
        """What a tap took that is still in its device's window and was not taken back."""
        cdef const Facts* facts = &command.facts
        cdef const RecordHead* head = NULL
        cdef BootWindow* window = find_window(self.store, facts.charge_client, facts.charge_high)
        cdef uint64_t position
        if window == NULL or facts.charge_low > <uint64_t> 0xFFFFFFFF:
            return 0
        position = window_answer(self.store, window, <uint32_t> facts.charge_low)
        head = self.find_record(position) if position != 0 else NULL
        if head == NULL or head.account_id != command.account_id:
            return 0
        if head.op == OP_SETTLEMENT or not window_is_resolved(window, <uint32_t> facts.charge_low):
            paid_of_record(head, &self.paid)
        return 0

    cdef bint is_refunded(self, const RecordHead* head) noexcept:
        """Whether an operator gave back of this tap's fare: its device takes it back no more."""
        cdef Account* account = account_at(self.store, find_account(self.store, head.account_id))
        cdef uint32_t index = account.first_cell if account != NULL else 0
        cdef const Cell* cell
        while index != 0:
            cell = cell_at(self.store, index)
            if (cell.type == CELL_REFUND and cell.key == head.id_c and cell.refunded.client == head.id_a
                    and cell.refunded.id_high == head.id_b):
                return True
            index = cell.next
        return False

    cdef int place_target(self, Command* command, Target* target, Decision* decision) except -1:
        """Give what the command made its place in memory."""
        cdef Medium* medium
        if target.account == &target.new_account:
            target.slot = new_account(self.store, command.account_id)
            if target.slot == 0:
                refuse(decision, TOO_MANY_ACCOUNTS)
                return 0
            target.account = account_at(self.store, target.slot)
            target.account[0] = target.new_account
        if target.medium == &target.new_medium:
            medium = new_medium(self.store, command.token)
            if medium == NULL:
                refuse(decision, TOO_MANY_MEDIA)
                return 0
            medium[0] = target.new_medium
            target.medium = medium
        return 0

    cdef int record_target(self, Command* command, Target* target, RecordHead* head, uint64_t position) except -1:
        cdef Account nothing
        cdef const Account* before = undo_last_account(self.store)
        if command.op == OP_ACCOUNT_OPEN:
            memset(&nothing, 0, sizeof(Account))
            before = &nothing
        if is_cell_command(command.op) or is_wallet_command(command.op):
            if keep_cells(self.store, self.open_group(), head, target.account, &self.extras) != 0:
                raise MemoryError
        target.account.version += 1
        target.account.position = position
        record_account(self.open_group(), head, target.slot, before, target.account)
        if target.medium != NULL:
            target.medium.account_slot = target.slot
            target.medium.version += 1
            record_item(self.open_group(), head, ITEM_MEDIUM, 0, 0, target.medium, sizeof(Medium))
            if command.op == OP_MEDIUM_STATE:
                self.denylist_version += 1
                head.denylist_version = <uint32_t> self.denylist_version
        return 0

    cdef uint64_t free_account_id(self) noexcept:
        cdef uint64_t account_id = self.store.account_count + 1
        while find_account(self.store, account_id) != 0:
            account_id += 1
        return account_id

    def expire(self, int64_t now_us) -> None:
        """Let the table of operations drop what is older than the horizon. Cost: constant; once a minute is enough."""
        operations_expire(self.store, now_us - self.limits.horizon_us)

    # --- out ----------------------------------------------------------------------------------------------------

    def seal(self, int64_t ts_us, bytes previous_hash not None):
        """Close the open group and open the next; returns the bytes to make durable, None when there are no records.

        Either way commit() or abort() has to follow. The memoryview is valid until then. `begin_next` says where the
        next group goes and must be called before anything is fed.
        """
        cdef Group* group = self.open_group()
        cdef GroupHead* head = <GroupHead*> group.bytes
        cdef uint64_t limits_key = self.book.c.limits.key if self.book.c.limits != NULL else 0
        if self.writing:
            raise ValueError("a group is being written already")
        self.take_limits()
        self.writing = True
        self.open_log = 1 - self.open_log
        undo_use(self.store, self.open_log)
        group_reset(self.open_group(), group.position, group.first_seq + group.record_count)
        self.sealed_denylist_version = self.denylist_version
        if group.record_count == 0:
            return None
        memset(head, 0, sizeof(GroupHead))
        head.magic = GROUP_MAGIC
        head.format = 1
        head.head_bytes = GROUP_HEAD_BYTES
        head.position = group.position
        head.body_bytes = <uint32_t> (group.used - GROUP_HEAD_BYTES)
        head.record_count = group.record_count
        head.first_seq = group.first_seq
        head.ts_us = ts_us
        head.fare_total_minor = group.fare_total_minor
        head.amount_total_minor = group.amount_total_minor
        head.engine_version = ENGINE_VERSION
        head.struct_version = FAREGATE_STRUCT_VERSION
        head.denylist_version = self.denylist_version
        head.limits_key = limits_key
        memcpy(head.previous_hash, PyBytes_AS_STRING(previous_hash), 32)
        head.crc32c = crc32c_update(0, group.bytes, group.used)
        return PyMemoryView_FromMemory(<char*> group.bytes, group.used, 0x100)

    def begin_next(self, uint64_t position) -> None:
        """Say where the group after the sealed one stands (journal.place)."""
        if self.open_group().record_count or self.open_group().pending_count:
            raise ValueError("the open group has begun")
        self.open_group().position = position

    def commit(self, int64_t mono_us) -> list:
        """The sealed group is durable: write its answers; returns the sessions that have output now."""
        cdef Group* group = &self.groups[1 - self.open_log]
        cdef list dirty = []
        cdef uint32_t i
        cdef Pending* pending
        cdef Session session
        if not self.writing:
            raise ValueError("no group is being written")
        for i in range(group.pending_count):
            pending = &group.pending[i]
            session = <Session> <PyObject*> pending.session
            if not session.closed:
                self.write_reply(session, pending.reply_type, pending.request_counter,
                                 group.answers + pending.first_answer, pending.answer_count)
                if not session.queued:
                    session.queued = True
                    dirty.append(session)
            self.note_latency(mono_us - pending.received_us, pending.answer_count)
            Py_DECREF(session)
        group.pending_count = 0
        group.answer_count = 0
        undo_forget(self.store, 1 - self.open_log)
        self.durable_denylist_version = self.sealed_denylist_version
        self.writing = False
        return dirty

    def abort(self) -> list:
        """The sealed group could not be written: put memory back to before it, and before the open one.

        Returns (session, request counter) of every request that is left without an answer.
        """
        cdef Group* sealed = &self.groups[1 - self.open_log]
        cdef list left = []
        if not self.writing:
            raise ValueError("no group is being written")
        left += self.drop_pending(sealed)
        left += self.drop_pending(self.open_group())
        undo_restore(self.store, self.open_log)
        undo_restore(self.store, 1 - self.open_log)
        group_reset(self.open_group(), sealed.position, sealed.first_seq)
        self.denylist_version = self.durable_denylist_version
        self.writing = False
        return left

    def abandon(self) -> None:
        """Let go of everybody who waits, without an answer: what the end of the process does.

        For simulators that drop a whole gateway; the engine is of no use afterwards.
        """
        self.drop_pending(&self.groups[0])
        self.drop_pending(&self.groups[1])

    cdef list drop_pending(self, Group* group):
        cdef list left = []
        cdef uint32_t i
        cdef Session session
        for i in range(group.pending_count):
            session = <Session> <PyObject*> group.pending[i].session
            left.append((session, group.pending[i].request_counter))
            Py_DECREF(session)
        group.pending_count = 0
        group.answer_count = 0
        return left

    cdef int write_reply(self, Session session, uint32_t type, uint64_t counter, const Answer* answers,
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
