"""What people see: lines, the live table and its process, the summary."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace

import pytest
from rich.console import Console

from fastpath.types import Op, Reason
from gateway.simulate.check import CheckResult
from gateway.simulate.crowd import Crowd, Outage
from gateway.simulate.report import build_result, print_summary
from gateway.simulate.screen import Screen
from gateway.simulate.show import (
    LiveDisplay,
    PlainDisplay,
    Snapshot,
    choose_display,
    format_us,
    format_yuan,
)

SNAPSHOT = Snapshot(
    elapsed_s=4.0,
    seconds=20.0,
    taps=12_345,
    taps_per_s=3_000,
    p50_us=210,
    p99_us=12_000,
    revenue_minor=123_456,
    gates=240,
    gates_down=0,
    clock_us=1_790_000_000_000_000,
    reasons={"ok": 12_000, "insufficient_balance": 345},
)


def drawn(screen: Screen) -> str:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(screen.draw())
    return console.export_text()


def test_the_live_table_has_rates_reasons_and_revenue() -> None:
    screen = Screen()
    assert screen.take(json.dumps({"run": asdict(SNAPSHOT)})) == ""
    text = drawn(screen)
    for part in ("12,345", "3,000/s", "210 µs", "12 ms", "¥1,234.56", "240", "ok", "345"):
        assert part in text
    assert "insufficient_balance" in text


def test_gates_that_are_down_are_seen() -> None:
    screen = Screen()
    screen.take(json.dumps({"run": asdict(replace(SNAPSHOT, gates_down=240))}))
    assert drawn(screen).splitlines()[1].rstrip().endswith(" 0")


def test_a_step_has_a_line_of_its_own() -> None:
    screen = Screen()
    screen.take(json.dumps({"run": asdict(SNAPSHOT)}))
    screen.take(json.dumps({"step": ["records checked", 10, 20]}))
    assert "records checked: 10 of 20" in drawn(screen).splitlines()[-1]
    assert screen.take(json.dumps({"say": "killed"})) == "killed"


def test_without_a_terminal_there_are_lines() -> None:
    stream = io.StringIO()
    display = choose_display(quiet=False, stream=stream)
    assert isinstance(display, PlainDisplay)
    display.say("serves")
    display.update(SNAPSHOT)
    display.update(SNAPSHOT)
    display.step("records checked", 20, 20)
    display.close()
    serves, run, checked = stream.getvalue().splitlines()
    assert serves == "serves"
    assert "12,345 taps  3,000/s  p50 210 us  p99 12000 us  ¥1,234.56" in run
    assert checked == "records checked: 20 of 20"


def test_quiet_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    display = choose_display(quiet=True, stream=stream)
    display.say("serves")
    display.update(SNAPSHOT)
    display.step("records checked", 20, 20)
    display.close()
    assert (stream.getvalue(), *capfd.readouterr()) == ("", "", "")


def test_the_drawing_process_may_die(capfd: pytest.CaptureFixture[str]) -> None:
    display = LiveDisplay()
    display.say("one remark")
    display._process.kill()
    display._process.wait()
    for _ in range(3):
        display.update(SNAPSHOT)
    display.close()


def test_the_drawing_process_shows_remarks(capfd: pytest.CaptureFixture[str]) -> None:
    display = LiveDisplay()
    display.say("one remark")
    display.update(SNAPSHOT)
    display.close()
    assert "one remark" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("minor", "text"), [(0, "¥0.00"), (5, "¥0.05"), (-123_456, "-¥1,234.56"), (100, "¥1.00")]
)
def test_amounts(minor: int, text: str) -> None:
    assert format_yuan(minor) == text


def test_durations() -> None:
    assert (format_us(9_999), format_us(10_000)) == ("9999 µs", "10 ms")


def test_the_summary_tells_the_outage_apart() -> None:
    crowd = Crowd([])
    crowd.elapsed_s = 2.0
    stats = crowd.stats
    for us in (100, 200, 300):
        stats.note_latency(us, in_outage=False)
        stats.note_answer(Op.CHECK_IN, Reason.OK, 0)
    stats.note_latency(2_000_000, in_outage=True)
    stats.note_answer(Op.CHECK_OUT, Reason.ACCOUNT_FROZEN, 0)
    second = 1_000_000_000
    crowd.outages = [Outage(second, first_answer_ns=3 * second, ended_ns=4 * second)]
    result = build_result(crowd)
    assert (result["taps"], result["taps_per_s"], result["p99_us"]) == (4, 2, 300)
    assert result["outages"] == [{"recovery_us": 2_000_000, "all_gates_us": 3_000_000}]
    assert result["outage_latency"]["p99_us"] >= 2_000_000
    console = Console(width=200, file=io.StringIO(), record=True)
    check = CheckResult(taps=4, wrong=1, findings=["record 7: fare 1, should be 2"])
    print_summary(result, check, {"group commits": "3"}, console)
    text = console.export_text()
    for part in (
        "account_frozen",
        "without the taps that met an outage",
        "2,000 ms",
        "should be 2",
    ):
        assert part in text
    json.dumps(result)
