from collections.abc import Iterable, Iterator
from typing import NamedTuple, Unpack, TypedDict

from _typeshed import ReadableBuffer

EMPTY: int
SHORT: int
BAD_HEAD: int
BAD_POSITION: int
BAD_CRC: int
BAD_CHAIN: int
GROUP_HEAD_BYTES: int
RECORD_HEAD_BYTES: int
RECORD_ITEM_BYTES: int
NO_HASH: bytes

class ItemView(NamedTuple):
    type: int
    line: int
    slot: int
    image: bytes

class RecordView(NamedTuple):
    length_bytes: int
    op: int
    reason: int
    verdict: int
    item_count: int
    seq: int
    ts_us: int
    device_ts_us: int
    account_id: int
    id_a: int
    id_b: int
    id_c: int
    token: bytes
    fare_minor: int
    amount_minor: int
    balance_minor: int
    nominal_minor: int
    subsidy_minor: int
    tariff_key: int
    stop: int
    other_stop: int
    flags: int
    rules: int
    distance_m: int
    denylist_version: int
    fare_ts_us: int
    period_paid_minor: int
    items: tuple[ItemView, ...]
    position: int

class GroupView(NamedTuple):
    position: int
    length_bytes: int
    record_count: int
    first_seq: int
    ts_us: int
    fare_total_minor: int
    amount_total_minor: int
    engine_version: int
    struct_version: int
    previous_hash: bytes
    limits_key: int

class _RecordFields(TypedDict, total=False):
    op: int
    reason: int
    verdict: int
    seq: int
    ts_us: int
    device_ts_us: int
    account_id: int
    id_a: int
    id_b: int
    id_c: int
    token: bytes
    fare_minor: int
    amount_minor: int
    balance_minor: int
    nominal_minor: int
    subsidy_minor: int
    tariff_key: int
    stop: int
    other_stop: int
    flags: int
    rules: int
    distance_m: int
    denylist_version: int
    fare_ts_us: int
    period_paid_minor: int
    items: Iterable[bytes]

def crc32c(data: ReadableBuffer, crc: int = 0) -> int: ...
def crc32c_portable(data: ReadableBuffer, crc: int = 0) -> int: ...
def check_group(
    buffer: ReadableBuffer,
    offset: int = 0,
    position: int | None = None,
    previous_hash: ReadableBuffer | None = None,
) -> int: ...
def wanted_bytes(buffer: ReadableBuffer, offset: int = 0) -> int: ...
def find_records_fault(group: ReadableBuffer) -> int | None: ...
def find_nonzero(buffer: ReadableBuffer, offset: int = 0) -> int: ...
def find_head(buffer: ReadableBuffer, address: int, offset: int = 0) -> int: ...
def view_group(group: ReadableBuffer) -> GroupView: ...
def view_head(record: ReadableBuffer, position: int = 0) -> RecordView: ...
def view_record(record: ReadableBuffer, position: int = 0) -> RecordView: ...
def iter_records(group: ReadableBuffer) -> Iterator[RecordView]: ...
def build_item(type: int, line: int, slot: int, image: bytes) -> bytes: ...
def build_record(**fields: Unpack[_RecordFields]) -> bytes: ...
def build_group(
    records: Iterable[bytes],
    *,
    position: int,
    first_seq: int,
    previous_hash: bytes = ...,
    ts_us: int = 0,
    engine_version: int = ...,
) -> bytes: ...
