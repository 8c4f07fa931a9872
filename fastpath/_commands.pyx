"""Commands of the control plane on one account and, for media, one medium.

The rules stand in fastpath/reference_commands.py; like the core this makes no Python object. Each
command looks for what speaks against it in order of precedence, then changes what it may.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from fastpath._layout cimport *
from fastpath._totals cimport MONEY_MAX, spendable


cdef bint is_version_other(const Account* account, const Command* command) noexcept nogil:
    return command.expected_version != 0 and command.expected_version != account.version


# What stands against moving money, in order of precedence.
cdef int find_money_fault(const Account* account, const Command* command, uint16_t closed,
                          uint16_t frozen) noexcept nogil:
    if account == NULL:
        return REASON_UNKNOWN_ACCOUNT
    if account.status & closed:
        return REASON_ACCOUNT_CLOSED
    if account.status & frozen:
        return REASON_ACCOUNT_FROZEN
    if command.currency != 0 and command.currency != account.currency:
        return REASON_CURRENCY_MISMATCH
    return REASON_VERSION_CONFLICT if is_version_other(account, command) else REASON_OK


# What stands against changing an open account.
cdef int find_change_fault(const Account* account, const Command* command) noexcept nogil:
    if account == NULL:
        return REASON_UNKNOWN_ACCOUNT
    if account.status & ACCOUNT_CLOSED:
        return REASON_ACCOUNT_CLOSED
    return REASON_VERSION_CONFLICT if is_version_other(account, command) else REASON_OK


cdef int find_plain_fault(const Account* account, const Command* command) noexcept nogil:
    if account == NULL:
        return REASON_UNKNOWN_ACCOUNT
    return REASON_VERSION_CONFLICT if is_version_other(account, command) else REASON_OK


cdef int open_account(Account* account, const Command* command) noexcept nogil:
    if not 1 <= command.currency <= 999:
        return REASON_BAD_REQUEST
    if account == NULL:
        return REASON_UNKNOWN_ACCOUNT
    if is_version_other(account, command):
        return REASON_VERSION_CONFLICT
    if account.currency != 0:
        return REASON_ALREADY_EXISTS
    account.currency = command.currency
    account.rider_category = command.rider_category
    return REASON_OK


cdef int set_frozen(Account* account, const Command* command) noexcept nogil:
    cdef uint16_t freezable = ACCOUNT_FROZEN_DEBIT | ACCOUNT_FROZEN_CREDIT
    cdef int fault = find_change_fault(account, command)
    if command.status_bits == 0 or command.status_bits & ~freezable:
        return REASON_BAD_REQUEST
    if fault != REASON_OK:
        return fault
    if command.op == OP_FREEZE:
        account.status |= command.status_bits
    else:
        account.status &= <uint16_t> ~command.status_bits
    return REASON_OK


cdef int set_credit_limit(Account* account, const Command* command) noexcept nogil:
    cdef int fault = find_change_fault(account, command)
    if fault != REASON_OK:
        return fault
    if command.amount_minor < 0:
        return REASON_AMOUNT_INVALID
    if command.amount_minor > MONEY_MAX:
        return REASON_AMOUNT_OVERFLOW
    account.credit_limit_minor = command.amount_minor
    return REASON_OK


cdef int set_category(Account* account, const Command* command) noexcept nogil:
    cdef int fault = find_change_fault(account, command)
    if fault == REASON_OK:
        account.rider_category = command.rider_category
    return fault


# A replaced medium stays replaced; one of another account is not taken over unless it expired.
cdef int link_medium(Account* account, uint32_t slot, Medium* medium,
                     const Command* command) noexcept nogil:
    cdef int fault
    cdef bint is_other = medium != NULL and medium.state != 0 and medium.account_slot != slot
    if medium != NULL and medium.state == MEDIUM_REPLACED:
        return REASON_OP_CONFLICT
    if not MEDIUM_KIND_CARD <= command.medium_kind <= MEDIUM_KIND_BLE or command.expires_us < 0:
        return REASON_BAD_REQUEST
    if medium == NULL:
        return REASON_UNKNOWN_MEDIUM
    fault = find_change_fault(account, command)
    if fault != REASON_OK:
        return fault
    if is_other and medium.state != MEDIUM_EXPIRED:
        return REASON_ALREADY_EXISTS
    if is_other or medium.state == 0:
        medium.state = MEDIUM_ACTIVE
    medium.kind = command.medium_kind
    medium.expires_us = command.expires_us
    return REASON_OK


cdef int set_medium_state(const Account* account, uint32_t slot, Medium* medium,
                          const Command* command) noexcept nogil:
    cdef bint is_replaced = medium != NULL and medium.state == MEDIUM_REPLACED
    if is_replaced and command.medium_state != MEDIUM_REPLACED:
        return REASON_OP_CONFLICT
    if not MEDIUM_ACTIVE <= command.medium_state <= MEDIUM_DENYLISTED or command.expires_us < 0:
        return REASON_BAD_REQUEST
    if medium == NULL or medium.state == 0 or (account != NULL and medium.account_slot != slot):
        return REASON_UNKNOWN_MEDIUM
    if account != NULL and is_version_other(account, command):
        return REASON_VERSION_CONFLICT
    medium.state = command.medium_state
    if command.expires_us != 0:
        medium.expires_us = command.expires_us
    return REASON_OK


cdef int decide_account_command(Account* account, const Command* command) noexcept nogil:
    if command.op == OP_ACCOUNT_OPEN:
        return open_account(account, command)
    if command.op == OP_FREEZE or command.op == OP_UNFREEZE:
        return set_frozen(account, command)
    if command.op == OP_SET_CREDIT_LIMIT:
        return set_credit_limit(account, command)
    return set_category(account, command) if command.op == OP_SET_CATEGORY else REASON_BAD_REQUEST


cdef int find_move_fault(const Account* account, const Account* leaves, uint32_t slot,
                         const Medium* medium, const Command* command) noexcept nogil:
    if medium == NULL or medium.state == 0 or leaves == NULL:
        return REASON_UNKNOWN_MEDIUM
    if account == NULL:
        return REASON_UNKNOWN_ACCOUNT
    if medium.state == MEDIUM_DENYLISTED:
        return REASON_DENYLISTED
    if medium.state == MEDIUM_LOST or medium.state == MEDIUM_REPLACED:
        return REASON_MEDIUM_LOST
    if medium.state == MEDIUM_EXPIRED:
        return REASON_MEDIUM_EXPIRED
    if account.status & ACCOUNT_CLOSED:
        return REASON_ACCOUNT_CLOSED
    if account.currency != leaves.currency:
        return REASON_CURRENCY_MISMATCH
    if is_version_other(account, command) or command.facts.key not in (0, leaves.version):
        return REASON_VERSION_CONFLICT
    if leaves.journey_state == JOURNEY_OPEN:
        return REASON_ALREADY_IN
    return REASON_ALREADY_EXISTS if medium.account_slot == slot else REASON_OK


cdef void tell(const Account* account, const Command* command, int reason,
               Decision* out) noexcept nogil:
    out.reason = <uint8_t> reason
    out.verdict = VERDICT_OPEN if reason == REASON_OK else VERDICT_DENY
    out.ts_us = command.now_us
    if account != NULL:
        out.balance_minor = spendable(account)


cdef void decide_move(const Account* account, const Account* leaves, uint32_t slot,
                      const Medium* medium, const Command* command, Decision* out) noexcept nogil:
    memset(out, 0, sizeof(Decision))
    tell(account, command, find_move_fault(account, leaves, slot, medium, command), out)


cdef void decide_command(Account* account, uint32_t slot, Medium* medium, const Command* command,
                         Decision* out) noexcept nogil:
    cdef int reason
    memset(out, 0, sizeof(Decision))
    if command.op == OP_MEDIUM_LINK:
        reason = link_medium(account, slot, medium, command)
    elif command.op == OP_MEDIUM_STATE:
        reason = set_medium_state(account, slot, medium, command)
    else:
        reason = decide_account_command(account, command)
    tell(account, command, reason, out)
