"""One process of the gateway by itself: what it tells, and the status it ends with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway import readiness
from gateway.errors import (
    ConfigError,
    Corrupt,
    DatabaseError,
    EnvironmentFault,
    FareGatewayError,
    InvariantError,
    JournalBroken,
    JournalFull,
)
from gateway.observability.page import Page
from gateway.process import exit_status
from gateway.readiness import NO_PIPE, tell_failure, tell_ready
from tests.control.commands import ROOT, make_folder


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError(), 3),
        (EnvironmentFault(), 3),
        (Corrupt(), 3),
        (JournalBroken(), 70),
        (JournalFull(), 1),
        (DatabaseError("DATABASE_NEWER"), 3),
        (DatabaseError("DATABASE_VERSION"), 1),
        (InvariantError(), 1),
    ],
)
def test_exit_status_tells_the_supervisor_what_to_do(error: FareGatewayError, status: int) -> None:
    assert exit_status(error) == status


def _run(config: Path, *words: str) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    """Run `gateway.process http` to its end: status, what it told, what it logged."""
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "gateway.process", "http", "--config", str(config)]
    process = subprocess.Popen(
        [*command, "--ready-fd", str(writing), *words],
        stderr=subprocess.PIPE,
        pass_fds=[writing],
        cwd=ROOT,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    logged = process.communicate(timeout=60)[1].decode().splitlines()
    said = json.loads(told) if told else {}
    return process.returncode, said, [json.loads(line) for line in logged if line[:1] == "{"]


def test_a_refusal_is_told_and_logged_once(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "metro")
    status, told, logged = _run(config, "--set=http.host=256.256.256.256")
    assert status == 3
    assert told["error"]["code"] == "ENV_PORT_IN_USE"
    failures = [line for line in logged if line["event"] == "process_failed"]
    assert [line["code"] for line in failures] == ["ENV_PORT_IN_USE"]


def test_bad_settings_are_told_before_there_is_a_log(tmp_path: Path) -> None:
    status, told, _ = _run(make_folder(tmp_path / "metro"), "--set=http.port=x")
    assert status == 3
    assert told["error"]["findings"] == [
        "http.port: input should be a valid integer, got 'x' (from flag)"
    ]


def test_a_crash_is_one_line_of_json(tmp_path: Path) -> None:
    code = (
        "import gateway.bootstrap as b, gateway.process as p, sys\n"
        "def run(config, ready_fd): raise ZeroDivisionError('0199aabb' * 4)\n"
        "b.PROCESSES['http'] = run\n"
        f"sys.exit(p.main(['http', '--config', {str(make_folder(tmp_path / 'm'))!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    logged = json.loads(line)
    assert (logged["event"], logged["level"]) == ("process_crashed", "critical")
    assert "ZeroDivisionError" in logged["traceback"]
    assert "0199aabb" not in done.stderr


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process tells once; this one is used for several tests."""
    monkeypatch.setattr(readiness, "_closed", set())


def test_readiness_is_told_once_and_never_into_another_file(tmp_path: Path) -> None:
    """The pipe's number is free after the first word; the next file opened gets it."""
    reading, writing = os.pipe()
    tell_ready(writing, {"http": "127.0.0.1:1"})
    journal = os.open(tmp_path / "journal", os.O_RDWR | os.O_CREAT)
    assert journal == writing
    tell_failure(writing, InvariantError())
    tell_ready(writing, {})
    os.close(journal)
    assert (tmp_path / "journal").read_bytes() == b""
    with os.fdopen(reading) as pipe:
        assert json.loads(pipe.read()) == {"ready": {"http": "127.0.0.1:1"}}


def test_a_supervisor_that_is_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    tell_ready(writing, {})
    tell_ready(NO_PIPE, {})


def test_the_page_is_made_by_its_writer_alone(tmp_path: Path) -> None:
    page = Page.create(tmp_path / "run" / "page")
    page.close()
    with pytest.raises(ValueError, match="released"):
        page.slots[0] = 1
