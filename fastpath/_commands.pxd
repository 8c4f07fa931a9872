# Commands of the control plane; cimport it through _core.
from libc.stdint cimport uint32_t

from fastpath._layout cimport Account, Command, Decision, Medium

# Decide one command on an account (zeroed, with its id set, for ACCOUNT_OPEN) and, for medium
# commands, a medium (zeroed, with its token set, for MEDIUM_LINK of an unknown token). `slot` is
# the account's: it is compared with medium.account_slot. Never written here: medium.account_slot,
# medium.version, account.version, account.position.
cdef void decide_command(Account* account, uint32_t slot, Medium* medium, const Command* command,
                         Decision* out) noexcept nogil
