# What stands beside the account while a tap is decided: found before, kept after it was accepted.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fastpath._accounts cimport cell_at, undo_save_cell
from fastpath._cells cimport cells_free, gather_cells, keep_cells, place_cell
from fastpath._core cimport wants_extras, wants_medium_period, wants_undo_extras
from fastpath._engine_state cimport EngineState, open_group
from fastpath._extras cimport Extras
from fastpath._group cimport record_item
from fastpath._layout cimport (
    CELL_MEDIUM_PERIOD, ITEM_CELL, Account, Cell, Decision, Period, RecordHead, Tap,
)

cdef inline uint64_t cell_key(const uint8_t* token) noexcept nogil:
    cdef uint64_t key
    memcpy(&key, token, 8)
    return key


# Where a decision finds what stands beside the account: the running totals of a medium, in its cell or in a blank that
# becomes one if it is written to; and copies of other cells.
cdef struct Places:
    uint32_t cell              # 0 = none yet
    Period blank
    Period* period             # NULL = the account's own period counts
    Extras* extras             # NULL = the tariff looks at none


cdef inline bint find_period(EngineState engine, Account* account, const Tap* tap, Places* places) except? False:
    """Find where a medium's totals stand, if the tariff wants them; False = no room for one more cell."""
    cdef uint32_t index
    cdef Cell* cell
    if account == NULL or not wants_medium_period(&engine.book.c, tap):
        return True
    index = account.first_cell
    while index != 0:
        cell = cell_at(engine.store, index)
        if cell.type == CELL_MEDIUM_PERIOD and cell.key == cell_key(tap.token):
            if undo_save_cell(engine.store, index) != 0:
                raise MemoryError
            places.cell = index
            places.period = &cell.period
            return True
        index = cell.next
    places.period = &places.blank
    return cells_free(engine.store, account, engine.limits.cells_per_account) > 0


cdef inline void find_cells(EngineState engine, Account* account, const Tap* tap, Places* places) noexcept:
    """Copy the cells that tariff or funding look at; a blank period has its place already."""
    cdef uint64_t owner = 0
    if not wants_extras(&engine.book.c, account, tap, &owner) and (account == NULL or account.first_cell == 0):
        return
    gather_cells(engine.store, account, owner, engine.limits.cells_per_account, &engine.extras)
    if places.period == &places.blank and engine.extras.room > 0:
        engine.extras.room -= 1
    places.extras = &engine.extras


cdef inline void find_undo_cells(EngineState engine, Account* account, const Tap* undone,
                                 const Decision* charged, Places* places) noexcept:
    """Copy the cells that the tariff of a ride looked at, and the purses that paid."""
    cdef uint64_t owner = 0
    if wants_undo_extras(&engine.book.c, undone, charged, &owner) or account.first_cell != 0:
        gather_cells(engine.store, account, owner, engine.limits.cells_per_account, &engine.extras)
        places.extras = &engine.extras


cdef inline int keep_period(EngineState engine, RecordHead* head, Account* account, const Tap* tap,
                            Places* places) except -1:
    """Write the cell of a medium's totals into the record; make it first if the decision filled a blank."""
    cdef Period nothing
    cdef Cell* cell
    memset(&nothing, 0, sizeof(Period))
    if places.cell == 0:
        if places.period == NULL or memcmp(&places.blank, &nothing, sizeof(Period)) == 0:
            return 0
        places.cell = place_cell(engine.store, account)
        if places.cell == 0:
            raise MemoryError
        cell = cell_at(engine.store, places.cell)
        cell.type = CELL_MEDIUM_PERIOD
        cell.key = cell_key(tap.token)
        cell.period = places.blank
    record_item(open_group(engine), head, ITEM_CELL, 0, places.cell, cell_at(engine.store, places.cell), sizeof(Cell))
    return 0


cdef inline int keep_places(EngineState engine, RecordHead* head, Account* account, const Tap* tap,
                            Places* places) except -1:
    """What an accepted tap changed beside the account."""
    keep_period(engine, head, account, tap, places)
    if places.extras != NULL and keep_cells(engine.store, open_group(engine), head, account, places.extras) != 0:
        raise MemoryError
    return 0
