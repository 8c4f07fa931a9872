"""The figures of a run for a person: rich tables of what `--json` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

SHARES = (("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us"), ("max", "max_us"))


def render(result: Mapping[str, Any]) -> Group:
    """Throughput, latency beside the bare fsync, what was checked, what it ran on."""
    return Group(
        Text(_headline(result), style="bold"),
        _latency(result),
        _pairs("answers", _answers(result)),
        _pairs("journal", _journal(result)),
        _pairs("machine", _machine(result)),
    )


def print_report(result: Mapping[str, Any], console: Console | None = None) -> None:
    """To standard output, or to a console."""
    (console or Console()).print(render(result))


def _headline(result: Mapping[str, Any]) -> str:
    load = f"{result['rate']:,.0f} taps/s asked" if result["rate"] else "as fast as answered"
    frames = f"batches of {result['batch']}" if result["batch"] else "single taps"
    return (
        f"{result['taps_per_s']:,} taps/s: {result['connections']} connections, {frames}, "
        f"{result['pipeline']} in flight, {result['accounts']:,} accounts, {load}"
    )


def _latency(result: Mapping[str, Any]) -> Table:
    table = Table("µs", *(name for name, _ in SHARES), box=None, header_style="bold")
    for title, prefix in (("tap", ""), ("bare fsync", "fsync_")):
        values = (f"{result[prefix + key]:,}" for _, key in SHARES)
        table.add_row(title, *values)
    return table


def _pairs(title: str, pairs: Iterable[tuple[str, object]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None)
    for name, value in pairs:
        table.add_row(Text(name, style="dim"), Text(_shown(value)))
    return table


def _answers(result: Mapping[str, Any]) -> list[tuple[str, object]]:
    names = ("accepted", "refused", "errors", "faults", "unanswered")
    return [(name, result[name]) for name in names]


def _journal(result: Mapping[str, Any]) -> list[tuple[str, object]]:
    names = ("acked", "journaled", "lost", "doubled", "groups", "group_bytes_mean", "filesystem")
    return [(name, result[name]) for name in names]


def _machine(result: Mapping[str, Any]) -> list[tuple[str, object]]:
    names = ("mac", "client_cpu", "gateway_cpu", "gateway_memory_bytes", "cpu_model", "versions")
    return [*((name, result[name]) for name in names), ("commit", result["commit"])]


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(item)}" for name, item in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
