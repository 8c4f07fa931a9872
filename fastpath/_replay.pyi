from typing import NamedTuple, final

from fastpath._tariff import Book

class Replayed(NamedTuple):
    reason: int
    rules: int
    fare_minor: int
    nominal_minor: int
    tariff_key: int
    other_stop: int
    acts: tuple[int, ...]

@final
class Replay:
    def __init__(self, account: bytes, cells: list[bytes], room: int) -> None: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def lines(self) -> bytes: ...
    @property
    def cells(self) -> list[bytes]: ...
    def set_category(self, category: int) -> None: ...
    def command(
        self,
        op: int,
        *,
        now_us: int,
        rider_category: int = 0,
        from_us: int = 0,
        until_us: int = 0,
        pass_id: int = 0,
        rides: int = 0,
    ) -> int: ...
    def tap(
        self,
        book: Book,
        *,
        kind: int,
        stop: int,
        at_us: int,
        token: bytes,
        medium_kind: int,
        tariff_slot: int,
        network: int,
        distance_m: int = 0,
        amount_minor: int = -1,
        flags: int = 0,
        device: int = 0,
        boot: int = 0,
        seq: int = 0,
    ) -> Replayed: ...
