"""Time, loop, thread and network that only move when the simulator says so.

The gateway's own classes run on them unchanged: `Connection` is an asyncio.Protocol, `GroupCommit`
asks for the running loop. Nothing here knows the gateway.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future as ThreadFuture
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast


class VirtualTime:
    """Stands for the `time` module: a wall clock that may step, a monotonic one that may not."""

    def __init__(self, wall_us: int) -> None:
        self.wall_us = wall_us
        self.mono_us = 1_000_000

    def advance(self, us: int) -> None:
        """Let time pass."""
        self.wall_us += us
        self.mono_us += us

    def time_ns(self) -> int:
        return self.wall_us * 1000

    def monotonic_ns(self) -> int:
        return self.mono_us * 1000

    def monotonic(self) -> float:
        return self.mono_us / 1e6

    @contextmanager
    def in_place_of_time(self, *modules: ModuleType) -> Iterator[None]:
        """What these modules call `time` is this clock for as long as the block runs."""
        real = [module.time for module in modules]
        for module in modules:
            module.time = self  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for module, before in zip(modules, real, strict=True):
                module.time = before  # type: ignore[attr-defined]


class VirtualLoop:
    """An event loop that runs one callback each time it is told to: what the gateway asks of one.

    An exception of a callback comes out of `step`: nothing is swallowed.
    """

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self._ready: deque[asyncio.Handle] = deque()
        self._later: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self._readers: dict[int, Callable[[], object]] = {}
        self._self = cast(asyncio.AbstractEventLoop, self)

    def discard(self) -> None:
        """The process is gone: what its coroutines were about to do never happens."""
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                task.get_coro().close()
        self._tasks.clear()
        self._ready.clear()
        self._later.clear()
        self._readers.clear()

    @contextmanager
    def running(self) -> Iterator[None]:
        """`asyncio.get_running_loop` gives this loop inside the block."""
        events._set_running_loop(self._self)
        try:
            yield
        finally:
            events._set_running_loop(None)

    @property
    def has_work(self) -> bool:
        """Whether a callback waits for its turn."""
        self._collect()
        return bool(self._ready)

    def step(self) -> None:
        """Run the next callback."""
        self._collect()
        handle = self._ready.popleft()
        if not handle.cancelled():
            handle._context.run(handle._callback, *handle._args)  # type: ignore[attr-defined]

    def _collect(self) -> None:
        while self._later and self._later[0][0] <= self.time():
            self._ready.append(heapq.heappop(self._later)[2])

    def time(self) -> float:
        return self._time.monotonic()

    @property
    def now_us(self) -> int:
        """The monotonic clock, in microseconds."""
        return self._time.mono_us

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        """Have it called whenever the descriptor becomes readable."""
        self._readers[fd] = callback

    def remove_reader(self, fd: int) -> bool:
        return self._readers.pop(fd, None) is not None

    def tell_reader(self, fd: int) -> None:
        """It is readable now."""
        if fd in self._readers:
            self.call_soon(self._readers[fd])

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self._self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self._self, context)
        self._count += 1
        heapq.heappush(self._later, (when, self._count, handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, **_: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self._self, name=name)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Only reached for what nobody fetched from a future; step() lets the rest through."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are skipped when their time comes."""


class VirtualThread:
    """An executor of one thread that works when the simulator says so."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[ThreadFuture[Any], Callable[..., Any], tuple[Any, ...]]] = deque()

    def submit(self, work: Callable[..., Any], *args: Any) -> ThreadFuture[Any]:
        future: ThreadFuture[Any] = ThreadFuture()
        self.jobs.append((future, work, args))
        return future

    def step(self) -> None:
        """Do the next job and report it. What kills the process is not reported."""
        future, work, args = self.jobs.popleft()
        try:
            result = work(*args)
        except Exception as error:  # noqa: BLE001 - what an executor does
            future.set_exception(error)
        else:
            future.set_result(result)

    def shutdown(self, wait: bool = True) -> None:
        """Nothing to end."""


class Wire(asyncio.Transport):
    """One connection: bytes under way in both directions, and the server's end of it."""

    def __init__(self, loop: VirtualLoop, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = loop
        self.protocol = protocol
        self.up = bytearray()
        """Sent by the client, not yet received."""
        self.down = bytearray()
        """Sent by the server, not yet received."""
        self.paused = False
        self.closed = False
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.closed:
            self.down += data

    def get_write_buffer_size(self) -> int:
        """What the client has not received yet."""
        return len(self.down)

    def deliver_up(self, size: int) -> None:
        """Let the server receive so many of the bytes under way."""
        if not self.paused and not self.closed and self.up:
            data = bytes(self.up[:size])
            del self.up[:size]
            self.protocol.data_received(data)

    def take_down(self, size: int) -> bytes:
        """What the client receives now."""
        data = bytes(self.down[:size])
        del self.down[:size]
        return data

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        """What was written still arrives."""
        if not self.closed:
            self.closed = True
            self._loop.call_soon(self.protocol.connection_lost, None)

    def cut(self) -> None:
        """The cable: nothing more arrives, in neither direction."""
        self.close()
        self.up.clear()
        self.down.clear()

    abort = cut
