"""What a person sees while riders travel: a live table in a terminal, plain lines elsewhere.

The live table is drawn by a process of its own (`python -m gateway.simulate.screen`, fed with JSON
lines): drawing takes milliseconds, and they would be measured as latency.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from typing import IO, Any, Protocol

PLAIN_EVERY_S = 2.0
BEIJING = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a run. Rates and percentiles are of the last quarter second."""

    elapsed_s: float
    seconds: float
    taps: int
    taps_per_s: int
    p50_us: int
    p99_us: int
    revenue_minor: int
    gates: int
    gates_down: int
    clock_us: int
    resent: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


class Display(Protocol):
    """Where progress goes."""

    def say(self, text: str) -> None:
        """A remark that stays."""

    def update(self, snapshot: Snapshot) -> None:
        """How the run goes."""

    def step(self, what: str, done: int, total: int) -> None:
        """How something beside the run goes."""

    def close(self) -> None:
        """Nothing more comes."""


def format_yuan(minor: int) -> str:
    """Minor units as text: ¥1,234.56."""
    sign = "-" if minor < 0 else ""
    return f"{sign}¥{abs(minor) // 100:,}.{abs(minor) % 100:02}"


def format_us(us: int) -> str:
    """A duration for people."""
    return f"{us} µs" if us < 10_000 else f"{us // 1000:,} ms"


def format_clock(ts_us: int) -> str:
    """An instant of the riders' clocks, as in Beijing."""
    return datetime.fromtimestamp(ts_us // 1_000_000, BEIJING).strftime("%m-%d %H:%M")


def choose_display(*, quiet: bool, stream: IO[str] = sys.stderr) -> Display:
    """Live on a terminal, lines elsewhere, nothing when quiet."""
    if quiet:
        return NoDisplay()
    return LiveDisplay() if stream.isatty() else PlainDisplay(stream)


class NoDisplay:
    """Says nothing."""

    def say(self, text: str) -> None: ...

    def update(self, snapshot: Snapshot) -> None: ...

    def step(self, what: str, done: int, total: int) -> None: ...

    def close(self) -> None: ...


class PlainDisplay:
    """A line now and then."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._next = 0.0
        self._step = ""

    def say(self, text: str) -> None:
        self._line(text)

    def update(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PLAIN_EVERY_S
        down = f"  {snapshot.gates_down} gates down" if snapshot.gates_down else ""
        self._line(
            f"{snapshot.elapsed_s:5.1f} s  {snapshot.taps:,} taps  {snapshot.taps_per_s:,}/s  "
            f"p50 {snapshot.p50_us} us  p99 {snapshot.p99_us} us  "
            f"{format_yuan(snapshot.revenue_minor)}{down}"
        )

    def step(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what == self._step and now < self._next and done < total:
            return
        self._step, self._next = what, now + PLAIN_EVERY_S
        self._line(f"{what}: {done:,} of {total:,}")

    def close(self) -> None: ...

    def _line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class LiveDisplay:
    """Feeds the process that draws. When that one is gone, nothing is shown and nothing breaks."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-m", "gateway.simulate.screen"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.stderr)
        self._next_step = 0.0

    def say(self, text: str) -> None:
        self._send({"say": text})

    def update(self, snapshot: Snapshot) -> None:
        self._send({"run": asdict(snapshot)})

    def step(self, what: str, done: int, total: int) -> None:
        if done >= total or time.monotonic() >= self._next_step:
            self._next_step = time.monotonic() + 0.1
            self._send({"step": [what, done, total]})

    def close(self) -> None:
        if self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait(timeout=10)

    def _send(self, data: dict[str, Any]) -> None:
        pipe = self._process.stdin
        if pipe is None or pipe.closed or self._process.poll() is not None:
            return
        try:
            pipe.write(json.dumps(data).encode() + b"\n")
            pipe.flush()
        except BrokenPipeError:
            pipe.close()
