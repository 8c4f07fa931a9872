"""Logs: one JSON object a line, and no token whatever anybody passes."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.observability.logging import JsonFormatter, TextFormatter, clean

TOKEN = bytes.fromhex("a1b2c3d4e5f60718293a4b5c6d7e8f90")
SPELLINGS = [
    TOKEN,
    bytearray(TOKEN),
    memoryview(TOKEN),
    TOKEN.hex(),
    TOKEN.hex().upper(),
    f"got {TOKEN.hex()}!",
]


class _Log:
    def __init__(self, formatter: logging.Formatter) -> None:
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(formatter)
        self.logger = logging.Logger("gateway.test")
        self.logger.addHandler(handler)

    def text(self) -> str:
        return self.stream.getvalue()

    def last(self) -> dict[str, Any]:
        fields = json.loads(self.text().split("\n")[-2])
        assert isinstance(fields, dict)
        return fields


@pytest.fixture
def log() -> _Log:
    return _Log(JsonFormatter("data"))


def test_an_event_with_fields(log: _Log) -> None:
    log.logger.info("journal_recovered", extra={"records": 5, "ratio": 0.5, "torn": None})
    fields = log.last()
    assert fields.pop("ts").endswith("+00:00")
    assert fields == {
        "level": "info", "logger": "gateway.test", "process": "data", "event": "journal_recovered",
        "records": 5, "ratio": 0.5, "torn": None,
    }  # fmt: skip


@pytest.mark.parametrize("value", SPELLINGS, ids=repr)
def test_no_spelling_of_a_token_gets_through_any_field(log: _Log, value: object) -> None:
    log.logger.warning(
        "tap_refused", extra={"note": value, "inner": {"deep": [value]}, "pair": (value, 1)}
    )
    log.logger.warning("a sentence with %s inside", value)
    try:
        raise ValueError(value)
    except ValueError:
        log.logger.exception("it_failed")
    said = log.text().lower()
    assert TOKEN.hex() not in said
    assert repr(TOKEN).lower() not in said.replace("\\\\", "\\")
    assert TOKEN.hex()[:16] not in said


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "media_token",
        "card",
        "pan",
        "uid",
        "secret",
        "password",
        "master_key",
        "mac",
        "seed",
        "Authorization".lower(),
        "login",
        "phone",
        "patient_number",
    ],
)
def test_a_forbidden_name_hides_any_value(name: str) -> None:
    assert clean(name, "x") == "***"
    assert clean(name, 42) == "***"


@pytest.mark.parametrize(
    "secret",
    ["fgk_0123456789abcdef_" + "A-z_" * 10, "fgs_" + "Ab-_" * 10, "eyJhbGciOi.eyJzdWIi.c2ln-_"],
)
def test_a_key_session_or_token_in_a_text_is_hidden(secret: str) -> None:
    assert clean("text", f"refused {secret}, twice") == "refused ***, twice"


@pytest.mark.parametrize("name", ["tariff_key", "digest", "chain_hash", "file_sha256"])
def test_public_digests_stay_readable(name: str) -> None:
    assert clean(name, "ab" * 32) == "ab" * 32


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("paid with 4111 1111 1111 1111", True),
        ("paid with 4111111111111111.", True),
        ("paid with 4111-1111-1111-1111", True),
        ("paid with 4111111111111112", False),
        ("at 2026-11-23T08:00:00", False),
        ("position 268435456", False),
        ("127.0.0.1:7400", False),
    ],
)
def test_card_numbers_are_cut_out_of_texts(text: str, hidden: bool) -> None:
    assert (clean("text", text) != text) is hidden


def test_a_sentence_is_marked_as_text_and_its_arguments_are_in_it(log: _Log) -> None:
    log.logger.error("Unclosed %s", "client session")
    assert (log.last()["event"], log.last()["text"]) == ("text", "Unclosed client session")


def test_text_for_people() -> None:
    log = _Log(TextFormatter("http"))
    log.logger.info("http_listening", extra={"port": 7480, "api_key": "x"})
    assert log.text().rstrip().endswith("info    http http_listening port=7480 api_key=***")


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(min_size=1), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)))  # fmt: skip
def test_any_field_gives_one_line_of_json(fields: dict[str, object]) -> None:
    log = _Log(JsonFormatter("data"))
    reserved = vars(logging.makeLogRecord({}))
    log.logger.info(
        "some_event",
        extra={k: v for k, v in fields.items() if k not in {*reserved, "message", "asctime"}},
    )
    assert log.text().count("\n") == 1
    log.last()
