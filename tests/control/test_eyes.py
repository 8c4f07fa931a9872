"""Four eyes at the command line, and its freezes, lines and media: the services of /v1."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.clock import format_operation_id, new_operation_id
from gateway.commands.common import build_actor
from gateway.config import load_config
from gateway.registry.audit import iter_events
from gateway.registry.notices import NoticeStore
from gateway.registry.store import open_registry
from gateway.wallet import eyes
from tests.control.commands import Cli, Gateway, make_folder

CARD = "1000 7510 0000 0077"
OPERATION = format_operation_id(new_operation_id())
ALWAYS = {
    '"credit_limit" = 500000': '"credit_limit" = 0\n"credit" = 0',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A gateway that wants four eyes for everything there is."""
    config = make_folder(tmp_path_factory.mktemp("eyes") / "metro")
    text = config.read_text()
    for old, new in ALWAYS.items():
        assert old in text
        text = text.replace(old, new)
    config.write_text(text)
    running = Gateway(config)
    yield config
    assert running.stop() == 0


@pytest.fixture
def cli(folder: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys, folder)


def test_nothing_the_policy_names_is_done_by_one_alone(cli: Cli) -> None:
    account = str(cli.ok("account", "open")["account_id"])
    assert cli.agreed("account", "credit", account, "5.00")["balance"] == "5.00"
    cli.agreed("account", "limit", account, "20.00")
    assert cli.ok("account", "show", account)["credit_limit"] == "20.00"
    assert cli.agreed("account", "limit", account, "0.00")["op"] == "set_credit_limit"
    version = str(cli.ok("account", "show", account)["version"])
    words = ("account", "adjust", account, "3.00", "--take", "--version", version, "--note", "odd")
    adjusted = cli.agreed(*words)
    assert (adjusted["op"], adjusted["balance"]) == ("adjust", "2.00")
    assert cli.fail(1, *words)["code"] == "version_conflict"
    cli.ok("account", "tier", account, "3")
    opened = cli.agreed("credit", "open", account, "--score", "500")
    assert opened["limit"] == "50.00"
    assert cli.agreed("credit", "score", account, "800")["limit"] == "2000.00"
    cli.ok("account", "freeze", account, "--reason", "odd")
    assert cli.agreed("account", "unfreeze", account)["state"] == "lifted"
    assert cli.ok("account", "show", account)["status_names"] == []
    assert cli.fail(1, "account", "credit", account, "5.00")["code"] == "APPROVAL_NEEDED"


def test_a_pass_that_was_paid_nowhere_is_no_way_to_money(cli: Cli) -> None:
    """Sold for nothing and given back for much: somebody else agrees to it, as to a correction."""
    account = str(cli.ok("account", "open")["account_id"])
    cli.ok("pass", "add", account, "monthly")
    removed = cli.agreed("pass", "remove", account, "monthly", "--refund", "300.00")
    assert (removed["op"], removed["balance"]) == ("pass_remove", "300.00")
    cli.ok("pass", "add", account, "monthly")
    cli.ok("pass", "remove", account, "monthly")  # nothing is given back: nobody is asked
    assert cli.ok("account", "show", account)["balance"] == "300.00"


def test_passes_and_concessions_name_who_gave_them(cli: Cli) -> None:
    """The journal is the trail of what it holds: each record says by whom."""
    account = str(cli.ok("account", "open")["account_id"])
    cli.ok("pass", "add", account, "monthly", "--note", "prize")
    cli.ok("pass", "remove", account, "monthly")
    cli.ok("concession", "set", account, "2", "--until", "2027-08-31")
    cli.ok("concession", "remove", account, "2")
    shown = cli("journal", "show", "--account", account, "--json").lines[1:]
    assert [one["op"] for one in shown] == [
        *("pass_add", "pass_remove", "concession", "concession"),
    ]
    assert all("cli:" in str(one) for one in shown), shown


def test_every_way_to_what_the_policy_names_is_walked_above() -> None:
    """What asks for eyes; a new one has to be walked at the command line, too."""
    tree = ast.parse(inspect.getsource(eyes.Eyes))
    asked = {one.name for one in ast.walk(tree) if isinstance(one, ast.AsyncFunctionDef)}
    walked = {
        "require_pass_refund",
        "require_unfreeze",
        "require_credit_limit",
        "require_credit",
        "require_adjustment",
    }
    # in the tests of credit lines, of banks, and of fares
    elsewhere = {"require_write_off", "require_payout", "require_fare_reversal"}
    assert asked - {"_require"} == walked | elsewhere


def test_what_was_refused_here_is_in_the_trail(cli: Cli, folder: Path) -> None:
    account = str(cli.ok("account", "open")["account_id"])
    waits = cli.fail(1, "account", "credit", account, "5.00")["approval_id"]
    assert cli.fail(1, "approval", "approve", waits)["code"] == "AUTH_SAME_EYES"
    assert cli.fail(1, "account", "show", "999999")["code"] == "unknown_account"
    assert cli.fail(1, "account", "debit", account, "60000.00")["code"] == "COMMAND_CEILING"
    assert cli.fail(1, "account", "debit", account, "1.00")["code"] == "insufficient_balance"
    registry = open_registry(load_config(folder, env={}).config.registry.file)
    with registry.reading() as connection:
        rows = [row for row in iter_events(connection) if row.outcome == "refused"]
    assert [(row.action, row.subject, json.loads(row.facts)["code"]) for row in rows[-3:]] == [
        ("approval.approve", f"approval:{waits}", "AUTH_SAME_EYES"),
        ("account.show", "account:999999", "unknown_account"),
        ("account.debit", f"account:{account}", "COMMAND_CEILING"),
    ]
    assert {row.actor for row in rows} == {build_actor().subject}


def test_a_freeze_has_reason_end_and_notice(cli: Cli, folder: Path) -> None:
    account = str(cli.ok("account", "open")["account_id"])
    assert cli.fail(2, "account", "freeze", account)["code"] == "USAGE_INVALID"
    assert cli.fail(2, "account", "freeze", account, "--reason", "")["code"] == "USAGE_INVALID"
    one = cli.ok("account", "freeze", account, "--reason", "owner asked", "--hours", "2")
    again = ("--reason", "owner asked", "--operation-id", one["freeze_id"])
    assert cli.ok("account", "freeze", account, *again)["freeze_id"] == one["freeze_id"]
    assert one["expires_us"] - one["placed_us"] == pytest.approx(7_200_000_000, abs=60_000_000)
    two = cli.ok("account", "freeze", account, "--reason", "again", "--what", "both")
    listed = cli("account", "freezes", account, "--json").lines
    assert [row["reason"] for row in listed] == ["owner asked", "again"]
    assert "owner asked" in cli("account", "freezes", account).out
    both = cli.fail(2, "account", "unfreeze", account)
    assert two["freeze_id"] in both["detail"]
    cli.agreed("account", "unfreeze", account, "--freeze", two["freeze_id"])
    assert cli.ok("account", "show", account)["status_names"] == ["frozen_debit"]
    notices = NoticeStore(open_registry(load_config(folder, env={}).config.registry.file))
    kinds = [row.kind for row in notices.list(int(account), after=0, limit=9)]
    assert kinds == ["account_frozen", "account_frozen", "account_unfrozen"]


def test_a_freeze_that_nobody_wrote_down_is_lifted_too(cli: Cli, folder: Path) -> None:
    from gateway.bootstrap import build_control_client

    account = str(cli.ok("account", "open")["account_id"])
    client = build_control_client(load_config(folder, env={}).config)
    client.call("freeze", {"account_id": int(account), "what": "both"})
    assert cli.agreed("account", "unfreeze", account)["state"] == "lifted"
    assert cli.ok("account", "show", account)["status_names"] == []


def test_an_account_goes_into_another(cli: Cli) -> None:
    one, other = (str(cli.ok("account", "open")["account_id"]) for _ in range(2))
    cli.agreed("account", "credit", one, "7.00")
    token = ("--token", "ab" * 16)
    cli.ok("medium", "link", one, *token)
    words = ("account", "merge", one, other, *token, "--operation-id", OPERATION)
    made = cli.ok(*words)
    assert (made["state"], made["amount_minor"], made["media_moved"]) == ("done", 700, 1)
    assert cli.ok(*words) == made
    assert cli.ok("account", "show", one)["status_names"] == ["closed"]
    assert cli.ok("medium", "show", *token)["account_id"] == int(other)
    assert cli.fail(1, "account", "merge", one, other)["code"] == "COMMAND_NOT_MERGED"
    assert cli.fail(2, "account", "merge", one, other, "--token", "x")["code"] == "USAGE_INVALID"


def test_a_card_goes_to_another_account(cli: Cli) -> None:
    one, other = (str(cli.ok("account", "open")["account_id"]) for _ in range(2))
    cli.ok("medium", "link", one, "--card", CARD)
    assert cli.ok("medium", "move", other, "--card", CARD)["op"] == "medium_move"
    assert cli.ok("medium", "show", "--card", CARD)["account_id"] == int(other)
    assert cli.ok("medium", "block", "--card", CARD)["op"] == "medium_state"
    lost = cli.fail(1, "medium", "move", one, "--card", CARD)
    assert lost["code"] == "medium_lost"
