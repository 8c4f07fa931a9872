"""Python faces of the C decisions, for tests, audits and benchmarks; the tap path never comes here.

Structs come and go as dicts with the field names of layout.h. What a decision changed is returned,
not written back.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy, memset
from posix.time cimport CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

from fastpath._accounts_memory cimport faregate_prefetch
from fastpath._cell_commands cimport Rerate, decide_cell_command
from fastpath._core cimport (
    decide_command, decide_move, decide_reversal, decide_tap, wants_extras, wants_medium_period,
)
from fastpath._extras cimport EXTRA_CELLS, Extras
from fastpath._layout cimport (
    ACCOUNT_LINES, CELL_PASS, CELL_PLAN, CELL_PURSE, KIND_CHECK_IN, KIND_CHECK_OUT, LINE_BYTES, MEDIUM_ACTIVE,
    MEDIUM_KIND_CARD, REASON_BUSY, TOKEN_BYTES, Account, Cell, Command, Decision, Medium, Period, Tap,
)
from fastpath._limit_book cimport LimitBook
from fastpath._limits cimport (
    LimitsC, check_balance_limit, check_spend, count_spend, lacks_limits_cell, uncount_spend,
)
from fastpath._tariff cimport Book, TariffBook
from fastpath._totals cimport FACTORS_AT_ONCE, scale_factors
from fastpath._wallet cimport Paid, decide_wallet_command

cdef extern from "sys/mman.h" nogil:
    int madvise(void* at, size_t size, int advice)
    enum:
        MADV_HUGEPAGE
cdef extern from "stdlib.h" nogil:
    void* aligned_alloc(size_t alignment, size_t size)

cdef extern from * nogil:
    void __builtin_prefetch(const void* at)

cdef enum:
    HUGE_PAGE_BYTES = 2097152


def tap(Book book not None, dict medium, dict account, dict period, dict event not None):
    """decide_tap: (account, medium period, decision) after it; None stands for NULL."""
    cdef Medium m
    cdef Account a
    cdef Period p
    cdef Tap t = event
    cdef Decision out
    if medium is not None:
        m = medium
    if account is not None:
        a = account
    if period is not None:
        p = period
    memset(&out, 0, sizeof(Decision))
    decide_tap(&book.c, &m if medium is not None else NULL, &a if account is not None else NULL,
               &p if period is not None else NULL, NULL, &t, &out)
    return a if account is not None else None, p if period is not None else None, out


# Cells come and go as the 64 bytes of layout.h.
cdef int fill_extras(Extras* extras, uint64_t owner, uint32_t room, list cells) except -1:
    cdef bytes image
    cdef uint32_t i
    if len(cells) > EXTRA_CELLS:
        raise ValueError(f"{len(cells)} cells, at most {EXTRA_CELLS}")
    extras.owner = owner
    extras.room = room
    extras.wallet = 0
    extras.count = len(cells)
    for i in range(extras.count):
        image = cells[i]
        if len(image) != sizeof(Cell):
            raise ValueError(f"a cell of {len(image)} bytes")
        extras.index[i] = i + 1
        memcpy(&extras.cells[i], <const char*> image, sizeof(Cell))
        extras.wallet += extras.cells[i].type == CELL_PURSE or extras.cells[i].type == CELL_PLAN
    return 0


cdef list images_of(const Extras* extras):
    return [PyBytes_FromStringAndSize(<const char*> &extras.cells[i], sizeof(Cell))
            for i in range(extras.count)]


def layered_tap(Book book not None, dict medium, dict account, dict period, dict event not None,
                uint64_t owner, uint32_t room, list cells not None):
    """decide_tap with cells: (account, medium period, cells, decision) after it."""
    cdef Medium m
    cdef Account a
    cdef Period p
    cdef Extras extras
    cdef Tap t = event
    cdef Decision out
    fill_extras(&extras, owner, room, cells)
    if medium is not None:
        m = medium
    if account is not None:
        a = account
    if period is not None:
        p = period
    memset(&out, 0, sizeof(Decision))
    decide_tap(&book.c, &m if medium is not None else NULL, &a if account is not None else NULL,
               &p if period is not None else NULL, &extras, &t, &out)
    return (a if account is not None else None, p if period is not None else None,
            images_of(&extras), out)


def layered_reversal(Book book not None, dict account, dict period, dict original not None,
                     dict charged not None, uint64_t owner, uint32_t room, list cells not None,
                     int64_t spent_us=0):
    """decide_reversal with cells: (account, medium period, cells, decision) after it."""
    cdef Account a
    cdef Period p
    cdef Extras extras
    cdef Tap t = original
    cdef Decision before = charged
    cdef Decision out
    fill_extras(&extras, owner, room, cells)
    if account is not None:
        a = account
    if period is not None:
        p = period
    decide_reversal(&book.c, &a if account is not None else NULL,
                    &p if period is not None else NULL, &extras, &t, &before, spent_us, &out)
    return (a if account is not None else None, p if period is not None else None,
            images_of(&extras), out)


def extras_owner(Book book not None, dict account, dict event not None):
    """wants_extras: the owner's key, or None."""
    cdef Account a
    cdef Tap t = event
    cdef uint64_t owner = 0
    if account is not None:
        a = account
    if not wants_extras(&book.c, &a if account is not None else NULL, &t, &owner):
        return None
    return owner


def reversal(Book book not None, dict account, dict period, dict original not None,
             dict charged not None):
    """decide_reversal: (account, medium period, decision) after it."""
    cdef Account a
    cdef Period p
    cdef Tap t = original
    cdef Decision before = charged
    cdef Decision out
    if account is not None:
        a = account
    if period is not None:
        p = period
    decide_reversal(&book.c, &a if account is not None else NULL,
                    &p if period is not None else NULL, NULL, &t, &before, 0, &out)
    return a if account is not None else None, p if period is not None else None, out


def command(dict account, uint32_t slot, dict medium, dict order not None):
    """decide_command: (account, medium, decision) after it."""
    cdef Account a
    cdef Medium m
    cdef Command c = order
    cdef Decision out
    if account is not None:
        a = account
    if medium is not None:
        m = medium
    decide_command(&a if account is not None else NULL, slot, &m if medium is not None else NULL,
                   &c, &out)
    return (a if account is not None else None, medium_fields(&m) if medium is not None else None,
            out)


# By hand: Cython takes a byte array for a C string.
cdef dict medium_fields(const Medium* m):
    return {"token": PyBytes_FromStringAndSize(<const char*> m.token, TOKEN_BYTES),
            "account_slot": m.account_slot, "kind": m.kind, "state": m.state, "version": m.version,
            "expires_us": m.expires_us}


def cell_command(dict account, dict order not None, uint32_t room, list cells not None,
                 bytes lines=None, list images=None, LimitBook limits=None):
    """decide_cell_command: (account, cells, decision) after it; lines None = no re-rating."""
    cdef Account a
    cdef Extras extras
    cdef Extras given
    cdef Rerate rerate
    cdef Command c = order
    cdef Decision out
    fill_extras(&extras, 0, room, cells)
    if lines is not None:
        fill_extras(&given, 0, 0, images or [])
        memcpy(rerate.lines, <const char*> lines, sizeof(rerate.lines))
        memcpy(rerate.cells, given.cells, given.count * sizeof(Cell))
        rerate.cell_count = given.count
    if account is not None:
        a = account
    decide_cell_command(&a if account is not None else NULL, &extras,
                        &rerate if lines is not None else NULL,
                        &limits.c if limits is not None else NULL, &c, &out)
    return a if account is not None else None, images_of(&extras), out


def limits(str what, LimitBook book, dict account not None, uint32_t room, list cells not None,
           int64_t amount_minor, int64_t at_us):
    """A function of _limits by name: (what it says, cells after it). book None = nobody has any."""
    cdef Account a = account
    cdef Extras extras
    cdef const LimitsC* c = &book.c if book is not None else NULL
    cdef int said = 0
    fill_extras(&extras, 0, room, cells)
    if what == "check_spend":
        said = check_spend(c, &a, &extras, amount_minor, at_us)
    elif what == "count_spend":
        said = count_spend(c, &a, &extras, amount_minor, at_us)
    elif what == "uncount_spend":
        uncount_spend(c, &extras, amount_minor, at_us)
    elif what == "check_balance_limit":
        said = check_balance_limit(c, &a, &extras, amount_minor, at_us)
    elif what == "lacks_limits_cell":
        said = lacks_limits_cell(c, &a, &extras, at_us)
    else:
        raise ValueError(f"no function {what}")
    return said, images_of(&extras)


def wallet_command(dict account, dict order not None, uint32_t room, list cells not None,
                   dict paid=None, LimitBook limits=None):
    """decide_wallet_command: (account, cells, decision) after it; paid None = no such charge."""
    cdef Account a
    cdef Extras extras
    cdef Paid p
    cdef Command c = order
    cdef Decision out
    fill_extras(&extras, 0, room, cells)
    if paid is not None:
        p = paid
    if account is not None:
        a = account
    decide_wallet_command(&a if account is not None else NULL, &extras,
                          &p if paid is not None else NULL,
                          &limits.c if limits is not None else NULL, &c, &out)
    return a if account is not None else None, images_of(&extras), out


def move(dict account, dict leaves, uint32_t slot, dict medium, dict order not None):
    """decide_move: its decision."""
    cdef Account a
    cdef Account b
    cdef Medium m
    cdef Command c = order
    cdef Decision out
    if account is not None:
        a = account
    if leaves is not None:
        b = leaves
    if medium is not None:
        m = medium
    decide_move(&a if account is not None else NULL, &b if leaves is not None else NULL, slot,
                &m if medium is not None else NULL, &c, &out)
    return out


def wants_period(Book book not None, dict event not None):
    """wants_medium_period."""
    cdef Tap t = event
    return wants_medium_period(&book.c, &t)


def scale(int64_t amount_ppm, list factors_ppm not None, int64_t unit_minor, int mode):
    """scale_factors; for the bounds see money.h."""
    cdef int64_t factors[FACTORS_AT_ONCE]
    cdef int i
    if len(factors_ppm) > FACTORS_AT_ONCE:
        raise ValueError(f"{len(factors_ppm)} factors, at most {FACTORS_AT_ONCE}")
    for i in range(len(factors_ppm)):
        factors[i] = factors_ppm[i]
    return scale_factors(amount_ppm, factors, len(factors_ppm), unit_minor, mode)


# --- benchmark ------------------------------------------------------------------------------------

# Of this thread: what other programs take does not count.
cdef int64_t clock_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return <int64_t> now.tv_sec * 1000000000 + now.tv_nsec


cdef struct Course:
    const TariffBook* book
    Account* accounts
    Cell* cells               # NULL = accounts have none, whatever the tariff wants
    uint32_t cell_count
    uint32_t room             # for so many
    uint64_t owner
    Medium medium             # the same for all: whoever asks for a decision has just read it
    const uint32_t* order     # a permutation of the accounts
    const uint32_t* stops     # stop ids to travel between
    uint32_t account_count
    uint32_t stop_count
    uint32_t ahead            # steps whose accounts are fetched together; 0 = none is fetched ahead
    uint32_t lag              # check-outs follow their check-ins by so many steps
    int64_t base_us
    int64_t step_us           # so that everybody rides every two hours
    uint64_t accepted
    int64_t fare_minor
    uint32_t rules            # all that acted


# As the engine does (_cells.pyx): copies of the account's chain of cells.
cdef void gather(Course* course, const Account* account, Extras* extras) noexcept nogil:
    cdef uint32_t index = account.first_cell
    cdef const Cell* cell
    extras.owner = course.owner
    extras.count = 0
    extras.wallet = 0
    while index != 0:
        cell = &course.cells[index]
        __builtin_prefetch(&course.cells[cell.next])
        extras.index[extras.count] = index
        extras.cells[extras.count] = cell[0]
        extras.count += 1
        index = cell.next
    extras.room = 8 - extras.count


# What changed, back into memory; new cells at the head of the account's chain.
cdef void keep(Course* course, Account* account, const Extras* extras) noexcept nogil:
    cdef uint32_t index
    cdef uint32_t following
    cdef uint32_t i
    for i in range(extras.count):
        index = extras.index[i]
        if index == 0:
            course.cell_count += 1
            if course.cell_count >= course.room:
                return
            index = course.cell_count
            course.cells[index].next = account.first_cell
            account.first_cell = index
            account.cell_count += 1
        elif memcmp(&course.cells[index], &extras.cells[i], sizeof(Cell)) == 0:
            continue
        following = course.cells[index].next
        course.cells[index] = extras.cells[i]
        course.cells[index].next = following


cdef void travel(Course* course, uint64_t step, uint8_t kind) noexcept nogil:
    cdef uint32_t who = course.order[step % course.account_count]
    cdef Account* account = &course.accounts[who]
    cdef Extras extras
    cdef Extras* copies = NULL
    cdef Decision out
    cdef Tap event
    memset(&event, 0, sizeof(Tap))
    event.device = 7
    event.boot = 1
    event.seq = <uint32_t> step
    event.stop = course.stops[(who + step * 7 + kind) % course.stop_count]
    event.line = 1 + who % 3
    event.kind = kind
    event.medium_kind = MEDIUM_KIND_CARD
    event.amount_minor = -1
    event.device_ts_us = course.base_us + <int64_t> step * course.step_us
    if kind == KIND_CHECK_OUT:
        event.device_ts_us += 1800000000
    event.now_us = event.device_ts_us + 50000
    if course.cells != NULL and wants_extras(course.book, account, &event, &course.owner):
        gather(course, account, &extras)
        copies = &extras
    decide_tap(course.book, &course.medium, account, NULL, copies, &event, &out)
    if copies != NULL and out.reason < REASON_BUSY:
        keep(course, account, &extras)
    course.accepted += out.reason < REASON_BUSY
    course.fare_minor += out.fare_minor
    course.rules |= out.rules


# As Engine.handle_taps does for the taps of a frame: the accounts of all of them before the first is decided.
cdef void fetch_ahead(const Course* course, uint64_t first, uint64_t count) noexcept nogil:
    cdef uint64_t step
    cdef const uint8_t* account
    cdef int line
    for step in range(first, first + count):
        account = <const uint8_t*> &course.accounts[course.order[step % course.account_count]]
        for line in range(ACCOUNT_LINES):
            faregate_prefetch(account + line * LINE_BYTES)


cdef void travel_many(Course* course, uint64_t first, uint64_t count) noexcept nogil:
    cdef uint64_t step
    for step in range(first, first + count):
        if course.ahead and (step - first) % course.ahead == 0:
            fetch_ahead(course, step, course.ahead)
            fetch_ahead(course, step - course.lag, course.ahead)
        travel(course, step, KIND_CHECK_IN)
        travel(course, step - course.lag, KIND_CHECK_OUT)


# Zeros in huge pages, where the system has them: as the store keeps its accounts.
cdef void* allocate(size_t size) noexcept nogil:
    cdef size_t whole = (size + HUGE_PAGE_BYTES - 1) // HUGE_PAGE_BYTES * HUGE_PAGE_BYTES
    cdef void* at = aligned_alloc(HUGE_PAGE_BYTES, whole)
    if at != NULL:
        madvise(at, whole, MADV_HUGEPAGE)
        memset(at, 0, whole)
    return at


# A pass for every fourth account: the first cells of the slab.
cdef void sell_passes(Course* course, uint32_t pass_id) noexcept nogil:
    cdef Cell* cell
    cdef uint32_t i
    for i in range(0, course.account_count, 4):
        course.cell_count += 1
        cell = &course.cells[course.cell_count]
        cell.type = CELL_PASS
        cell.key = pass_id
        cell.pass_.rides_left = 1
        course.accounts[i].first_cell = course.cell_count
        course.accounts[i].cell_count = 1


cdef int open_accounts(Course* course, uint16_t currency, uint32_t pass_id) except -1:
    cdef uint32_t i
    course.accounts = <Account*> allocate(course.account_count * sizeof(Account))
    if course.accounts == NULL:
        raise MemoryError
    course.medium.state = MEDIUM_ACTIVE
    for i in range(course.account_count):
        course.accounts[i].account_id = i + 1
        course.accounts[i].currency = currency
        course.accounts[i].balance_minor = 1000000
        course.accounts[i].rider_category = i % 3
    if pass_id == 0 and course.book.limits == NULL:
        return 0
    course.room = (6 if pass_id else 1) * course.account_count + 1
    course.cells = <Cell*> allocate(course.room * sizeof(Cell))
    if course.cells == NULL:
        free(course.accounts)
        raise MemoryError
    if pass_id != 0:
        sell_passes(course, pass_id)
    return 0


def bench(Book book not None, uint32_t[::1] order not None, uint32_t[::1] stops not None,
          int64_t base_us, uint64_t journeys, uint16_t currency, uint32_t pass_id=0,
          uint32_t ahead=0):
    """Let accounts travel in the given (random) order; every account is cold when its turn comes.

    Everyone rides once before the clock runs. Args: order: a permutation of range(accounts).
    pass_id: 0 = accounts have no cells but those of limits; else every fourth holds a ride of that pass, and cells are
    copied in and out as the engine does. ahead: so many steps of two taps have their accounts fetched
    before the first of them is decided, as in a frame of that many taps; 0 = each when it is its turn.
    Returns: ns of processor time taken by 2 * journeys decisions, how many were accepted, the fares charged, all
    rules that acted. Cost: 256 bytes of memory an account, 640 with cells.
    """
    cdef Course course
    cdef uint64_t step
    cdef int64_t began
    memset(&course, 0, sizeof(Course))
    course.book, course.order, course.stops = &book.c, &order[0], &stops[0]
    course.account_count, course.stop_count = len(order), len(stops)
    course.ahead = ahead
    course.lag, course.base_us = max(1, course.account_count // 2), base_us
    course.step_us = 7200000000 // course.account_count
    open_accounts(&course, currency, pass_id)
    for step in range(course.lag):
        travel(&course, step, KIND_CHECK_IN)
    travel_many(&course, course.lag, course.account_count)
    course.accepted, course.fare_minor, course.rules = 0, 0, 0
    began = clock_ns()
    travel_many(&course, course.lag + course.account_count, journeys)
    took = clock_ns() - began
    free(course.accounts)
    free(course.cells)
    return took, course.accepted, course.fare_minor, course.rules
