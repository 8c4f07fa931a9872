"""The engine: frames of authenticated sessions in, journal records and answers out.

One loop turn: `feed` any number of times -> `seal` -> (journal append, outside) -> `commit` or `abort`. No I/O and no
clock here: instants come in as arguments, records that are already durable are fetched through `read_record`.
Nothing is told to anybody before `commit`; `abort` puts memory back to what it was.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath._accounts cimport (
    find_operation, operations_expire, undo_forget, undo_restore, undo_use,
)
from fastpath._buffer cimport buffer_append, buffer_consume
from fastpath._engine_commands cimport carry_out
from fastpath._engine_frames cimport (
    FED_BUSY, FED_EVENTS, FED_FATAL, FED_FULL, FED_HALF, FED_READY, FED_WAITING, TURN_TAPS_FREE,
    read_frames,
)
from fastpath._engine_replies cimport write_reply
from fastpath._engine_state cimport (
    EngineState, find_record, has_room, is_waiting, note_latency, open_group,
)
from fastpath._group cimport GROUP_HEAD_BYTES, Group, Pending, group_reset
from fastpath._journal cimport crc32c_update
from fastpath._layout cimport FAREGATE_STRUCT_VERSION, GROUP_MAGIC, GroupHead, RecordHead
from fastpath._limit_book cimport LimitBook
from fastpath._session cimport Session

cimport cython

from fastpath.types import ENGINE_VERSION

FED = {"waiting": FED_WAITING, "events": FED_EVENTS, "fatal": FED_FATAL, "full": FED_FULL, "ready": FED_READY,
       "half": FED_HALF, "busy": FED_BUSY}


@cython.final
cdef class Engine(EngineState):
    """Decide, remember, record. Thread: one; the group being written is only read by whoever writes it.

    Args: read_record(position) returns the bytes of a durable record (head and items) or raises; page is a writable
        int64 buffer; page_slots are the first slots for (taps [op][reason], commands [reason], latency [bucket],
        latency sum, repeats, frame errors [code]), as in gateway.observability.page; waiting_max bounds the taps that
        wait while a group is being written, turn_max_us how long one turn may decide (`end_turn`).
    """

    # --- where we are -------------------------------------------------------------------------------------------

    def begin(self, uint64_t position, uint64_t seq, *, uint64_t denylist_version=0) -> None:
        """Say where the next group stands. Only between groups, at start."""
        group_reset(open_group(self), position, seq)
        self.denylist_version = denylist_version
        self.durable_denylist_version = denylist_version

    def set_limits(self, LimitBook limits) -> None:
        """Use other limits of identity tiers (None = none) from the next group on.

        Every group names the limits of all its decisions; an open one that is empty begins with the new ones.
        """
        self.next_limits = limits
        self.has_next_limits = True
        if open_group(self).record_count == 0:
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
        return is_waiting(self)

    @property
    def record_count(self) -> int:
        """Records in the open group."""
        return open_group(self).record_count

    @property
    def open_end(self) -> int:
        """Journal address just behind the open group as it is now."""
        return open_group(self).position + open_group(self).used

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
        used = read_frames(self, session, at, size, mono_us, &fed)
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
        return fed | (FED_WAITING if is_waiting(self) else 0)

    # --- what is told and noted ----------------------------------------------------------------------------------

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

    def note_write(self, int64_t duration_us, uint32_t records, bint overlapped=False) -> None:
        """How long the write of a group took: the taps of a turn wait for it too, and large groups take longer.

        A single slow one counts for little. Small groups say nothing about the size. overlapped: what was decided since
        the group was sealed was decided while it was written, and nobody waited for that twice.
        """
        cdef int64_t each_ns
        if records < TURN_TAPS_FREE:
            return
        if overlapped:
            duration_us -= self.spent_us + (self.mono_us - self.turn_began_us if self.turn_began_us else 0)
            duration_us = max(duration_us, 0)
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

    # --- commands of the control plane --------------------------------------------------------------------------

    def command(self, operation, asked, int64_t now_us) -> tuple:
        """Carry out one command; returns (record head bytes, journal position or 0, whether it was a repeat).

        Args: operation: an OperationId; asked: a Command (fastpath.commands); now_us: UTC microseconds.
        The result holds once the open group has been committed. Raises BufferError: the group is full, commit first;
        ValueError: the arguments do not fit the record. A refusal is a value (reason in the head).
        """
        if not has_room(self, 2):
            raise BufferError("the open group is full")
        return carry_out(self, operation, asked, now_us)

    def operation(self, operation) -> tuple:
        """(record head, journal position) of an operation (an OperationId), (None, 0) when it is not known."""
        cdef uint64_t client
        cdef uint64_t id_high
        cdef uint64_t id_low
        cdef uint64_t position
        cdef const RecordHead* head
        client, id_high, id_low = operation
        position = find_operation(self.store, client, id_high, id_low)
        head = find_record(self, position) if position != 0 else NULL
        if head == NULL:
            return None, 0
        return PyBytes_FromStringAndSize(<const char*> head, sizeof(RecordHead)), position

    def expire(self, int64_t now_us) -> None:
        """Let the table of operations drop what is older than the horizon. Cost: constant; once a minute is enough."""
        operations_expire(self.store, now_us - self.limits.horizon_us)

    # --- out ----------------------------------------------------------------------------------------------------

    def seal(self, int64_t ts_us, bytes previous_hash not None):
        """Close the open group and open the next; returns the bytes to make durable, None when there are no records.

        Either way commit() or abort() has to follow. The memoryview is valid until then. `begin_next` says where the
        next group goes and must be called before anything is fed.
        """
        cdef Group* group = open_group(self)
        cdef GroupHead* head = <GroupHead*> group.bytes
        cdef uint64_t limits_key = self.book.c.limits.key if self.book.c.limits != NULL else 0
        if self.writing:
            raise ValueError("a group is being written already")
        self.take_limits()
        self.writing = True
        self.open_log = 1 - self.open_log
        undo_use(self.store, self.open_log)
        group_reset(open_group(self), group.position, group.first_seq + group.record_count)
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
        if open_group(self).record_count or open_group(self).pending_count:
            raise ValueError("the open group has begun")
        open_group(self).position = position

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
                write_reply(session, pending.reply_type, pending.request_counter,
                            group.answers + pending.first_answer, pending.answer_count)
                if not session.queued:
                    session.queued = True
                    dirty.append(session)
            note_latency(self, mono_us - pending.received_us, pending.answer_count)
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
        left += self.drop_pending(open_group(self))
        undo_restore(self.store, self.open_log)
        undo_restore(self.store, 1 - self.open_log)
        group_reset(open_group(self), sealed.position, sealed.first_seq)
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
