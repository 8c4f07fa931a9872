"""Carries one adapter's commands: claims, sends or asks, and writes down what became of them.

Before anything is sent again after an unknown outcome the peer is asked (`query`). An exception
that is none of the closed set is a bug of the adapter and counts as unknown. The peer's load is
bounded by the adapter's `max_in_flight` (bulkhead) and its rate, a peer in trouble is left alone
(breaker). Errors about the adapter itself (credentials, settings) are no command's fault: all wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from adapters.contract import Adapter, CheckStatus, Command, NotFound, Outcome, Status
from adapters.errors import (
    AdapterError,
    RateLimited,
    Refusal,
    Rejected,
    RetryClass,
    Unavailable,
    Uncertain,
)
from gateway.delivery.backoff import Backoff
from gateway.delivery.breaker import Breaker, BreakerState
from gateway.delivery.outbox import ASKED, US, Left, Letter, OnOutcome, Outbox, State
from gateway.delivery.pace import Pace
from gateway.errors import DatabaseError

log = logging.getLogger(__name__)

NOT_FOUND_SURE = 2
"""So many times "unknown key" before it is believed: peers may see their own writes late."""


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Seconds."""

    deadline_s: float = 30.0
    """For one call; must be far below the outbox's lease."""
    poll_s: float = 0.5
    ask_again_s: float = 5.0
    """Between two questions about a command, when the peer names no time."""
    drain_s: float = 5.0
    """How long calls under way may go on when the relay ends."""


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
        open_command: Callable[[Command], Command] | None = None,
        settings: RelaySettings | None = None,
        backoff: Backoff | None = None,
        breaker: Breaker | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.adapter = adapter
        self.outbox = outbox
        self.breaker = breaker or Breaker()
        self.pace = Pace(adapter.info.rate_limit_per_s)
        self.counts = RelayCounts()
        self._now_us = now_us
        self._on_outcome = on_outcome
        self._open_command = open_command
        self._settings = settings or RelaySettings()
        self._backoff = backoff or Backoff()
        self._monotonic = monotonic
        self._woken = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled; what is under way then has `drain_s` to end, or is left uncertain.

        Raises: DatabaseError: what became of a call cannot be written; it is found uncertain later.
        """
        try:
            while True:
                self._woken.clear()  # before looking: who wakes us meanwhile is heard
                if await self._fill() == 0:
                    await self._rest()
        finally:
            await self._drain()

    async def work(self) -> int:
        """One round: claim what is due and deal with it side by side. Returns how many."""
        started = await self._fill()
        if self._running:
            await asyncio.wait(self._running)
        self._reap()
        return started

    def report(self) -> dict[str, Any]:
        """For the worker's page."""
        return {
            "breaker": str(self.breaker.state),
            "in_flight": len(self._running),
            **asdict(self.counts),
        }

    # --- life ---------------------------------------------------------------------------------

    async def _fill(self) -> int:
        """Begin as many calls as there is room for; how many."""
        self._reap()
        if not await self._may_call():
            return 0
        free = self.adapter.info.max_in_flight - len(self._running)
        room = self.pace.room(self._monotonic(), free)
        if room <= 0:
            return 0
        letters = await self._claim(room)
        for letter in letters:
            self.pace.took(self._monotonic())
            self._running.add(asyncio.create_task(self._deal(letter)))
        return len(letters)

    async def _claim(self, room: int) -> list[Letter]:
        """A claim that a cancellation interrupts is given back."""
        claiming = asyncio.ensure_future(
            asyncio.to_thread(self.outbox.claim, self.name, room, self._now_us())
        )
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            for letter in await claiming:
                await self._leave(letter, Left(letter.came_from, self._now_us()))
            raise

    async def _rest(self) -> None:
        """Until a call ends, somebody wakes us, or it is time to look again."""
        waking = asyncio.create_task(self._woken.wait())
        wait_s = max(self._settings.poll_s, self.pace.wait_s(self._monotonic()))
        try:
            await asyncio.wait(
                {waking, *self._running}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waking.cancel()

    def _reap(self) -> None:
        """Forget calls that ended. Raises what one of them raised."""
        for task in [task for task in self._running if task.done()]:
            self._running.discard(task)
            task.result()

    async def _drain(self) -> None:
        if not self._running:
            return
        _, slow = await asyncio.wait(self._running, timeout=self._settings.drain_s)
        for task in slow:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    async def _may_call(self) -> bool:
        if self.breaker.allows(self._monotonic()):
            return True
        if self.breaker.state is not BreakerState.HALF_OPEN:
            return False
        found = await self._probe()
        self.breaker.probed(ok=found, now_s=self._monotonic())
        if found:
            log.info("peer_up", extra={"adapter": self.name})
        return found

    async def _probe(self) -> bool:
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                result = await self.adapter.check()
        except (TimeoutError, AdapterError):
            return False
        return result.status is CheckStatus.OK

    # --- one command --------------------------------------------------------------------------

    async def _deal(self, letter: Letter) -> None:
        try:
            result = await self._call(letter)
        except AdapterError as error:
            self._note(error)
            await self._failed(letter, error)
        except asyncio.CancelledError:
            await asyncio.shield(self._abandon(letter))
            raise
        else:
            self._note(None)
            await self._answered(letter, result)

    def _note(self, error: AdapterError | None) -> None:
        was = self.breaker.state
        self.breaker.note(error, self._monotonic())
        if was is BreakerState.CLOSED and self.breaker.state is BreakerState.OPEN:
            log.warning("peer_down", extra={"adapter": self.name, "error": type(error).__name__})
        if isinstance(error, RateLimited):
            self.pace.rest(self._monotonic(), error.retry_after_s or self._backoff.pause_s(1))

    async def _call(self, letter: Letter) -> Outcome | NotFound:
        """Tell or ask the peer. Raises: AdapterError and nothing else."""
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                if letter.came_from in ASKED:
                    self.counts.asked += 1
                    return await self.adapter.query(letter.command.key)
                command = letter.command
                if self._open_command is not None:
                    command = await asyncio.to_thread(self._open_command, command)
                self.adapter.validate(command)
                self.counts.sent += 1
                return await self.adapter.execute(command)
        except AdapterError:
            raise
        except TimeoutError as error:
            raise Uncertain("no answer before the deadline") from error
        except Exception as error:  # a bug in the adapter: nobody knows what the peer got
            log.exception("adapter_bug", extra={"adapter": self.name, "key": letter.command.key})
            raise Uncertain(f"{type(error).__name__} in the adapter") from error

    async def _abandon(self, letter: Letter) -> None:
        """The relay ends in the middle of a call: the next one asks."""
        state = letter.came_from if letter.came_from in ASKED else State.UNCERTAIN
        try:
            await self._leave(letter, Left(state, self._now_us(), "the relay was stopped"))
        except DatabaseError:
            log.exception("letter_not_left", extra={"adapter": self.name})

    async def _answered(self, letter: Letter, result: Outcome | NotFound) -> None:
        asking = letter.came_from in ASKED
        if isinstance(result, NotFound):
            await self._not_found(letter)
        elif result.refusal is Refusal.DUPLICATE and not asking:
            await self._failed(letter, Uncertain(_KNOWN_KEY))
        elif result.status.is_final:
            await self._finish(letter, result)
        elif result.status is Status.PENDING:
            wait_s = result.retry_after_s or self._settings.ask_again_s
            await self._leave(letter, Left(State.PENDING, self._in_us(wait_s)))
        else:
            await self._failed(letter, Uncertain(result.detail, retry_after_s=result.retry_after_s))

    async def _not_found(self, letter: Letter) -> None:
        """The peer does not know the key. Believed the second time: then it is sent again."""
        seen = letter.not_found + 1
        if seen < NOT_FOUND_SURE:
            next_us = self._in_us(self._settings.ask_again_s)
            await self._leave(letter, Left(State.UNCERTAIN, next_us, _UNKNOWN_KEY, seen))
        else:
            await self._leave(letter, Left(State.WAITING, self._now_us(), _NEVER_ARRIVED))

    async def _failed(self, letter: Letter, error: AdapterError) -> None:
        name = type(error).__name__
        self.counts.errors[name] = self.counts.errors.get(name, 0) + 1
        asking = letter.came_from in ASKED
        duplicate = isinstance(error, Rejected) and error.refusal is Refusal.DUPLICATE
        if isinstance(error, Rejected) and not asking and not duplicate:
            await self._finish(letter, Outcome.rejected(error))
            return
        if asking or duplicate or error.retry is RetryClass.QUERY_FIRST:
            # Whatever goes wrong while asking, what we do not know stays unknown.
            self.counts.uncertain += 1
            state = State.UNCERTAIN
        elif error.retry is RetryClass.LATER or error.about_adapter:
            state = State.WAITING
        else:
            state = State.DEAD
        innocent = isinstance(error, Unavailable | RateLimited) or error.about_adapter
        left = Left(
            state,
            self._in_us(self._pause_s(letter, error)),
            f"{name}: {error.detail}",
            poisonous=state is State.WAITING and not innocent,
        )
        await self._leave(letter, left)

    def _pause_s(self, letter: Letter, error: AdapterError) -> float:
        return self._backoff.pause_s(letter.failures + 1, error.retry_after_s)

    def _in_us(self, seconds: float) -> int:
        return self._now_us() + int(seconds * US)

    async def _finish(self, letter: Letter, outcome: Outcome) -> None:
        if outcome.status is Status.DONE:
            self.counts.done += 1
        else:
            self.counts.rejected += 1
        await asyncio.to_thread(
            self.outbox.finish, letter, outcome, self._now_us(), self._on_outcome
        )

    async def _leave(self, letter: Letter, left: Left) -> None:
        state = await asyncio.to_thread(self.outbox.leave, letter, left, self._now_us())
        if state is State.DEAD:
            self.counts.dead += 1
            log.error("dead_letter", extra={"adapter": self.name, "key": letter.command.key})


_KNOWN_KEY = "the peer says that it has the key already"
_UNKNOWN_KEY = "the peer does not know the key yet"
_NEVER_ARRIVED = "never arrived"
