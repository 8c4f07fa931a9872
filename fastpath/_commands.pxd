# Commands of the control plane; cimport it through _core.
from libc.stdint cimport uint16_t, uint32_t

from fastpath._layout cimport Account, Command, Decision, Medium

# Decide one command on an account (zeroed, with its id set, for ACCOUNT_OPEN) and, for medium
# commands, a medium (zeroed, with its token set, for MEDIUM_LINK of an unknown token). `slot` is
# the account's: it is compared with medium.account_slot. Never written here: medium.account_slot,
# medium.version, account.version, account.position.
cdef void decide_command(Account* account, uint32_t slot, Medium* medium, const Command* command,
                         Decision* out) noexcept nogil
# A medium goes to another account, `slot` its place. The caller writes medium.account_slot.
cdef void decide_move(const Account* account, const Account* leaves, uint32_t slot,
                      const Medium* medium, const Command* command, Decision* out) noexcept nogil
# Reason and balance of a command.
cdef void tell(const Account* account, const Command* command, int reason,
               Decision* out) noexcept nogil

# What stands against moving money, and against changing an open account, in order of precedence.
cdef int find_money_fault(const Account* account, const Command* command, uint16_t closed,
                          uint16_t frozen) noexcept nogil
cdef int find_change_fault(const Account* account, const Command* command) noexcept nogil
# And against what is done whatever the account's standing.
cdef int find_plain_fault(const Account* account, const Command* command) noexcept nogil
