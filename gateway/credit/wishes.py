"""Who asked for what of a credit line: each wish under its name once, with actor and key.

The commands that follow from a wish carry both into the journal, whoever sends them in the end.
Every function runs inside the caller's transaction.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Connection, and_, delete, insert, select, update

from gateway.credit.tables import CREDIT_WISHES
from gateway.errors import CreditError
from gateway.registry.audit import AuditEvent, append

Kind = Literal["limit", "close", "plan", "repay", "write_off"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and under which name: the same name is the same wish. "" is not remembered."""

    request: str = ""
    actor: str = ""
    idempotency_key: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One wish.

    at_us: the instant that names its operation. number: of the plan, or month of the statement.
    policy, score, tier, amount_minor: what was decided then. version: of the account, as read.
    """

    account_id: int
    request: str
    kind: Kind
    at_us: int
    actor: str
    idempotency_key: str
    note: str
    amount_minor: int
    number: int = 0
    policy: str = ""
    score: int = 0
    tier: int = 0
    version: int = 0
    is_done: bool = False

    @classmethod
    def of(cls, account_id: int, asked: Asked, kind: Kind, **values: Any) -> Wish:
        """A new one."""
        return cls(account_id=account_id, kind=kind, **asdict(asked), **values)

    def said(self) -> dict[str, str]:
        """What its command says about it in the journal."""
        words = {
            "actor": self.actor,
            "idempotency_key": self.idempotency_key,
            "note": self.note,
        }
        return {name: word for name, word in words.items() if word}


def find_wish(
    connection: Connection, account_id: int, asked: Asked, kind: Kind, **same: object
) -> Wish | None:
    """The wish of this name. Raises: CreditError CREDIT_ERROR: the name was used for another."""
    if not asked.request:
        return None
    query = select(CREDIT_WISHES).where(_name(account_id, asked.request))
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    found = _wish(row)
    if found.kind != kind or any(getattr(found, name) != value for name, value in same.items()):
        raise CreditError("CREDIT_ERROR", f"{asked.request} asked for something else")
    return found


def find_wish_at(connection: Connection, account_id: int, at_us: int, *kinds: Kind) -> Wish | None:
    """The wish of one of these kinds whose operation an instant names; None = nobody's name is
    known.
    """
    table = CREDIT_WISHES.c
    same = and_(table.account_id == account_id, table.at_us == at_us)
    where = and_(same, table.kind.in_(kinds))
    row = connection.execute(select(CREDIT_WISHES).where(where)).mappings().first()
    return None if row is None else _wish(row)


def find_wish_called(connection: Connection, request: str) -> Wish | None:
    """The wish of this name, whosever account it is about."""
    query = select(CREDIT_WISHES).where(CREDIT_WISHES.c.request == request)
    row = connection.execute(query).mappings().first()
    return None if row is None else _wish(row)


def move_wish(connection: Connection, account_id: int, at_us: int, to_us: int) -> None:
    """Its limit is sent once more, under the id of another instant."""
    table = CREDIT_WISHES.c
    same = and_(table.account_id == account_id, table.at_us == at_us)
    where = and_(same, table.kind.in_(["limit", "close"]))
    connection.execute(update(CREDIT_WISHES).where(where).values(at_us=to_us))


def add_wish(connection: Connection, wish: Wish) -> None:
    """Remember it, if it has a name; the audit trail says whose it is."""
    if wish.actor:
        about = {"amount_minor": wish.amount_minor, "number": wish.number, "score": wish.score}
        facts = {name: value for name, value in about.items() if value}
        subject = f"account:{wish.account_id}"
        event = AuditEvent(wish.actor, f"credit.{wish.kind}", subject, wish.at_us, facts=facts)
        append(connection, event)
    if wish.request:
        values = asdict(wish) | {"is_done": int(wish.is_done)}
        connection.execute(insert(CREDIT_WISHES).values(values))


def end_wish(connection: Connection, wish: Wish, *, is_done: bool) -> None:
    """It was carried out; or refused, and then never was."""
    where = _name(wish.account_id, wish.request)
    if is_done:
        connection.execute(update(CREDIT_WISHES).where(where).values(is_done=1))
    else:
        connection.execute(delete(CREDIT_WISHES).where(where))


def _name(account_id: int, request: str) -> Any:
    table = CREDIT_WISHES.c
    return and_(table.account_id == account_id, table.request == request)


def _wish(row: Any) -> Wish:
    return Wish(**(dict(row) | {"is_done": bool(row["is_done"])}))
