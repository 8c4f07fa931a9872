"""What a run came to: one object for JSON, a table for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastpath.types import Op, TapKind
from gateway.simulate.check import CheckResult
from gateway.simulate.crowd import Crowd
from gateway.simulate.show import format_us, format_yuan
from gateway.simulate.stats import Latencies


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Answer latency at the client, microseconds."""

    count: int
    p50_us: int
    p99_us: int
    p999_us: int

    @classmethod
    def of(cls, latencies: Latencies) -> Percentiles:
        """The three numbers of a histogram."""
        return cls(
            latencies.count,
            latencies.quantile_us(500),
            latencies.quantile_us(990),
            latencies.quantile_us(999),
        )


def build_result(crowd: Crowd) -> dict[str, Any]:
    """The run as one JSON object. Latencies of taps that met an outage are apart."""
    stats = crowd.stats
    latency = Percentiles.of(stats.latency)
    return {
        "taps": stats.taps,
        "elapsed_s": round(crowd.elapsed_s, 3),
        "taps_per_s": int(stats.taps / crowd.elapsed_s) if crowd.elapsed_s else 0,
        "p50_us": latency.p50_us,
        "p99_us": latency.p99_us,
        "p999_us": latency.p999_us,
        "revenue_minor": stats.revenue_minor,
        "reasons": stats.by_reason(),
        "reversals": stats.count_of(Op.REVERSAL),
        "settlements": stats.count_of(Op.SETTLEMENT),
        "inspections": stats.count_of(TapKind.INSPECT),
        "repeats": stats.repeats,
        "resent": stats.resent,
        "top_ups": stats.top_ups,
        "top_up_minor": stats.top_up_minor,
        "errors": dict(stats.errors),
        "stray": stats.stray,
        "unanswered": crowd.under_way,
        "day_over": crowd.is_day_over,
        "disconnects": stats.disconnects,
        "outages": [
            {"recovery_us": outage.recovery_us, "all_gates_us": outage.length_us}
            for outage in crowd.outages
        ],
        "outage_latency": asdict(Percentiles.of(stats.outage)),
    }


def print_summary(
    result: dict[str, Any], check: CheckResult | None, extra: dict[str, str], console: Console
) -> None:
    """The run as a table."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    for name, value in _rows(result, check, extra):
        table.add_row(name, Text(value))
    console.print(table)
    if check is not None:
        for finding in check.findings:
            console.print(Text(f"  {finding}", style="red"))


def _rows(
    result: dict[str, Any], check: CheckResult | None, extra: dict[str, str]
) -> list[tuple[str, str]]:
    rows = [("taps", f"{result['taps']:,} in {result['elapsed_s']} s")]
    if result["day_over"]:
        rows.append(("note", "it ended early: the riders' day was over; take more riders"))
    for reason, count in result["reasons"].items():
        rows.append((f"  {reason}", f"{count:,}"))
    rows += [
        ("undone", f"{result['reversals']:,} not passed"),
        ("settled", f"{result['settlements']:,} disagreements of gate and gateway"),
        ("sent twice", f"{result['repeats']:,} answered the same again"),
        ("revenue", format_yuan(result["revenue_minor"])),
        ("topped up", f"{format_yuan(result['top_up_minor'])} by {result['top_ups']:,} commands"),
        (
            "answers",
            f"p50 {format_us(result['p50_us'])}, p99 {format_us(result['p99_us'])}, "
            f"p99.9 {format_us(result['p999_us'])} (without the taps that met an outage)",
        ),
    ]
    rows += [_outage_row(result, outage) for outage in result["outages"]]
    if result["errors"] or result["unanswered"]:
        rows.append(("errors", f"{result['errors']}, {result['unanswered']} without an answer"))
    rows += list(extra.items())
    if check is not None:
        rows.append(("checked", _checked(check)))
    return rows


def _outage_row(result: dict[str, Any], outage: dict[str, int]) -> tuple[str, str]:
    met = result["outage_latency"]
    return (
        "outage",
        f"first answer after {outage['recovery_us'] // 1000:,} ms, all gates back after "
        f"{outage['all_gates_us'] // 1000:,} ms; {met['count']:,} taps met it, "
        f"p99 {format_us(met['p99_us'])}; {result['resent']:,} sent again",
    )


def _checked(check: CheckResult) -> str:
    return (
        f"{check.records:,} records decided again by the reference engine, "
        f"{check.answers:,} answers, {check.accounts:,} balances: "
        f"{check.wrong} wrong, {check.lost} lost, {check.doubled} doubled"
    )
