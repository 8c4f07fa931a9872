"""Secrets the gateway has to be able to read again (webhooks): AES-256-GCM under a key derived from
the registry's keys; the newest seals, older ones still open.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import ConfigError

NONCE_BYTES = 12
_LABEL = b"faregate webhooks"


class Sealer:
    """Seals and opens. Args: registry_keys: 32 bytes each, the current one first."""

    def __init__(self, registry_keys: Sequence[bytes]) -> None:
        derived = [hmac.digest(key, _LABEL, hashlib.sha256) for key in registry_keys]
        self._ciphers = [AESGCM(key) for key in derived]

    def seal(self, name: str, secret: bytes) -> bytes:
        """Bound to a name: it opens under no other."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, secret, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Raises: ConfigError CONFIG_SECRET: sealed under a key that is not there."""
        nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, text, name.encode())
            except InvalidTag:
                continue
        raise ConfigError("CONFIG_SECRET", f"{name} was sealed under another registry key")

    def is_current(self, name: str, sealed: bytes) -> bool:
        """Whether it lies under the newest key."""
        try:
            self._ciphers[0].decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode())
        except InvalidTag:
            return False
        return True
