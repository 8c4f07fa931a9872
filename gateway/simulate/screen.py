"""Draws the live table of a run: JSON lines in, a terminal out (gateway/simulate/show.py)."""

from __future__ import annotations

import json
import signal
import sys

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fastpath.types import ACCEPTED
from gateway.simulate.show import Snapshot, format_clock, format_us, format_yuan

BAR_WIDTH = 40
REASONS_SHOWN = 12


class Screen:
    """What was last said of everything."""

    def __init__(self) -> None:
        self.run: Snapshot | None = None
        self.step: tuple[str, int, int] | None = None

    def take(self, line: str) -> str:
        """One JSON line; returns a remark that is to stay on the screen."""
        data = json.loads(line)
        if "run" in data:
            self.run, self.step = Snapshot(**data["run"]), None
        elif "step" in data:
            what, done, total = data["step"]
            self.step = (str(what), int(done), int(total))
        return str(data.get("say", ""))

    def draw(self) -> Group:
        """As rich shows it."""
        parts: list[Table] = []
        run = self.run
        if run is not None:
            spent = f"{run.elapsed_s:4.1f} of {run.seconds:g} s"
            bar = _bar(spent, int(run.elapsed_s * 1000), int(run.seconds * 1000))
            parts += [_run_table(run), _reason_table(run), bar]
        if self.step is not None:
            what, done, total = self.step
            parts.append(_bar(f"{what}: {done:,} of {total:,}", done, total))
        return Group(*parts)


def _bar(text: str, done: int, total: int) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_row(ProgressBar(max(total, 1), done, width=BAR_WIDTH), Text(text))
    return grid


def _run_table(run: Snapshot) -> Table:

    table = Table(box=None, show_header=True, header_style="dim", pad_edge=False, padding=(0, 2))
    for title in ("taps", "now", "p50", "p99", "revenue", "riders' clock", "gates"):
        table.add_column(title, justify="right")
    gates = f"[red]{run.gates - run.gates_down}[/]" if run.gates_down else str(run.gates)
    table.add_row(
        f"[bold]{run.taps:,}[/]",
        f"[bold green]{run.taps_per_s:,}/s[/]",
        format_us(run.p50_us),
        format_us(run.p99_us),
        format_yuan(run.revenue_minor),
        format_clock(run.clock_us) if run.clock_us else "-",
        gates,
    )
    return table


def _reason_table(run: Snapshot) -> Table:

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column()
    most = max(run.reasons.values(), default=1)
    for reason, count in list(run.reasons.items())[:REASONS_SHOWN]:
        color = "green" if reason in ACCEPTED else "yellow"
        table.add_row(reason, f"{count:,}", f"[{color}]{'█' * (count * 24 // most)}[/]")
    return table


def main() -> int:
    """Draw what comes in on standard input until it ends."""

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    screen = Screen()
    with Live(screen.draw(), console=Console(), auto_refresh=False, transient=True) as live:
        for line in sys.stdin:
            if remark := screen.take(line):
                live.console.print(remark, highlight=False)
            live.update(screen.draw(), refresh=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
