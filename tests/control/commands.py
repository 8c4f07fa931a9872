"""Runs `faregate` commands inside the test's process, or a whole gateway beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.bootstrap import build_access
from gateway.cli import main
from gateway.config import load_config
from gateway.config_file import make_data_dir
from gateway.registry.actors import Actor

ROOT = Path(__file__).parents[2]
SMALL = ["--set=journal.segment_mib=8", "--set=link.port=0", "--set=http.port=0"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value it printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


class Cli:
    """`faregate ...` with a fixed configuration."""

    def __init__(self, capsys: pytest.CaptureFixture[str], config: Path | None = None) -> None:
        self._capsys = capsys
        self.config = config

    def __call__(self, *words: str, config: bool = True) -> Outcome:
        named = ["--config", str(self.config)] if config and self.config else []
        self._capsys.readouterr()
        status = main([*words, *named])
        said = self._capsys.readouterr()
        return Outcome(status, said.out, said.err)

    def ok(self, *words: str, config: bool = True) -> Any:
        """Run it with --json; it has to succeed; its JSON."""
        outcome = self(*words, "--json", config=config)
        assert outcome.status == 0, outcome
        return outcome.json

    def fail(self, status: int, *words: str, config: bool = True) -> dict[str, Any]:
        """Run it with --json; it has to fail so; its error."""
        outcome = self(*words, "--json", config=config)
        assert outcome.status == status, outcome
        assert outcome.json["ok"] is False
        error: dict[str, Any] = outcome.json["error"]
        return error

    def agreed(self, *words: str) -> Any:
        """What needs four eyes: asked for, agreed to by somebody else, asked for again."""
        refused = self.fail(1, *words)
        assert refused["code"] == "APPROVAL_NEEDED", refused
        access = build_access(load_config(self.config, env={}).config)
        access.approvals.approve(Actor.system("cli:somebody-else"), refused["approval_id"])
        return self.ok(*words)


class Gateway:
    """`faregate serve` as its own process group of processes."""

    def __init__(self, config: Path, *extra: str) -> None:
        command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(config), "--json"]
        self.log = (config.parent / "gateway.log").open("ab")
        self.process = subprocess.Popen(
            [*command, *SMALL, *extra],
            stdout=subprocess.PIPE,
            stderr=self.log,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self.events: list[dict[str, Any]] = []
        try:
            self.where = self.wait_for("serving")
        except AssertionError:
            self.end()
            raise

    def wait_for(self, event: str, **fields: object) -> dict[str, Any]:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            self.events.append(json.loads(line))
            found = self.events[-1]
            assert "event" in found, found
            if found["event"] == event and all(found.get(k) == v for k, v in fields.items()):
                return found
        log = Path(self.log.name).read_text()
        raise AssertionError(f"the gateway ended without {event}: {self.events} {log}")

    def pid_of(self, name: str) -> int:
        started = [e for e in self.events if e["event"] == "started" and e["process"] == name]
        return int(started[-1]["pid"])

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.end()

    def end(self) -> int:
        if self.process.stdout and not self.process.stdout.closed:
            self.events += [json.loads(line) for line in self.process.stdout]
            self.process.stdout.close()
        self.log.close()
        return self.process.wait(60)


def make_folder(folder: Path) -> Path:
    """A new data folder with small segments; its configuration."""
    file = make_data_dir(folder)
    text = file.read_text().replace("segment_mib = 256", "segment_mib = 8")
    file.write_text(text.replace("port = 7400", "port = 0").replace("port = 7480", "port = 0"))
    return file
