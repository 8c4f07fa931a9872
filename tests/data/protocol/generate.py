"""Writes the vectors of docs/protocol.md beside this file: python tests/data/protocol/generate.py.

keys.json: key derivations. frames.json: one payload of every type. sessions.json: a whole session
byte for byte, with either algorithm. refusals.json: bytes that must be refused, with their code.
tests/link/test_wire_vectors.py checks them against a second implementation that shares no code.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgpack

from gateway.link import frames
from gateway.link.codes import Algorithm
from gateway.link.frames import Answer, Frame, TapEvent
from gateway.link.handshake import (
    DEVICE,
    SERVER,
    SealedLink,
    SessionKeys,
    derive_device_key,
    derive_session_keys,
    frame_bytes,
)

HERE = Path(__file__).parent
MASTER = bytes(range(0x40, 0x60))
DEVICE_ID, KEY_VERSION, BOOT = 0x0102030405060708, 3, 0x1122334455667788
CLIENT_NONCE, SERVER_NONCE = bytes(range(0xA0, 0xB0)), bytes(range(0xC0, 0xD0))
NOW_US = 1_795_392_000_000_000
TOKEN = bytes(range(0x10, 0x20))
HASH = bytes(range(0x20, 0x40))
TARIFF_KEY = 0x8877665544332211

HELLO = frames.Hello(0, 1, DEVICE_ID, KEY_VERSION, BOOT, CLIENT_NONCE, (2, 1), "gate 1.0")
ENTRY = TapEvent(BOOT, 1, 1, TOKEN, 101, NOW_US + 1_000_000, denylist_version=7)
EXIT = TapEvent(BOOT, 2, 2, TOKEN, 150, NOW_US + 1_900_000_000, 3, 2, 1, 7, None, 48_200)
FLAT = TapEvent(5, 4_000_000_000, 3, TOKEN, 0, NOW_US, 8, 255, 300, 0, 200)
ENTRY_ANSWER = Answer(BOOT, 1, 1, 0, 0, 5000, 12_300, 0, 0, NOW_US + 1_000_000, 4096, 1)
EXIT_ANSWER = Answer(BOOT, 2, 2, 1, 500, -120, 12_800, 0x801, 101, NOW_US + 1_900_000_000, 4400, 2)
FLAT_ANSWER = Answer(5, 4_000_000_000, 0, 40, 0, -300_000, 0, 0x1000, 0, NOW_US, 2**40, 3)
REVERSAL = Answer(BOOT, 3, 1, 0, -500, 380, 12_300, 0, 150, NOW_US + 1_900_000_000, 4800, 5)

FRAMES: list[Frame] = [
    HELLO,
    frames.Challenge(0, 1, SERVER_NONCE, 2, NOW_US),
    frames.Auth(1),
    frames.Welcome(1, NOW_US, 9, 30, 0, 1, ((0, TARIFF_KEY, HASH),), 7, 1, 256, 65536, 1),
    frames.Tap(2, ENTRY),
    frames.TapAnswer(2, ENTRY_ANSWER),
    frames.TapBatch(3, (EXIT, FLAT)),
    frames.BatchAnswer(3, 3, (EXIT_ANSWER, FLAT_ANSWER)),
    frames.Passage(4, BOOT, 3, BOOT, 2, False, NOW_US + 1_905_000_000),
    frames.PassageAnswer(4, REVERSAL),
    frames.Heartbeat(5, NOW_US + 1_910_000_000, 0, 1),
    frames.HeartbeatAnswer(
        5, NOW_US + 1_910_000_300, NOW_US + 1_910_000_000, 3, ((0, TARIFF_KEY),), 8, 1
    ),
    frames.DenylistRequest(6, 7),
    frames.DenylistDelta(6, 7, 8, False, (TOKEN,), (bytes(16),), False, HASH, bytes(64)),
    frames.TariffRequest(7, 0, TARIFF_KEY, 0),
    frames.TariffPart(7, 0, TARIFF_KEY, 4, 0, b"blob", bytes(64)),
    frames.ModeChange(8, 21, NOW_US, "fire alarm"),
    frames.ModeAnswer(8, 8, 21),
    frames.ContextChange(9, BOOT, 1, "bus 300 京A12345", 300, 7, NOW_US),
    frames.ContextAnswer(9, BOOT, 1, True),
    frames.Ack(10, BOOT, 3),
    frames.Error(10, 13, "busy", 3, 1, 200, "nothing was done; send it again"),
    frames.Bye(11, 1000),
]
FROM_DEVICE = (
    *(frames.Hello, frames.Auth, frames.Tap, frames.TapBatch, frames.Passage, frames.Heartbeat),
    *(frames.DenylistRequest, frames.TariffRequest, frames.ModeChange, frames.ContextChange),
    frames.Ack,
)


def plain(value: object) -> object:
    """msgpack values as JSON; bytes become {"bin": hex}."""
    if isinstance(value, bytes):
        return {"bin": value.hex()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def build_keys() -> dict[str, object]:
    """Derivations step by step."""
    device_key = derive_device_key(MASTER, DEVICE_ID, KEY_VERSION)
    sessions = []
    for algorithm in Algorithm:
        keys = derive_session_keys(device_key, HELLO, SERVER_NONCE, algorithm)
        sessions.append(
            {
                "algorithm": int(algorithm),
                "key_from_device": keys.from_device.hex(),
                "key_from_server": keys.from_server.hex(),
            }
        )
    return {
        "master_key": MASTER.hex(),
        "device_id": str(DEVICE_ID),
        "key_version": KEY_VERSION,
        "boot_epoch": str(BOOT),
        "client_nonce": CLIENT_NONCE.hex(),
        "server_nonce": SERVER_NONCE.hex(),
        "device_key": device_key.hex(),
        "sessions": sessions,
    }


def build_frames() -> list[object]:
    """One payload of each type, with its values."""
    return [
        {
            "name": frame.TYPE.name.lower(),
            "from": "device" if isinstance(frame, FROM_DEVICE) else "server",
            "values": plain([int(frame.TYPE), *frame.as_row()]),
            "payload": frame.encode().hex(),
        }
        for frame in FRAMES
    ]


def build_session(algorithm: Algorithm) -> dict[str, object]:
    """The frames above as one session would send them."""
    device_key = derive_device_key(MASTER, DEVICE_ID, KEY_VERSION)
    keys: SessionKeys = derive_session_keys(device_key, HELLO, SERVER_NONCE, algorithm)
    sides = {DEVICE: SealedLink(keys, is_server=False), SERVER: SealedLink(keys, is_server=True)}
    sent = []
    for frame in FRAMES:
        direction = DEVICE if isinstance(frame, FROM_DEVICE) else SERVER
        if isinstance(frame, frames.Challenge):
            frame = frames.Challenge(0, 1, SERVER_NONCE, int(algorithm), NOW_US)  # noqa: PLW2901
        payload = frame.encode()
        opening = isinstance(frame, (frames.Hello, frames.Challenge))
        data = frame_bytes(payload) if opening else sides[direction].seal(payload)
        sent.append({"direction": direction.decode(), "frame": data.hex()})
    return {"algorithm": int(algorithm), "frames": sent}


def tap_with(**changes: object) -> bytes:
    """A tap frame with some fields replaced, unchecked."""
    row = dict(zip(TapEvent.__match_args__, ENTRY.as_row(), strict=False)) | changes
    packed: bytes = msgpack.packb([10, 2, list(row.values())])
    return packed


def build_refusals() -> list[object]:
    """Payloads (of good frames otherwise) and their codes."""
    good = frames.Tap(2, ENTRY).encode()
    cases = [
        ("nothing", b"", "malformed"),
        ("a map", b"\x80", "malformed"),
        ("an array of one", b"\x91\x0a", "malformed"),
        ("the type as text", b"\x92\xa1\x31\x01", "malformed"),
        ("the counter as nil", b"\x92\x10\xc0", "malformed"),
        ("an array longer than its bytes", b"\xdd\xff\xff\xff\xff\x0a\x01", "malformed"),
        ("an unknown type", b"\x92\x63\x01", "unknown_frame"),
        ("one byte too many", good + b"\x00", "malformed"),
        ("one byte too few", good[:-1], "malformed"),
        ("a tap of ten fields", msgpack.packb([10, 2, list(ENTRY.as_row()[:-1])]), "malformed"),
        ("a token as text", tap_with(token="x" * 16), "malformed"),
        ("a token of 15 bytes", tap_with(token=bytes(15)), "out_of_range"),
        ("seq 0", tap_with(seq=0), "out_of_range"),
        ("boot 0", tap_with(boot=0), "out_of_range"),
        ("a negative stop", tap_with(stop=-1), "out_of_range"),
        ("kind 5", tap_with(kind=5), "out_of_range"),
        ("a flag that is not defined", tap_with(flags=16), "out_of_range"),
        ("a time as float", tap_with(device_ts_us=1.5), "malformed"),
        ("a time beyond 2^53", tap_with(device_ts_us=2**53 + 1), "out_of_range"),
        ("a negative amount", tap_with(amount_minor=-1), "out_of_range"),
        ("a distance as text", tap_with(distance_m="1"), "malformed"),
        ("a distance of 2^31", tap_with(distance_m=2**31), "out_of_range"),
        ("a tap of thirteen fields", tap_with(distance_m=1, more=0), "malformed"),
        ("passed as number", msgpack.packb([14, 2, 5, 6, 5, 4, 0, 9]), "malformed"),
        ("not passed, seq 0", msgpack.packb([14, 2, 5, 0, 5, 4, False, 9]), "out_of_range"),
        ("mode 99", msgpack.packb([22, 2, 99, 0, ""]), "out_of_range"),
        ("text that is not UTF-8", b"\x95\x16\x02\x01\x00\xa1\xff", "malformed"),
    ]
    return [{"what": what, "payload": raw.hex(), "code": code} for what, raw, code in cases]


def build_all() -> dict[str, str]:
    """File name -> text."""
    made = {
        "keys.json": build_keys(),
        "frames.json": build_frames(),
        "sessions.json": [build_session(algorithm) for algorithm in Algorithm],
        "refusals.json": build_refusals(),
    }
    return {
        name: json.dumps(value, indent=1, ensure_ascii=False) + "\n" for name, value in made.items()
    }


if __name__ == "__main__":
    for name, written in build_all().items():
        (HERE / name).write_text(written, encoding="utf-8")
