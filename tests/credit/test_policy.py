"""Policies: who gets what, and every fault of a file at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.credit.policy import CreditPolicy, load_policy
from gateway.errors import ConfigError
from gateway.resources import shipped_dir

SHIPPED = sorted((shipped_dir() / "credit").glob("*.toml"))


@pytest.fixture
def policy() -> CreditPolicy:
    return load_policy(shipped_dir() / "credit" / "ride-first.toml")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_ships_is_sound(path: Path) -> None:
    assert load_policy(path).policy_id == path.stem


@pytest.mark.parametrize(
    ("score", "tier", "limit_minor"),
    [
        (1000, 3, 200_000),
        (700, 3, 200_000),
        (700, 2, 50_000),  # the score alone is not enough
        (699, 15, 50_000),
        (500, 1, 5_000),
        (500, 0, 0),
        (499, 15, 0),
    ],
)
def test_the_first_rule_that_fits(
    policy: CreditPolicy, score: int, tier: int, limit_minor: int
) -> None:
    decision = policy.decide_limit(score, tier)
    assert decision.limit_minor == limit_minor
    assert (decision.rule is None) == (limit_minor == 0)


def test_a_limit_names_the_line_of_its_rule(policy: CreditPolicy) -> None:
    lines = (shipped_dir() / "credit" / "ride-first.toml").read_text().splitlines()
    rule = policy.decide_limit(650, 2).rule
    assert rule is not None
    assert lines[rule.line - 1] == "[[limit]]"
    assert lines[rule.line] == "score_from = 600"


def test_a_fee_for_being_late_is_an_amount(tmp_path: Path) -> None:
    text = (shipped_dir() / "credit" / "ride-first.toml").read_text()
    assert load_policy(shipped_dir() / "credit" / "ride-first.toml").late_fee_minor == 0
    path = tmp_path / "ride-first.toml"
    path.write_text(text.replace("# [fee]", "[fee]").replace('# late = "5.00"', 'late = "5.00"'))
    assert load_policy(path).late_fee_minor == 500
    path.write_text(text + "[fee]\nlate = -1\nearly = 2\n")
    with pytest.raises(ConfigError) as caught:
        load_policy(path)
    assert len(caught.value.findings) == 2


def test_every_fault_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        'format = 1\nid = "good"\ncurrency = "XXX"\nzone = "Moon/Sea"\ncolour = 1\n'
        "[statement]\nday = 29\ndue_days = 0\ngrace_days = 9\nwrite_off_days = 9\n"
        "[[limit]]\nscore_from = 1001\nlimit = 5.0\n"
        "[plan]\ninstalments = [1, true]\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_policy(path)
    found = "\n".join(caught.value.findings)
    words = ("currency", "zone", "colour", "day", "due_days", "write_off_days", "score_from")
    for word in (*words, "limit", "holds 1", "holds True", "name of the file"):
        assert word in found, (word, found)
