# Wallet commands: money in and out of purses, purses, holds, refunds, the credit line
# (docs/wallet.md; fastpath/reference_wallet.py is the specification).
from libc.stdint cimport int64_t, uint8_t, uint32_t

from fastpath._extras cimport Extras
from fastpath._layout cimport (
    FACT_PAYOUT, FACT_TRANSFER, RULE_COUNTED, Account, Command, Decision, Facts, Parts,
)
from fastpath._limits cimport LimitsC, count_spend

# What a charge took, as its record says.
cdef struct Paid:
    bint is_known
    int64_t charged_minor
    int64_t subsidy_minor      # from purse 1
    int64_t charge_us
    bint is_counted            # in the windows of the account's limits, at spent_us
    int64_t spent_us
    uint8_t own_money          # its FACT_PAYOUT, FACT_TRANSFER
    uint32_t part_count
    Parts parts                # from purse cells

# A command and what it may change.
cdef struct WalletCase:
    Account* account
    Extras* extras             # every cell of the account; never NULL
    const Paid* paid
    const Command* command
    Decision* out
    const LimitsC* limits      # of identity tiers, NULL = none

cdef enum:
    PURSE_STORED = 0           # Command.purse
    PURSE_SUBSIDY = 1
    PURSE_CELL = 2             # the one that facts.key names

cdef bint is_wallet_command(uint8_t op) noexcept nogil

# FACT_PAYOUT, FACT_TRANSFER of a command: nothing is spent, and no credit line pays for it.
cdef inline uint8_t own_money(const Facts* facts) noexcept nogil:
    return facts.flags & (FACT_PAYOUT | FACT_TRANSFER)

# Decide one such command. `extras` holds every cell of the account (NULL: none and no room), `paid`
# what the charge of a REFUND took. Refused: the account is not changed, extras may be. The caller
# writes version and position.
cdef void decide_wallet_command(Account* account, Extras* extras, const Paid* paid,
                                const LimitsC* limits, const Command* command,
                                Decision* out) noexcept nogil

# Count what an accepted command spends.
cdef inline void note_spent(WalletCase* case) noexcept nogil:
    if case.limits != NULL and count_spend(case.limits, case.account, case.extras,
                                           case.command.amount_minor, case.command.now_us):
        case.out.rules |= RULE_COUNTED
