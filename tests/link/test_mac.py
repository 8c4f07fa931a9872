"""sha256.h, blake2b.h and the tags made of them against the standard library."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath._mac import Mac, blake2b_digest, hmac_sha256_digest, sha256_digest

KEY = bytes(range(32))
EDGES = [0, 1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 129, 255, 256, 257, 1000]
PARTS = st.lists(st.binary(max_size=300), max_size=6)


def expected_tag(algorithm: int, key: bytes, data: bytes) -> bytes:
    if algorithm == 1:
        return hmac.digest(key, data, "sha256")[:16]
    return hashlib.blake2b(data, key=key, digest_size=16).digest()


@pytest.mark.parametrize("size", EDGES)
def test_block_edges_hash_as_in_hashlib(size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    assert sha256_digest(data) == hashlib.sha256(data).digest()
    assert blake2b_digest([data]) == hashlib.blake2b(data).digest()
    for algorithm in (1, 2):
        assert Mac(algorithm, KEY).tag(data) == expected_tag(algorithm, KEY, data)


def test_published_values() -> None:
    # FIPS 180-4 example "abc"; RFC 7693 appendix A "abc"; RFC 4231 test case 2.
    assert sha256_digest(b"abc").hex().startswith("ba7816bf8f01cfea414140de5dae2223")
    assert blake2b_digest([b"abc"]).hex().startswith("ba80a53f981c4d0d6a2797b69f12f6e9")
    said = hmac_sha256_digest(b"Jefe", [b"what do ya want for nothing?"])
    assert said.hex().startswith("5bdcc146bf60754e6a042426089575c7")


@given(st.binary(max_size=600))
def test_sha256(data: bytes) -> None:
    assert sha256_digest(data) == hashlib.sha256(data).digest()


@given(st.binary(max_size=200), PARTS)
def test_hmac_in_any_parts_with_any_key(key: bytes, parts: list[bytes]) -> None:
    assert hmac_sha256_digest(key, parts) == hmac.digest(key, b"".join(parts), "sha256")


@given(PARTS, st.binary(max_size=64), st.integers(1, 64))
def test_blake2b_in_any_parts(parts: list[bytes], key: bytes, digest_bytes: int) -> None:
    expected = hashlib.blake2b(b"".join(parts), key=key, digest_size=digest_bytes).digest()
    assert blake2b_digest(parts, key, digest_bytes) == expected


@given(st.sampled_from([1, 2]), st.binary(min_size=32, max_size=32), st.binary(max_size=400))
def test_tags(algorithm: int, key: bytes, data: bytes) -> None:
    mac = Mac(algorithm, key)
    tag = mac.tag(data)
    assert tag == expected_tag(algorithm, key, data)
    assert mac.verify(data, tag)
    assert mac.repeat(data, 3) == tag


@pytest.mark.parametrize("algorithm", [1, 2])
@pytest.mark.parametrize("bit", range(128))
def test_one_wrong_bit_is_seen(algorithm: int, bit: int) -> None:
    mac = Mac(algorithm, KEY)
    tag = bytearray(mac.tag(b"a tap"))
    tag[bit // 8] ^= 1 << bit % 8
    assert not mac.verify(b"a tap", bytes(tag))


@pytest.mark.parametrize(("algorithm", "key"), [(0, KEY), (3, KEY), (1, KEY[:31]), (2, KEY + b"x")])
def test_what_is_no_key_is_refused(algorithm: int, key: bytes) -> None:
    with pytest.raises(ValueError, match=r"32 bytes|unknown MAC"):
        Mac(algorithm, key)


def test_a_tag_of_another_length_is_wrong() -> None:
    assert not Mac(1, KEY).verify(b"a tap", b"")
