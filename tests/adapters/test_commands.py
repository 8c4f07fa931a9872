"""`faregate adapter`, on settings and a registry; no gateway runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.contract import API_LEVEL, Capability, Command, Money
from adapters.funding.bank.adapter import BankAdapter
from adapters.funding.bank.bench import BankBench
from adapters.funding.bank.simulator import Movement, statement
from gateway.clock import now_us
from gateway.config import load_config
from gateway.delivery import kinds
from gateway.delivery.kinds import list_kinds, load_adapters, load_kind
from gateway.delivery.outbox import Left, Outbox, State
from gateway.errors import ConfigError
from gateway.registry.audit import iter_events
from gateway.registry.store import open_registry
from tests.control.commands import Cli, make_folder


@pytest.fixture
def bench() -> Iterator[BankBench]:
    made = BankBench()
    yield made
    made.dispose()


@pytest.fixture
def config(tmp_path: Path, bench: BankBench) -> Path:
    file = make_folder(tmp_path / "city")
    file.write_text(file.read_text() + bank_table("city-bank", bench))
    return file


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], config: Path) -> Cli:
    return Cli(capsys, config)


def bank_table(name: str, bench: BankBench, **changes: object) -> str:
    values = {"kind": "bank"} | bench.good_settings() | changes
    lines = [f"{key} = {value!r}" for key, value in values.items() if value is not None]
    return f"\n[adapters.{name}]\n" + "\n".join(lines).replace("'", '"') + "\n"


def test_configured_adapters_are_listed(cli: Cli) -> None:
    assert cli.ok("adapter", "list") == {
        "adapter": "city-bank",
        "kind": "bank",
        "domain": "funding",
        "state": "not running",
        "breaker": "-",
        "commands": {},
        "events": {},
    }
    assert "city-bank" in cli("adapter", "list").out


def test_kinds_are_listed_without_settings(capsys: pytest.CaptureFixture[str]) -> None:
    found = Cli(capsys)("adapter", "list", "--kinds", "--json")
    assert "bank" in {line["kind"] for line in found.lines}


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"kind": "bonk"}, "there is no adapter bonk"),
        ({"kind": None}, "adapters.city-bank.kind: one of"),
        ({"kind": 7}, "adapters.city-bank.kind: one of"),
        ({"url": "bank"}, "adapters.city-bank.url: string should match"),
        ({"token_file": None}, "adapters.city-bank.token_file: field required"),
        ({"tokenfile": "x"}, "adapters.city-bank.tokenfile: no such setting"),
    ],
)
def test_bad_settings_are_told_without_their_values(
    cli: Cli, config: Path, bench: BankBench, change: dict[str, object], finding: str
) -> None:
    text = config.read_text().partition("\n[adapters.city-bank]")[0]
    config.write_text(text + bank_table("city-bank", bench, **change))
    for words in (("adapter", "list"), ("config", "check")):
        error = cli.fail(1, *words)
        assert any(finding in one for one in error["findings"]), error
        assert "bench-" not in str(error)


def test_two_names_for_one_peer_are_refused(cli: Cli, config: Path, bench: BankBench) -> None:
    config.write_text(config.read_text() + bank_table("other-bank", bench))
    error = cli.fail(1, "adapter", "list")
    assert error["findings"] == ["adapters.other-bank: the same peer as adapters.city-bank"]


def test_relative_paths_count_from_the_data_folder(config: Path, bench: BankBench) -> None:
    text = config.read_text().partition("\n[adapters.city-bank]")[0]
    config.write_text(text + bank_table("city-bank", bench, token_file="secrets/bank.token"))
    loaded = load_config(config, env={}).config
    found = load_adapters(loaded)["city-bank"].adapter.config
    assert found.token_file == loaded.gateway.data_dir / "secrets" / "bank.token"


def test_settings_of_an_adapter_may_come_from_the_environment(config: Path) -> None:
    env = {"FARE__ADAPTERS__CITY-BANK__URL": "https://bank.example"}
    loaded = load_config(config, env=env).config
    assert load_adapters(loaded)["city-bank"].adapter.config.url == "https://bank.example"


class Newer(BankAdapter):
    """Needs a contract that is not here yet."""

    info = type(BankAdapter.info)(
        "newer", "1", BankAdapter.info.domain, frozenset({Capability.REFUND}), API_LEVEL + 1
    )


NOT_AN_ADAPTER = object()


@pytest.mark.parametrize(
    ("place", "code"),
    [
        (f"{__name__}:Newer", "ADAPTER_TOO_NEW"),
        (f"{__name__}:NOT_AN_ADAPTER", "ADAPTER_BROKEN"),
        (f"{__name__}:Missing", "ADAPTER_BROKEN"),
        ("no_such_module:X", "ADAPTER_BROKEN"),
    ],
)
def test_kinds_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, place: str, code: str) -> None:
    monkeypatch.setitem(kinds.BUILT_IN, "odd", place)
    with pytest.raises(ConfigError) as refused:
        load_kind("odd")
    assert refused.value.code == code


def test_ours_cannot_be_replaced_by_a_plugin() -> None:
    assert {kind: list_kinds()[kind] for kind in kinds.BUILT_IN} == kinds.BUILT_IN


def test_check_tells_what_it_found(cli: Cli) -> None:
    outcome = cli("adapter", "check", "city-bank", "--json")
    assert outcome.status == 1
    assert outcome.json["status"] == "unreachable"
    assert cli.fail(1, "adapter", "check", "nobody")["code"] == "ADAPTER_UNKNOWN"


def test_check_tells_a_secret_that_others_may_read(cli: Cli, bench: BankBench) -> None:
    Path(bench.good_settings()["token_file"]).chmod(0o644)
    outcome = cli("adapter", "check", "city-bank", "--json")
    assert (outcome.status, outcome.json["status"]) == (1, "misconfigured")
    assert "chmod 600" in outcome.json["detail"]


def test_the_kit_from_the_command_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from adapters.testing import kit

    kit.load_checks()
    chosen = {name: kit.CHECKS[name] for name in ("success", "a_refusal")}
    monkeypatch.setattr(kit, "CHECKS", chosen)
    for name in ("bank", "city-bank"):
        outcome = cli("adapter", "test", name, "--json")
        assert outcome.status == 0
        assert [(line["check"], line["verdict"]) for line in outcome.lines] == [
            ("success", "passed"),
            ("a_refusal", "passed"),
        ]
    assert cli.fail(1, "adapter", "test", "nobody")["code"] == "ADAPTER_UNKNOWN"


def test_dead_letters_are_shown_and_replayed(cli: Cli, config: Path) -> None:
    outbox = Outbox(open_registry(config.parent / "registry.sqlite", create=True))
    command = Command("k-1", Capability.REFUND, "DE-1", Money(5, 156), facts={"name": "Li Lei"})
    outbox.put("city-bank", "a", command, now_us())
    (letter,) = outbox.claim("city-bank", 1, now_us())
    outbox.leave(letter, Left(State.DEAD, 0, "Poison: no such thing"), now_us())
    (dead,) = cli("adapter", "dead", "--json").lines
    assert (dead["key"], dead["last_error"]) == ("k-1", "Poison: no such thing")
    assert cli("adapter", "dead", "another", "--json").lines == []
    assert cli.ok("adapter", "show", "k-1")["state"] == "dead"
    assert cli.ok("adapter", "replay", "k-1")["state"] == "uncertain"
    assert cli.fail(1, "adapter", "replay", "k-1")["code"] == "DELIVERY_NOT_DEAD"
    assert cli.fail(1, "adapter", "show", "k-2")["code"] == "DELIVERY_NOT_FOUND"
    assert "Li Lei" not in cli("adapter", "show", "k-1").out
    with open_registry(config.parent / "registry.sqlite").reading() as connection:
        (told,) = list(iter_events(connection))
    assert (told.action, told.subject) == ("outbox.replay", "command:k-1")
    assert told.actor.startswith("cli:")


def test_a_statement_is_handed_in_and_its_doubts_are_decided(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "statement.csv"
    file.write_bytes(statement(Movement("E-1", 500, "for Li Lei"), Movement("E-2", 7, "?")))
    for _ in range(2):
        assert cli.ok("adapter", "take", "city-bank", str(file)) == {
            "file": str(file),
            "result": "accepted",
            "events": 2,
        }
    assert cli.ok("adapter", "list")["events"] == {"stored": 2}
    assert cli("adapter", "held", "city-bank", "--json").lines == []
    assert cli.fail(1, "adapter", "decide", "city-bank", "E-1")["code"] == "DELIVERY_NOT_HELD"
    words = ("adapter", "decide", "city-bank", "E-1", "--account", "1", "--ignore")
    assert cli.fail(2, *words)["code"] == "USAGE_INVALID"


def test_a_faulty_statement_is_refused_with_its_fault(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "statement.csv"
    file.write_bytes(statement(Movement("E-1", 500, "x")).replace(b"500", b"5,0", 1))
    outcome = cli("adapter", "take", "city-bank", str(file), "--json")
    assert outcome.status == 1
    assert outcome.json["result"] == "refused"
    assert outcome.json["error"] == "Malformed"


def test_the_reference_of_an_account(cli: Cli) -> None:
    shown = cli.ok("bank", "reference", "1001", config=False)
    assert shown == {"account_id": 1001, "reference": "RF401001"}


def test_a_refund_needs_a_bank_that_is_configured(cli: Cli) -> None:
    words = ("bank", "refund", "other-bank", "1001", "1.00", "--to", "DE-1")
    assert cli.fail(1, *words)["code"] == "ADAPTER_UNKNOWN"
