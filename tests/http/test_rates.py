"""How often a caller may ask: by key, or by address for those who are nobody yet; and whose address
that is behind a proxy.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Config, load_config
from gateway.config_file import make_data_dir
from gateway.errors import ConfigError
from gateway.http.remote import Proxies
from tests.http.conftest import FLAGS
from tests.http.town import Caller, Town

SLOW = {
    "api.rate_per_s": "1",
    "api.rate_burst": "5",
    "api.rate_anonymous_per_s": "1",
    "api.trusted_proxies": '["127.0.0.0/8"]',
}
"""So slow that no test is long enough for another token. Of addresses: 2 at once."""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(make_data_dir(tmp_path / "metro"), env={}, flags=FLAGS | SLOW).config


async def ask(caller: Caller, path: str = "/v1/accounts/1", **headers: str) -> int:
    said = await caller("GET", path, headers=headers)
    if said.status == 429:
        assert said.code == "API_RATE_LIMITED"
        assert int(said.headers["Retry-After"]) >= 1
        assert said.body["retry"] == "safe"
    return said.status


async def test_a_caller_has_its_own_rate_and_is_told_how_long_to_wait(town: Town) -> None:
    assert [await ask(town.city) for _ in range(7)] == [404] * 5 + [429] * 2
    assert await ask(town.school) == 404, "another tenant is another caller"


async def test_those_who_are_nobody_yet_go_by_address(town: Town) -> None:
    stranger = Caller(town, "fgk_nobody_knows")
    here, there = {"X-Forwarded-For": "203.0.113.7"}, {"X-Forwarded-For": "203.0.113.8"}
    assert [await ask(stranger, **here) for _ in range(4)] == [401, 401, 429, 429]
    assert await ask(stranger, **there) == 401
    forged = {"X-Forwarded-For": "198.51.100.1, 203.0.113.7"}
    assert await ask(stranger, **forged) == 429, "what stands further left was written by anybody"
    assert await ask(town.city, **here) == 404, "and a key that is right is no stranger"


async def test_a_guesser_takes_nothing_from_those_who_sign_in_beside_it(town: Town) -> None:
    stranger = Caller(town, "fgk_nobody_knows")
    here = {"X-Forwarded-For": "203.0.113.7"}
    assert [await ask(stranger, **here) for _ in range(3)] == [401, 401, 429]
    login = {"login": "somebody@example.cn", "password": "not the right one"}
    said = await town.anybody("POST", "/v1/sessions", login, key=None, headers=here)
    assert said.status == 401
    client = b"grant_type=client_credentials&client_id=fgc_x&client_secret=y"
    form = here | {"Content-Type": "application/x-www-form-urlencoded"}
    said = await town.anybody("POST", "/v1/oauth/token", key=None, headers=form, data=client)
    assert said.status == 401


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # no proxy of ours: it may say anything
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        ("10.0.0.1", ["[2001:db8:1:2::9]:443"], "2001:db8:1:2::/64"),
        ("fd00::1", ["198.51.100.1"], "198.51.100.1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_whose_address_counts(peer: str, forwarded: list[str], caller: str) -> None:
    assert Proxies.parse(["10.0.0.0/8", "fd00::/8"]).caller(peer, forwarded) == caller


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert Proxies().caller("127.0.0.1", ["198.51.100.1"]) == "127.0.0.1"


def test_what_is_no_network_is_refused_at_the_start(tmp_path: Path) -> None:
    file = make_data_dir(tmp_path / "metro")
    with pytest.raises(ConfigError, match=r"proxy\.example is no network"):
        load_config(file, env={}, flags={"api.trusted_proxies": '["proxy.example"]'})
