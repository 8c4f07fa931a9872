"""From the file of settings to a journal in Valkey: options, passwords, commands."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.bootstrap import run_standby, trim_journal
from gateway.config import Config, load_config
from gateway.errors import ConfigError, JournalUnavailable, SnapshotError
from gateway.journal.valkey import ValkeyJournal, ValkeyOptions
from gateway.journal.valkey_wire import parse_server
from gateway.journals import open_reader, open_valkey, valkey_options
from tests.support.journals import build_next
from tests.support.plane import make_folder
from tests.support.valkey import Server, free_port, needs_server

REPO = Path(__file__).parents[2]
PASSWORD = "a long word of the servers"


def make_config(folder: Path, address: str, *more: str) -> Config:
    make_folder(folder)
    lines = [
        '[journal]\nkind = "valkey"\n[valkey]',
        f'servers = ["{address}"]',
        "replicas = 0\ntimeout_ms = 2000\nleader_ttl_ms = 300",
        *more,
    ]
    (folder / "gateway.toml").write_text("\n".join(lines) + "\n")
    return load_config(folder / "gateway.toml", env={}).config


def write_password(folder: Path, text: str = PASSWORD, mode: int = 0o600) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "valkey.password").write_text(text + "\n")
    (folder / "valkey.password").chmod(mode)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.0.0.1:6380", ("10.0.0.1", 6380)),
        ("db", ("db", 6379)),
        ("[::1]:7000", ("::1", 7000)),
        ("[::1]", ("::1", 6379)),
    ],
)
def test_servers_are_host_and_port(text: str, found: tuple[str, int]) -> None:
    assert parse_server(text) == found


@pytest.mark.parametrize("text", ["", ":6379", "host:port", "host:"])
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(ConfigError):
        ValkeyOptions(servers=(text,)).check()


def test_settings_become_options(tmp_path: Path) -> None:
    write_password(tmp_path / "a" / "..")
    config = make_config(
        tmp_path / "a",
        "h:1",
        'name = "north"',
        'user = "gateway"',
        'password_file = "../valkey.password"',
    )
    options = valkey_options(config)
    assert options.servers == ("h:1",)
    assert (options.replicas, options.timeout_s, options.leader_ttl_s) == (0, 2.0, 0.3)
    assert (options.user, options.password) == ("gateway", PASSWORD)
    assert options.key("groups") == "faregate:{north}:groups"
    assert options.group_bytes_max == config.engine.group_bytes_max


@pytest.mark.parametrize(
    ("text", "mode", "said"), [("x", 0o644, "chmod 600"), ("", 0o600, "empty")]
)
def test_a_password_file_that_cannot_be_used(
    tmp_path: Path, text: str, mode: int, said: str
) -> None:
    write_password(tmp_path / "a" / "..", text, mode)
    config = make_config(tmp_path / "a", "h:1", 'password_file = "../valkey.password"')
    with pytest.raises(ConfigError, match=said):
        valkey_options(config)


def test_names_that_would_break_the_hash_tag_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"valkey\.name"):
        make_config(tmp_path / "a", "h:1", 'name = "a}b"')


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    config = make_config(tmp_path / "a", f"127.0.0.1:{free_port()}")
    with pytest.raises(JournalUnavailable, match="no primary"):
        open_valkey(config)


def test_a_standby_and_trimming_need_that_kind_of_journal(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "a")
    for needs_it in (lambda: run_standby(config, -1), lambda: trim_journal(config)):
        with pytest.raises(ConfigError, match="valkey"):
            needs_it()


@needs_server
def test_a_password_is_spoken(tmp_path: Path) -> None:
    server = Server(tmp_path / "server", settings={"requirepass": PASSWORD})
    try:
        write_password(tmp_path)
        config = make_config(tmp_path / "a", server.address, 'password_file = "../valkey.password"')
        journal = open_valkey(config)
        position, group = build_next(journal)
        journal.append(position, group)
        journal.close()
        reader = open_reader(config)
        assert [bytes(each) for each in reader.read(0)] == [group]
        reader.close()
        with pytest.raises(SnapshotError):  # nothing is dropped without one
            trim_journal(config)
        without = make_config(tmp_path / "b", server.address)
        with pytest.raises(JournalUnavailable):
            ValkeyJournal.open(valkey_options(without))
    finally:
        server.close()


@needs_server
def test_the_command_leads_where_nobody_does_and_stops_when_told(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    tariffs = '[tariffs]\nslots = {1 = "beijing-bus"}'  # a metro network takes seconds
    config = make_config(tmp_path / "a", server.address, "[link]\nport = 0", tariffs)
    command = [sys.executable, "-m", "gateway.cli", "standby", "--json"]
    process = subprocess.Popen(
        [*command, "--config", str(tmp_path / "a" / "gateway.toml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=REPO,
    )
    try:
        assert process.stdout is not None
        said = [json.loads(process.stdout.readline()) for _ in range(3)]
        assert [one["event"] for one in said] == ["started", "ready", "serving"]
        assert said[1]["standby"] == config.valkey.name
        directory = ValkeyJournal.open_reader(valkey_options(config))
        while (leader := directory.find_leader()) is None or not leader.where:
            assert process.poll() is None
        directory.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        process.stdout.close()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        server.close()
