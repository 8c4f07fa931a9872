# What undoing a tap does to counters, passes and chain (docs/fares.md, "Reversals").
from fastpath._extras cimport Extras
from fastpath._layout cimport Account, Decision, Tap
from fastpath._tariff cimport TariffBook, TariffC

# Whether the tariff made a leg of this tap that counts: towards the month too, if it is not a
# device's own amount.
cdef bint was_counted(const TariffC* tariff, const Decision* charged) noexcept nogil
# Precondition: extras are those of the tariff's owner, the account's journey is not restored yet.
cdef void undo_cells(const TariffBook* book, const TariffC* tariff, const Account* account,
                     Extras* extras, const Tap* original, const Decision* charged,
                     bint is_whole) noexcept nogil
