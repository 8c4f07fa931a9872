"""The closed set of what can go wrong at an adapter: each with what to do next.

Anything else that leaves an adapter is a bug in it, and the delivery treats it as Uncertain when a
command was under way. Must import only the standard library.
"""

from __future__ import annotations

from enum import StrEnum


class RetryClass(StrEnum):
    """What the delivery does after an error."""

    NEVER = "never"
    """The answer is final."""
    LATER = "later"
    """Nothing happened at the peer: the same command may be sent again after a pause."""
    QUERY_FIRST = "query_first"
    """Nobody knows whether it happened: ask before anything else."""
    HUMAN = "human"
    """No retry helps until somebody has changed something."""


class Refusal(StrEnum):
    """Why a peer says no: stable codes, one text each in gateway messages."""

    INSUFFICIENT = "insufficient"
    LIMIT = "limit"
    FROZEN = "frozen"
    NOT_ELIGIBLE = "not_eligible"
    DUPLICATE = "duplicate"
    AMBIGUOUS_SUBJECT = "ambiguous_subject"
    AMOUNT_CHANGED = "amount_changed"
    CONSENT_MISSING = "consent_missing"
    UNKNOWN_SUBJECT = "unknown_subject"
    NOT_SUPPORTED = "not_supported"
    CLOSED = "closed"
    OTHER = "other"


class AdapterError(Exception):
    """What an adapter may raise.

    Args: detail: for operators, without personal data. peer_code: what the peer called it.
    retry_after_s: earliest sensible time for the next attempt, when the peer said so.
    """

    retry = RetryClass.NEVER
    text_key = "adapter_error"
    about_adapter = False
    """True: every other command would fail the same way, so none is to blame for it."""

    def __init__(
        self, detail: str = "", *, peer_code: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail or self.text_key)
        self.detail = detail
        self.peer_code = peer_code
        self.retry_after_s = retry_after_s


class Rejected(AdapterError):
    """The peer understood and says no. Final: the same command is never sent again."""

    text_key = "rejected"

    def __init__(self, refusal: Refusal, detail: str = "", *, peer_code: str = "") -> None:
        super().__init__(detail or str(refusal), peer_code=peer_code)
        self.refusal = refusal


class Malformed(AdapterError):
    """Their data cannot be understood."""

    retry = RetryClass.HUMAN
    text_key = "malformed"


class Misconfigured(AdapterError):
    """Our settings are wrong, or the peer does not know us. Nothing was done."""

    retry = RetryClass.HUMAN
    about_adapter = True
    text_key = "misconfigured"


class Unauthorized(AdapterError):
    """Our credentials were refused, also after the adapter refreshed them. Nothing was done."""

    retry = RetryClass.HUMAN
    about_adapter = True
    text_key = "unauthorized"


class RateLimited(AdapterError):
    """Too many requests; nothing happened."""

    retry = RetryClass.LATER
    text_key = "rate_limited"


class Unavailable(AdapterError):
    """Not reached, or refused before anything was done: safe to send again."""

    retry = RetryClass.LATER
    text_key = "unavailable"


class Uncertain(AdapterError):
    """Sent, and no answer that says what became of it."""

    retry = RetryClass.QUERY_FIRST
    text_key = "uncertain"


class Conflict(AdapterError):
    """The peer's object has changed since it was read: read again, then decide anew."""

    retry = RetryClass.LATER
    text_key = "conflict"


class Poison(AdapterError):
    """This message will never be accepted: out of the queue, into the dead letters."""

    retry = RetryClass.HUMAN
    text_key = "poison"


ALL_ERRORS: tuple[type[AdapterError], ...] = (
    Rejected,
    Malformed,
    Misconfigured,
    Unauthorized,
    RateLimited,
    Unavailable,
    Uncertain,
    Conflict,
    Poison,
)
