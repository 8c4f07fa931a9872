"""Extension cells between memory and a decision (fastpath/_extras.pxd says how they travel).

A cell of type 0 is free: it stays linked to its account and is used again. No I/O, no clock, no
Python object.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from fastpath._accounts cimport Store, cell_at, new_cell, undo_save_cell
from fastpath._extras cimport EXTRA_CELLS, Extras
from fastpath._group cimport Group, record_item
from fastpath._layout cimport (
    CELL_CHAIN, CELL_CHAIN_BEFORE, CELL_CONCESSION, CELL_COUNTERS, CELL_LIMITS, CELL_PASS,
    CELL_PLAN, CELL_PURSE, CELL_SPAN, ITEM_CELL, Account, Cell, RecordHead,
)


cdef bint is_wanted(const Cell* cell, uint64_t owner) noexcept nogil:
    if (cell.type == CELL_PASS or cell.type == CELL_CONCESSION or cell.type == CELL_PURSE
            or cell.type == CELL_LIMITS or cell.type == CELL_PLAN):
        return True
    return cell.key == owner and (cell.type == CELL_COUNTERS or cell.type == CELL_CHAIN
                                  or cell.type == CELL_CHAIN_BEFORE or cell.type == CELL_SPAN)


cdef uint32_t cells_free(const Store* store, const Account* account,
                         uint32_t cells_max) noexcept nogil:
    cdef uint32_t room = cells_max - account.cell_count if cells_max > account.cell_count else 0
    cdef uint32_t index = account.first_cell
    cdef const Cell* cell
    while index != 0:
        cell = cell_at(store, index)
        room += cell.type == 0
        index = cell.next
    return room


# The chain of cells grows at its head; copies come in the order the cells were made.
cdef void gather(const Store* store, const Account* account, bint all_cells, uint64_t owner,
                 uint32_t cells_max, Extras* extras) noexcept nogil:
    cdef uint32_t found[EXTRA_CELLS]
    cdef uint32_t index = account.first_cell
    cdef uint32_t i
    cdef const Cell* cell
    extras.owner = owner
    extras.count = 0
    extras.wallet = 0
    extras.room = cells_max - account.cell_count if cells_max > account.cell_count else 0
    while index != 0 and extras.count < EXTRA_CELLS:
        cell = cell_at(store, index)
        extras.room += cell.type == 0
        if cell.type != 0 and (all_cells or is_wanted(cell, owner)):
            found[extras.count] = index
            extras.count += 1
            extras.wallet += cell.type == CELL_PURSE or cell.type == CELL_PLAN
        index = cell.next
    for i in range(extras.count):
        extras.index[i] = found[extras.count - 1 - i]
        extras.cells[i] = cell_at(store, extras.index[i])[0]
    extras.room = min(extras.room, <uint32_t> EXTRA_CELLS - extras.count)


cdef void gather_cells(const Store* store, const Account* account, uint64_t owner,
                       uint32_t cells_max, Extras* extras) noexcept nogil:
    gather(store, account, False, owner, cells_max, extras)


cdef void gather_all_cells(const Store* store, const Account* account, uint32_t cells_max,
                           Extras* extras) noexcept nogil:
    gather(store, account, True, 0, cells_max, extras)


cdef uint32_t place_cell(Store* store, Account* account) noexcept nogil:
    cdef uint32_t index = account.first_cell
    cdef Cell* cell
    while index != 0:
        cell = cell_at(store, index)
        if cell.type == 0:
            return index if undo_save_cell(store, index) == 0 else 0
        index = cell.next
    index = new_cell(store)
    if index == 0:
        return 0
    cell_at(store, index).next = account.first_cell
    account.first_cell = index
    account.cell_count += 1
    return index


cdef int keep_cells(Store* store, Group* group, RecordHead* head, Account* account,
                    const Extras* extras) noexcept nogil:
    cdef uint32_t i, index, next_index
    cdef Cell* cell
    cdef const Cell* kept
    for i in range(extras.count):
        kept = &extras.cells[i]
        index = extras.index[i]
        if index == 0:
            if kept.type == 0:
                continue
            index = place_cell(store, account)
            if index == 0:
                return -1
        elif memcmp(cell_at(store, index), kept, sizeof(Cell)) == 0:
            continue
        elif undo_save_cell(store, index) != 0:
            return -1
        cell = cell_at(store, index)
        next_index = cell.next
        cell[0] = kept[0]
        cell.next = next_index
        record_item(group, head, ITEM_CELL, 0, index, cell, sizeof(Cell))
    return 0
