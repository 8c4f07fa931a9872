"""The file of another system: every fault at once, with its line; totals by currency."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gateway.errors import MovingError
from gateway.moving.rows import CardFile, load_cards
from gateway.moving.steps import Batch, later_steps, open_step

CEILING = 1_000_000


def token_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


def load(folder: Path, text: str, **options: str) -> CardFile:
    path = folder / "cards.csv"
    path.write_text(text, encoding=options.get("encoding", "utf-8"))
    return load_cards(path, token_of, amount_max_minor=CEILING, **options)


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(MovingError) as caught:
        load(folder, text)
    return list(caught.value.findings)


def test_a_sound_file_gives_accounts_and_totals(tmp_path: Path) -> None:
    file = load(
        tmp_path,
        "card,account,balance,subsidy,currency,state\n"
        "a,ann,12.34,5,,\n"
        "b,ann,,,,lost\n"
        "c,,-2.00,,,\n"
        "d,,7,,jpy,\n",
    )
    assert file.accounts[0].key == "account ann"
    assert [len(one.rows) for one in file.accounts] == [2, 1, 1]
    yuan, yen = file.totals[156], file.totals[392]
    assert (yuan.accounts, yuan.media, yuan.net_minor) == (2, 3, 1234 + 500 - 200)
    assert (yen.media, yen.balance_minor) == (1, 7)
    assert file.row_count == 4


def test_every_fault_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        "card,token,balance,subsidy,currency,kind,category,expires,state\n"
        "a,,1.234,,,,,,\n"
        "a,,1,,,,,,\n"
        ",xyz,1,,,,,,\n"
        "b,00112233445566778899aabbccddeeff,1,,,,,,\n"
        ",,1,,,,,,\n"
        "c,,1,-1,,,,,\n"
        "d,,ten,,XXX,,,,\n"
        "e,,1,,,ring,,,\n"
        "f,,1,,,,256,,\n"
        "g,,1,,,,,31.12.2031,\n"
        "h,,1,,,,,,stolen\n"
        "i,,10000.01,,,,,,\n"
        "j,,1\n",
    )
    expected = [
        ("line 2", "balance"),
        ("line 3", "line 2 again"),
        ("line 4", "token"),
        ("line 5", "by card or by token"),
        ("line 6", "by card or by token"),
        ("line 7", "subsidy"),
        ("line 8", "currency"),
        ("line 8", "balance"),
        ("line 9", "kind"),
        ("line 10", "category"),
        ("line 11", "expires"),
        ("line 12", "state"),
        ("line 13", "credit_max_minor"),
        ("line 14", "columns"),
    ]
    for line, word in expected:
        assert any(one.startswith(f"{line}:") and word in one for one in found), (line, word, found)


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ("a,x,1,CNY,0\nb,x,,JPY,0\n", "another currency"),
        ("a,x,1,CNY,0\nb,x,,CNY,2\n", "another category"),
        ("a,x,1,CNY,0\nb,x,1,CNY,0\n", "belongs on line 2"),
    ],
)
def test_lines_of_one_account_have_to_agree(tmp_path: Path, lines: str, word: str) -> None:
    found = faults(tmp_path, "card,account,balance,currency,category\n" + lines)
    assert len(found) == 1
    assert found[0].startswith("line 3:")
    assert word in found[0]


@pytest.mark.parametrize("head", ["balance\n", "card,colour\n"])
def test_columns_are_checked_first(tmp_path: Path, head: str) -> None:
    assert faults(tmp_path, head + "1,2\n")[0].startswith("line 1:")


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    file = load(tmp_path, "card,account,balance\n一,张三,1.00\n", encoding="gb18030")
    assert file.accounts[0].key == "account 张三"
    with pytest.raises(MovingError) as caught:
        load_cards(tmp_path / "cards.csv", token_of, amount_max_minor=CEILING)
    assert caught.value.code == "MOVING_UNREADABLE"


def test_ids_follow_from_batch_instant_and_account_alone(tmp_path: Path) -> None:
    text = "card,account,balance,subsidy,state\na,ann,1,2,lost\nb,,-3,,\n"
    first, second = load(tmp_path, text), load(tmp_path, text.replace("lost", "lost "))
    batch = Batch("b", 1_700_000_000_000_000)

    def ids(file: CardFile, batch: Batch) -> list[bytes]:
        return [
            step.operation_id
            for one in file.accounts
            for step in (open_step(batch, one), *later_steps(batch, one))
        ]

    made = ids(first, batch)
    assert made == ids(second, batch)
    assert len(set(made)) == len(made) == 8
    assert not set(made) & set(ids(first, Batch("c", batch.cutover_us)))
    assert all(int.from_bytes(one[:6]) == 1_700_000_000_000 and one[6] >> 4 == 7 for one in made)


def test_tiers_and_references(tmp_path: Path) -> None:
    text = (
        "card,account,balance,tier,reference\na,ann,-1,3,YKT-1\nb,ann,,3,YKT-1\nc,,1,,\nd,,1,0,\n"
    )
    file = load(tmp_path, text)
    assert [(one.tier, one.reference) for one in file.accounts] == [
        (3, "YKT-1"),
        (None, ""),
        (0, ""),
    ]
    batch = Batch("move", 1)
    assert open_step(batch, file.accounts[0]).args["reference"] == "YKT-1"
    steps = list(later_steps(batch, file.accounts[0]))
    assert [step.op for step in steps] == ["set_tier", "adjust", "medium_link", "medium_link"]
    assert "set_tier" not in {
        step.op for one in file.accounts[1:] for step in later_steps(batch, one)
    }
    long = "x" * 65
    found = faults(
        tmp_path,
        f"card,account,tier,reference\na,x,16,\nb,y,one,\nc,z,1,{long}\nd,w,1,r\ne,w,2,s\n",
    )
    assert [one.split(":")[0] for one in found] == [f"line {number}" for number in (2, 3, 4, 6, 6)]
