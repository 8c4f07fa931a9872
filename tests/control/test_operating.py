"""Late taps and incomplete journeys at the command line, with taps through a served gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fastpath.types import Reason, TapFlag, TapKind
from gateway.keys import card_token, read_secret
from gateway.link.client import DeviceIdentity, open_session
from tests.control.commands import Cli, Gateway, make_folder
from tests.support.plane import Gate

CARD = "1000 7510 0000 0042"
BOOT = 7
OFFLINE = int(TapFlag.OFFLINE | TapFlag.DEVICE_OPENED)
HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = make_folder(tmp_path_factory.mktemp("desk") / "city")
    made = Gateway(config, "--set=rerating.follow=false")
    yield made
    assert made.stop() == 0


@pytest.fixture
def cli(gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys, Path(gateway.log.name).parent / "gateway.toml")


def _tap(gateway: Gateway, key: str, taps: list[tuple[int, bytes, int, int]]) -> list[int]:
    """Taps a validator let through while it was offline; what each charged."""

    async def send() -> list[int]:
        host, _, port = gateway.where["link"].rpartition(":")
        identity = DeviceIdentity(1001, bytes.fromhex(key), BOOT, 1)
        session, _ = await open_session(host, int(port), identity)
        gate, fares = Gate(session, BOOT), []
        for kind, token, stop, at_us in taps:
            answer = await gate.tap(kind, token, stop, device_ts_us=at_us, flags=OFFLINE)
            assert Reason(answer.reason).accepted, Reason(answer.reason)
            fares.append(answer.fare_minor)
        session.close()
        return fares

    return asyncio.run(send())


def _when_known(cli: Cli, *words: str) -> Any:
    """As soon as the ledger has the newest records."""
    while "RERATE_HISTORY_BEHIND" in (said := cli(*words, "--json")).out:
        time.sleep(0.1)
    assert said.status == 0, said
    return said.json


def test_prices_again_and_completes_a_journey(gateway: Gateway, cli: Cli) -> None:
    assert cli.config is not None
    account = str(cli.ok("account", "open")["account_id"])
    cli.ok("account", "credit", account, "100.00")
    cli.ok("medium", "link", account, "--card", CARD)
    key = cli.ok("device", "add", "1001", "--slot", "1")["key"]
    token = card_token(read_secret(cli.config.parent / "secrets" / "master.key"), CARD)
    noon = datetime.now(ZoneInfo("Asia/Shanghai")).replace(hour=12, minute=0, second=0)
    at_us = int((noon - timedelta(days=1)).timestamp()) * 1_000_000
    taps = [
        (TapKind.CHECK_OUT, token, 102, at_us + HOUR_US // 2),  # the wrong way round
        (TapKind.CHECK_IN, token, 101, at_us),
        (TapKind.CHECK_IN, token, 103, at_us + 8 * HOUR_US),  # and never out
        (TapKind.CHECK_IN, token, 101, at_us + 14 * HOUR_US),
    ]
    _tap(gateway, key, taps)
    before = _when_known(cli, "rerate", "show", account)
    done = _when_known(cli, "rerate", "run", account)
    assert before["changed"]
    assert done["outcome"] == "rerated"
    assert _when_known(cli, "rerate", "run", account)["outcome"] == "unchanged"
    assert cli("rerate", "show", account).status == 0
    assert cli.ok("rerate", "waiting")["failed"] == {}
    listed = _when_known(cli, "journey", "list", account)["journeys"]
    one = next(row for row in listed if row["stop"] == 103)
    assert str(one["position"]) in cli("journey", "list", account).out
    words = ("journey", "complete", account, str(one["position"]), "104", "--desk")
    completed = _when_known(cli, *words)
    assert completed["outcome"] == "rerated"
    again = _when_known(cli, "journey", "list", account)["journeys"]
    assert one["position"] not in [row["position"] for row in again]
    refund = cli.agreed("refund", account, "0.01", "--tap", f"1001-{BOOT}-1")
    assert (refund["op"], refund["amount"]) == ("refund", "0.01")
    assert cli.fail(2, "refund", account, "0.01")["code"] == "USAGE_INVALID"
