"""The wallet's jobs where they really run: in the worker of a gateway that serves."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import insert

from gateway.bootstrap import build_access
from gateway.clock import new_operation_id, now_us
from gateway.config import load_config
from gateway.observability.worker_page import read_page
from gateway.registry.actors import Actor
from gateway.registry.credentials import NewCredential
from gateway.registry.scopes import CEILINGS, TenantKind
from gateway.registry.tenants import Tenant
from gateway.wallet.stores.tables import REQUESTS
from tests.control.commands import Gateway, make_folder

SYSTEM = Actor.system("test")
DAY_US = 86_400_000_000


@dataclass
class City:
    """A gateway that serves, and a key of its city."""

    config: Path
    where: str
    token: str
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Idempotency-Key": f"key-{next(self.numbers)}",
            "Content-Type": "application/json",
        }
        data = None if body is None else json.dumps(body).encode()
        url = f"http://{self.where}{path}"
        with urlopen(Request(url, data, headers, method=method)) as answer:
            return json.loads(answer.read() or b"null")

    def account(self, amount_minor: int = 0) -> str:
        """Its path."""
        path = f"/v1/accounts/{self.ask('POST', '/v1/accounts', {})['account_id']}"
        if amount_minor:
            money = {"amount_minor": amount_minor, "reference": f"test {path}"}
            self.ask("POST", f"{path}/credits", money)
        return path

    def job(self, name: str) -> dict[str, Any]:
        page = read_page(load_config(self.config, env={}).config.worker_page_path)
        return dict(page.jobs.get(name, {})) if page is not None else {}


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    config = make_folder(tmp_path_factory.mktemp("jobs") / "city")
    access = build_access(load_config(config, env={}).config)
    access.tenants.add(SYSTEM, Tenant("city", TenantKind.CITY, "city"))
    wanted = NewCredential("city", CEILINGS[TenantKind.CITY], "somebody")
    token = access.credentials.create(SYSTEM, wanted).token
    with access.database.transaction() as connection:
        connection.execute(insert(REQUESTS).values(old_request()))
    gateway = Gateway(config, "--set=api.webhook_private=true", "--set=worker.report_s=0.2")
    yield City(config, gateway.where["http"], token)
    gateway.stop()


def old_request() -> dict[str, Any]:
    """A key of long ago, which nobody may use any more."""
    long_ago = now_us() - 400 * DAY_US
    return {
        "caller": "city",
        "key": "old",
        "operation_id": str(new_operation_id().hex())[:36],
        "endpoint": "x",
        "digest": "",
        "created_us": long_ago,
        "status": 201,
        "account_id": 0,
        "settled_us": long_ago,
    }


def wait(happened: Callable[[], object]) -> None:
    """The pytest time-out ends it when it never does."""
    while not happened():
        time.sleep(0.1)


def test_a_freeze_is_over_by_itself(city: City) -> None:
    path = city.account(100)
    order = {"reason": "look", "what": "debit", "expires_us": now_us() + 1_500_000}
    made = city.ask("POST", f"{path}/freezes", order)
    assert made["state"] == "active"
    wait(lambda: city.ask("GET", f"{path}/freezes")["data"][0]["state"] == "expired")
    city.ask("POST", f"{path}/payments", {"amount_minor": 1, "purpose": 0})
    wait(lambda: city.job("freezes").get("ended", 0) >= 1)


def test_a_budget_warns(city: City) -> None:
    path = city.account(1000)
    city.ask("POST", f"{path}/budgets", {"month_minor": 100})
    city.ask("POST", f"{path}/payments", {"amount_minor": 90, "purpose": 0})

    def told() -> list[str]:
        return [one["kind"] for one in city.ask("GET", f"{path}/notices")["data"]]

    wait(lambda: any(kind.startswith("budget_") for kind in told()))


def test_an_expired_purse_goes_back_by_itself(city: City) -> None:
    path = city.account()
    order = {"purposes": [1], "priority": 5, "expires_us": now_us() + 1_500_000}
    purse_id = city.ask("POST", f"{path}/purses", order)["purse_id"]
    money = {"amount_minor": 70, "reference": "meal", "purse_id": purse_id}
    city.ask("POST", f"{path}/credits", money)
    wait(lambda: purse_id not in [one["purse_id"] for one in city.ask("GET", path)["purses"]])
    wait(lambda: city.job("sweeps").get("swept") == 1)


def test_events_reach_a_webhook(city: City) -> None:
    got: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not into the test's output."""

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/hook"
        city.ask("POST", "/v1/webhooks", {"url": url, "events": ["debit"]})
        path = city.account(1000)
        city.ask("POST", f"{path}/payments", {"amount_minor": 7, "purpose": 0})
        wait(lambda: any(b'"amount_minor":-7' in body for body in got))
        server.shutdown()


def test_keys_that_nobody_may_use_any_more_are_forgotten(city: City) -> None:
    wait(lambda: city.job("sagas").get("keys_forgotten") == 1)
    assert city.job("sagas")["restarts"] == 0
