"""What the parts of the engine share, made and found again."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastpath._accounts cimport StoreHandle, undo_use
from fastpath._extras cimport EXTRA_CELLS
from fastpath._group cimport (
    GROUP_HEAD_BYTES, ITEM_BYTES, RECORD_HEAD_BYTES, RECORD_ITEMS_MAX, group_find, group_free,
    group_init,
)
from fastpath._layout cimport RecordHead
from fastpath._tariff cimport Book

from fastpath.types import EngineLimits

cdef class EngineState:
    """Memory, groups and counters of one engine (Engine says what it takes)."""

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


cdef const RecordHead* find_record(EngineState engine, uint64_t position) except? NULL:
    cdef const RecordHead* head = group_find(&engine.groups[engine.open_log], position)
    if head == NULL and engine.writing:
        head = group_find(&engine.groups[1 - engine.open_log], position)
    if head == NULL:
        engine.looked_up = engine.read_record(position)
        if PyBytes_GET_SIZE(engine.looked_up) == 0:
            return NULL
        if PyBytes_GET_SIZE(engine.looked_up) < <Py_ssize_t> sizeof(RecordHead):
            raise ValueError(f"no whole record at journal position {position}")
        head = <const RecordHead*> PyBytes_AS_STRING(engine.looked_up)
    return head
