# What a decision needs of an account beyond its four lines: copies of its extension cells.
#
# The caller copies the cells in (gather), the decision changes the copies or adds new ones, and only
# when the tap is accepted does the caller write back what changed. So nothing has to be undone.
from libc.stdint cimport uint32_t, uint64_t

from fastpath._layout cimport Cell

cdef enum:
    EXTRA_CELLS = 32

cdef struct Extras:
    uint64_t owner                 # key of chain and counters: the medium's, 0 = the account's
    uint32_t count                 # cells filled
    uint32_t room                  # how many more cells the account may get
    uint32_t wallet                # cells of purses and plans among them: they decide what pays
    uint32_t index[EXTRA_CELLS]    # where the cell stands in the store, 0 = new
    Cell cells[EXTRA_CELLS]
