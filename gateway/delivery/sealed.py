"""Personal parts of a command, sealed while it waits in the outbox: AES-256-GCM under a key derived
from the registry's keys, opened only on the way to the adapter.

The nonce is derived from the text, so that the same command seals to the same bytes and a key still
names one command for ever; equal texts under one command's key look equal, and nothing else shows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.contract import Command
from adapters.errors import Misconfigured

MARK = "sealed:1:"
NONCE_BYTES = 12
_LABEL = b"faregate outbox"


class CommandSealer:
    """Seals and opens. Args: registry_keys: 32 bytes each, the current one first. Thread: any."""

    def __init__(self, registry_keys: Sequence[bytes]) -> None:
        self._keys = [hmac.digest(key, _LABEL, hashlib.sha256) for key in registry_keys]

    def seal(self, command: Command, personal: Collection[str]) -> Command:
        """The subject and the facts named, as far as they are text that says something."""
        facts = {
            name: self._seal(command.key, name, value)
            if name in personal and isinstance(value, str)
            else value
            for name, value in command.facts.items()
        }
        subject = self._seal(command.key, "subject", command.subject)
        return replace(command, subject=subject, facts=facts)

    def open(self, command: Command) -> Command:
        """As it was before it was sealed; what never was stays as it is.

        Raises: Misconfigured: sealed under a key that is not there any more, or changed.
        """
        facts = {
            name: self._open(command.key, name, value) if isinstance(value, str) else value
            for name, value in command.facts.items()
        }
        subject = self._open(command.key, "subject", command.subject)
        return replace(command, subject=subject, facts=facts)

    def _seal(self, key: str, name: str, text: str) -> str:
        if not text:
            return text
        bound, secret = f"{key}\0{name}".encode(), self._keys[0]
        nonce = hmac.digest(secret, bound + b"\0" + text.encode(), hashlib.sha256)[:NONCE_BYTES]
        sealed = nonce + AESGCM(secret).encrypt(nonce, text.encode(), bound)
        return MARK + base64.b64encode(sealed).decode()

    def _open(self, key: str, name: str, text: str) -> str:
        if not text.startswith(MARK):
            return text
        sealed, bound = base64.b64decode(text[len(MARK) :]), f"{key}\0{name}".encode()
        for secret in self._keys:
            try:
                opened = AESGCM(secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
            except InvalidTag:
                continue
            return opened.decode()
        raise Misconfigured("a command is sealed under a registry key that is not there")
