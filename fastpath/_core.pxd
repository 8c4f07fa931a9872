# The decision functions: C structs in, C structs out. No Python object, no clock, no randomness, no allocation.
# Preconditions: instants lie within +-2^61 us, each amount of an account within +-2^60 (decisions keep it so).
from libc.stdint cimport uint32_t

from fastpath._layout cimport Account, Command, Decision, Medium, Period, Tap
from fastpath._tariff cimport TariffBook

# Decide one tap. `medium` and `account` may be NULL (unknown token). `medium_period` may be NULL; it is used instead of
# account.period when the tariff's cap owner is the medium. An accepted tap changes *account (and the period), a refused
# one changes nothing. account.version and account.position are the caller's.
cdef void decide_tap(const TariffBook* book, const Medium* medium, Account* account, Period* medium_period,
                     const Tap* tap, Decision* out) noexcept nogil

# Undo the tap named by original.device/boot/seq (original.kind, .stop, .now_us filled too): the money comes back always
# (fare_minor < 0), the journey when it is still the account's last accepted tap, else RULE_MONEY_ONLY is set and
# fare_minor/subsidy_minor of `charged` say what to give back.
cdef void decide_reversal(const TariffBook* book, Account* account, Period* medium_period, const Tap* original,
                          const Decision* charged, Decision* out) noexcept nogil

# Decide one command of the control plane on an account (zeroed, with its id set, for ACCOUNT_OPEN) and, for medium
# commands, a medium (zeroed, with its token set, for MEDIUM_LINK of an unknown token). `slot` is the account's: the core
# compares it with medium.account_slot and never writes that, medium.version, account.version or account.position.
cdef void decide_command(Account* account, uint32_t slot, Medium* medium, const Command* command,
                         Decision* out) noexcept nogil

# Whether a tap of this slot and time needs the medium's own period.
cdef bint wants_medium_period(const TariffBook* book, const Tap* tap) noexcept nogil
