"""A registry with riders who can sign in, a clock to turn, an authenticator made of software."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import dataclass, field
from typing import Any

import cbor2
from argon2 import PasswordHasher
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import bytes_to_base64url

from gateway.db import Database
from gateway.registry.actors import Actor
from gateway.registry.factors import Factors
from gateway.registry.passkeys import Passkeys
from gateway.registry.passwords import Passwords
from gateway.registry.persons import Persons
from gateway.registry.sessions import Sessions
from gateway.registry.throttle import Throttle
from gateway.registry.vault import BlindIndex, KeyRing

ROOT = Actor.system("cli:test")
LOGIN, PASSWORD = "wang@example.cn", "correct horse battery"
RP, ORIGIN = "pay.example", "https://pay.example"


class CountingHasher(PasswordHasher):
    """Cheap, and tells how often and with what it was asked to compare."""

    def __init__(self, **how: int) -> None:
        super().__init__(**{"time_cost": 1, "memory_cost": 8, "parallelism": 1} | how)  # type: ignore[arg-type]
        self.compared: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        self.compared.append(str(hash).rpartition("$")[0].rpartition("$")[0])
        return super().verify(hash, password)


@dataclass
class Town:
    database: Database
    now: int = 1_790_000_000_000_000
    keys: list[bytes] = field(default_factory=lambda: [os.urandom(32)])

    def __post_init__(self) -> None:
        ring, index = KeyRing(self.keys), BlindIndex(os.urandom(32))
        self.hasher = CountingHasher()
        self.passwords = Passwords(self.hasher)
        self.persons = Persons(self.database, ring, index, clock=self.clock)
        self.sessions = Sessions(
            self.database,
            index,
            self.passwords,
            throttle=Throttle(burst=5, every_s=60, monotonic=self.seconds),
            logins=Throttle(burst=50, every_s=6, monotonic=self.seconds),
            taken=Throttle(burst=10, every_s=60, monotonic=self.seconds),
            clock=self.clock,
        )
        self.factors = Factors(
            self.database,
            ring,
            self.sessions,
            throttle=Throttle(burst=5, every_s=30, monotonic=self.seconds),
            clock=self.clock,
        )
        self.passkeys = Passkeys(self.factors, rp_id=RP, origins=[ORIGIN])

    def clock(self) -> int:
        return self.now

    def seconds(self) -> float:
        return self.now / 1_000_000

    def later(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)

    async def rider(self, login: str = LOGIN) -> str:
        """A person who can sign in; the id."""
        person = self.persons.add(ROOT, {"name": "王小明"})
        await self.sessions.set_login(ROOT, person.person_id, login, PASSWORD)
        return person.person_id

    async def signed_in(self, login: str = LOGIN) -> tuple[Actor, str]:
        """Actor and token of a new session."""
        token = (await self.sessions.sign_in(login, PASSWORD)).token
        return self.sessions.authenticate(token), token


class SoftAuthenticator:
    """One credential on a device: P-256, attestation `none`."""

    def __init__(self, *, origin: str = ORIGIN, rp: str = RP, verified: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = os.urandom(32)
        self.count = 0
        self.origin, self.rp, self.verified = origin, rp, verified

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """What `navigator.credentials.create` gives."""
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        attested = bytes(16) + struct.pack(">H", 32) + self.credential_id + cbor2.dumps(cose)
        data = self._data(0x40) + attested
        told = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options["challenge"])
        return self._answer({"attestationObject": _b64(told), "clientDataJSON": _b64(client)})

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """What `navigator.credentials.get` gives."""
        self.count += 1
        data = self._data(0)
        client = self._client("webauthn.get", options["challenge"])
        signed = data + hashlib.sha256(client).digest()
        return self._answer(
            {
                "authenticatorData": _b64(data),
                "clientDataJSON": _b64(client),
                "signature": _b64(self.key.sign(signed, ec.ECDSA(hashes.SHA256()))),
                "userHandle": None,
            }
        )

    def _data(self, flags: int) -> bytes:
        shown = flags | 1 | (4 if self.verified else 0)
        return hashlib.sha256(self.rp.encode()).digest() + struct.pack(">BI", shown, self.count)

    def _client(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def _answer(self, response: dict[str, Any]) -> dict[str, Any]:
        name = _b64(self.credential_id)
        return {
            "id": name,
            "rawId": name,
            "type": "public-key",
            "response": response,
            "clientExtensionResults": {},
        }


def _b64(data: bytes) -> str:
    return bytes_to_base64url(data)
