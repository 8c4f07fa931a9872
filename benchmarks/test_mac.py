"""What a frame's tag costs: the compiled algorithms and the standard library's, by payload size.

    python -m pytest benchmarks/test_mac.py --benchmark-enable

Sizes: 60 bytes is a tap's payload with its direction byte, 72 an answer's, 11,000 a batch of 256.
Every timed body makes ROUNDS tags, so that calls do not hide the work; divide by it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastpath._mac import Mac

ROUNDS = 200
KEY = bytes(range(32))
SIZES = (60, 72, 11_000)


def compiled(algorithm: int) -> Callable[[bytes], bytes]:
    """Tags of one prepared key, in C."""
    mac = Mac(algorithm, KEY)
    return lambda data: mac.repeat(data, ROUNDS)


def library_hmac(data: bytes) -> bytes:
    """OpenSSL's HMAC through the standard library."""
    for _ in range(ROUNDS):
        tag = hmac.digest(KEY, data, "sha256")[:16]
    return tag


def library_blake2b(data: bytes) -> bytes:
    """hashlib's BLAKE2b; the key block is hashed again each time."""
    for _ in range(ROUNDS):
        tag = hashlib.blake2b(data, key=KEY, digest_size=16).digest()
    return tag


WAYS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "compiled-hmac-sha256": (compiled(1), library_hmac),
    "compiled-blake2b": (compiled(2), library_blake2b),
    "library-hmac-sha256": (library_hmac, compiled(1)),
    "library-blake2b": (library_blake2b, compiled(2)),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", WAYS)
def test_tag(benchmark: BenchmarkFixture, way: str, size: int) -> None:
    """Time one way; another implementation must give the same tag."""
    make, other = WAYS[way]
    data = bytes(i % 251 for i in range(size))
    assert benchmark(make, data) == other(data)
