"""Dumps of a store in comparable form, images of its structs, and a model of a boot window."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from fastpath._accounts import StoreHandle
from fastpath._accounts_image import dump, load

WINDOW = 4096
WINDOW_BYTES = 1056
HEAD = struct.Struct("<8s7Q")
MEDIUM = struct.Struct("<16sIBBHq")
LINE_0 = struct.Struct("<QQqqqqQHHBBBB")
NEW, SEEN, TOO_OLD = 0, 1, 2


_SPREAD_INVERSE = pow(0x9E3779B97F4A7C15, -1, 2**64)


def crowded_token(number: int, shard: int = 5) -> bytes:
    """A token that goes into one given shard of the media, with few places to begin at."""
    spread = shard << 52 | (number % 3) << 34 | number << 2
    return struct.pack("<QQ", spread * _SPREAD_INVERSE % 2**64, number)


def account_image(account_id: int, balance: int = 0, *, subsidy: int = 0, fill: int = 0) -> bytes:
    """256 bytes of an account; `fill` colours the lines behind the first."""
    line = LINE_0.pack(account_id, 1, balance, subsidy, 0, 0, 0, 0, 156, 0, 0, 0, 0)
    return line + bytes([fill % 256]) * 192


def medium_image(token: bytes, slot: int, state: int = 1) -> bytes:
    return MEDIUM.pack(token, slot, 1, state, 1, 0)


def image_of(store: StoreHandle) -> bytes:
    parts: list[bytes] = []
    dump(store, lambda data: parts.append(bytes(data)))
    return b"".join(parts)


def load_image(store: StoreHandle, image: bytes) -> None:
    at = 0

    def read_into(buffer: memoryview) -> None:
        nonlocal at
        if at + buffer.nbytes > len(image):
            raise ValueError("the image ends too early")
        buffer[:] = image[at : at + buffer.nbytes]
        at += buffer.nbytes

    load(store, read_into, len(image))
    assert at == len(image)


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def canonical(store: StoreHandle) -> tuple[object, ...]:
    """The whole image, with what has no order sorted."""
    image = image_of(store)
    _, _, slots, _, cells, media, windows, operations = HEAD.unpack_from(image)
    at = HEAD.size
    sections: list[bytes] = []
    for size in (slots * 256, cells * 64, media * 32):
        sections.append(image[at : at + size])
        at += size
    found = []
    for _ in range(windows):
        body = image[at : at + WINDOW_BYTES]
        count = int.from_bytes(body[32 : 32 + 512], "little").bit_count()
        end = at + WINDOW_BYTES + 8 * count
        found.append((body, struct.unpack(f"<{count}Q", image[at + WINDOW_BYTES : end])))
        at = end
    assert len(image) - at == operations * 32
    return (
        HEAD.unpack_from(image),
        sections[0],
        sections[1],
        sorted(pieces(sections[2], 32)),
        sorted(found),
        sorted(pieces(image[at:], 32)),
    )


@dataclass
class WindowModel:
    """A boot window as a set; the specification of the bits."""

    top: int = 0
    ever: set[int] = field(default_factory=set)
    answers: dict[int, int] = field(default_factory=dict)
    resolved: set[int] = field(default_factory=set)
    acked: int = 0

    def check(self, seq: int) -> int:
        if seq > self.top:
            return NEW
        if seq == 0 or seq <= self.top - WINDOW:
            return TOO_OLD
        return SEEN if seq in self.ever else NEW

    def mark(self, seq: int, position: int) -> int:
        if seq == 0 or self.check(seq) == TOO_OLD:
            return -1
        self.top = max(self.top, seq)
        self.ever.add(seq)
        self.answers[seq] = position
        while self.acked + 1 in self.ever:
            self.acked += 1
        return 0

    def resolve(self, seq: int, position: int) -> int:
        if self.check(seq) != SEEN:
            return -1
        self.resolved.add(seq)
        if position:
            self.answers[seq] = position
        return 0

    def answer(self, seq: int) -> int:
        return self.answers[seq] if self.check(seq) == SEEN else 0

    def is_resolved(self, seq: int) -> bool:
        return self.check(seq) == SEEN and seq in self.resolved
