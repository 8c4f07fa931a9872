"""What an endpoint of /v1 is: declared once, it becomes a route and a part of the OpenAPI document.

A handler takes a Call and returns a shape (gateway/shapes.py), or an Answer when there is more to
say. It knows neither aiohttp nor SQL: services do the work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from gateway.errors import ApiError
from gateway.shapes import InstantUs, says

if TYPE_CHECKING:
    from gateway.registry.actors import Actor

T = TypeVar("T")

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
IfMatch = Literal["none", "optional", "required"]


class Services:
    """The services a process has, found by their class."""

    def __init__(self, services: Iterable[object] = ()) -> None:
        self._by_kind = {type(service): service for service in services}

    def having(self, *more: object) -> Services:
        """These and more."""
        return Services([*self._by_kind.values(), *more])

    def get(self, kind: type[T]) -> T:
        """The service of this class. Raises: ApiError API_OFF: not started here."""
        found = self._by_kind.get(kind)
        if not isinstance(found, kind):
            raise ApiError("API_OFF", f"{kind.__name__} is not there")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, checked: what a handler gets."""

    services: Services
    actor: Actor
    path: Mapping[str, Any] = field(default_factory=dict)
    query: Any = None
    body: Any = None
    operation_id: bytes = b""
    """With idempotency: whatever has this request as its cause is made under this id, so that the
    same request sent again has its effect once."""
    key: str = ""
    """The Idempotency-Key."""
    digest: bytes = b""
    """SHA-256 of method, path and body."""
    if_match: int = 0
    """The version the caller read; 0 = any."""
    headers: Mapping[str, str] = field(default_factory=dict)
    remote: str = ""
    wants_csv: bool = False
    """The endpoint has a CSV, and it is liked better than JSON."""

    def service(self, kind: type[T]) -> T:
        """A service by its class."""
        return self.services.get(kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer with headers of its own."""

    value: Any
    status: int = 0
    """0 = the endpoint's."""
    version: int = 0
    """Sent as ETag."""
    replayed: bool | None = None
    """This is the first answer of an earlier request with the same key, from the journal. None: no
    record tells it, so it is kept.
    """
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFile:
    """A value of an answer that is sent as it is, as a file."""

    name: str
    text: str


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path.

    Args: scopes: all of them are needed. public: without login. body, query, answer: shapes.
        idempotent: None = every POST. errors: codes this one may answer with, besides those that
        follow from its other settings. if_match: whether If-Match is read.
    """

    method: Method
    path: str
    handler: Handler
    summary: str
    tag: str
    answer: Any = None
    status: int = 200
    body: Any = None
    query: Any = None
    scopes: tuple[str, ...] = ()
    public: bool = False
    idempotent: bool | None = None
    errors: tuple[str, ...] = ()
    if_match: IfMatch = "none"
    is_form: bool = False
    """The body is a form (application/x-www-form-urlencoded), as OAuth2 wants it."""
    has_version: bool = False
    """The answer carries an ETag."""
    is_secret: bool = False
    """The answer shows something once: it is not kept, and a repeat is told that it was given."""
    is_personal: bool = False
    """The answer shows personal data, which an erasure ends: it is not kept, a repeat shows what is
    there now.
    """
    has_csv: bool = False
    """With `Accept: text/csv` it answers with a CsvFile."""
    more_statuses: tuple[int, ...] = ()
    """Other statuses of success, with the same answer."""

    @property
    def needs_key(self) -> bool:
        """Whether Idempotency-Key is required."""
        return self.method == "POST" if self.idempotent is None else self.idempotent

    @property
    def name(self) -> str:
        """Of the operation in the document: `post_accounts_account_id_credits`."""
        words = [word.strip("{}").replace("-", "_") for word in self.path.split("/")[2:]]
        return "_".join([self.method.lower(), *words])


AS_OF_POSITION, AS_OF_SEQ = "As-Of-Position", "As-Of-Seq"
"""Headers of a CSV: how far the ledger had read the journal."""
DATE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
LEDGER_ACCOUNT = "^[a-z_]{1,16}(:[0-9]{1,20})?$"

PATH_TYPES: dict[str, Any] = {
    "account_id": Annotated[int, says("account number", minimum=1, maximum=1 << 53)],
    "purse_id": Annotated[int, says("purse of the account", minimum=1, maximum=1 << 53)],
    "pass_id": Annotated[int, says("number of a pass", minimum=1, maximum=2**32 - 1)],
    "rider_category": Annotated[int, says("a category of the tariffs", minimum=0, maximum=255)],
    "merchant_id": Annotated[int, says("merchant number", minimum=1, maximum=1 << 53)],
    "hold_id": Annotated[str, says("a hold of the account", pattern="^hold_[0-9a-f]{16}$")],
    "operation_id": Annotated[
        str, says("operation id", pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    ],
    "tap_id": Annotated[
        str,
        says(
            "a tap: device, boot, number, as in settlement files",
            pattern="^[0-9]{1,20}-[0-9]{1,20}-[0-9]{1,10}$",
        ),
    ],
    "break_id": Annotated[int, says("a break of the reconciliation", minimum=1, maximum=1 << 53)],
    "command_key": Annotated[str, says("of a command to a peer", pattern="^[!-~]{1,200}$")],
    "key": Annotated[str, says("an Idempotency-Key", pattern="^[!-~]{1,255}$")],
    "purpose": Annotated[int, says("a purpose; -1 = all", minimum=-1, maximum=31)],
    "month": Annotated[str, says("a month, as 2026-02", pattern="^[0-9]{4}-(0[1-9]|1[0-2])$")],
    "plan_id": Annotated[int, says("a plan of the credit line", minimum=1, maximum=1 << 53)],
    "service_date": Annotated[str, says("as 2026-11-28", pattern=DATE)],
    "ledger_account": Annotated[str, says("its code, as operator:1", pattern=LEDGER_ACCOUNT)],
}
"""Types of path parameters by name; any other one is an id."""

PATH_ID = Annotated[str, says("id", pattern="^[A-Za-z0-9_-]{1,64}$")]


def path_type(name: str) -> Any:
    """The type of a path parameter."""
    return PATH_TYPES.get(name, PATH_ID)


def path_names(path: str) -> list[str]:
    """Names of a path's parameters, in their order."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which part of a list."""

    limit: Annotated[int, says("how many", minimum=1, maximum=100)] = 50
    starting_after: Annotated[
        str | None, says("cursor: what comes after it", maxLength=128, pattern="^[A-Za-z0-9_=-]+$")
    ] = None
    ending_before: Annotated[
        str | None,
        says("cursor: what comes just before it", maxLength=128, pattern="^[A-Za-z0-9_=-]+$"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span of time."""

    from_us: InstantUs = 0
    until_us: InstantUs = 1 << 53


__all__ = [
    "AS_OF_POSITION",
    "AS_OF_SEQ",
    "DATE",
    "LEDGER_ACCOUNT",
    "PATH_ID",
    "PATH_TYPES",
    "Answer",
    "Call",
    "CsvFile",
    "Endpoint",
    "Handler",
    "Page",
    "Services",
    "Span",
    "path_names",
    "path_type",
]
