# The decision functions: C structs in, C structs out. No Python object, no clock, no randomness, no
# allocation. Preconditions: instants lie within +-2^61 us, each amount of an account within +-2^60
# (decisions keep it so).
from libc.stdint cimport uint8_t, uint64_t

from fastpath._commands cimport decide_command, decide_move
from fastpath._extras cimport Extras
from fastpath._layout cimport Account, Decision, Medium, Period, Tap
from fastpath._reversal cimport decide_reversal, wants_undo_extras
from fastpath._tariff cimport TariffBook

# Decide one tap. `medium` and `account` may be NULL (unknown token). `medium_period` may be NULL;
# it is used instead of account.period when the tariff's cap owner is the medium. `extras` may be
# NULL: a tariff with layers then prices the leg as for an account without cells and keeps none.
# An accepted tap changes *account (and the period, and the copies in *extras), a refused one
# changes nothing. account.version and account.position are the caller's. When a new cell is needed
# and extras has no room the tap is refused with too_many_cells.
cdef void decide_tap(const TariffBook* book, const Medium* medium, Account* account,
                     Period* medium_period, Extras* extras, const Tap* tap,
                     Decision* out) noexcept nogil

# Whether a tap of this slot and time needs the medium's own period.
cdef bint wants_medium_period(const TariffBook* book, const Tap* tap) noexcept nogil

# Whether the tariff that will price this tap has layers, or the account's tier limits: the caller
# then gathers the account's cells. *owner = key of chain and counters: 0, or the first 8 bytes of the
# token when the tariff counts by medium. Cells to gather: CELL_COUNTERS, CELL_CHAIN, CELL_CHAIN_BEFORE
# with that key, and every CELL_PASS, CELL_CONCESSION and CELL_LIMITS, in the order they were made.
cdef bint wants_extras(const TariffBook* book, const Account* account, const Tap* tap,
                       uint64_t* owner) noexcept nogil

# The network of a tap's line in the tariff that would price it: what a refusal's record keeps.
cdef uint8_t find_network(const TariffBook* book, const Account* account,
                          const Tap* tap) noexcept nogil
