# Finding and making cells among the copies that a decision is handed.
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from fastpath._extras cimport EXTRA_CELLS, Extras
from fastpath._layout cimport Cell


# A new cell of the owner, NULL = no room.
cdef inline Cell* new_cell(Extras* extras, uint8_t type) noexcept nogil:
    cdef Cell* cell
    if extras == NULL or extras.room == 0 or extras.count >= EXTRA_CELLS:
        return NULL
    cell = &extras.cells[extras.count]
    memset(cell, 0, sizeof(Cell))
    cell.type = type
    cell.key = extras.owner
    extras.index[extras.count] = 0
    extras.count += 1
    extras.room -= 1
    return cell
