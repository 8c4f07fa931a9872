"""A validator in plain Python: msgpack, hmac, hashlib and a socket; nothing of faregate.

    python validator.py HOST PORT DEVICE_ID KEY_FILE TOKEN ENTRY_STOP EXIT_STOP

Starts a session (docs/protocol.md), checks in and out, prints both answers, checks every tag.
Left out: coming back after a cut, deciding alone after 300 ms, keeping taps until answered.
"""

import hashlib
import hmac
import os
import socket
import struct
import sys
import time
from pathlib import Path

import msgpack

BLAKE2B, CHECK_IN, CHECK_OUT = 2, 1, 2


class Validator:
    def __init__(self, host, port, device, key):
        self.stream = socket.create_connection((host, port), timeout=5).makefile("rwb")
        self.device, self.key = device, key
        self.boot, nonce = time.time_ns(), os.urandom(16)
        self.sent, self.received, self.keys = 0, 0, {}
        self.send(1, 1, device, 1, self.boot, nonce, [BLAKE2B], "validator.py")
        challenge = self.receive(2)
        self.keys = {side: self.derive(side, nonce + challenge[1]) for side in (b"C", b"S")}
        self.send(3)
        self.welcome = self.receive(4)

    def derive(self, side, nonces):
        context = nonces + struct.pack(">QQB", self.device, self.boot, BLAKE2B)
        return hmac.digest(self.key, b"faregate link v1" + side + context, "sha256")

    def tag(self, side, payload):
        if not self.keys:
            return bytes(16)
        return hashlib.blake2b(side + payload, key=self.keys[side], digest_size=16).digest()

    def send(self, kind, *fields):
        self.sent += bool(self.keys)
        payload = msgpack.packb([kind, self.sent, *fields])
        self.stream.write(
            (len(payload) + 16).to_bytes(4, "big") + payload + self.tag(b"C", payload)
        )
        self.stream.flush()

    def receive(self, wanted):
        body = self.stream.read(int.from_bytes(self.stream.read(4), "big"))
        kind, counter, *fields = msgpack.unpackb(body[:-16])
        if kind == 127:
            raise SystemExit(f"refused: {fields[1]}: {fields[5]}")
        if not hmac.compare_digest(self.tag(b"S", body[:-16]), body[-16:]):
            raise SystemExit("this is not our gateway: its tag is wrong")
        if self.keys and counter <= self.received:
            raise SystemExit("an old frame was sent again")
        self.received = counter
        return fields if kind == wanted else self.receive(wanted)

    def tap(self, seq, kind, token, stop):
        now_us = time.time_ns() // 1000
        self.send(10, [self.boot, seq, kind, token, stop, now_us, 0, 0, 0, 0, None])
        return self.receive(11)[0]


if __name__ == "__main__":
    host, port, device, key_file, token, entry, leave = sys.argv[1:]
    gate = Validator(host, int(port), int(device), bytes.fromhex(Path(key_file).read_text()))
    for seq, (kind, stop) in enumerate([(CHECK_IN, entry), (CHECK_OUT, leave)], 1):
        answer = gate.tap(seq, kind, bytes.fromhex(token), int(stop))
        print("verdict {2} reason {3} fare {4} balance {5}".format(*answer))  # noqa: T201
