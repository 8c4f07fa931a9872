"""Carries one adapter's commands: claims, sends or asks, and writes down what became of them.

Before anything is sent again after an unknown outcome the peer is asked (`query`). An exception
that is none of the closed set is a bug of the adapter and counts as unknown. The peer's own load is
bounded by the adapter's `max_in_flight` (bulkhead), a peer in trouble is left alone (breaker).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from adapters.contract import (
    NOT_FOUND,
    Adapter,
    CheckStatus,
    NotFound,
    Outcome,
    Status,
)
from adapters.errors import AdapterError, Rejected, RetryClass, Uncertain
from gateway.delivery.backoff import Backoff
from gateway.delivery.breaker import Breaker, BreakerState
from gateway.delivery.outbox import ASKED, US, Letter, OnOutcome, Outbox, State

log = logging.getLogger(__name__)

NOT_FOUND_SURE = 2
"""So many times "unknown key" before it is believed: peers may see their own writes late."""


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Seconds."""

    deadline_s: float = 30.0
    poll_s: float = 0.5
    ask_again_s: float = 5.0
    """Between two questions about a pending command, when the peer names no time."""


@dataclass(slots=True)
class RelayCounts:
    """What happened so far, for metrics."""

    sent: int = 0
    asked: int = 0
    done: int = 0
    rejected: int = 0
    uncertain: int = 0
    dead: int = 0
    errors: dict[str, int] = field(default_factory=dict)


class Relay:
    """One adapter's relay. Several processes may run one each: rows are claimed under a lease."""

    def __init__(
        self,
        name: str,
        adapter: Adapter[Any],
        outbox: Outbox,
        now_us: Callable[[], int],
        *,
        on_outcome: OnOutcome | None = None,
        settings: RelaySettings | None = None,
        backoff: Backoff | None = None,
        breaker: Breaker | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.adapter = adapter
        self.outbox = outbox
        self.breaker = breaker or Breaker()
        self.counts = RelayCounts()
        self._now_us = now_us
        self._on_outcome = on_outcome
        self._settings = settings or RelaySettings()
        self._backoff = backoff or Backoff()
        self._monotonic = monotonic
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled; what is under way is finished under its own deadline or left
        `in_flight`, which the next process takes for unknown.
        """
        while True:
            if await self.work() == 0:
                self._woken.clear()
                try:
                    await asyncio.wait_for(self._woken.wait(), self._settings.poll_s)
                except TimeoutError:
                    continue

    async def work(self) -> int:
        """One round: claim what is due and deal with it side by side. Returns how many."""
        if not await self._may_call():
            return 0
        room = self.adapter.info.max_in_flight
        letters = await asyncio.to_thread(self.outbox.claim, self.name, room, self._now_us())
        async with asyncio.TaskGroup() as tasks:
            for letter in letters:
                tasks.create_task(self._deal(letter))
        return len(letters)

    async def _may_call(self) -> bool:
        if self.breaker.allows(self._monotonic()):
            return True
        if self.breaker.state is BreakerState.HALF_OPEN:
            found = await self._probe()
            self.breaker.probed(ok=found, now_s=self._monotonic())
            return found
        return False

    async def _probe(self) -> bool:
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                result = await self.adapter.check()
        except (TimeoutError, AdapterError):
            return False
        return result.status is CheckStatus.OK

    async def _deal(self, letter: Letter) -> None:
        try:
            result = await self._call(letter)
        except AdapterError as error:
            self.breaker.note(error, self._monotonic())
            await self._failed(letter, error)
            return
        self.breaker.note(None, self._monotonic())
        await self._answered(letter, result)

    async def _call(self, letter: Letter) -> Outcome | NotFound:
        """Tell or ask the peer. Raises: AdapterError and nothing else."""
        command = letter.command
        asking = letter.came_from in ASKED
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                if asking:
                    self.counts.asked += 1
                    return await self.adapter.query(command.key)
                self.adapter.validate(command)
                self.counts.sent += 1
                return await self.adapter.execute(command)
        except AdapterError:
            raise
        except TimeoutError as error:
            raise Uncertain("no answer before the deadline") from error
        except Exception as error:  # a bug in the adapter: nobody knows what the peer got
            log.exception("adapter_bug", extra={"adapter": self.name, "key": command.key})
            raise Uncertain(f"{type(error).__name__} in the adapter") from error

    async def _answered(self, letter: Letter, result: Outcome | NotFound) -> None:
        if isinstance(result, NotFound):
            await self._not_found(letter)
        elif result.status.is_final:
            await self._finish(letter, result)
        elif result.status is Status.PENDING:
            wait_s = result.retry_after_s or self._settings.ask_again_s
            await self._postpone(letter, State.PENDING, wait_s, "")
        else:
            await self._failed(letter, Uncertain(result.detail))

    async def _not_found(self, letter: Letter) -> None:
        """The peer does not know the key. Believed the second time: then it is sent again."""
        seen = letter.not_found + 1
        if seen < NOT_FOUND_SURE:
            await self._postpone(
                letter, State.UNCERTAIN, self._settings.ask_again_s, "unknown there", not_found=seen
            )
            return
        await self._postpone(letter, State.WAITING, 0, "never arrived")

    async def _failed(self, letter: Letter, error: AdapterError) -> None:
        name = type(error).__name__
        self.counts.errors[name] = self.counts.errors.get(name, 0) + 1
        said = f"{name}: {error.detail}"
        asking = letter.came_from in ASKED
        if isinstance(error, Rejected) and not asking:
            await self._finish(letter, Outcome.rejected(error))
        elif error.retry is RetryClass.QUERY_FIRST or asking:
            # Whatever goes wrong while asking, what we do not know stays unknown.
            self.counts.uncertain += 1
            await self._postpone(letter, State.UNCERTAIN, self._pause_s(letter, error), said)
        elif error.retry is RetryClass.LATER:
            await self._postpone(letter, State.WAITING, self._pause_s(letter, error), said)
        else:
            self.counts.dead += 1
            log.error("dead_letter", extra={"adapter": self.name, "key": letter.command.key})
            await asyncio.to_thread(self.outbox.bury, letter, said)

    def _pause_s(self, letter: Letter, error: AdapterError) -> float:
        return self._backoff.pause_s(letter.command.attempt, error.retry_after_s)

    async def _finish(self, letter: Letter, outcome: Outcome) -> None:
        if outcome.status is Status.DONE:
            self.counts.done += 1
        else:
            self.counts.rejected += 1
        await asyncio.to_thread(self.outbox.finish, letter, outcome, self._on_outcome)

    async def _postpone(
        self, letter: Letter, state: State, wait_s: float, error: str, *, not_found: int = 0
    ) -> None:
        next_us = self._now_us() + int(wait_s * US)

        def write() -> State:
            return self.outbox.postpone(letter, state, next_us, error, not_found=not_found)

        if await asyncio.to_thread(write) is State.DEAD:
            self.counts.dead += 1
            log.error("dead_letter", extra={"adapter": self.name, "key": letter.command.key})


__all__ = ["NOT_FOUND", "Relay", "RelayCounts", "RelaySettings"]
