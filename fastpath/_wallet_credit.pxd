# Tier, late state, instalment plans and debts given up; cimport them through _wallet.
from fastpath._wallet cimport WalletCase

cdef int decide_credit_command(WalletCase* case) noexcept nogil
