# Extension cells between memory and a decision: copies out (gather), what was accepted back in
# (keep): undo log, memory and record in one go.
from libc.stdint cimport uint32_t, uint64_t

from fastpath._accounts cimport Store
from fastpath._extras cimport Extras
from fastpath._group cimport Group
from fastpath._layout cimport Account, RecordHead

# The cells a tap or its reversal may need: counters and chain of `owner`, passes, concessions,
# purses, plans and limits.
cdef void gather_cells(const Store* store, const Account* account, uint64_t owner,
                       uint32_t cells_max, Extras* extras) noexcept nogil
# Every cell of the account but free ones, whosever they are: commands.
cdef void gather_all_cells(const Store* store, const Account* account, uint32_t cells_max,
                           Extras* extras) noexcept nogil
# Write back what changed, an after-image each. The account was saved for undo before. -1 = no
# memory.
cdef int keep_cells(Store* store, Group* group, RecordHead* head, Account* account,
                    const Extras* extras) noexcept nogil
# A free cell of the account, or a new one, linked and saved for undo; 0 = no memory.
cdef uint32_t place_cell(Store* store, Account* account) noexcept nogil
# How many more cells the account may get.
cdef uint32_t cells_free(const Store* store, const Account* account,
                         uint32_t cells_max) noexcept nogil
