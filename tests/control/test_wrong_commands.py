"""What an operator gets wrong at night: each is told by a code, with what to do next."""

from __future__ import annotations

import io
import shlex
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from tests.control.commands import Cli, make_folder

WRONG = [
    # --- no gateway runs
    "account show 1 -> 3 COMMAND_NOT_SENT",
    "account credit 1 1.00 -> 3 COMMAND_NOT_SENT",
    "medium show --token 000102030405060708090a0b0c0d0e0f -> 3 COMMAND_NOT_SENT",
    "pass add 1 monthly -> 3 COMMAND_NOT_SENT",
    "hold place 1 1 1.00 -> 3 COMMAND_NOT_SENT",
    "mode normal -> 3 COMMAND_NOT_SENT",
    "hold show 1 -> 3 COMMAND_NOT_SENT",
    # --- files and folders that are missing, unreadable, or cannot be written
    "person add --data {tmp}/none.json -> 2 USAGE_INVALID",
    "person add --data {tmp}/bytes -> 2 USAGE_INVALID",
    "person add --data {tmp} -> 2 USAGE_INVALID",
    "quote --journeys {tmp}/none.json -> 2 USAGE_INVALID",
    "quote --journeys {tmp}/bytes -> 2 USAGE_INVALID",
    "tariff list --dir {tmp}/none -> 2 USAGE_INVALID",
    "limits list --dir {tmp}/none -> 2 USAGE_INVALID",
    "tariff compile beijing-bus --out {tmp}/none/x.fgt -> 3 ENV_UNUSABLE",
    "device add 1 --key-file {tmp}/none/1.key -> 3 ENV_UNUSABLE",
    "init --dir {tmp}/bytes/x -> 3 ENV_UNUSABLE",
    "restore {tmp}/none --dir {tmp}/new -> 3 BACKUP_NOT_FOUND",
    "restore {tmp} --dir {tmp}/new -> 3 BACKUP_NOT_FOUND",
    "journal verify --dir {tmp}/none -> 3 JOURNAL_NOT_FOUND",
    "config check --config {tmp}/none.toml -> 3 CONFIG_NOT_FOUND",
    "config check --config {tmp}/bytes -> 1 CONFIG_NOT_TOML",
    # --- things that are not there, or are called otherwise
    "tenant add 'No Name' city -> 1 REGISTRY_INVALID",
    "tenant close nobody -> 1 REGISTRY_UNKNOWN",
    "device rotate 99 -> 1 REGISTRY_NOT_FOUND",
    "adapter show nothing -> 1 DELIVERY_NOT_FOUND",
    "adapter replay nothing -> 1 DELIVERY_NOT_DEAD",
    "clearing files nobody -> 1 ADAPTER_UNKNOWN",
    "statement 99 --period 2026-11 -> 1 LEDGER_NOT_FOUND",
    "tariff show nowhere -> 1 TARIFF_NOT_FOUND",
    # --- words that cannot be read
    "statement 1 --period someday -> 2 USAGE_INVALID",
    "statement 1 --period 2026-11 --purpose nonsense -> 2 USAGE_INVALID",
    "settle run --date someday -> 2 USAGE_INVALID",
    "operation show nonsense -> 2 USAGE_INVALID",
    "refund 1 1.00 --tap nonsense -> 2 USAGE_INVALID",
    "refund 1 1.00 --charge nonsense -> 2 USAGE_INVALID",
    "journey complete 1 1 119 --at someday -> 2 USAGE_INVALID",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gateway's own folder, which nothing of this file changes."""
    return make_folder(tmp_path_factory.mktemp("wrong") / "metro")


@pytest.fixture
def cli(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    monkeypatch.setenv("FAREGATE_CONFIG", str(folder))
    return Cli(capsys)


@pytest.mark.parametrize("line", WRONG)
def test_it_is_told_by_a_code_with_what_to_do_next(cli: Cli, line: str, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xfd\xfe\x00")
    typed, _, wanted = line.partition(" -> ")
    status, code = wanted.split()
    words = [word.format(tmp=tmp_path) for word in shlex.split(typed)]
    error = cli.fail(int(status), *words)
    assert error["code"] == code
    assert error["detail"]
    assert error["hint"]
    assert "Errno" not in error["detail"]
    plain = cli(*words)
    assert (plain.status, plain.out) == (int(status), "")
    assert error["detail"] in plain.err or "Usage:" in plain.err


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("operation show nonsense", "ID nonsense"),
        ("refund 1 1.00 --charge nonsense", "--charge nonsense"),
        ("journey complete 1 1 119 --at someday", "--at someday"),
        ("statement 1 --period someday", "2026-11-01..2026-11-15"),
        ("statement 1 --period 2026-11 --purpose nonsense", "transit"),
        ("settle run --date someday", "2026-11-28"),
    ],
)
def test_what_cannot_be_read_is_named_with_how_to_write_it(cli: Cli, line: str, names: str) -> None:
    assert names in cli.fail(2, *line.split())["detail"]


def test_nobody_found_is_said(cli: Cli) -> None:
    assert cli("person", "find", "phone", "13800000000").out == "none\n"


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("faregate 0.")


def test_help_says_what_every_command_takes_and_what_an_exit_status_means(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "3 environment" in said
    assert "--json" in said
