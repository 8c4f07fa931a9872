"""`faregate tenant`, `merchant`, `key`, `person`, `approval`, `registry`."""

from __future__ import annotations

import io
import json
import os
import pwd
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import Capability, Command
from gateway.bootstrap import build_access
from gateway.commands.common import build_actor
from gateway.config import load_config
from gateway.delivery.outbox import Outbox
from gateway.delivery.sealed import CommandSealer
from gateway.registry.actors import Actor
from gateway.registry.approvals import Action, Proposal
from gateway.registry.audit import iter_events
from gateway.registry.store import open_registry
from tests.control.commands import Cli, make_folder


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys, make_folder(tmp_path / "metro"))


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def rows(cli: Cli, *command: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in cli(*command, "--json").out.splitlines()]


def folder(cli: Cli) -> Path:
    assert cli.config is not None
    return cli.config.parent


def test_tenants_merchants_and_keys(cli: Cli) -> None:
    cli.ok("tenant", "add", "union", "hospital", "--name", "Union Hospital")
    assert cli.fail(1, "tenant", "add", "union", "school")["code"] == "REGISTRY_TAKEN"
    assert [row["tenant_id"] for row in rows(cli, "tenant", "list")] == ["union"]
    assert cli.ok("merchant", "add", "union", "--name", "pharmacy")["merchant_id"] == 1
    assert cli.ok("merchant", "close", "1")["state"] == "closed"
    assert len(rows(cli, "merchant", "list", "--tenant", "union")) == 1
    made = cli.ok("key", "create", "union", "--scope", "payments:write", "--owner", "ward 3")
    assert made["secret"].startswith(f"{made['credential_id']}_")
    refused = cli.fail(1, "key", "create", "union", "--scope", "audit:read", "--owner", "x")
    assert refused["code"] == "AUTH_SCOPE"
    unknown = cli.fail(1, "key", "create", "union", "--scope", "all", "--owner", "x")
    assert unknown["code"] == "REGISTRY_SCOPE"
    (listed,) = rows(cli, "key", "list")
    assert listed["scopes"] == ["payments:write"]
    assert made["secret"] not in json.dumps(listed)
    assert cli.ok("key", "revoke", made["credential_id"])["revoked_us"] > 0
    assert "revoked" in cli("key", "list").out
    assert cli.ok("tenant", "close", "union")["state"] == "closed"
    for command in ("tenant", "merchant", "key", "approval"):
        assert cli(command, "list").status == 0


def test_a_secret_can_go_into_a_file(cli: Cli, tmp_path: Path) -> None:
    cli.ok("tenant", "add", "union", "hospital")
    file = tmp_path / "client"
    options = ("--scope", "payments:write", "--owner", "x", "--client", "--key-file", str(file))
    made = cli.ok("key", "create", "union", *options)
    assert "secret" not in made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made["credential_id"].startswith("fgc_")
    assert len(file.read_text().strip()) == 43


def test_a_secret_that_cannot_be_kept_is_not_made(cli: Cli, tmp_path: Path) -> None:
    cli.ok("tenant", "add", "union", "hospital")
    taken = tmp_path / "taken"
    taken.write_text("mine")
    options = ("union", "--scope", "payments:write", "--owner", "x", "--key-file")
    assert cli.fail(3, "key", "create", *options, str(taken))["code"] == "ENV_EXISTS"
    nowhere = str(tmp_path / "no" / "folder")
    assert cli.fail(3, "key", "create", *options, nowhere)["code"] == "ENV_UNUSABLE"
    assert rows(cli, "key", "list") == []
    file = tmp_path / "device"
    assert cli.fail(3, "device", "add", "7", "--key-file", str(taken))["code"] == "ENV_EXISTS"
    made = cli.ok("device", "add", "7", "--key-file", str(file))
    assert (made["key_file"], "key" in made) == (str(file), False)
    assert cli.fail(3, "device", "rotate", "7", "--key-file", str(taken))["code"] == "ENV_EXISTS"
    (listed,) = rows(cli, "device", "list")
    assert listed["key_version"] == 1
    unknown = tmp_path / "unknown"
    assert cli.fail(1, "device", "rotate", "8", "--key-file", str(unknown))["code"]
    assert not unknown.exists()
    assert taken.read_text() == "mine"


def test_who_did_it_is_the_kernels_word(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "auditor")
    monkeypatch.setenv("USER", "auditor")
    cli.ok("settle", "run", "--date", "2026-11-01", "--open-day")
    user = pwd.getpwuid(os.getuid()).pw_name
    made = cli.ok("audit", "checkpoint")
    events = rows(cli, "audit", "show")
    assert "auditor" not in json.dumps([made, events])
    assert f"cli:{user}" in json.dumps([made, events])


def test_a_person_from_entry_to_erasure(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.ok("tenant", "add", "union", "hospital")
    typed(monkeypatch, '{"name": "王小明", "phone": "138"}')
    person = cli.ok("person", "add", "--data", "-", "--field", "note=from abroad")["person_id"]
    typed(monkeypatch, "138\n")
    assert rows(cli, "person", "find", "phone")[0]["person_id"] == person
    assert "王小明" in cli("person", "find", "phone", "138").out
    assert cli.ok("person", "change", person, "--field", "note=")["data"] == {
        "name": "王小明",
        "phone": "138",
    }
    assert cli.ok("person", "link", person, "7")["accounts"] == [7]
    typed(monkeypatch, "correct horse battery\n")
    cli.ok("person", "login", person, "wang@example.cn")
    how = (person, "union", "accounts:read")
    cli.ok("person", "consent", *how, "--evidence", "form 12")
    cli.ok("person", "consent", *how, "--withdraw")
    shown = cli.ok("person", "show", person)
    assert (shown["accounts"], shown["consents"][0]["evidence"]) == ([7], "form 12")
    typed(monkeypatch, "n\n")
    assert cli("person", "erase", person).status == 1
    assert cli.ok("person", "erase", person, "--yes")["state"] == "erased"
    assert cli.ok("person", "show", person)["data"] == {}
    assert rows(cli, "person", "find", "phone", "138") == []


def test_what_was_entered_for_the_wrong_person_is_taken_off(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, '{"name": "王小明"}')
    one = cli.ok("person", "add", "--data", "-")["person_id"]
    typed(monkeypatch, '{"name": "李四"}')
    other = cli.ok("person", "add", "--data", "-")["person_id"]
    cli.ok("person", "link", one, "7")
    links = build_access(load_config(folder(cli) / "gateway.toml", env={}).config).links
    links.link_medium(build_actor(), 7, bytes(range(16)), kind="card")
    token = bytes(range(16)).hex()
    for words in (("--token", token), ("--account", "7")):
        assert cli.fail(1, "person", "unlink", other, *words)["code"] == "REGISTRY_NOT_FOUND"
    assert cli.fail(2, "person", "unlink", one)["detail"].startswith("name one")
    left = cli.ok("person", "unlink", one, "--token", token)
    assert (left["accounts"], left["media"]) == ([7], 0)
    assert cli.fail(1, "person", "unlink", one, "--token", token)["code"] == "REGISTRY_NOT_FOUND"
    assert cli.ok("person", "unlink", one, "--account", "7")["accounts"] == []
    assert links.find_owner(7) is None


@pytest.mark.parametrize("data", ["no json", "[1]", '{"name": 7}'])
def test_data_of_a_person_that_is_none(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    typed(monkeypatch, data)
    assert cli.fail(2, "person", "add", "--data", "-")["code"] == "USAGE_INVALID"
    assert cli.fail(2, "person", "add", "--field", "name")["code"] == "USAGE_INVALID"


def test_keys_are_rotated(cli: Cli) -> None:
    for _ in range(3):
        cli.ok("person", "add", "--field", "name=x")
    _put_command(folder(cli))
    secrets = folder(cli) / "secrets"
    os.rename(secrets / "registry.key", secrets / "old.key")
    _old(secrets, make=True)
    left = cli.ok("registry", "status")["left"]
    assert (left["persons"], left["commands"]) == (3, 1)
    assert cli.ok("registry", "rotate-keys", *_old(secrets, make=False)) == {
        "resealed": {"persons": 3, "webhooks": 0, "commands": 1, "sagas": 0, "answers": 0},
        "left": {"persons": 0, "webhooks": 0, "commands": 0, "sagas": 0, "answers": 0},
    }
    status = cli.ok("registry", "status")
    assert (status["persons"], status["left"]["commands"]) == (3, 0)
    file = folder(cli) / "registry.sqlite"
    with closing(open_registry(file)) as registry, registry.reading() as connection:
        rotated = [row for row in iter_events(connection) if row.action == "keys.rotate"]
    (told,) = (row for row in rotated if row.subject == "registry")
    assert told.actor == build_actor().subject
    assert json.loads(told.facts)["left"]["persons"] == 3


def test_what_a_missing_key_leaves_behind_is_told(cli: Cli) -> None:
    _put_command(folder(cli))
    secrets = folder(cli) / "secrets"
    (secrets / "registry.key").unlink()
    _old(secrets, make=True)
    outcome = cli("registry", "rotate-keys", "--json")
    assert outcome.status == 1
    assert outcome.json["left"]["commands"] == 1
    assert "1 still lie under another key" in outcome.err


def _put_command(city: Path) -> None:
    """A refund to a bank account, sealed under the registry key of now."""
    with closing(open_registry(city / "registry.sqlite", create=True)) as registry:
        key = bytes.fromhex((city / "secrets" / "registry.key").read_text())
        command = Command("k", Capability.REFUND, "DE-77", facts={"name": "Han"})
        Outbox(registry).put("bank", "k", CommandSealer([key]).seal(command, {"name"}), 1)


def _old(secrets: Path, *, make: bool) -> tuple[str, str]:
    from gateway.keys import write_secret

    if make:
        write_secret(secrets / "registry.key")
    return ("--set", 'security.registry_old_key_files=["secrets/old.key"]')


def test_secrets_of_an_older_folder_are_made_but_never_in_place_of_one_in_use(cli: Cli) -> None:
    secrets = folder(cli) / "secrets"
    for name in ("tokens.key", "registry.key", "index.key"):
        (secrets / name).unlink()
    assert cli.fail(1, "serve")["code"] == "CONFIG_SECRET"
    assert len(cli.ok("registry", "make-keys")["made"]) == 3
    assert cli.ok("registry", "make-keys")["made"] == []
    assert cli.ok("config", "check")["ok"] is True
    cli.ok("person", "add", "--field", "name=x")
    (secrets / "registry.key").unlink()
    refused = cli.fail(1, "registry", "make-keys")
    assert refused["code"] == "CONFIG_SECRET"
    assert "personal data lies under" in refused["detail"]
    assert not (secrets / "registry.key").exists()


def test_an_approval_on_the_command_line(cli: Cli) -> None:
    access = build_access(load_config(cli.config, env={}).config)
    wanted = Proposal(Action.UNFREEZE, "account:7", b"x" * 32)
    other = access.approvals.propose(Actor.system("cli:somebody"), wanted)
    user = pwd.getpwuid(os.getuid()).pw_name
    own = access.approvals.propose(Actor.system(f"cli:{user}"), wanted)
    assert len(rows(cli, "approval", "list")) == 2
    made = cli.ok("approval", "approve", other.approval_id, "--why", "seen")
    assert (made["state"], made["decided_by"]) == ("approved", f"cli:{user}")
    assert cli.fail(1, "approval", "approve", own.approval_id)["code"] == "AUTH_SAME_EYES"
    assert cli.ok("approval", "reject", own.approval_id)["state"] == "rejected"
