"""The command line without a gateway: help, usage, settings, devices, fares, exit status."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from gateway.backup import BackupError
from gateway.cli import build_cli, exit_status, main
from gateway.commands.common import UsageError
from gateway.commands.money import parse_minor, read_token, with_amounts
from gateway.config import load_config
from gateway.errors import (
    CommandError,
    ConfigError,
    Corrupt,
    DeliveryError,
    EnvironmentFault,
    InternalError,
    JournalBroken,
    LedgerError,
    RegistryError,
    Uncertain,
)
from gateway.point_in_time import PointInTimeError
from tests.control.commands import ROOT, Cli, make_folder


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    return Cli(capsys, make_folder(tmp_path / "metro"))


def _commands(app: typer.Typer, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [(*path, command.name or "") for command in app.registered_commands]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        found += _commands(group.typer_instance, (*path, group.name or ""))
    return found


COMMANDS = _commands(build_cli())
WANTED = """
serve, simulate, init, status, quote, backup, restore, tariff list, tariff show, tariff check,
tariff compile, device add, device list, device rotate, device revoke, account open, account show,
credit open, credit show,
account credit, account debit, account freeze, account unfreeze, account close, medium link,
medium block, medium show, operation show, journal verify, journal show, journal audit,
config check, config show, bench link
"""


def test_every_command_promised_is_there() -> None:
    wanted = {tuple(name.split()) for name in WANTED.replace("\n", " ").split(",")}
    assert wanted - set(COMMANDS) == set()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_help_with_an_example_and_json(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--help"]) == 0
    said = capsys.readouterr().out
    assert "--json" in said
    assert "Example" in said
    assert f"faregate {' '.join(command)}"[:20] in " ".join(said.split())


def test_help_loads_nothing_heavy() -> None:
    """Of ours; newer versions of Typer load pydantic themselves."""
    code = (
        "import sys; from gateway.cli import main; main(['--help']); main(['account','--help']);"
        "heavy = {'sqlalchemy', 'aiohttp', 'prometheus_client', 'cryptography',"
        " 'msgpack', 'uvloop', 'fastpath'} & {name.partition('.')[0] for name in sys.modules};"
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ["nothing"],
        ["account", "nothing"],
        ["account", "credit"],
        ["account", "credit", "x", "1.00"],
        ["account", "credit", "0", "1.00"],
        ["device", "add", "1", "--slot", "16"],
        ["device", "add", "1", "--set", "x"],
        ["medium", "block", "--state", "eaten", "--card", "1"],
        ["quote", "--from", "a", "--to", "b"],
        ["account", "open", "--currency", "XXX"],
        ["operation", "show", "not-an-id"],
    ],
)
def test_wrong_usage_is_2_and_json_when_asked_for(cli: Cli, words: list[str]) -> None:
    config = words[0] != "quote"
    error = cli.fail(2, *words, config=config and len(words) > 1)
    assert error["code"] == "USAGE_INVALID"
    plain = cli(*words, config=config and len(words) > 1)
    assert plain.status == 2
    assert plain.out == ""
    assert plain.err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError(), 2),
        (ConfigError(), 1),
        (Corrupt(), 1),
        (CommandError("insufficient_balance"), 1),
        (RegistryError("REGISTRY_EXISTS"), 1),
        (Uncertain(), 1),
        (DeliveryError("DELIVERY_NOT_FOUND"), 1),
        (LedgerError("LEDGER_UNBALANCED"), 1),
        (BackupError(), 1),
        (PointInTimeError(), 1),
        (LedgerError("LEDGER_MOVED"), 3),
        (BackupError("BACKUP_NOT_FOUND"), 3),
        (ConfigError("CONFIG_NOT_FOUND"), 3),
        (CommandError("COMMAND_NOT_SENT"), 3),
        (RegistryError(), 3),
        (EnvironmentFault(), 3),
        (JournalBroken(), 3),
        (InternalError(), 3),
    ],
)
def test_exit_status_of_each_error(error: Any, status: int) -> None:
    assert exit_status(error) == status


# --- settings --------------------------------------------------------------------------------


def test_init_and_check(cli: Cli, tmp_path: Path) -> None:
    made = cli.ok("init", "--dir", str(tmp_path / "new"), config=False)
    assert Path(made["config"]).is_file()
    assert cli.fail(3, "init", "--dir", str(tmp_path / "new"), config=False)["code"] == "ENV_EXISTS"
    assert cli.ok("config", "check")["ok"] is True


def test_check_tells_everything_wrong_at_once(cli: Cli) -> None:
    assert cli.config is not None
    (cli.config.parent / "secrets" / "master.key").chmod(0o644)
    error = cli.fail(1, "config", "check", "--set", "tariffs.slots.5=nowhere")
    assert [line.split(":")[0] for line in error["findings"]] == [
        "security.master_key_file",
        "tariffs.slots.5",
    ]


def test_show_names_origins_and_hides_secrets(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.config is not None
    monkeypatch.setenv("FARE__LINK__BATCH_MAX", "9")
    settings = cli.ok("config", "show", "--set", "http.port=1")["settings"]
    assert settings["http.port"] == {"value": 1, "origin": "flag"}
    assert settings["link.batch_max"] == {"value": 9, "origin": "env FARE__LINK__BATCH_MAX"}
    assert settings["link.host"]["origin"] == "file"
    secret = (cli.config.parent / "secrets" / "master.key").read_text().strip()
    assert secret not in cli("config", "show").out
    assert cli("config", "show").out.count("\n") == len(settings) + 1


def test_no_configuration(cli: Cli, tmp_path: Path) -> None:
    cli.config = tmp_path / "nothing.toml"
    assert cli.fail(3, "status")["code"] == "CONFIG_NOT_FOUND"


def test_serve_refuses_bad_secrets_before_it_starts_anything(cli: Cli) -> None:
    assert cli.config is not None
    (cli.config.parent / "secrets" / "signing.key").write_text("00" * 32)
    assert cli.fail(1, "serve")["code"] == "CONFIG_SECRET"
    assert not (cli.config.parent / "run").exists()


# --- devices ---------------------------------------------------------------------------------


def test_a_device_from_add_to_revoke(cli: Cli) -> None:
    added = cli.ok("device", "add", "1001", "--stop", "150", "--label", "gate 3")
    assert (added["device_id"], added["key_version"], added["live"]) == (1001, 1, "at_start")
    assert len(bytes.fromhex(added["key"])) == 32
    rotated = cli.ok("device", "rotate", "1001")
    assert rotated["key"] != added["key"]
    assert (rotated["key_version"], rotated["previous_key_version"]) == (2, 1)
    finished = cli.ok("device", "rotate", "1001", "--finish")
    assert finished["previous_key_version"] == 0
    assert "key" not in finished
    assert cli.ok("device", "revoke", "1001")["state"] == "revoked"
    assert cli.fail(1, "device", "rotate", "1001")["code"] == "REGISTRY_REVOKED"
    assert cli.fail(1, "device", "add", "1001")["code"] == "REGISTRY_EXISTS"
    assert cli.fail(1, "device", "revoke", "7")["code"] == "REGISTRY_NOT_FOUND"


def test_listing_devices_shows_no_keys(cli: Cli) -> None:
    keys = [cli.ok("device", "add", str(number))["key"] for number in (3, 1, 2)]
    listed = cli("device", "list", "--json")
    assert [line["device_id"] for line in listed.lines] == [1, 2, 3]
    shown = listed.out + cli("device", "list").out
    assert not any(key in shown for key in keys)


def test_the_key_is_printed_whole_for_a_person(cli: Cli) -> None:
    shown = cli("device", "add", "5").out
    key = next(line.split()[1] for line in shown.splitlines() if line.startswith("key "))
    assert len(bytes.fromhex(key)) == 32


# --- amounts and tokens ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("12.34", 156, 1234), ("0.1", 156, 10), ("5", 156, 500), ("500", 392, 500), ("0.00", 156, 0)],
)
def test_amounts_are_exact(text: str, currency: int, minor: int) -> None:
    assert parse_minor(text, currency) == minor


@pytest.mark.parametrize(
    "text", ["1.234", "-1", "+1", "1e3", "1,00", "", ".5", "5.", "１", "0x1", "nan"]
)
def test_other_amounts_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_minor(text, 156)


def test_yen_have_no_decimals_and_unknown_currencies_no_amounts() -> None:
    with pytest.raises(UsageError):
        parse_minor("1.0", 392)
    with pytest.raises(UsageError):
        parse_minor("1", 999)
    assert [parse_minor(text, 48) for text in ("1", "1.5", "0.005")] == [1000, 1500, 5]
    assert with_amounts({"balance_minor": 1234}, 414)["balance"] == "1.234"


@given(st.integers(0, 10**8))
def test_an_amount_printed_is_read_back(minor: int) -> None:
    shown = with_amounts({"balance_minor": minor}, 156)
    assert parse_minor(shown["balance"], 156) == minor


@pytest.mark.parametrize("token", ["", "00" * 16, "ab" * 15, "ab" * 17, "zz" * 16, "ab " * 11])
def test_what_is_no_token_is_refused(cli: Cli, token: str) -> None:
    assert cli.config is not None
    config = load_config(cli.config).config
    with pytest.raises(UsageError):
        read_token(config, token, None)


def test_a_medium_is_named_in_exactly_one_way(cli: Cli) -> None:
    for words in ([], ["--token", "ab" * 16, "--card", "x"]):
        assert cli.fail(2, "medium", "show", *words)["code"] == "USAGE_INVALID"


# --- fares -----------------------------------------------------------------------------------


def test_tariffs_can_be_listed_shown_checked(cli: Cli) -> None:
    listed = cli("tariff", "list", "--json", config=False)
    assert {"beijing-subway", "beijing-bus"} <= {line["name"] for line in listed.lines}
    assert cli.ok("tariff", "show", "beijing-bus", config=False)["currency"] == "CNY"
    checked = cli.ok("tariff", "check", "beijing-bus", config=False)
    assert checked["ok"] is True
    assert cli("tariff", "check", "beijing-bus", config=False).status == 0


def test_a_tariff_that_is_not_there(cli: Cli) -> None:
    assert cli.fail(1, "tariff", "show", "nowhere", config=False)["code"] == "TARIFF_NOT_FOUND"


def test_a_faulty_tariff_is_1_with_findings(cli: Cli, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('format = 1\n[tariff]\nid = "bad"\n')
    outcome = cli("tariff", "check", str(bad), "--json", config=False)
    assert outcome.status == 1
    assert outcome.json["findings"]


def test_a_compiled_tariff_is_what_its_digest_says(cli: Cli, tmp_path: Path) -> None:
    import hashlib

    out = tmp_path / "bus.fgt"
    fields = cli.ok("tariff", "compile", "beijing-bus", "--out", str(out), config=False)
    digest = hashlib.sha256(out.read_bytes())
    assert fields["digest"] == digest.hexdigest()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600, "only who made it may read it"
    assert int(fields["key"], 16) == int.from_bytes(digest.digest()[:8], "little")


def test_a_quote_for_a_person_and_for_a_program(cli: Cli) -> None:
    words = ["quote", "--from", "苹果园", "--to", "国贸", "--at", "2026-11-23T08:00"]
    shown = cli(*words, config=False)
    assert shown.status == 0
    assert shown.out.splitlines()[0] == "6.00 CNY"
    assert cli.ok(*words, config=False)["fare"] == "6.00"


def test_a_quote_from_nowhere(cli: Cli) -> None:
    words = ["quote", "--from", "Narnia", "--to", "国贸", "--at", "2026-11-23T08:00"]
    assert cli.fail(1, *words, config=False)["code"] == "TARIFF_STATION_UNKNOWN"


def test_many_journeys_at_once(cli: Cli, tmp_path: Path) -> None:
    leg = {"from_stop": "苹果园", "to_stop": "国贸", "date": "2026-11-23", "dep": "08:00:00"}
    file = tmp_path / "journeys.json"
    file.write_text(
        json.dumps([{"id": 1, "legs": [leg]}, {"id": 2, "legs": [leg | {"to_stop": "x"}]}])
    )
    first, second = cli.ok("quote", "--journeys", str(file), config=False)
    assert (first["id"], first["total"]) == (1, "6.00")
    assert (second["id"], second["total"]) == (2, None)
    assert second["reason"]
    bus = ["quote", "--tariff", "beijing-bus", "--journeys", str(file)]
    file.write_text(json.dumps([{"id": 3, "legs": []}]))
    assert cli(*bus, config=False).status == 1
    file.write_text("{}")
    assert cli.fail(1, *bus, config=False)["code"] == "TARIFF_JOURNEYS"
    file.write_text("{")
    assert cli.fail(2, *bus, config=False)["code"] == "USAGE_INVALID"
