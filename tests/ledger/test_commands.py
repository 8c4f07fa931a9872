"""`faregate statement` and `faregate ledger` on a gateway's own folder."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.bootstrap import build_ledger, build_registry
from gateway.cli import main
from gateway.config import Config
from gateway.ledger.days import date_of
from gateway.ledger.record_tables import SETTLEMENTS
from gateway.observability.page import JOURNAL_POSITION, Page
from tests.ledger import books
from tests.support.plane import make_folder, records_of, running


@pytest.fixture
async def town(tmp_path: Path):
    """Settings of a gateway that has had its day, and the account that did most."""
    config = make_folder(tmp_path / "town")
    async with running(config) as hands:
        account_id = await books.live(hands)
    return config, account_id


def run(config: Config, *words: str) -> None:
    """The command's status must be 0."""
    file = config.gateway.data_dir / "gateway.toml"
    assert main([*words, "--config", str(file)]) == 0


def fill(config: Config) -> None:
    database = build_ledger(config)
    books.project(config, database)
    database.close()


def month_of(config: Config) -> str:
    day = date_of(records_of(config)[-1].ts_us // 86_400_000_000)
    return f"{day.isoformat()[:8]}01..{day.isoformat()[:4]}-12-31"


def test_a_statement_as_json_csv_and_text(town, capsys) -> None:
    config, account_id = town
    fill(config)
    words = ("statement", str(account_id), "--period", month_of(config))
    run(config, *words, "--json")
    said = json.loads(capsys.readouterr().out)
    assert said["opening_minor"] == 0
    assert said["closing_minor"] == sum(entry["amount_minor"] for entry in said["entries"])
    assert said["entries"][-1]["balance_minor"] == said["closing_minor"]
    assert all(entry["what"] and entry["what_zh"] for entry in said["entries"])
    run(config, *words, "--csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [int(row["amount_minor"]) for row in rows] == [
        entry["amount_minor"] for entry in said["entries"]
    ]
    run(config, *words, "--by", "merchant", "--json")
    totals = json.loads(capsys.readouterr().out)["totals"]
    assert sum(total["net_minor"] for total in totals) == said["closing_minor"]
    run(config, *words)
    assert "top-up" in capsys.readouterr().out


def test_consumption_and_budget(town, capsys) -> None:
    config, account_id = town
    fill(config)
    words = ("statement", str(account_id), "--period", month_of(config))
    run(config, *words, "--consumption", "--json")
    spent = json.loads(capsys.readouterr().out)["consumption"]
    assert {one["counterpart"] for one in spent} == {"operator:1", "merchant:0", "passes:7"}
    month = spent[0]["month"]
    words = ("statement", str(account_id), "--period", month, "--budget", "1")
    run(config, *words, "--json")
    budget = json.loads(capsys.readouterr().out)
    assert budget["used_minor"] == sum(one["spent_minor"] for one in spent)
    assert budget["warning"] == "over"


def test_a_period_that_is_none_is_a_usage_error(town, capsys) -> None:
    config, account_id = town
    file = str(config.gateway.data_dir / "gateway.toml")
    words = ["statement", str(account_id), "--period", "soon", "--json", "--config", file]
    assert main(words) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "USAGE_INVALID"


def test_the_ledger_is_built_again_and_says_how_it_stands(town, capsys) -> None:
    config, _ = town
    fill(config)
    page = Page.create(config.page_path)
    page.slots[JOURNAL_POSITION] = records_of(config)[-1].position + 10_000
    run(config, "ledger", "rebuild", "--json")
    reached = json.loads(capsys.readouterr().out)["position"]
    run(config, "ledger", "status", "--json")
    said = json.loads(capsys.readouterr().out)
    assert said["position"] == reached > 0
    assert said["seq"] == len(records_of(config))
    assert said["projector"] == "not running"
    debits = sum(line["debit_minor"] for line in said["chart"])
    assert debits == sum(line["credit_minor"] for line in said["chart"])
    assert said["debits_minor"] == {"156": debits}
    page.close()


def test_without_a_durable_position_nothing_is_emptied(town, capsys) -> None:
    config, _ = town
    fill(config)
    config.page_path.unlink()
    file = str(config.gateway.data_dir / "gateway.toml")
    assert main(["ledger", "rebuild", "--json", "--config", file]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "LEDGER_ERROR"
    run(config, "ledger", "status", "--json")
    assert json.loads(capsys.readouterr().out)["seq"] == len(records_of(config))


def test_the_audit_is_sound_until_a_byte_of_the_journal_is_not(town, capsys) -> None:
    config, _ = town
    fill(config)
    file = str(config.gateway.data_dir / "gateway.toml")
    run(config, "audit", "checkpoint", "--json")
    signed = json.loads(capsys.readouterr().out)
    assert Path(signed["file"]).is_file()
    run(config, "audit", "verify", "--json")
    said = json.loads(capsys.readouterr().out)
    assert said["findings"] == []
    assert said["signed_seq"] == said["records"] == len(records_of(config))
    run(config, "audit", "show", "--json")
    event = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert event["subject"] == "checkpoint:1"
    assert event["facts"]["journal"]["chain_hash"] == signed["journal"]["chain_hash"]
    run(config, "audit", "show")
    assert "audit.checkpoint" in capsys.readouterr().out
    path = next(iter(sorted(config.journal.dir.glob("*.seg"))))
    data = bytearray(path.read_bytes())
    data[5_000] ^= 1
    path.write_bytes(data)
    assert main(["audit", "verify", "--quick", "--json", "--config", file]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert findings
    assert {finding["what"] for finding in findings} == {"journal"}


def test_one_record_is_proved_to_who_has_the_public_key_only(town, capsys, tmp_path: Path) -> None:
    config, _ = town
    fill(config)
    run(config, "audit", "checkpoint", "--json")
    capsys.readouterr()
    record = records_of(config)[1]
    run(config, "audit", "prove", str(record.position), "--json")
    proof = tmp_path / "proof.json"
    proof.write_text(capsys.readouterr().out)
    run(config, "audit", "check", str(proof), "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["seq"], said["position"], said["checkpoint"]) == (record.seq, record.position, 1)
    alone = ["audit", "check", str(proof), "--public-key"]
    assert main([*alone, said["public_key"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == said
    assert main([*alone, "00" * 32, "--json"]) == 1
    assert main([*alone, "xyz"]) == 2
    file = str(config.gateway.data_dir / "gateway.toml")
    assert main(["audit", "prove", "7", "--config", file]) == 1


def written(config: Config) -> list[bool]:
    """Of each settlement file: whether it was put into the usual folder."""
    registry = build_registry(config)
    try:
        with registry.reading() as connection:
            return [at_us > 0 for at_us in connection.scalars(select(SETTLEMENTS.c.written_us))]
    finally:
        registry.close()


def test_settling_and_reconciling(town, capsys, tmp_path: Path) -> None:
    config, _ = town
    fill(config)
    file = str(config.gateway.data_dir / "gateway.toml")
    day = date_of(records_of(config)[-1].ts_us // 86_400_000_000)
    found, elsewhere = [], ["--out", str(tmp_path / "elsewhere")]
    for offset in (-1, 0, 1):  # the tariff's service days begin elsewhere than the zone's
        date = date_of((day - date_of(0)).days + offset).isoformat()
        words = ["settle", "run", "--date", date, "--open-day", "--json"]
        run(config, *words, *elsewhere)
        looked_at = len(json.loads(capsys.readouterr().out))
        assert written(config).count(False) == looked_at, "the worker still has to write them"
        run(config, *words)
        found += json.loads(capsys.readouterr().out)
        assert all(written(config))
    metro = next(one for one in found if one["account"] == "operator:1")
    with Path(metro["path"]).open(newline="") as text:
        rows = [row for row in csv.DictReader(text) if row["record"] == "line"]
    bill = tmp_path / "bill.csv"
    bill.write_text("key,amount_minor\n" + rows[0]["key"] + ",1\n")
    words = ["reconcile", "run", "operator:1", "--period", metro["service_date"]]
    assert main([*words, "--bill", str(bill), "--json", "--config", file]) == 1
    assert json.loads(capsys.readouterr().out)["breaks"] > 0
    run(config, "reconcile", "report", "--json")
    said = json.loads(capsys.readouterr().out)
    assert said["breaks"][0]["state"] == "open"
    assert said["ageing"]["0-1 days"]["count"] == len(said["breaks"])
    number = str(said["breaks"][0]["id"])
    run(config, "reconcile", "explain", number, "--note", "a test", "--close", "--json")
    assert json.loads(capsys.readouterr().out)["state"] == "closed"
    run(config, "reconcile", "report")
    assert "missing_there" in capsys.readouterr().out
    assert main([*words, "--json", "--config", file]) == 2
