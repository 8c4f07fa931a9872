"""Personal parts of a command, sealed while it waits in the outbox: AES-256-GCM, opened only on the
way to the adapter.

A command of an account whose owner is known lies under a key derived from that person's, so that
erasing the person takes it along; any other under one derived from the registry's. The nonce is
derived from the text, so that the same command seals to the same bytes and a key still names one
command for ever; equal texts under one command's key look equal, and nothing else shows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.contract import Command
from adapters.errors import Misconfigured, Refusal, Rejected, Unavailable
from gateway.errors import DatabaseError

MARK = "sealed:1:"
OF_PERSON = "sealed:2:"
"""Before a person's id, a colon, and what is sealed under a key of theirs."""
SUBJECT = "subject"
NONCE_BYTES = 12
_LABEL = b"faregate outbox"


class Owners(Protocol):
    """Keys derived from those of persons. Blocking."""

    def find_of_account(self, account_id: int, label: bytes) -> tuple[str, bytes] | None:
        """Who owns an account, and a key of theirs; None = nobody is known, or they were erased."""

    def find_of_person(self, person_id: str, label: bytes) -> bytes | None:
        """A key of a person; None = they were erased."""


class CommandSealer:
    """Seals and opens. Thread: any.

    Args: registry_keys: 32 bytes each, the current one first. owners: None = nobody's are known.
    """

    def __init__(self, registry_keys: Sequence[bytes], owners: Owners | None = None) -> None:
        self._keys = [hmac.digest(key, _LABEL, hashlib.sha256) for key in registry_keys]
        self._owners = owners

    def seal(self, command: Command, personal: Collection[str]) -> Command:
        """The subject and the facts named, as far as they are text that says something."""
        mark, secret = self._choose(command)

        def seal(name: str, text: str) -> str:
            if not text or (name != SUBJECT and name not in personal):
                return text
            return mark + _encrypt(secret, _bind(command, name), text)

        return _each_text(command, seal)

    def open(self, command: Command) -> Command:
        """As it was before it was sealed; what never was stays as it is.

        Raises: Misconfigured: sealed under a key that is not there any more, or changed. Rejected:
            the person it lies under was erased. Unavailable: their key cannot be read now.
        """

        def opened(name: str, text: str) -> str:
            bound = _bind(command, name)
            if text.startswith(MARK):
                return _decrypt(self._keys, bound, text[len(MARK) :])
            if text.startswith(OF_PERSON):
                person_id, _, sealed = text[len(OF_PERSON) :].partition(":")
                return _decrypt([self._key_of(person_id)], bound, sealed)
            return text

        return _each_text(command, opened)

    def seal_again(self, command: Command) -> Command:
        """What lies under any key of the registry, under the current one.

        Raises: Misconfigured: the key it lies under is not there.
        """

        def again(name: str, text: str) -> str:
            if not text.startswith(MARK):
                return text
            bound = _bind(command, name)
            return MARK + _encrypt(
                self._keys[0], bound, _decrypt(self._keys, bound, text[len(MARK) :])
            )

        return _each_text(command, again)

    def is_current(self, command: Command) -> bool:
        """Whether nothing of it lies under an older key of the registry."""

        def look(name: str, text: str) -> str:
            if text.startswith(MARK):
                _decrypt(self._keys[:1], _bind(command, name), text[len(MARK) :])
            return text

        try:
            _each_text(command, look)
        except Misconfigured:
            return False
        return True

    def _choose(self, command: Command) -> tuple[str, bytes]:
        """What a new command is marked with, and the key it lies under."""
        account_id = command.facts.get("account_id")
        if self._owners is not None and isinstance(account_id, int):
            found = self._owners.find_of_account(account_id, _LABEL)
            if found is not None:
                return f"{OF_PERSON}{found[0]}:", found[1]
        return MARK, self._keys[0]

    def _key_of(self, person_id: str) -> bytes:
        if self._owners is None:
            raise Misconfigured("a command is sealed under a person's key, and none are at hand")
        try:
            key = self._owners.find_of_person(person_id, _LABEL)
        except DatabaseError as error:
            raise Unavailable("the key of a command's person cannot be read") from error
        if key is None:
            raise Rejected(Refusal.UNKNOWN_SUBJECT, "subject_erased")
        return key


def _each_text(command: Command, change: Callable[[str, str], str]) -> Command:
    """A command with its subject and every text among its facts changed."""
    facts = {
        name: change(name, value) if isinstance(value, str) else value
        for name, value in command.facts.items()
    }
    return replace(command, subject=change(SUBJECT, command.subject), facts=facts)


def _bind(command: Command, name: str) -> bytes:
    return f"{command.key}\0{name}".encode()


def _encrypt(secret: bytes, bound: bytes, text: str) -> str:
    nonce = hmac.digest(secret, bound + b"\0" + text.encode(), hashlib.sha256)[:NONCE_BYTES]
    sealed = nonce + AESGCM(secret).encrypt(nonce, text.encode(), bound)
    return base64.b64encode(sealed).decode()


def _decrypt(secrets: Sequence[bytes], bound: bytes, text: str) -> str:
    sealed = base64.b64decode(text)
    for secret in secrets:
        try:
            opened = AESGCM(secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        except InvalidTag:
            continue
        return opened.decode()
    raise Misconfigured("a command is sealed under a registry key that is not there")
