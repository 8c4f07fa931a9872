"""What documents, hints and help say of commands, files and each other is so."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.cli import build_cli
from gateway.errors import CODES

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
HINTS = sorted(ROOT.glob("gateway/**/*.py"))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def _tree() -> Any:
    """Typer brings its own click in some versions: no class of it is named here."""
    return typer.main.get_command(build_cli())


def _find_fault(line: str) -> str | None:
    """What is wrong with a `faregate ...` line: an unknown command, or a flag it does not have."""
    command, said, words = _tree(), ["faregate"], _split(line)
    while words and hasattr(command, "commands") and re.fullmatch(r"[a-z][a-z0-9-]*", words[0]):
        word, *words = words
        if word not in command.commands:
            return f"no command {' '.join([*said, word])}"
        command = command.commands[word]
        said.append(word)
    known = {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)}
    flags = [found[0] for word in words if (found := re.match(r"--[a-z][a-z0-9-]*", word))]
    wrong = [flag for flag in flags if flag not in known | {"--help"}]
    return f"{' '.join(said)} has no {', '.join(wrong)}" if wrong else None


def _split(line: str) -> list[str]:
    """The words of one command: up to a pipe, a comment, or another command."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # an apostrophe of a sentence
        words = line.split()
    ends = [i for i, word in enumerate(words) if word in {"|", "&", "&&", ";", ">", "→"}]
    return words[: ends[0]] if ends else words


def _quoted(text: str) -> Iterator[str]:
    """Commands in backquotes, `faregate a | b | c` once for each of the three."""
    for found in re.findall(r"`faregate ([^`]+)`", text):
        head, *more = [part.strip() for part in " ".join(found.split()).split("|")]
        yield head
        first = head.split()[:-1] if len(head.split()) > 1 else []
        for other in more:
            yield " ".join([*first, other])


def _typed(text: str) -> Iterator[str]:
    """Commands as a shell reads them: lines of a block, continued ones joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    yield from re.findall(r"^(?:    |\s*\$ )?(?:\S*/)?faregate ([a-z].*)$", joined, re.MULTILINE)


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_every_command_a_page_names_exists_with_its_flags(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    faults = [fault for line in (*_quoted(text), *_typed(text)) if (fault := _find_fault(line))]
    assert faults == []


def test_every_command_a_hint_names_exists_with_its_flags() -> None:
    said = {code: hint for code, hint in CODES.items() if "faregate " in hint}
    assert len(said) > 20
    texts = said | {_name(path): path.read_text(encoding="utf-8") for path in HINTS}
    faults = {
        (name, fault)
        for name, text in texts.items()
        for line in _quoted(text.replace('"\n', "").replace("{{", "").replace("}}", ""))
        if "{" not in line and (fault := _find_fault(line))
    }
    assert faults == set()


def test_the_check_bites() -> None:
    texts = [path.read_text(encoding="utf-8") for path in PAGES]
    assert sum(len([*_quoted(text), *_typed(text)]) for text in texts) > 200
    assert _find_fault("db upgrade") == "no command faregate db"
    assert _find_fault("quote --nonsense 1 | cat --other") == "faregate quote has no --nonsense"
    assert list(_quoted("`faregate journal verify | show`")) == ["journal verify", "journal show"]


LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_every_link_leads_somewhere(path: Path) -> None:
    links = LINK.findall(path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_every_test_a_page_names_exists(path: Path) -> None:
    files = re.findall(r"\b(?:tests|benchmarks)/[\w/]+\.py\b", path.read_text(encoding="utf-8"))
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_both_readmes_link_the_same_pages() -> None:
    english, chinese = (
        set(LINK.findall((ROOT / name).read_text(encoding="utf-8")))
        for name in ("README.md", "README.zh-CN.md")
    )
    assert english - {"README.zh-CN.md"} == chinese - {"README.md"}


def test_the_readme_leads_to_every_page() -> None:
    """By itself, or through a page it links."""
    links = set(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert {_name(path) for path in ROOT.glob("docs/*.md")} <= links


WITHOUT_KEY = {
    "/v1/media/lookup",
    "/v1/oauth/token",
    "/v1/persons/search",
    "/v1/sessions",
    "/v1/sessions/current/passkey",
    "/v1/sessions/current/passkey-challenge",
    "/v1/sessions/current/step-up",
    "/v1/factors/passkey-challenge",
    "/v1/factors/passkeys",
    "/v1/factors/recovery-codes",
    "/v1/factors/totp",
    "/v1/factors/{factor_id}/confirm",
}
"""POSTs that change neither money nor accounts nor persons: docs/api.md names their kinds."""


def test_every_other_post_wants_an_idempotency_key() -> None:
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    without = {
        path
        for path, methods in paths.items()
        if (post := methods.get("post"))
        and not any("Idempotency-Key" in json.dumps(one) for one in post.get("parameters", []))
    }
    assert without == WITHOUT_KEY


def _cut_rows(text: str) -> list[int]:
    """Lines of table rows that stand in no table: before them is neither a head nor another row."""
    lines = ["", *text.splitlines()]
    is_row = [line.startswith("|") for line in lines]
    begins = [at for at in range(1, len(lines)) if is_row[at] and not is_row[at - 1]]
    rule = re.compile(r"\|(?:\s*:?-+:?\s*\|)+\s*")
    return [at for at in begins if not rule.fullmatch("".join(lines[at + 1 : at + 2]))]


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_no_paragraph_cuts_a_table(path: Path) -> None:
    assert _cut_rows(path.read_text(encoding="utf-8")) == []


def test_a_cut_table_is_found() -> None:
    assert _cut_rows("| a |\n|---|\n| b |\n\nsays\n| c |\n") == [6]


def _leaves(command: Any, said: tuple[str, ...] = ("faregate",)) -> Iterator[tuple[str, Any]]:
    for name, one in getattr(command, "commands", {}).items():
        yield from _leaves(one, (*said, name))
    if not hasattr(command, "commands"):
        yield " ".join(said), command


def test_every_command_says_what_it_does_with_an_example_and_what_its_options_mean() -> None:
    leaves = dict(_leaves(_tree()))
    assert len(leaves) > 120
    example = re.compile(r"Examples?: `[^`]*faregate [^`]+`")
    assert [name for name, one in leaves.items() if not example.search(one.help or "")] == []
    unsaid = [
        (name, one.name)
        for name, command in leaves.items()
        for one in command.params
        if not getattr(one, "help", None)
    ]
    assert unsaid == []
    assert [
        name for name, one in leaves.items() if not any(p.name == "as_json" for p in one.params)
    ] == []
