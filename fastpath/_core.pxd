# The decision functions: C structs in, C structs out. No Python object, no clock, no randomness, no
# allocation. Preconditions: instants lie within +-2^61 us, each amount of an account within +-2^60
# (decisions keep it so).
from fastpath._commands cimport decide_command
from fastpath._layout cimport Account, Decision, Medium, Period, Tap
from fastpath._reversal cimport decide_reversal
from fastpath._tariff cimport TariffBook

# Decide one tap. `medium` and `account` may be NULL (unknown token). `medium_period` may be NULL;
# it is used instead of account.period when the tariff's cap owner is the medium. An accepted tap
# changes *account (and the period), a refused one changes nothing. account.version and
# account.position are the caller's.
cdef void decide_tap(const TariffBook* book, const Medium* medium, Account* account,
                     Period* medium_period, const Tap* tap, Decision* out) noexcept nogil

# Whether a tap of this slot and time needs the medium's own period.
cdef bint wants_medium_period(const TariffBook* book, const Tap* tap) noexcept nogil
