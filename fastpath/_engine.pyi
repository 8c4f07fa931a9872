from collections.abc import Callable
from typing import final

from fastpath._accounts import StoreHandle
from fastpath._limit_book import LimitBook
from fastpath._session import Session
from fastpath._tariff import Book
from fastpath.types import EngineLimits

FED: dict[str, int]

@final
class Engine:
    def __init__(
        self,
        memory: StoreHandle,
        book: Book,
        limits: EngineLimits | None = None,
        *,
        read_record: Callable[[int], bytes] | None = None,
        page: memoryview | None = None,
        page_slots: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0),
        waiting_max: int = 20000,
        turn_max_us: int = 5000,
    ) -> None: ...
    @property
    def memory(self) -> StoreHandle: ...
    @property
    def book(self) -> Book: ...
    @property
    def denylist_version(self) -> int: ...
    @property
    def waiting(self) -> bool: ...
    @property
    def record_count(self) -> int: ...
    @property
    def open_end(self) -> int: ...
    @property
    def is_writing(self) -> bool: ...
    def begin(self, position: int, seq: int, *, denylist_version: int = 0) -> None: ...
    def set_limits(self, limits: LimitBook | None) -> None: ...
    def feed(self, session: Session, data: bytes, now_us: int, mono_us: int) -> int: ...
    def tell(
        self, *, news: bytes | None = None, busy: tuple[bytes, bytes] | None = None
    ) -> None: ...
    def end_turn(self, sealed: bool) -> None: ...
    def note_write(self, duration_us: int, records: int) -> None: ...
    def command(
        self,
        op: int,
        *,
        client: int,
        id_high: int,
        id_low: int,
        now_us: int,
        account_id: int = 0,
        amount_minor: int = 0,
        expected_version: int = 0,
        currency: int = 0,
        status_bits: int = 0,
        purse: int = 0,
        rider_category: int = 0,
        token: bytes | None = None,
        medium_kind: int = 0,
        medium_state: int = 0,
        expires_us: int = 0,
        from_us: int = 0,
        pass_id: int = 0,
        rides: int = 0,
        images: bytes = b"",
        facts: bytes = b"",
        notes: tuple[bytes, ...] = (),
    ) -> tuple[bytes, int, bool]: ...
    def operation(self, client: int, id_high: int, id_low: int) -> tuple[bytes | None, int]: ...
    def expire(self, now_us: int) -> None: ...
    def seal(self, ts_us: int, previous_hash: bytes) -> memoryview | None: ...
    def begin_next(self, position: int) -> None: ...
    def commit(self, mono_us: int) -> list[Session]: ...
    def abort(self) -> list[tuple[Session, int]]: ...
    def abandon(self) -> None: ...
