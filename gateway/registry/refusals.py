"""Refusals that no journal record tells, into the audit trail: who was refused what.

Over HTTP they are written beside the loop, those of a moment together, so that a refusal costs its
caller no write. A caller who is refused all the time is written down now and then, and all callers
together only so often, with how many were left out: nobody fills the trail. Requests of nobody (no
credential, an unknown or guessed one) are only counted in the metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.clock import now_us
from gateway.db import Database
from gateway.errors import ApprovalNeeded, FareGatewayError, RateLimited, Retry
from gateway.registry.actors import Actor
from gateway.registry.audit import AuditEvent, append, refusal
from gateway.registry.throttle import Throttle
from gateway.registry.trail import TrailWriter

ACTION_MAX = 64
SUBJECT_MAX = 200
DETAIL_MAX = 500
ONCE, EVERY_S = 20, 10.0
"""So many of one caller at once, then one in ten seconds."""
ALL_ONCE, ALL_EVERY_S = 1_000, 1.0
"""So many of all callers at once, then one a second: at most some 40 MB of trail a day."""

FAMILIES = ("AUTH_", "COMMAND_", "REGISTRY_", "APPROVAL_", "PERSON_", "CREDIT_", "RISK_")
CODES = frozenset({"API_CONFLICT", "API_KEY_REUSED", "API_KEY_SPENT", "API_PRECONDITION"})


def is_told_nowhere(error: FareGatewayError) -> bool:
    """Whether an error refuses for good what somebody wanted, and no journal record says so.

    What waits for four eyes, what may be tried again and a request that cannot be read are no
    refusals.
    """
    if isinstance(error, ApprovalNeeded) or error.retry is not Retry.NEVER:
        return False
    result = getattr(error, "result", None)
    if result and result.get("position"):
        return False
    is_reason = error.code.islower()
    return is_reason or error.code in CODES or error.code.startswith(FAMILIES)


def write_refusal(
    database: Database, actor: Actor, action: str, subject: str, error: FareGatewayError
) -> None:
    """Write one down now, where nobody waits for an answer (a command line). Blocking.

    Raises: DatabaseError.
    """
    with database.transaction() as connection:
        append(connection, _event(actor, action, subject, error, now_us()))


class Refusals:
    """Takes refusals and has them written down. Thread: the loop's.

    Args: each, all_callers: how many are written down, of one caller and in all.
    """

    def __init__(
        self,
        writer: TrailWriter,
        *,
        clock: Callable[[], int] = now_us,
        each: Throttle | None = None,
        all_callers: Throttle | None = None,
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._each = each or Throttle(burst=ONCE, every_s=EVERY_S)
        self._all = all_callers or Throttle(burst=ALL_ONCE, every_s=ALL_EVERY_S)

    def note(self, actor: Actor, action: str, subject: str, error: FareGatewayError) -> None:
        """Somebody known was refused something."""
        if not is_told_nowhere(error):
            return
        try:
            self._each.take(actor.subject)
            self._all.take("")
        except RateLimited:
            self._writer.leave_out()
            return
        self._writer.put(_event(actor, action, subject, error, self._clock()))

    async def close(self) -> None:
        """Wait until what was noted is written."""
        await self._writer.close()


def _event(
    actor: Actor, action: str, subject: str, error: FareGatewayError, at_us: int
) -> AuditEvent:
    said = refusal(error, actor.subject, action[:ACTION_MAX], subject[:SUBJECT_MAX], at_us)
    facts = dict(said.facts) | {"detail": error.detail[:DETAIL_MAX]}
    return replace(said, tenant_id=actor.tenant_id, facts=facts)
