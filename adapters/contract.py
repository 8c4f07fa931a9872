"""What every adapter is: one class between our words and those of one kind of peer.

An adapter maps amounts, identifiers and personal data at the edge and keeps nothing that matters:
what was sent, what came back and what is to be retried is the delivery's (gateway/delivery). It is
found by the entry-point group `faregate.adapters` (name -> factory) and never named by the core.

Amounts are integer minor units with an ISO 4217 number. Instants are microseconds UTC. Deadlines
are `asyncio.timeout`s set by the caller: every coroutine here must be cancellable at each await.
Source of the shape: docs/adapters.md.
"""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from adapters.errors import Refusal, Rejected

API_LEVEL = 1
"""The core refuses adapters of a higher level than its own."""

ENTRY_POINT_GROUP = "faregate.adapters"


class Domain(StrEnum):
    """Which part of the city an adapter speaks to."""

    TRANSIT = "transit"
    HOSPITAL = "hospital"
    SCHOOL = "school"
    FUNDING = "funding"


class Capability(StrEnum):
    """What an adapter can do; the core asks for nothing else."""

    CREDIT = "credit"
    DEBIT = "debit"
    HOLD = "hold"
    RELEASE = "release"
    CHARGE = "charge"
    REFUND = "refund"
    PARTIAL_REFUND = "partial_refund"
    FREEZE = "freeze"
    QUOTE = "quote"
    LOOKUP = "lookup"
    SEND_FILE = "send_file"
    STREAM = "stream"
    INBOUND = "inbound"


class Delivery(StrEnum):
    """Whether an answer to execute is the end of it."""

    SYNC = "sync"
    ASYNC = "async"
    """The answer is usually `pending`; the end comes by query or as an inbound event."""


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """What an adapter says about itself."""

    name: str
    version: str
    domain: Domain
    capabilities: frozenset[Capability]
    api_level: int = API_LEVEL
    delivery: Delivery = Delivery.SYNC
    max_in_flight: int = 8
    rate_limit_per_s: float = 0
    """0 = none known."""
    pii_fields: frozenset[str] = frozenset()
    """Names in `Command.facts` and events that are personal: never logged."""
    charset: str = "utf-8"


class BadSettings(ValueError):
    """Settings that a model refuses; `findings` has a line for each fault, without the value."""

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__("; ".join(findings))
        self.findings = tuple(findings)


class AdapterConfig(BaseModel):
    """Base of an adapter's settings: unknown keys are refused, the object is frozen.

    Secrets are names of files (adapters/secret.py), never values: settings are shown to people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @classmethod
    def read(cls, values: Mapping[str, Any], folder: Path) -> Self:
        """Settings as they stand in a file; relative paths count from `folder`.

        Raises: BadSettings, with every fault.
        """
        try:
            read = cls.model_validate(dict(values))
        except ValidationError as error:
            raise BadSettings([_fault(dict(one)) for one in error.errors()]) from error
        paths = {name: value for name, value in read if isinstance(value, Path)}
        return read.model_copy(update={name: folder / value for name, value in paths.items()})

    def unique_key(self) -> str:
        """Two configured adapters with the same key would speak to one peer twice: refused."""
        raise NotImplementedError


def _fault(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{where}: no such setting"
    message = str(error["msg"])
    return f"{where}: {message[0].lower()}{message[1:]}"


@dataclass(frozen=True, slots=True)
class Money:
    """An amount: minor units and ISO 4217 number. Never negative: directions have names."""

    amount_minor: int
    currency: int

    def __post_init__(self) -> None:
        if not isinstance(self.amount_minor, int) or isinstance(self.amount_minor, bool):
            raise TypeError("amounts are whole minor units")
        if self.amount_minor < 0:
            raise ValueError(f"{self.amount_minor} is below 0")
        if not 1 <= self.currency <= 999:
            raise ValueError(f"{self.currency} is no ISO 4217 number")


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of an amount with a payer of its own (insured, personal, subsidy ...)."""

    name: str
    money: Money


@dataclass(frozen=True, slots=True)
class Command:
    """Something to be done at the peer.

    key: stable over all attempts, `domain:intent:id`; the peer gets it as its idempotency key.
    attempt: 1, 2, 3 ... original: key of what a refund, release or compensation is about.
    """

    key: str
    capability: Capability
    subject: str = ""
    """Who: an identifier the peer knows, mapped at linking."""
    money: Money | None = None
    legs: tuple[Leg, ...] = ()
    original: str = ""
    attempt: int = 1
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the peer needs: JSON values, documented by the adapter."""
    consent: str = ""
    """Consent id; reads about patients and students need one."""


class Status(StrEnum):
    """What became of a command."""

    DONE = "done"
    PENDING = "pending"
    """Accepted, not finished: ask again later."""
    REJECTED = "rejected"
    UNCERTAIN = "uncertain"
    """Nobody knows: only query may find out."""

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self in (Status.DONE, Status.REJECTED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the peer says about a command."""

    status: Status
    peer_ref: str = ""
    peer_time_us: int = 0
    money: Money | None = None
    """What really moved, where the peer says so."""
    legs: tuple[Leg, ...] = ()
    refusal: Refusal | None = None
    detail: str = ""
    raw_digest: str = ""
    """SHA-256 of the peer's answer: proof without its content."""
    retry_after_s: float | None = None

    @classmethod
    def rejected(cls, error: Rejected) -> Outcome:
        """The outcome of a refusal."""
        return cls(Status.REJECTED, refusal=error.refusal, detail=error.detail)


class NotFound:
    """The peer does not know the key: the command never arrived (or the peer forgets)."""

    def __repr__(self) -> str:
        return "NOT_FOUND"


NOT_FOUND = NotFound()


class CheckStatus(StrEnum):
    """Result of trying the connection."""

    OK = "ok"
    AUTH = "auth"
    UNREACHABLE = "unreachable"
    MISCONFIGURED = "misconfigured"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What `check` found; it never writes at the peer."""

    status: CheckStatus
    detail: str = ""
    latency_us: int = 0
    peer_version: str = ""
    clock_offset_us: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """How the adapter feels, without asking the peer."""

    is_open: bool
    last_ok_us: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a stream. Applied only when the stream's last page says `complete`."""

    records: tuple[Mapping[str, Any], ...]
    next_cursor: str
    complete: bool
    source_count: int | None = None
    """How many records the peer says there are in all."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something the peer told us by itself."""

    message_id: str
    kind: str
    subject: str
    occurred_us: int
    aggregate: str
    """Events of one aggregate are applied in order of `version`."""
    version: int = 0
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Meta:
    """Where inbound bytes came from."""

    source: str
    received_us: int
    headers: Mapping[str, str] = field(default_factory=dict)
    by_hand: bool = False
    """An operator of this machine handed it in: it needs no proof of its sender."""


class AckResult(StrEnum):
    """What to tell the peer about its message."""

    ACCEPTED = "accepted"
    """Stored (or known already)."""
    REFUSED = "refused"
    """Not understood or not allowed; do not send it again."""
    AGAIN = "again"
    """Not stored now; send it again."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the core hands an adapter: nothing of the engine, no database."""

    instance: str
    """Name of this configured adapter."""
    now_us: Callable[[], int]
    log: Callable[[str, Mapping[str, Any]], None]
    """event name and fields; fields named in pii_fields are cut out by the core."""


ConfigT = TypeVar("ConfigT", bound=AdapterConfig)


class Adapter(abc.ABC, Generic[ConfigT]):
    """Base of all adapters. Raises nothing but `adapters.errors`.

    Order of calls: open, then anything, then close (idempotent). One instance serves one peer; the
    core limits calls to `info.max_in_flight` at a time.
    """

    info: ClassVar[AdapterInfo]
    config_model: ClassVar[type[AdapterConfig]]
    bench: ClassVar[str] = ""
    """`module:class` of its bench for the conformance kit (adapters/testing)."""

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    # --- life ---------------------------------------------------------------------------------

    @abc.abstractmethod
    async def open(self, context: Context) -> None:
        """Make pools and tokens; no business traffic."""

    @abc.abstractmethod
    async def check(self) -> CheckResult:
        """Try the connection without writing anything. Must not raise for what it finds."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Finish what is under way and leave no task and no socket."""

    @abc.abstractmethod
    def health(self) -> Health:
        """Local and cheap."""

    # --- commands -----------------------------------------------------------------------------

    def validate(self, command: Command) -> None:
        """Offline check before anything is written. Raises: Rejected, Malformed."""
        if command.capability not in self.info.capabilities:
            raise Rejected(
                Refusal.NOT_SUPPORTED, f"{self.info.name} has no {command.capability.value}"
            )

    async def execute(self, command: Command) -> Outcome:
        """Do it, once per key whatever the number of attempts.

        Raises: Rejected and the other errors; Uncertain whenever the peer may have done it.
        """
        raise Rejected(Refusal.NOT_SUPPORTED, f"{self.info.name} takes no commands")

    async def query(self, key: str) -> Outcome | NotFound:
        """What became of a key. Mandatory for every adapter that takes commands."""
        raise Rejected(Refusal.NOT_SUPPORTED, f"{self.info.name} takes no commands")

    async def compensate(self, command: Command, outcome: Outcome) -> Outcome:
        """Undo a done command under the key `<key>:undo`. May fail for days and be tried again."""
        raise Rejected(Refusal.NOT_SUPPORTED, f"{self.info.name} cannot undo")

    # --- reads, streams, inbound --------------------------------------------------------------

    async def lookup(self, subject: str, consent: str) -> Mapping[str, Any]:
        """What the peer knows about somebody. Raises: Rejected."""
        raise Rejected(Refusal.NOT_SUPPORTED, f"{self.info.name} has no lookup")

    def stream(self, kind: str, cursor: str, *, full: bool) -> AsyncIterator[Page]:
        """Pages from a cursor on; the caller stages them and stores the cursor with the rows."""
        raise Rejected(Refusal.NOT_SUPPORTED, f"{self.info.name} has no stream")

    def parse(self, raw: bytes, meta: Meta) -> list[Event]:
        """Inbound bytes to events; checks the sender's proof first. Raises: Malformed,
        Unauthorized.
        """
        raise Rejected(Refusal.NOT_SUPPORTED, f"{self.info.name} takes no messages")

    def ack(self, result: AckResult, raw: bytes) -> bytes:
        """What to answer the sender once the events are stored."""
        raise Rejected(Refusal.NOT_SUPPORTED, f"{self.info.name} takes no messages")
