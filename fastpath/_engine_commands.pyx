"""Commands of the control plane: read, decided, recorded; the same one again is answered from its record."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath._accounts cimport (
    account_at, find_account, find_medium, find_operation, find_window, new_account, new_medium,
    new_operation, undo_last_account, undo_save_account, undo_save_medium, window_answer,
    window_is_resolved,
)
from fastpath._cell_commands cimport decide_cell_command, is_cell_command
from fastpath._cells cimport gather_all_cells, keep_cells
from fastpath._core cimport decide_command, decide_move
from fastpath._engine_command_heads cimport fill_command, has_facts, same_command
from fastpath._engine_heads cimport REFUSALS, fill_decision, refuse
from fastpath._engine_state cimport EngineState, count_command, find_record, open_group
from fastpath._extras cimport EXTRA_CELLS
from fastpath._facts cimport paid_of_record
from fastpath._group cimport Group, record_account, record_begin, record_end, record_item
from fastpath._layout cimport (
    FACT_FARE, ITEM_FACTS, ITEM_MEDIUM, ITEM_NOTE, ITEM_PARTS, LINE_BYTES, OP_ACCOUNT_OPEN,
    OP_MEDIUM_LINK, OP_MEDIUM_MOVE, OP_MEDIUM_STATE, OP_REFUND, OP_RERATE, OP_SETTLEMENT,
    PURPOSE_NONE, REASON_ALREADY_EXISTS, REASON_BAD_TIME, REASON_OK, REASON_OP_CONFLICT,
    REASON_OP_TOO_OLD, REASON_TOO_MANY_ACCOUNTS, REASON_TOO_MANY_MEDIA, REASON_UNKNOWN_ACCOUNT,
    REASON_UNKNOWN_MEDIUM, TOKEN_BYTES, Account, BootWindow, Cell, Command, Decision, Facts,
    Medium, Parts, RecordHead,
)
from fastpath._wallet cimport Paid, decide_wallet_command, is_wallet_command

cdef enum:
    MINUTE_US = 60000000
    RERATE_LINES_BYTES = 2 * LINE_BYTES


# What a command is about: places in memory, or the blanks that get a place when it is accepted.
cdef struct Target:
    uint32_t slot
    Account* account
    Medium* medium
    Account new_account
    Medium new_medium


# What a fastpath.commands.Command asks for, but its images and notes.
cdef int read_command(object asked, Command* command) except -1:
    cdef int op = asked.op
    cdef bytes token = asked.token
    cdef bytes facts
    if not 16 <= op <= 63 or len(asked.notes) > 4:
        raise ValueError("an operation is 16 to 63 and has at most four notes")
    if token and len(token) != TOKEN_BYTES:
        raise ValueError("a token is 16 bytes")
    command.op = <uint8_t> op
    command.account_id = asked.account_id
    command.expected_version = asked.expected_version
    command.amount_minor = asked.amount_minor
    command.currency = asked.currency
    command.status_bits = asked.status_bits
    command.purse = asked.purse
    command.rider_category = asked.rider_category
    command.medium_kind = asked.medium_kind
    command.medium_state = asked.medium_state
    command.from_us = asked.from_us
    command.expires_us = asked.expires_us
    command.pass_id = asked.pass_id
    command.rides = asked.rides
    if token:
        memcpy(command.token, PyBytes_AS_STRING(token), TOKEN_BYTES)
    command.facts.purpose = PURPOSE_NONE
    if asked.facts is not None:
        facts = asked.facts.pack()
        if len(facts) != sizeof(Facts):
            raise ValueError("facts are 64 bytes")
        memcpy(&command.facts, PyBytes_AS_STRING(facts), sizeof(Facts))
        command.has_facts = True
    command.facts.amount_minor = command.amount_minor
    command.facts.expires_us = command.expires_us
    return 0


cdef int take_images(EngineState engine, int op, bytes images) except -1:
    cdef size_t size = PyBytes_GET_SIZE(images)
    if (op == OP_RERATE) != (size > 0):
        raise ValueError("images belong to a re-rating")
    if op != OP_RERATE:
        return 0
    if size % LINE_BYTES or not RERATE_LINES_BYTES <= size <= RERATE_LINES_BYTES + EXTRA_CELLS * sizeof(Cell):
        raise ValueError("a re-rating brings two account lines and at most 32 cells")
    memcpy(engine.rerate.lines, PyBytes_AS_STRING(images), RERATE_LINES_BYTES)
    memcpy(engine.rerate.cells, PyBytes_AS_STRING(images) + RERATE_LINES_BYTES, size - RERATE_LINES_BYTES)
    engine.rerate.cell_count = <uint32_t> ((size - RERATE_LINES_BYTES) // sizeof(Cell))
    return 0


cdef tuple carry_out(EngineState engine, operation, asked, int64_t now_us):
    cdef Command command
    cdef RecordHead head
    cdef const RecordHead* seen
    cdef uint64_t position
    cdef int64_t made_us
    cdef Decision decision
    memset(&command, 0, sizeof(Command))
    command.client, command.id_high, command.id_low = operation
    command.now_us = now_us
    command.horizon_us = engine.limits.horizon_us
    read_command(asked, &command)
    take_images(engine, command.op, asked.images)
    position = find_operation(engine.store, command.client, command.id_high, command.id_low)
    if position != 0:
        seen = find_record(engine, position)
        if seen == NULL:
            return refuse_command(engine, &command, REASON_OP_TOO_OLD)
        if not same_command(seen, &command):
            return refuse_command(engine, &command, REASON_OP_CONFLICT)
        return PyBytes_FromStringAndSize(<const char*> seen, sizeof(RecordHead)), position, True
    made_us = <int64_t> (command.id_high >> 16) * 1000
    if made_us < now_us - engine.limits.horizon_us:
        return refuse_command(engine, &command, REASON_OP_TOO_OLD)
    if made_us > now_us + 5 * MINUTE_US:
        return refuse_command(engine, &command, REASON_BAD_TIME)
    memset(&decision, 0, sizeof(Decision))
    position = record_command(engine, &command, asked.notes, &decision, &head)
    return PyBytes_FromStringAndSize(<const char*> &head, sizeof(RecordHead)), position, False


cdef tuple refuse_command(EngineState engine, Command* command, uint8_t reason):
    cdef RecordHead head
    cdef Decision decision
    memset(&head, 0, sizeof(RecordHead))
    refuse(&decision, reason)
    fill_decision(&head, &decision)
    fill_command(&head, command)
    return PyBytes_FromStringAndSize(<const char*> &head, sizeof(RecordHead)), 0, False


cdef uint64_t record_command(EngineState engine, Command* command, tuple notes, Decision* decision,
                             RecordHead* out) except 0:
    cdef Group* group = open_group(engine)
    cdef RecordHead* head = record_begin(group, command.op)
    cdef uint64_t position = group.position + group.used
    cdef Target target
    cdef bytes note
    cdef int line
    memset(&target, 0, sizeof(Target))
    find_target(engine, command, &target, decision)
    if decision.reason == REASON_OK and is_cell_command(command.op):
        gather_all_cells(engine.store, target.account, engine.limits.cells_per_account, &engine.extras)
        decide_cell_command(target.account, &engine.extras, &engine.rerate, engine.book.c.limits, command, decision)
    elif decision.reason == REASON_OK and is_wallet_command(command.op):
        gather_all_cells(engine.store, target.account, engine.limits.cells_per_account, &engine.extras)
        find_paid(engine, command)
        decide_wallet_command(target.account, &engine.extras, &engine.paid, engine.book.c.limits, command, decision)
    elif decision.reason == REASON_OK and command.op == OP_MEDIUM_MOVE:
        decide_move(target.account, account_at(engine.store, target.medium.account_slot), target.slot, target.medium,
                    command, decision)
    elif decision.reason == REASON_OK:
        decide_command(target.account, target.slot, target.medium, command, decision)
    if decision.reason == REASON_OK:
        place_target(engine, command, &target, decision)
    fill_decision(head, decision)
    fill_command(head, command)
    if has_facts(command):
        record_item(group, head, ITEM_FACTS, 0, 0, &command.facts, sizeof(Facts))
    if decision.part_count > 0:
        record_item(group, head, ITEM_PARTS, 0, 0, &decision.parts, sizeof(Parts))
    if decision.reason < REFUSALS:
        head.amount_minor = decision.amount_minor
        record_target(engine, command, &target, head, position)
    for line in range(len(notes)):
        note = notes[line]
        if note:
            record_item(group, head, ITEM_NOTE, line, 0, PyBytes_AS_STRING(note), min(PyBytes_GET_SIZE(note), 64))
    if new_operation(engine.store, command.client, command.id_high, command.id_low, position) != 0:
        raise MemoryError
    count_command(engine, head.reason)
    out[0] = head[0]
    return record_end(group, head)


cdef int find_target(EngineState engine, Command* command, Target* target, Decision* decision) except -1:
    """Find what the command is about, or blanks for what it would make."""
    cdef bint of_medium = (command.op == OP_MEDIUM_LINK or command.op == OP_MEDIUM_STATE
                           or command.op == OP_MEDIUM_MOVE)
    target.medium = find_medium(engine.store, command.token) if of_medium else NULL
    if of_medium and target.medium == NULL:
        if command.op != OP_MEDIUM_LINK:
            refuse(decision, REASON_UNKNOWN_MEDIUM)
            return 0
        target.medium = &target.new_medium
        memcpy(target.new_medium.token, command.token, TOKEN_BYTES)
    if command.op == OP_MEDIUM_STATE:
        command.account_id = account_at(engine.store, target.medium.account_slot).account_id
    if command.op == OP_ACCOUNT_OPEN and command.account_id == 0:
        command.account_id = free_account_id(engine)
    target.slot = find_account(engine.store, command.account_id)
    target.account = account_at(engine.store, target.slot)
    if command.op == OP_ACCOUNT_OPEN:
        if target.slot != 0:
            refuse(decision, REASON_ALREADY_EXISTS)
        target.account = &target.new_account
        target.new_account.account_id = command.account_id
    elif target.slot == 0:
        refuse(decision, REASON_UNKNOWN_ACCOUNT)
    elif undo_save_account(engine.store, target.slot) != 0:
        raise MemoryError
    if target.medium != NULL and target.medium != &target.new_medium:
        if undo_save_medium(engine.store, command.token) != 0:
            raise MemoryError
    return 0


cdef int find_paid(EngineState engine, const Command* command) except -1:
    """What the charge took that a refund names."""
    cdef const Facts* facts = &command.facts
    cdef const RecordHead* head = NULL
    cdef uint64_t position = 0
    memset(&engine.paid, 0, sizeof(Paid))
    if command.op != OP_REFUND:
        return 0
    if facts.flags & FACT_FARE:
        return find_fare(engine, command)
    if facts.key != 0:
        return find_late(engine, command)
    position = find_operation(engine.store, facts.charge_client, facts.charge_high, facts.charge_low)
    head = find_record(engine, position) if position != 0 else NULL
    if head != NULL and head.account_id == command.account_id:
        paid_of_record(head, &engine.paid)
    return 0


cdef int find_late(EngineState engine, const Command* command) except -1:
    """What a charge took that is no longer known by its id: the command says where its record lies."""
    cdef const Facts* facts = &command.facts
    cdef const RecordHead* head = NULL
    try:
        head = find_record(engine, facts.key)
    except Exception as error:
        if getattr(error, "code", "") != "JOURNAL_CORRUPT":
            raise
        return 0  # no record begins there
    if (head != NULL and head.op >= OP_ACCOUNT_OPEN and head.account_id == command.account_id
            and head.id_a == facts.charge_client and head.id_b == facts.charge_high
            and head.id_c == facts.charge_low):
        paid_of_record(head, &engine.paid)
    return 0


cdef int find_fare(EngineState engine, const Command* command) except -1:
    """What a tap took that is still in its device's window and was not taken back."""
    cdef const Facts* facts = &command.facts
    cdef const RecordHead* head = NULL
    cdef BootWindow* window = find_window(engine.store, facts.charge_client, facts.charge_high)
    cdef uint64_t position
    if window == NULL or facts.charge_low > <uint64_t> 0xFFFFFFFF:
        return 0
    position = window_answer(engine.store, window, <uint32_t> facts.charge_low)
    head = find_record(engine, position) if position != 0 else NULL
    if head == NULL or head.account_id != command.account_id:
        return 0
    if head.op == OP_SETTLEMENT or not window_is_resolved(window, <uint32_t> facts.charge_low):
        paid_of_record(head, &engine.paid)
    return 0


cdef int place_target(EngineState engine, Command* command, Target* target, Decision* decision) except -1:
    """Give what the command made its place in memory."""
    cdef Medium* medium
    if target.account == &target.new_account:
        target.slot = new_account(engine.store, command.account_id)
        if target.slot == 0:
            refuse(decision, REASON_TOO_MANY_ACCOUNTS)
            return 0
        target.account = account_at(engine.store, target.slot)
        target.account[0] = target.new_account
    if target.medium == &target.new_medium:
        medium = new_medium(engine.store, command.token)
        if medium == NULL:
            refuse(decision, REASON_TOO_MANY_MEDIA)
            return 0
        medium[0] = target.new_medium
        target.medium = medium
    return 0


cdef int record_target(EngineState engine, Command* command, Target* target, RecordHead* head,
                       uint64_t position) except -1:
    cdef Account nothing
    cdef const Account* before = undo_last_account(engine.store)
    if command.op == OP_ACCOUNT_OPEN:
        memset(&nothing, 0, sizeof(Account))
        before = &nothing
    if is_cell_command(command.op) or is_wallet_command(command.op):
        if keep_cells(engine.store, open_group(engine), head, target.account, &engine.extras) != 0:
            raise MemoryError
    target.account.version += 1
    target.account.position = position
    record_account(open_group(engine), head, target.slot, before, target.account)
    if target.medium != NULL:
        target.medium.account_slot = target.slot
        target.medium.version += 1
        record_item(open_group(engine), head, ITEM_MEDIUM, 0, 0, target.medium, sizeof(Medium))
        if command.op == OP_MEDIUM_STATE:
            engine.denylist_version += 1
            head.denylist_version = <uint32_t> engine.denylist_version
    return 0


cdef uint64_t free_account_id(EngineState engine) noexcept:
    cdef uint64_t account_id = engine.store.account_count + 1
    while find_account(engine.store, account_id) != 0:
        account_id += 1
    return account_id
