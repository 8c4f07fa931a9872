"""Commands that are seldom given, through the command line: re-rating, journeys, clearing,
trimming, a tariff loaded live."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control.commands import Cli, Gateway, make_folder

CLEARING = """
[adapters.city-clearing]
kind = "clearing"
sender = "CITYGW"
receiver = "CITYCC"
folder = "exchange"

[adapters.quiet-clearing]
kind = "clearing"
sender = "CITYGW"
receiver = "QUIET1"
folder = "exchange"
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Without a worker: what the commands do is not done by itself meanwhile."""
    config = make_folder(tmp_path_factory.mktemp("gw") / "metro")
    config.write_text(config.read_text(encoding="utf-8") + CLEARING, encoding="utf-8")
    for name in ("in", "out"):
        (config.parent / "exchange" / name).mkdir(parents=True)
    made = Gateway(config, "--only=data", "--only=ledger")
    yield made
    assert made.stop() == 0


@pytest.fixture
def cli(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys, Path(gateway.log.name).parent / "gateway.toml")


@pytest.fixture
def account(cli: Cli) -> str:
    """An account whose records the ledger has."""
    made = str(cli.ok("account", "open")["account_id"])
    until = time.monotonic() + 60
    while "RERATE_HISTORY_BEHIND" in cli("rerate", "show", made, "--json").out:
        assert time.monotonic() < until
        time.sleep(0.1)
    return made


def test_an_account_without_late_rides_stays_as_it_is(cli: Cli, account: str) -> None:
    shown = cli.ok("rerate", "show", account)
    assert shown["account_id"] == int(account)
    assert shown["amount_minor"] == 0
    done = cli.ok("rerate", "run", account)
    assert (done["outcome"], cli.ok("rerate", "run", account)["outcome"]) == ("unchanged",) * 2
    assert cli("rerate", "show", account).status == 0
    waiting = cli.ok("rerate", "waiting")
    assert (waiting["pending"], waiting["failed"]) == ([], {})


def test_what_is_not_incomplete_cannot_be_completed(cli: Cli, account: str) -> None:
    assert cli.ok("journey", "list", account) == {"account_id": int(account), "journeys": []}
    assert cli("journey", "list", account).status == 0
    refused = cli.fail(1, "journey", "complete", account, "73728", "119")
    assert refused["code"] == "RERATE_NOTHING_INCOMPLETE"


def test_a_tariff_is_loaded_into_a_slot(cli: Cli) -> None:
    loaded = cli.ok("tariff", "load", "shanghai", "--slot", "3")
    assert loaded["slot"] == 3
    again = cli.ok("tariff", "load", "shanghai", "--slot", "3")
    assert again["key"] == loaded["key"]


def test_only_a_journal_in_valkey_is_trimmed(cli: Cli) -> None:
    refused = cli.fail(1, "journal", "trim")
    assert refused["code"].startswith("CONFIG_")
    assert "valkey" in refused["detail"]


def test_a_clearing_house_without_files(cli: Cli, tmp_path: Path) -> None:
    name = "quiet-clearing"
    assert cli("clearing", "files", name, "--json").lines == []
    assert cli("clearing", "rows", name, "--state", "open", "--json").lines == []
    assert sum(one["rows"] for one in cli.ok("clearing", "totals", name).values()) == 0
    refused = cli.fail(1, "clearing", "retry", name, "10452")
    assert refused["code"] == "CLEARING_ROW"
    assert cli.ok("clearing", "file", name, "none.txt", "--to", str(tmp_path)) == {"files": []}
    assert list(tmp_path.glob("*.txt")) == []


def test_a_business_day_is_closed_by_hand_and_its_file_written(cli: Cli, tmp_path: Path) -> None:
    (made,) = cli("clearing", "make", "city-clearing", "--date", "2026-01-02", "--json").lines
    assert (made["rows"], made["total_minor"]) == (0, 0)
    assert [one["name"] for one in cli("clearing", "files", "city-clearing", "--json").lines] == [
        made["file"]
    ]
    written = cli.ok("clearing", "file", "city-clearing", made["file"], "--to", str(tmp_path))
    assert Path(written["files"][0]).read_bytes().startswith(b"H")
    refused = cli.fail(2, "clearing", "make", "city-clearing", "--date", "yesterday")
    assert "YYYY-MM-DD" in refused["detail"]
