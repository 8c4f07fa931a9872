"""What all services on credit lines stand on: the book, the policies, the way to the data plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gateway.control.frames import Reply
from gateway.credit.book import CreditBook, CreditLine
from gateway.credit.policy import CreditPolicy
from gateway.credit.wishes import Asked
from gateway.errors import CreditError, Retry

NOBODY = Asked()


class Commands(Protocol):
    """The way to the data plane (gateway/control/client.py)."""

    def call(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> dict[str, Any]:
        """Raises: CommandError, Uncertain."""

    def exchange(
        self, op: str, args: dict[str, Any] | None = None, *, operation_id: bytes | None = None
    ) -> Reply:
        """As call; a refusal is a value."""


class Asking:
    """Blocking: call it in a thread."""

    def __init__(
        self,
        book: CreditBook,
        policies: Mapping[str, CreditPolicy],
        commands: Commands,
        now_us: Callable[[], int],
    ) -> None:
        self.book = book
        self.commands = commands
        self._policies = policies
        self.now_us = now_us

    def policy_of(self, line: CreditLine) -> CreditPolicy:
        """Raises: CreditError CREDIT_POLICY_NOT_FOUND."""
        return self.get_policy(line.policy)

    def get_policy(self, name: str) -> CreditPolicy:
        """Raises: CreditError CREDIT_POLICY_NOT_FOUND."""
        if name not in self._policies:
            known = ", ".join(sorted(self._policies)) or "none"
            raise CreditError("CREDIT_POLICY_NOT_FOUND", f"no policy {name}; known: {known}")
        return self._policies[name]


def check_agreed(amount_minor: int, agreed_minor: int | None) -> None:
    """What others agreed to was another amount: it moved while they were asked."""
    if agreed_minor is not None and amount_minor != agreed_minor:
        said = f"it would be {amount_minor} minor units now, not {agreed_minor}: ask again"
        raise CreditError("CREDIT_ERROR", said, retry=Retry.SAFE)
