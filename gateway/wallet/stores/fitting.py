"""A registry fitted to the journal beside it, after one of them was restored.

Copies of the two are never of one instant: the registry is copied last, so it may know accounts
that the journal does not, and after `restore --until` it always may. The journal gives such numbers
out again, and whoever the registry calls their owner, or grants, limits or tops up, would be
somebody else's. So what names an account that the journal does not know goes; jobs that have read
further than the journal reaches go back to its end; a merge of such an account has failed; and a
command to a peer that is younger than the journal is put aside, since its debit may not be there.
What the registry takes for done since the journal's end is done again (again.py). Where the journal
is the younger one, the keys of its newest requests come back (rebuilding.py).
Nobody may serve meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from sqlalchemy import Column, Connection, Table, delete, func, select, union, update

from gateway.clock import now_us
from gateway.credit.tables import (
    CREDIT_INSTALMENTS,
    CREDIT_LINES,
    CREDIT_PLANS,
    CREDIT_STATEMENTS,
    CREDIT_WISHES,
)
from gateway.db import Database
from gateway.delivery.outbox import OPEN, State
from gateway.delivery.tables import OUTBOX
from gateway.registry.audit import AuditEvent, append
from gateway.registry.notices import NOTICES
from gateway.registry.person_tables import ACCOUNTS as OWNERS
from gateway.registry.person_tables import MEDIA
from gateway.wallet.stores.again import Again, do_again
from gateway.wallet.stores.rebuilding import Keyed, build_rows, newest_us
from gateway.wallet.stores.tables import (
    ACCOUNTS,
    BUDGETS,
    CURSORS,
    FREEZES,
    GRANTS,
    INFLOWS,
    PURSE_ENDS,
    SAGAS,
    TOPUPS,
    WEBHOOKS,
)

BY_ACCOUNT: tuple[Table, ...] = (
    *(OWNERS, MEDIA, ACCOUNTS, GRANTS, FREEZES, TOPUPS, BUDGETS, NOTICES, INFLOWS, PURSE_ENDS),
    *(CREDIT_INSTALMENTS, CREDIT_PLANS, CREDIT_STATEMENTS, CREDIT_WISHES, CREDIT_LINES),
)
"""Rows that say something of an account. Not among them: requests (a key keeps its operation) and
breaks of reconciliations (what was found then)."""
READ_UNTIL: tuple[Column[int], ...] = (CURSORS.c.seq, WEBHOOKS.c.cursor, CREDIT_LINES.c.flows_seq)
"""How far jobs have read: sequence numbers of the journal."""
CHUNK = 500
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class JournalEnd:
    """What a journal knows.

    last_us: when its last group was made, 0 = there is none. position: where the next one begins.
    keyed: what requests with a key its records are of, from an instant on.
    """

    has_account: Callable[[int], bool]
    last_seq: int
    last_us: int
    position: int
    keyed: Callable[[int], Iterable[Keyed]] = lambda _: ()


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was changed. accounts: numbers the journal does not know; rows: of them, deleted.
    notices: that belonged behind records which are gone. keys: of requests, that the journal knows
    and the registry did not, added. again: marks younger than the journal (again.py).
    """

    accounts: int = 0
    rows: int = 0
    cursors: int = 0
    notices: int = 0
    merges: int = 0
    put_aside: int = 0
    keys: int = 0
    again: Again = field(default_factory=Again)

    def as_dict(self) -> dict[str, int]:
        """For JSON, flat."""
        fields: dict[str, int] = {**asdict(self), **self.again.as_dict()}
        del fields["again"]
        return fields


def fit_registry(database: Database, end: JournalEnd, actor: str) -> Fitted:
    """Take out of a registry what the journal does not bear; it leaves a line in the audit trail.

    Raises: DatabaseError; then nothing was changed.
    """
    with database.transaction() as connection:
        unknown = find_unknown(connection, end.has_account)
        fitted = Fitted(
            accounts=len(unknown),
            rows=sum(_forget(connection, table, unknown) for table in BY_ACCOUNT),
            cursors=sum(_go_back(connection, column, end.last_seq) for column in READ_UNTIL),
            notices=_let_go(connection, end.position),
            merges=_fail_merges(connection, end.has_account),
            put_aside=_put_aside(connection, end.last_us),
            keys=build_rows(connection, end.keyed(newest_us(connection))),
            again=do_again(connection, end.last_us, end.last_seq),
        )
        if any(fitted.as_dict().values()):
            event = AuditEvent(actor, "registry.fit", "", now_us(), facts=fitted.as_dict())
            append(connection, event)
    return fitted


def find_unknown(connection: Connection, has_account: Callable[[int], bool]) -> list[int]:
    """Numbers that the registry says something of, and the journal does not know."""
    named: set[int] = set()
    for table in BY_ACCOUNT:
        named.update(connection.scalars(select(table.c.account_id).distinct()))
    return sorted(number for number in named if not has_account(number))


def list_unknown(database: Database, has_account: Callable[[int], bool]) -> list[int]:
    """As `find_unknown`, in a transaction of its own. Raises: DatabaseError."""
    with database.reading() as connection:
        return find_unknown(connection, has_account)


def count_accounts(database: Database) -> int:
    """Accounts that somebody is said to own: a tenant or a person. Raises: DatabaseError."""
    with database.reading() as connection:
        tables = (select(table.c.account_id) for table in (OWNERS, ACCOUNTS))
        return connection.scalar(select(func.count()).select_from(union(*tables).subquery())) or 0


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """What fits into one statement's parameters."""
    return (items[at : at + CHUNK] for at in range(0, len(items), CHUNK))


def _forget(connection: Connection, table: Table, unknown: Sequence[int]) -> int:
    count = 0
    for some in _chunks(unknown):
        count += connection.execute(delete(table).where(table.c.account_id.in_(some))).rowcount
    return count


def _go_back(connection: Connection, column: Column[int], last_seq: int) -> int:
    changed = update(column.table).where(column > last_seq).values({column.name: last_seq})
    return connection.execute(changed).rowcount


def _let_go(connection: Connection, position: int) -> int:
    """Notices behind records that are gone belong behind none: they are told in the order of their
    numbers, so that one which waits holds up all that come after it.
    """
    gone = update(NOTICES).where(NOTICES.c.position >= position, NOTICES.c.position > 0)
    return connection.execute(gone.values(position=0)).rowcount


def _fail_merges(connection: Connection, is_known: Callable[[int], bool]) -> int:
    """A merge or payout that waits would go on with whoever gets the number next."""
    wrong = list(_merges_of_unknown(connection, is_known))
    for some in _chunks(wrong):
        connection.execute(
            update(SAGAS)
            .where(SAGAS.c.saga_id.in_(some))
            .values(state="failed", last_error="unknown_account", changed_us=now_us())
        )
    return len(wrong)


def _merges_of_unknown(connection: Connection, is_known: Callable[[int], bool]) -> Iterator[str]:
    query = select(SAGAS.c.saga_id, SAGAS.c.body).where(SAGAS.c.state == "running")
    for row in connection.execute(query):
        body = json.loads(row.body)
        if not all(is_known(body[side]) for side in ("from", "to", "account") if side in body):
            yield row.saga_id


def _put_aside(connection: Connection, last_us: int) -> int:
    """Dead letters: a person compares them with the statement, and `adapter replay` sends them."""
    is_younger = OUTBOX.c.state.in_(OPEN) & (OUTBOX.c.created_us > last_us)
    count = connection.scalar(select(func.count()).select_from(OUTBOX).where(is_younger))
    connection.execute(
        update(OUTBOX)
        .where(is_younger)
        .values(
            state=State.DEAD,
            last_error="younger than the restored journal: its debit may not be there",
            changed_us=now_us(),
        )
    )
    return int(count or 0)
