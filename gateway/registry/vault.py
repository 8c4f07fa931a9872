"""Keys that personal data lies under: one random key a person, wrapped by a key of the registry.

    sealed   = nonce(12) | AES-256-GCM(person's key, value, AAD = person, field)
    wrapped  = nonce(12) | AES-256-GCM(registry key, person's key, AAD = person, key id)
    blind    = HMAC-SHA256(index key, field, normal form of the value)

The additional data binds each value to its row and field: moved elsewhere it cannot be opened.
Destroying the wrapped key destroys all that lies under it. Must not log, print or store a key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.errors import RegistryError

KEY_BYTES = 32
NONCE_BYTES = 12
_ID_LABEL = b"faregate registry key id"
_SEPARATOR = b"\x00"


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A person's key as it is stored. key_id: which registry key opens it."""

    key_id: str
    data: bytes = field(repr=False)


class KeyRing:
    """The registry's keys: the current one wraps, the ones before it still open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Args: keys: 32 bytes each, the current one first."""
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self.current_id = _key_id(keys[0])

    def make(self, person_id: str) -> tuple[PersonKey, Wrapped]:
        """A new key for a person."""
        key = os.urandom(KEY_BYTES)
        return PersonKey(person_id, key), self._wrap(person_id, key)

    def open(self, person_id: str, wrapped: Wrapped) -> PersonKey:
        """A person's key. Raises: RegistryError REGISTRY_KEY: no key here opens it."""
        return PersonKey(person_id, self._unwrap(person_id, wrapped))

    def wrap_again(self, person_id: str, wrapped: Wrapped) -> Wrapped:
        """The same key under the current registry key. Raises: RegistryError."""
        return self._wrap(person_id, self._unwrap(person_id, wrapped))

    def _wrap(self, person_id: str, key: bytes) -> Wrapped:
        bound = _bind(person_id, self.current_id)
        return Wrapped(self.current_id, _encrypt(self._keys[self.current_id], key, bound))

    def _unwrap(self, person_id: str, wrapped: Wrapped) -> bytes:
        registry_key = self._keys.get(wrapped.key_id)
        if registry_key is None:
            raise RegistryError("REGISTRY_KEY", f"no registry key has the id {wrapped.key_id}")
        return _decrypt(registry_key, wrapped.data, _bind(person_id, wrapped.key_id))


class PersonKey:
    """Seals and opens the values of one person."""

    def __init__(self, person_id: str, key: bytes) -> None:
        self._person_id = person_id
        self._key = key
        self._cipher = AESGCM(key)

    def seal(self, name: str, value: bytes) -> bytes:
        """Encrypt the value of a field."""
        return _encrypt(self._cipher, value, _bind(self._person_id, name))

    def open(self, name: str, sealed: bytes) -> bytes:
        """The value of a field. Raises: RegistryError REGISTRY_KEY: changed or of another row."""
        return _decrypt(self._cipher, sealed, _bind(self._person_id, name))

    def derive(self, label: bytes) -> bytes:
        """A key for another purpose; it tells nothing of this one, and of no other purpose's."""
        return hmac.digest(self._key, label, hashlib.sha256)


class BlindIndex:
    """Finds equal values without storing them."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def digest(self, name: str, value: str) -> bytes:
        """The index entry of a value: equal for values that read the same."""
        text = normalise(name, value).encode()
        return hmac.digest(self._key, name.encode() + _SEPARATOR + text, "sha256")


def normalise(name: str, value: str) -> str:
    """Numbers without what people put between their digits, other text without case and width."""
    text = " ".join(unicodedata.normalize("NFKC", value).casefold().split())
    if name == "phone" or name.endswith("_number"):
        return "".join(mark for mark in text if mark.isalnum() or mark == "+")
    return text


def _encrypt(cipher: AESGCM, value: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, value, bound)


def _decrypt(cipher: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError) as error:
        raise RegistryError("REGISTRY_KEY", "a sealed value was changed or moved") from error


def _bind(person_id: str, name: str) -> bytes:
    return person_id.encode() + _SEPARATOR + name.encode()


def _key_id(key: bytes) -> str:
    """Names a key without telling it."""
    return hashlib.blake2b(_ID_LABEL, key=key, digest_size=8).hexdigest()
