"""The published vectors against a second implementation: plain Python, no msgpack, no gateway code.

What stands here was written from docs/protocol.md; the first part may not import the gateway.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from fastpath import _wire
from fastpath._mac import Mac

VECTORS = Path(__file__).parents[1] / "data" / "protocol"
KEYS = json.loads((VECTORS / "keys.json").read_text(encoding="utf-8"))
FRAMES = json.loads((VECTORS / "frames.json").read_text(encoding="utf-8"))
SESSIONS = json.loads((VECTORS / "sessions.json").read_text(encoding="utf-8"))
REFUSALS = json.loads((VECTORS / "refusals.json").read_text(encoding="utf-8"))


def pack_int(value: int) -> bytes:
    if 0 <= value < 128 or -32 <= value < 0:
        return (value & 0xFF).to_bytes(1)
    for code, bits in ((0xCC, 8), (0xCD, 16), (0xCE, 32), (0xCF, 64)):
        if 0 <= value < 1 << bits:
            return bytes([code]) + value.to_bytes(bits // 8)
        if value < 0 and -value <= 1 << bits - 1:
            return bytes([code + 4]) + value.to_bytes(bits // 8, signed=True)
    raise AssertionError(value)


def pack_sized(data: bytes, fix: int | None, fix_max: int, codes: tuple[int, ...]) -> bytes:
    if fix is not None and len(data) <= fix_max:
        return bytes([fix | len(data)]) + data
    for at, code in enumerate(codes):
        if len(data) < 1 << (8 << at):
            return bytes([code]) + len(data).to_bytes(1 << at) + data
    raise AssertionError(len(data))


def pack(value: Any) -> bytes:
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return pack_int(value)
    if isinstance(value, str):
        return pack_sized(value.encode(), 0xA0, 31, (0xD9, 0xDA, 0xDB))
    if isinstance(value, dict):
        return pack_sized(bytes.fromhex(value["bin"]), None, 0, (0xC4, 0xC5, 0xC6))
    count = bytes([0x90 | len(value)]) if len(value) < 16 else b"\xdc" + len(value).to_bytes(2)
    return count + b"".join(pack(each) for each in value)


def tag(algorithm: int, key: bytes, message: bytes) -> bytes:
    if algorithm == 1:
        return hmac.new(key, message, hashlib.sha256).digest()[:16]
    return hashlib.blake2b(message, key=key, digest_size=16).digest()


def session_key(algorithm: int, direction: bytes) -> bytes:
    message = b"faregate link v1" + direction
    message += bytes.fromhex(KEYS["client_nonce"]) + bytes.fromhex(KEYS["server_nonce"])
    message += int(KEYS["device_id"]).to_bytes(8) + int(KEYS["boot_epoch"]).to_bytes(8)
    return hmac.new(device_key(), message + bytes([algorithm]), hashlib.sha256).digest()


def device_key() -> bytes:
    message = b"faregate device" + int(KEYS["device_id"]).to_bytes(8)
    message += KEYS["key_version"].to_bytes(4)
    return hmac.new(bytes.fromhex(KEYS["master_key"]), message, hashlib.sha256).digest()


def test_keys() -> None:
    assert KEYS["device_key"] == device_key().hex()
    for each in KEYS["sessions"]:
        assert each["key_from_device"] == session_key(each["algorithm"], b"C").hex()
        assert each["key_from_server"] == session_key(each["algorithm"], b"S").hex()


@pytest.mark.parametrize("vector", FRAMES, ids=lambda v: v["name"])
def test_payloads(vector: dict[str, Any]) -> None:
    assert pack(vector["values"]).hex() == vector["payload"]


@pytest.mark.parametrize("session", SESSIONS, ids=lambda s: s["algorithm"])
def test_sessions(session: dict[str, Any]) -> None:
    algorithm = session["algorithm"]
    assert len(session["frames"]) == len(FRAMES)
    for at, (sent, vector) in enumerate(zip(session["frames"], FRAMES, strict=True)):
        values = list(vector["values"])
        if vector["name"] == "challenge":
            values[4] = algorithm
        payload, direction = pack(values), sent["direction"].encode()
        assert (direction == b"C") == (vector["from"] == "device")
        whole = direction + payload
        proof = bytes(16) if at < 2 else tag(algorithm, session_key(algorithm, direction), whole)
        frame = (len(payload) + 16).to_bytes(4) + payload + proof
        assert frame.hex() == sent["frame"]


# --- the gateway's own code, against the same bytes ---


@pytest.mark.parametrize("session", SESSIONS, ids=lambda s: s["algorithm"])
def test_the_compiled_tags(session: dict[str, Any]) -> None:
    for sent in session["frames"][2:]:
        direction = sent["direction"].encode()
        key = session_key(session["algorithm"], direction)
        body = bytes.fromhex(sent["frame"])[4:]
        assert Mac(session["algorithm"], key).verify(direction + body[:-16], body[-16:])


def test_the_compiled_reader() -> None:
    by_name = {vector["name"]: vector for vector in FRAMES}
    payload = bytes.fromhex(by_name["tap"]["payload"])
    status, used, kind, counter, fields = _wire.decode_head(payload)
    assert (status, kind, counter, fields) == (0, 10, 2, 1)
    status, rest, _ = _wire.decode_tap(payload[used:])
    assert (status, used + rest) == (0, len(payload))


def code_of_hot(payload: bytes) -> str | None:
    """The compiled reader's verdict; None = the frame is not one of its."""
    status, used, kind, _, fields = _wire.decode_head(payload)
    rest = payload[used:]
    if status == 0 and (kind, fields) == (10, 1):
        status, used, _ = _wire.decode_tap(rest)
    elif status == 0 and (kind, fields) == (14, 6):
        status, used, _ = _wire.decode_passage(rest)
    elif status == 0:
        return None
    if status == 0 and used != len(rest):
        status = 1
    return ("accepted", "malformed", "out_of_range")[status]


@pytest.mark.parametrize("vector", REFUSALS, ids=lambda v: v["what"])
def test_refusals(vector: dict[str, str]) -> None:
    from gateway.errors import WireError
    from gateway.link.codes import wire_code
    from gateway.link.frames import decode

    payload = bytes.fromhex(vector["payload"])
    with pytest.raises(WireError) as caught:
        decode(payload)
    assert wire_code(caught.value).text == vector["code"]
    assert code_of_hot(payload) in (None, vector["code"])


def test_the_files_are_what_the_generator_writes() -> None:
    spec = importlib.util.spec_from_file_location("vectors", VECTORS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, text in module.build_all().items():
        assert (VECTORS / name).read_text(encoding="utf-8") == text, f"run {VECTORS}/generate.py"
