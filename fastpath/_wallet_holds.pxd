# Holds and refunds; cimport them through _wallet.
from fastpath._wallet cimport WalletCase

cdef int decide_hold_command(WalletCase* case) noexcept nogil
cdef int decide_refund(WalletCase* case) noexcept nogil
