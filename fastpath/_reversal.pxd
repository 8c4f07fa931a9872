# Undoing taps; cimport it through _core.
from libc.stdint cimport int64_t, uint64_t

from fastpath._extras cimport Extras
from fastpath._layout cimport Account, Decision, Period, Tap
from fastpath._tariff cimport TariffBook

# Undo the tap named by original.device/boot/seq (original.kind, .stop, .now_us filled too): the
# money comes back always (fare_minor < 0), the journey when it is still the account's last accepted
# tap, else RULE_MONEY_ONLY is set and fare_minor/subsidy_minor of `charged` say what to give back.
# A ride at the operator's risk needs no account: its reversal is REASON_OK_RISK again. `extras` may
# be NULL: cells stay as they are. `spent_us`: the server's instant when the tap was decided. The
# caller sees to it that a tap is undone once.
cdef void decide_reversal(const TariffBook* book, Account* account, Period* medium_period,
                          Extras* extras, const Tap* original, const Decision* charged,
                          int64_t spent_us, Decision* out) noexcept nogil

# Whether the tariff that priced a tap has layers, or limits counted it; *owner = key of the chain and counters it used.
cdef bint wants_undo_extras(const TariffBook* book, const Tap* original, const Decision* charged,
                            uint64_t* owner) noexcept nogil
