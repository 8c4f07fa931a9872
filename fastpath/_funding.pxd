# Which money pays, and which gets it back: the funding order of docs/wallet.md
# (fastpath/reference_funding.py is the specification). `extras` may be NULL: no further purses.
from libc.stdint cimport int64_t, uint8_t

from fastpath._extras cimport Extras
from fastpath._layout cimport Account, Decision, Parts, Purse

cdef enum:
    SUBSIDY_ID = 1             # the inline purse: for transit, priority 10, for ever

# Whether nothing is drawn from a purse any more.
cdef bint has_ended(const Purse* purse, int64_t at_us) noexcept nogil
# What further purses and the subsidy can pay.
cdef int64_t purses_left(const Account* account, const Extras* extras, uint8_t purpose,
                         int64_t at_us) noexcept nogil
# What main purse and credit line can pay; a late line only for the way home.
cdef int64_t main_left(const Account* account, const Extras* extras,
                       bint is_way_home) noexcept nogil
# OK, CREDIT_LATE or INSUFFICIENT_BALANCE, with purses paying `purses_minor`.
cdef int find_funds_fault(const Account* account, const Extras* extras, int64_t amount_minor,
                          int64_t purses_minor, bint is_way_home) noexcept nogil
# Take an amount, the main purse last; fills subsidy_minor and parts. Returns the main purse's part.
cdef int64_t draw_funds(Account* account, Extras* extras, uint8_t purpose, int64_t amount_minor,
                        int64_t at_us, Decision* out) noexcept nogil
# Of `parts`, those that go back where they came from; returns what has to go to the main purse.
cdef int64_t split_parts(Extras* extras, const Parts* parts, uint8_t part_count, int64_t at_us,
                         Decision* out) noexcept nogil
# Put out.parts back into purses; False = one would hold too much, and nothing has changed.
cdef bint put_parts(Extras* extras, const Decision* out) noexcept nogil
