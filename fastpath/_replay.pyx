"""History decided again: an account's fares brought forward tap by tap, with the compiled core.

For re-rating (gateway/rerating). Only what fares depend on is kept: journey, periods, last tap and
the cells of fares. A tap is decided as it was sent, at the instant its fare is computed for, with
money enough and in good standing; one that would be refused in its new place all the same is taken
as made and let through.
"""

import cython
from collections import namedtuple

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fastpath._cell_commands cimport decide_cell_command
from fastpath._core cimport decide_tap, wants_extras, wants_medium_period
from fastpath._extras cimport EXTRA_CELLS, Extras
from fastpath._layout cimport (
    ACCOUNT_LINES, CELL_MEDIUM_PERIOD, JOURNEY_OPEN, LINE_BYTES, MEDIUM_ACTIVE, TAP_DEVICE_OPENED,
    REASON_BUSY, TAP_OFFLINE, TAP_SERVICE_DESK, TOKEN_BYTES, Account, Cell, Command, Decision, Medium, Period, Tap,
)
from fastpath._tariff cimport Book

Replayed = namedtuple("Replayed", "reason rules fare_minor nominal_minor tariff_key other_stop acts")
"""What a tap costs in its place in history. acts: as in Item.ACTS."""

cdef enum:
    FARE_LINES_BYTES = 2 * LINE_BYTES


@cython.final
cdef class Replay:
    """The fares of one account. Thread: one at a time."""

    cdef Account account
    cdef Extras extras

    def __init__(self, bytes account not None, list cells not None, uint32_t room):
        """Args: account: its four lines; cells: those of fares, in the order they were made; room:
        how many more it may get.
        """
        cdef bytes image
        if PyBytes_GET_SIZE(account) != ACCOUNT_LINES * LINE_BYTES or len(cells) > EXTRA_CELLS:
            raise ValueError(f"an account has four lines and at most {EXTRA_CELLS} cells of fares")
        memcpy(&self.account, PyBytes_AS_STRING(account), sizeof(Account))
        self.account.status = 0
        self.account.credit_limit_minor = self.account.held_minor = 0
        memset(&self.extras, 0, sizeof(Extras))
        for image in cells:
            if PyBytes_GET_SIZE(image) != sizeof(Cell):
                raise ValueError("a cell has 64 bytes")
            memcpy(&self.extras.cells[self.extras.count], PyBytes_AS_STRING(image), sizeof(Cell))
            self.extras.cells[self.extras.count].next = 0
            self.extras.count += 1
        self.extras.room = min(room, <uint32_t> EXTRA_CELLS - self.extras.count)

    @property
    def is_open(self):
        """Whether a journey is open."""
        return self.account.journey_state == JOURNEY_OPEN

    @property
    def lines(self):
        """Account lines 1 and 2."""
        return PyBytes_FromStringAndSize(<const char*> &self.account + LINE_BYTES, FARE_LINES_BYTES)

    @property
    def cells(self):
        """The cells of fares, in the order they were made."""
        return [PyBytes_FromStringAndSize(<const char*> &self.extras.cells[i], sizeof(Cell))
                for i in range(self.extras.count)]

    def set_category(self, uint8_t category):
        """The account's rider category from now on."""
        self.account.rider_category = category

    def command(self, uint8_t op, *, int64_t now_us, uint8_t rider_category=0, int64_t from_us=0,
                int64_t until_us=0, uint32_t pass_id=0, int32_t rides=0):
        """A command on passes or concessions, without its money; the reason."""
        cdef Command command
        cdef Decision out
        memset(&command, 0, sizeof(Command))
        command.op, command.now_us, command.rider_category = op, now_us, rider_category
        command.from_us, command.expires_us = from_us, until_us
        command.pass_id, command.rides = pass_id, rides
        command.horizon_us = now_us    # what was refunded stays
        decide_cell_command(&self.account, &self.extras, NULL, NULL, &command, &out)
        self.drop_blanks()
        return out.reason

    def tap(self, Book book not None, *, uint8_t kind, uint32_t stop, int64_t at_us, bytes token not None,
            uint8_t medium_kind, uint8_t tariff_slot, uint8_t network, uint32_t distance_m=0,
            int64_t amount_minor=-1, uint32_t flags=0, uint64_t device=0, uint64_t boot=0, uint32_t seq=0):
        """One accepted tap in its turn. amount_minor: named by the device, -1 = none."""
        cdef Medium medium
        cdef Tap event
        cdef Decision out
        if PyBytes_GET_SIZE(token) != TOKEN_BYTES:
            raise ValueError("a token has 16 bytes")
        memset(&medium, 0, sizeof(Medium))
        memset(&event, 0, sizeof(Tap))
        memcpy(medium.token, PyBytes_AS_STRING(token), TOKEN_BYTES)
        memcpy(event.token, PyBytes_AS_STRING(token), TOKEN_BYTES)
        medium.state, medium.kind = MEDIUM_ACTIVE, medium_kind
        event.kind, event.stop, event.medium_kind = kind, stop, medium_kind
        event.device_ts_us = event.now_us = at_us
        event.device, event.boot, event.seq = device, boot, seq
        event.tariff_slot, event.network_plus_1 = tariff_slot, network + 1
        event.distance_m, event.amount_minor = distance_m, amount_minor
        event.flags = flags & (TAP_OFFLINE | TAP_DEVICE_OPENED | TAP_SERVICE_DESK)
        self.decide(book, &medium, &event, &out)
        if out.reason >= REASON_BUSY:
            event.flags |= TAP_OFFLINE | TAP_DEVICE_OPENED
            self.decide(book, &medium, &event, &out)
        acts = tuple(out.acts[i] for i in range(out.act_count))
        return Replayed(out.reason, out.rules, out.fare_minor, out.nominal_minor, out.tariff_key,
                        out.other_stop, acts)

    cdef int decide(self, Book book, const Medium* medium, const Tap* event, Decision* out) except -1:
        cdef Period blank
        cdef Period* period = NULL
        cdef Cell* kept = NULL
        cdef bint of_medium = wants_medium_period(&book.c, event)
        cdef uint64_t key
        self.account.balance_minor, self.account.subsidy_minor = <int64_t> 1 << 40, 0
        memset(&blank, 0, sizeof(Period))
        memcpy(&key, event.token, sizeof(key))
        if of_medium:
            kept = self.find_period(key)
            period = &kept.period if kept != NULL else &blank
        if of_medium and kept == NULL and self.extras.room > 0:
            kept = self.lay_out_period(key)      # as the engine: room for it is set aside first
            period = &kept.period
        if wants_extras(&book.c, &self.account, event, &self.extras.owner):
            decide_tap(&book.c, medium, &self.account, period, &self.extras, event, out)
        else:
            decide_tap(&book.c, medium, &self.account, period, NULL, event, out)
        self.drop_blanks()
        return 0

    cdef Cell* find_period(self, uint64_t key) noexcept:
        cdef uint32_t i
        for i in range(self.extras.count):
            if self.extras.cells[i].type == CELL_MEDIUM_PERIOD and self.extras.cells[i].key == key:
                return &self.extras.cells[i]
        return NULL

    cdef Cell* lay_out_period(self, uint64_t key) noexcept:
        cdef Cell* cell = &self.extras.cells[self.extras.count]
        memset(cell, 0, sizeof(Cell))
        cell.type, cell.key = CELL_MEDIUM_PERIOD, key
        self.extras.count += 1
        self.extras.room -= 1
        return cell

    # Cells that were freed, and those of media that counted nothing: room again.
    cdef void drop_blanks(self) noexcept:
        cdef Period nothing
        cdef const Cell* cell
        cdef uint32_t i = 0
        memset(&nothing, 0, sizeof(Period))
        while i < self.extras.count:
            cell = &self.extras.cells[i]
            if cell.type == 0 or (cell.type == CELL_MEDIUM_PERIOD
                                  and memcmp(&cell.period, &nothing, sizeof(Period)) == 0):
                self.extras.count -= 1
                self.extras.room += 1
                self.move_down(i)
            else:
                i += 1

    cdef void move_down(self, uint32_t hole) noexcept:
        cdef uint32_t i
        for i in range(hole, self.extras.count):
            self.extras.cells[i] = self.extras.cells[i + 1]
