# Undoing taps; cimport it through _core.
from fastpath._layout cimport Account, Decision, Period, Tap
from fastpath._tariff cimport TariffBook

# Undo the tap named by original.device/boot/seq (original.kind, .stop, .now_us filled too): the
# money comes back always (fare_minor < 0), the journey when it is still the account's last accepted
# tap, else RULE_MONEY_ONLY is set and fare_minor/subsidy_minor of `charged` say what to give back.
# The caller sees to it that a tap is undone once.
cdef void decide_reversal(const TariffBook* book, Account* account, Period* medium_period,
                          const Tap* original, const Decision* charged,
                          Decision* out) noexcept nogil
