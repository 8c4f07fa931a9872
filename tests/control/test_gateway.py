"""The whole gateway: `faregate serve` with its real processes, driven by the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.backup import BackupError, check_backup, make_backup, restore_backup
from gateway.clock import format_operation_id, new_operation_id
from gateway.config import LoadedConfig, load_config
from gateway.errors import ConfigError, EnvironmentFault
from gateway.journal.segments import SegmentJournal
from gateway.journal.verify import verify_journal
from gateway.registry.devices import Device, DeviceRegistry
from gateway.registry.store import open_registry
from tests.control.commands import Cli, Gateway, make_folder

CARD = "1000 7510 0000 0001"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    made = Gateway(make_folder(tmp_path_factory.mktemp("gw") / "metro"))
    yield made
    assert made.stop() == 0


@pytest.fixture
def cli(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys, Path(gateway.log.name).parent / "gateway.toml")


def _get(gateway: Gateway, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{gateway.where['http']}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _account(cli: Cli) -> str:
    return str(cli.ok("account", "open")["account_id"])


def test_it_is_ready_and_says_so_everywhere(gateway: Gateway, cli: Cli) -> None:
    status, body = _get(gateway, "/readyz")
    assert (status, json.loads(body)["status"]) == (200, "ready")
    shown = cli.ok("status")
    assert shown["ready"] is True
    assert str(shown["link_port"]) == gateway.where["link"].rpartition(":")[2]
    assert "fare_data_plane_up 1.0" in _get(gateway, "/metrics")[1]
    assert cli("status").status == 0


def test_money_goes_in_and_out_and_stops(cli: Cli) -> None:
    account = _account(cli)
    assert (
        cli.ok("account", "credit", account, "50.00", "--reference", "till-7")["balance"] == "50.00"
    )
    assert cli.ok("account", "debit", account, "12.30")["balance_minor"] == 3770
    cli.ok("account", "freeze", account, "--reason", "owner asked")
    assert cli.fail(1, "account", "debit", account, "1.00")["code"] == "account_frozen"
    assert cli.ok("account", "show", account)["status_names"] == ["frozen_debit"]
    assert cli.agreed("account", "unfreeze", account)["state"] == "lifted"
    assert cli.fail(1, "account", "debit", account, "40.00")["code"] == "insufficient_balance"
    cli.ok("account", "limit", account, "10.00")
    assert cli.ok("account", "debit", account, "40.00")["balance"] == "-2.30"
    assert cli.fail(1, "account", "close", account)["code"] == "balance_not_zero"


def test_passes_and_concessions_are_sold_and_shown(cli: Cli) -> None:
    account = _account(cli)
    poor = cli.fail(1, "pass", "add", account, "monthly", "--price", "90.00")
    assert (poor["code"], poor["hint"][:18]) == ("insufficient_balance", "credit the account")
    cli.ok("account", "credit", account, "100.00")
    days = ("--from", "2026-12-01", "--until", "2026-12-31")
    sold = cli.ok("pass", "add", account, "monthly", "--price", "90.00", *days)
    assert (sold["op"], sold["fare"], sold["balance"]) == ("pass_add", "90.00", "10.00")
    again = ("--operation-id", sold["operation_id"])
    assert cli.ok("pass", "add", account, "monthly", "--price", "90.00", *days, *again)["repeated"]
    cli.ok("concession", "set", account, "2", "--until", "2027-08-31T04:30:00+08:00")
    one, other = cli.ok("pass", "show", account)["cells"]
    assert one["until_us"] - one["from_us"] == 31 * 86_400_000_000
    assert (other["cell"], other["rider_category"]) == ("concession", 2)
    assert f"#{one['pass_id']}" in cli("pass", "show", account).out
    refunded = cli.agreed("pass", "remove", account, f"#{one['pass_id']}", "--refund", "45.00")
    assert refunded["balance"] == "55.00"
    gone = cli.fail(1, "pass", "remove", account, "monthly")
    assert (gone["code"], "faregate pass show" in gone["hint"]) == ("nothing_to_reverse", True)
    cli.ok("concession", "remove", account, "2")
    assert cli.ok("pass", "show", account)["cells"] == []
    naive = cli.fail(2, "pass", "add", account, "day", "--until", "2026-12-31T04:30:00")
    assert "offset" in naive["detail"]
    cli.fail(2, "concession", "set", account, "2", "--until", "1970-01-01", "--from", "2026-12-01")
    shown = cli("journal", "show", "--account", account, "--json").lines
    changed = [item["cell"] for one in shown for item in one["items"] if item["type"] == "cell"]
    assert changed == ["pass", "concession", "free", "free"]


def test_purses_holds_and_refunds_from_the_command_line(cli: Cli) -> None:
    account = _account(cli)
    cli.ok("account", "credit", account, "50.00")
    opened = cli.ok("account", "purse-open", account, "11", "--for", "meal", "--priority", "3")
    assert (opened["op"], opened["purse"]) == ("purse_open", "0.00")
    cli.ok("account", "credit", account, "20.00", "--purse-key", "11")
    meal = ("account", "debit", account, "30.00", "--purpose", "meal", "--merchant")
    assert cli.fail(1, *meal, "9")["code"] == "AUTH_FORBIDDEN"
    cli.ok("tenant", "add", "canteens", "school")
    paid = cli.ok(*meal, str(cli.ok("merchant", "add", "canteens")["merchant_id"]))
    assert paid["balance"] == "40.00"
    assert cli.fail(1, "account", "purse-sweep", account, "11")["code"] == "not_expired"
    charge = ("--charge", paid["operation_id"])
    assert cli.ok("refund", account, "12.00", *charge)["refunded"] == "12.00"
    over = cli.fail(1, "refund", account, "18.01", *charge)
    assert (over["code"], "at most what is left" in over["hint"]) == ("over_refund", True)
    held = cli.ok("hold", "place", account, "7", "15.00", "--purpose", "medical")
    assert (held["left"], held["held"]) == ("15.00", "15.00")
    assert cli.ok("hold", "show", account)["holds"][0]["left"] == "15.00"
    assert "7" in cli("hold", "show", account).out
    assert cli.fail(1, "account", "close", account)["code"] == "hold_open"
    cli.ok("hold", "extend", account, "7", "--minutes", "600")
    assert cli.ok("hold", "capture", account, "7", "5.00")["left"] == "10.00"
    cli.ok("hold", "release", account, "7")
    assert cli.fail(1, "hold", "release", account, "7")["code"] == "unknown_hold"
    cli.ok("account", "tier", account, "3")
    shown = cli.ok("account", "show", account)
    assert (shown["tier"], shown["holds"], shown["balance"]) == (3, [], "45.00")
    assert shown["purses"][0]["balance_minor"] == 200
    full = cli.fail(1, "account", "purse-close", account, "11")
    assert full["code"] == "balance_not_zero"
    for_other = ("account", "debit", account, "2.00", "--purse-key", "11")
    for wrong in ([], ["--purpose", "shopping"]):
        assert cli.fail(1, *for_other, *wrong)["code"] == "unknown_purse"
    cli.ok("account", "debit", account, "2.00", "--purse-key", "11", "--purpose", "meal")
    cli.ok("account", "purse-close", account, "11")
    assert "one of" in cli.fail(2, "account", "purse-open", account, "12", "--for", "x")["detail"]


def test_an_amount_that_is_not_exact_moves_nothing(cli: Cli) -> None:
    account = _account(cli)
    assert cli.fail(2, "account", "credit", account, "1.005")["code"] == "USAGE_INVALID"
    assert cli.ok("account", "show", account)["version"] == 1


def test_a_ceiling_stops_a_slip_of_the_hand(cli: Cli) -> None:
    account = _account(cli)
    assert cli.fail(1, "account", "credit", account, "1000.01")["code"] == "COMMAND_CEILING"
    assert cli.ok("account", "credit", account, "1000.00")["balance"] == "1000.00"


def test_the_same_operation_id_has_its_effect_once(cli: Cli) -> None:
    account, op_id = _account(cli), format_operation_id(new_operation_id())
    words = ["account", "credit", account, "5.00", "--operation-id", op_id]
    first, second = cli.ok(*words), cli.ok(*words)
    assert (first["repeated"], second["repeated"]) == (False, True)
    assert first | {"repeated": True} == second
    assert cli.ok("account", "show", account)["balance"] == "5.00"
    shown = cli.ok("operation", "show", op_id)
    assert (shown["op"], shown["amount_minor"], shown["seq"]) == ("credit", 500, first["seq"])
    words[3] = "6.00"
    assert cli.fail(1, *words)["code"] == "op_conflict"


def test_an_operation_nobody_knows_had_no_effect(cli: Cli) -> None:
    unknown = format_operation_id(new_operation_id())
    assert cli.fail(1, "operation", "show", unknown)["code"] == "unknown_operation"


def test_a_card_is_linked_blocked_and_never_printed(cli: Cli) -> None:
    account = _account(cli)
    outcomes = [
        cli("medium", "link", account, "--card", CARD, "--expires", "2031-12-31", "--json"),
        cli("medium", "show", "--card", CARD, "--json"),
        cli("medium", "block", "--card", CARD, "--state", "lost", "--json"),
        cli("medium", "show", "--card", CARD, "--json"),
        cli("medium", "unblock", "--card", CARD, "--json"),
        cli("journal", "show", "--json"),
    ]
    assert [outcome.status for outcome in outcomes] == [0] * 6
    assert (outcomes[1].json["state"], outcomes[3].json["state"]) == ("active", "lost")
    from gateway.keys import card_token, read_secret

    assert cli.config is not None
    token = card_token(read_secret(cli.config.parent / "secrets" / "master.key"), CARD)
    shown = "".join(outcome.out + outcome.err for outcome in outcomes)
    log = (cli.config.parent / "gateway.log").read_text()
    assert token.hex()[:8] not in shown + log
    assert CARD not in shown + log


def test_what_is_unknown_is_named(cli: Cli) -> None:
    assert cli.fail(1, "account", "show", "999999")["code"] == "unknown_account"
    assert cli.fail(1, "medium", "show", "--token", "ab" * 16)["code"] == "unknown_medium"


def test_a_device_is_live_at_once(gateway: Gateway, cli: Cli) -> None:
    before = _devices(gateway)
    assert cli.ok("device", "add", "4711", "--stop", "150")["live"] == "yes"
    assert _devices(gateway) == before + 1
    assert cli.ok("device", "revoke", "4711")["live"] == "yes"
    assert _devices(gateway) == before


def _devices(gateway: Gateway) -> int:
    text = _get(gateway, "/metrics")[1]
    return int(
        float(next(s for s in text.splitlines() if s.startswith("fare_devices ")).split()[1])
    )


def test_the_journal_can_be_read_beside_it(cli: Cli) -> None:
    account = _account(cli)
    cli.ok("account", "credit", account, "5.00", "--reference", "till-9", "--note", "why not")
    verified = cli.ok("journal", "verify")
    assert verified["sound"] is True
    records = cli("journal", "show", "--account", account, "--json").lines
    assert [record["op"] for record in records] == ["account_open", "credit"]
    texts = [item.get("text") for item in records[1]["items"] if item["type"] == "note"]
    assert "till-9" in texts
    assert "why not" in texts
    audited = cli.ok("journal", "audit")
    assert audited["differences"] == 0
    assert cli("journal", "verify").status == 0


def test_only_one_gateway_a_folder(gateway: Gateway, cli: Cli) -> None:
    error = cli.fail(3, "serve")
    assert error["code"] == "ENV_RUNNING"
    assert str(gateway.process.pid) in error["detail"]


# --- backup ----------------------------------------------------------------------------------


@pytest.fixture
def backup(cli: Cli, tmp_path: Path) -> Path:
    """A backup of the running gateway, with an account of 50.00 in it."""
    assert cli.config is not None
    account = _account(cli)
    cli.ok("account", "credit", account, "50.00")
    target = tmp_path / "backup"
    made = cli.ok("backup", str(target))
    (tmp_path / "account").write_text(account)
    assert made["journal_position"] > 0
    return target


def test_a_backup_holds_no_secret_and_fits_together(cli: Cli, backup: Path) -> None:
    assert cli.config is not None
    check_backup(backup)
    secret = (cli.config.parent / "secrets" / "master.key").read_bytes().strip()
    for path in backup.rglob("*"):
        assert path.is_dir() or secret not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
    assert not (backup / "secrets").exists()


def test_a_restored_gateway_has_the_money(
    cli: Cli, backup: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.config is not None
    secrets = str(cli.config.parent / "secrets")
    words = ["restore", str(backup), "--dir", str(tmp_path / "again"), "--secrets", secrets]
    restored = cli.ok(*words, config=False)
    second = Gateway(Path(restored["config"]))
    there = Cli(capsys, Path(restored["config"]))
    account = (tmp_path / "account").read_text()
    assert there.ok("account", "show", account)["balance"] == "50.00"
    assert there.ok("account", "credit", account, "1.00")["balance"] == "51.00"
    assert cli.ok("account", "show", account)["balance"] == "50.00"
    assert second.stop() == 0
    assert verify_journal(tmp_path / "again" / "journal").is_sound


def test_nothing_is_written_over(cli: Cli, backup: Path, tmp_path: Path) -> None:
    assert cli.fail(3, "backup", str(backup))["code"] == "ENV_EXISTS"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    words = ["restore", str(backup), "--dir", str(tmp_path / "full")]
    assert cli.fail(3, *words, config=False)["code"] == "ENV_EXISTS"
    assert (tmp_path / "full" / "x").read_text() == "mine"


def _flip(path: Path, offset: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def _edit_manifest(backup: Path, **fields: Any) -> None:
    manifest = json.loads((backup / "manifest.json").read_text())
    (backup / "manifest.json").write_text(json.dumps(manifest | fields))


DAMAGE = {
    "no manifest": lambda b: (b / "manifest.json").unlink(),
    "no json": lambda b: (b / "manifest.json").write_text("{"),
    "another format": lambda b: _edit_manifest(b, format=2),
    "no list": lambda b: _edit_manifest(b, files=[{"path": "x"}]),
    "a path outside": lambda b: _edit_manifest(
        b, files=[{"path": "../x", "bytes": 1, "sha256": ""}]
    ),
    "a flipped bit in the journal": lambda b: _flip(next((b / "journal").glob("*.seg")), 5000),
    "a flipped bit at its end": lambda b: _flip(next((b / "journal").glob("*.seg"))),
    "a changed setting": lambda b: _flip(b / "gateway.toml"),
    "a missing tariff": lambda b: next((b / "tariffs").glob("*.fgt")).unlink(),
    "a missing registry": lambda b: (b / "registry.sqlite").unlink(),
    "a file more": lambda b: (b / "extra").write_text("x"),
    "another head": lambda b: _edit_manifest(b, journal_position=8),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_backup_is_refused(backup: Path, tmp_path: Path, name: str) -> None:
    check_backup(backup)
    DAMAGE[name](backup)
    with pytest.raises(BackupError) as refused:
        restore_backup(backup, tmp_path / "again")
    is_there = (backup / "manifest.json").exists()
    assert refused.value.code == ("BACKUP_INVALID" if is_there else "BACKUP_NOT_FOUND")
    assert not (tmp_path / "again").exists()


def test_a_damage_that_the_hashes_were_made_of_is_still_seen(
    gateway: Gateway, cli: Cli, backup: Path, tmp_path: Path
) -> None:
    """Hashes say that the copy is the copy; the journal's own chain says that it is right."""
    import hashlib

    segment = next((backup / "journal").glob("*.seg"))
    _flip(segment, 4096 + 128 + 100)
    manifest = json.loads((backup / "manifest.json").read_text())
    for file in manifest["files"]:
        if file["path"].endswith(segment.name):
            file["sha256"] = hashlib.sha256(segment.read_bytes()).hexdigest()
    _edit_manifest(backup, **manifest)
    with pytest.raises(BackupError):
        check_backup(backup)


def test_bad_secrets_are_refused_before_anything_is_made(backup: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        restore_backup(backup, tmp_path / "again", secrets=tmp_path)
    assert not (tmp_path / "again").exists()


def test_a_backup_names_no_path_of_the_machine_it_came_from(backup: Path, tmp_path: Path) -> None:
    """Else the restored gateway would write into the old one's journal."""
    restore_backup(backup, tmp_path / "again")
    config = load_config(tmp_path / "again" / "gateway.toml", env={}).config
    for path in (
        config.journal.dir,
        config.snapshots.dir,
        config.control.socket,
        config.registry_path,
    ):
        assert path.is_relative_to(tmp_path / "again")


# --- without a gateway running -----------------------------------------------------------------


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedConfig:
    return load_config(make_folder(tmp_path / "own"), env={})


def test_a_folder_without_a_journal_is_no_backup(loaded: LoadedConfig, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="JOURNAL_NOT_FOUND"):
        make_backup(loaded, tmp_path / "backup")


def test_kill_9_of_the_data_plane_loses_nothing(
    loaded: LoadedConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = Cli(capsys, loaded.path)
    gateway = Gateway(loaded.path, "--only=data")
    account = _account(cli)
    for _ in range(5):
        balance = cli.ok("account", "credit", account, "1.00")["balance"]
    os.kill(gateway.pid_of("data"), signal.SIGKILL)
    gateway.wait_for("exited", status=-9)
    gateway.wait_for("ready", process="data")
    assert cli.ok("account", "show", account)["balance"] == balance == "5.00"
    assert gateway.stop() == 0
    assert cli.fail(3, "account", "show", account)["code"] == "COMMAND_NOT_SENT"


def test_a_port_in_use_is_told_once(loaded: LoadedConfig, gateway: Gateway) -> None:
    port = gateway.where["http"].rpartition(":")[2]
    with pytest.raises(AssertionError, match="ENV_PORT_IN_USE"):
        Gateway(loaded.path, f"--set=http.port={port}", "--only=http")


def test_the_devices_of_the_registry_are_let_in_at_the_start(
    loaded: LoadedConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = DeviceRegistry(open_registry(loaded.config.registry_path, create=True))
    registry.add_many(Device(number) for number in (1, 2, 3))
    registry.revoke(2)
    gateway = Gateway(loaded.path)
    assert _devices(gateway) == 2
    assert gateway.stop() == 0
    with sqlite3.connect(loaded.config.registry_path) as database:
        assert database.execute("SELECT count(*) FROM devices").fetchone() == (3,)
    database.close()


def test_the_folder_stays_private(gateway: Gateway, cli: Cli) -> None:
    assert cli.config is not None
    for name in ("run", "secrets", "registry.sqlite"):
        assert (cli.config.parent / name).stat().st_mode & 0o077 == 0
    with pytest.raises(EnvironmentFault):
        make_backup(load_config(cli.config, env={}), cli.config.parent)


def test_what_the_settings_name_comes_along(tmp_path: Path) -> None:
    """Own tariffs and signed checkpoints, and no path of the machine that is gone."""
    old = tmp_path / "old"
    city = make_folder(old / "city").parent
    for name in ("tariffs", "rules"):
        (old / name / "deeper").mkdir(parents=True)
        (old / name / "mine.toml").write_text(f"# {name}")
        (old / name / "deeper" / "stops.csv").write_text("1,2")
        (old / name / "server.pem").write_text("secret")
    (city / "checkpoints").mkdir()
    (city / "checkpoints" / "1.json").write_text("{}")
    (city / "cards.toml").write_text("# beside the settings")
    flags = {
        "tariffs.dirs": f'["{old}/tariffs"]',
        "risk.dirs": f'["{old}/rules", "."]',
        "link.tls_cert_file": "tls/chain.pem",
        "link.tls_key_file": "tls/server.pem",
    }
    SegmentJournal.open(city / "journal").close()
    loaded = load_config(city / "gateway.toml", env={}, flags=flags)
    make_backup(loaded, tmp_path / "backup")
    shutil.rmtree(old)
    again = tmp_path / "again"
    restored = restore_backup(tmp_path / "backup", again)
    config = load_config(again / "gateway.toml", env={}).config
    assert config.tariffs.dirs == (again / "own" / "tariffs-1",)
    assert config.risk.dirs == (again / "own" / "risk-1", again / "own" / "risk-2")
    assert (again / "own" / "tariffs-1" / "deeper" / "stops.csv").read_text() == "1,2"
    assert (again / "own" / "risk-1" / "mine.toml").read_text() == "# rules"
    names = {path.name for path in (again / "own" / "risk-2").iterdir()}
    assert names == {"gateway.toml", "cards.toml"}
    assert (again / "checkpoints" / "1.json").read_text() == "{}"
    assert not [path for path in again.rglob("*") if path.suffix in {".pem", ".key"}]
    assert str(old) not in (again / "gateway.toml").read_text()
    assert [name for name, _ in restored.missing] == ["link.tls_cert_file", "link.tls_key_file"]
