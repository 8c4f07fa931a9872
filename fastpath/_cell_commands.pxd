# Commands of the control plane that change an account's extension cells: passes, concessions,
# re-rating.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastpath._extras cimport EXTRA_CELLS, Extras
from fastpath._layout cimport LINE_BYTES, Account, Cell, Command, Decision
from fastpath._limits cimport LimitsC

# What a re-rating puts in place of what is there.
cdef struct Rerate:
    uint8_t lines[2 * LINE_BYTES]  # account lines 1 and 2; first_cell is not taken from here
    uint32_t cell_count
    Cell cells[EXTRA_CELLS]        # counters, chains, medium periods: all that the account has

cdef bint is_cell_command(uint8_t op) noexcept nogil

# The cell of this type and key, NULL = none.
cdef Cell* find_cell(Extras* extras, uint8_t type, uint64_t key) noexcept nogil
# A blank one for something new: in place of one that is over, or one more; NULL = no room.
cdef Cell* blank_cell(Extras* extras, uint8_t type, uint64_t key,
                      const Command* command) noexcept nogil
cdef void free_cell(Cell* cell) noexcept nogil

# Decide one such command. `extras` holds every cell of the account (NULL: none and
# no room), `rerate` may be NULL for other operations, `limits` of identity tiers (NULL: none).
# Refused: nothing is changed. account.version and account.position are the caller's.
cdef void decide_cell_command(Account* account, Extras* extras, const Rerate* rerate,
                              const LimitsC* limits, const Command* command,
                              Decision* out) noexcept nogil
