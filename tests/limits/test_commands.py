"""`faregate limits`, and what the settings say about limits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.bootstrap import compile_loads
from gateway.cli import main
from gateway.limits.store import LimitStore
from tests.control.commands import Cli
from tests.control.commands import make_folder as make_settings
from tests.limits.test_load import GOOD
from tests.support.plane import make_folder, running


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    return Cli(capsys, make_settings(tmp_path / "metro"))


def test_list(cli: Cli) -> None:
    listed = cli("limits", "list", "--json", config=False)
    assert [one["id"] for one in listed.lines] == ["e-cny", "pboc-2015"]
    assert "pboc-2015" in cli("limits", "list", config=False).out


def test_show(cli: Cli) -> None:
    shown = cli.ok("limits", "show", "e-cny", config=False)
    rows = {(one["tier"], one["from"]): one for one in shown["profiles"]}
    assert rows[2, "2021-06-01"]["day"] == "100000.00"
    assert rows[2, "2021-06-01"]["month"] is None
    assert shown["sources"]
    assert "class 4" in cli("limits", "show", "e-cny", config=False).out


def test_check(cli: Cli) -> None:
    report = cli.ok("limits", "check", "pboc-2015", config=False)
    assert (report["ok"], report["findings"]) == (True, [])
    assert any("tier 0" in one for one in report["warnings"])


def test_check_of_a_faulty_file_exits_1_with_all_findings(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "town.toml"
    path.write_text(GOOD.replace('day = "20.00"', 'day = "5.00"').replace("tier = 1", "tier = 3"))
    outcome = cli("limits", "check", str(path), "--json", config=False)
    assert outcome.status == 1
    assert outcome.json["ok"] is False
    assert len(outcome.json["findings"]) == 3


@pytest.mark.parametrize("word", ["show", "check"])
def test_limits_that_are_not_there(cli: Cli, word: str) -> None:
    assert cli.fail(1, "limits", word, "nowhere", config=False)["code"] == "LIMITS_NOT_FOUND"


def test_settings_that_name_none_that_is_there(cli: Cli) -> None:
    assert cli("config", "check", "--set", "limits.profile=e-cny").status == 0
    error = cli.fail(1, "config", "check", "--set", "limits.profile=nowhere")
    assert error["findings"] == ["limits.profile: there are no limits nowhere"]


async def test_load_into_a_running_gateway(tmp_path: Path) -> None:
    config = make_folder(tmp_path / "gateway")
    path = tmp_path / "town.toml"
    path.write_text(GOOD, encoding="utf-8")
    settings = ["--config", str(tmp_path / "gateway" / "gateway.toml")]
    async with running(config) as hands:
        assert (await hands.call("status"))["limits"] is None
        status = await asyncio.to_thread(main, ["limits", "load", str(path), *settings])
        assert status == 0
        loaded = (await hands.call("status"))["limits"]
        assert (loaded["id"], loaded["version"]) == ("town", "1")
        assert [f"{one.key:016x}" for one in LimitStore(config.limits_dir).list()] == [
            loaded["key"]
        ]
        assert await asyncio.to_thread(main, ["limits", "load", "none", *settings]) == 0
        assert (await hands.call("status"))["limits"] is None


async def test_a_tier_is_set_and_what_it_leaves_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    most = {"control__credit_max_minor": "10000000"}
    config = make_folder(tmp_path / "gateway", limits__profile="e-cny", **most)
    cli = Cli(capsys, tmp_path / "gateway" / "gateway.toml")
    loads = compile_loads(config)
    async with running(config, before=lambda plane: plane.use_limits(loads.limits)) as hands:
        account_id, _ = await hands.rider(5000)
        number = str(account_id)
        made = await asyncio.to_thread(cli.ok, "account", "tier", number, "3")
        assert made["op"] == "set_tier"
        fields = await asyncio.to_thread(cli.ok, "account", "show", number)
        assert (fields["tier"], fields["limits"]["payment"]["limit_minor"]) == (3, 500_000)
        shown = await asyncio.to_thread(cli, "account", "show", number)
        assert "left_minor" in shown.out
        await hands.call("set_tier", account_id=account_id, tier=0)
        error = await asyncio.to_thread(cli.fail, 1, "account", "credit", number, "9950.01")
        assert (error["code"], "higher tier" in error["hint"]) == ("balance_limit", True)
        assert (await asyncio.to_thread(cli.ok, "account", "credit", number, "950.00"))["op"]
        assert (await asyncio.to_thread(cli, "account", "tier", number, "16")).status == 2
