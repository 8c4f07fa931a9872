"""How many files may be open: as many as the sessions need, or as many sessions as fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway import dataplane
from gateway.dataplane import FILES_SPARE, fit_sessions
from gateway.link.server import STRANGERS_SPARE

REPO = Path(__file__).parents[2]
RAISE = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 512))
from gateway.open_files import raise_limit
print(raise_limit(32), raise_limit(200), raise_limit(9999), resource.getrlimit(7)[0])
"""


def test_the_soft_limit_goes_up_to_the_hard_one_and_never_down() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RAISE], cwd=REPO, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["32", "200", "512", "512"]


def test_no_more_sessions_than_there_are_files_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    beside = STRANGERS_SPARE + FILES_SPARE
    monkeypatch.setattr(dataplane, "raise_limit", lambda wanted: min(wanted, 4096))
    assert fit_sessions(1000) == 1000
    assert not caplog.records
    assert fit_sessions(20_000) == 4096 - beside
    assert caplog.records[0].msg == "sessions_limited"
