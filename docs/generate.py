"""Makes the reference pages and files that are made from code: `make docs`. A test compares them.

Called with --check it writes nothing and fails when a file is not current.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer
from typer.models import ArgumentInfo

from gateway.cli import build_cli
from gateway.config import Config, flatten, setting_schema
from gateway.config_file import render_schema, render_toml, toml_value
from gateway.delivery.kinds import BUILT_IN
from gateway.delivery.kinds import render_schema as render_adapter
from gateway.errors import CODES
from gateway.http.catalogue import all_endpoints
from gateway.http.openapi import build_document, render_document
from gateway.link.codes import WIRE_RULES
from gateway.observability import metrics
from gateway.shapes import Shapes

ROOT = Path(__file__).resolve().parent.parent

CONFIGURATION = """\
# Settings

Made from `gateway/config/` by `make docs`; do not edit.

Settings come from a TOML file: `--config FILE`, else `$FAREGATE_CONFIG`, else `./gateway.toml`.
An environment variable `FARE__SECTION__KEY` wins over the file, `--set section.key=value` over
both. `faregate init` writes a file with all of them, `faregate config check` tells everything
that is wrong at once, `faregate config show` tells where each value came from.

A relative `gateway.data_dir` counts from the folder of the file; every other relative path from
`gateway.data_dir`. Secrets are never settings, only names of files that nobody but their owner
may read; a missing, readable, short or well-known secret stops the start.

"""

ERRORS = """\
# Errors

Made from `gateway/errors.py` and `gateway/link/codes.py` by `make docs`; do not edit.

Every error has a `code` that never changes its meaning, a `detail`, a `hint`, and `retry`: `never`
(it fails again until something else changes), `safe` (it had no effect, send it again), `unknown`
(it may have had its effect: ask, or repeat it under the same operation id). With `--json` a command
prints `{"ok": false, "error": {...}}`. A command refused by the engine carries the reason's name as
its code: `insufficient_balance`, `unknown_account`, `account_frozen` ...

Exit status of a command: 0 ok, 1 findings or a refusal, 2 usage, 3 environment.

## Codes

| code | what to do |
|---|---|
"""

ERRORS_LINK = """
## Errors of the validator link

They travel in an error frame (docs/protocol.md); in logs and exceptions they are `WIRE_<NAME>`.

| number | name | closes | retry | after ms | what to look at |
|---|---|---|---|---|---|
"""

METRICS = """\
# Metrics

Made from `gateway/observability/metrics.py` by `make docs`; do not edit.

`/metrics` reads the data plane's shared page at each scrape and asks the data plane nothing, so the
numbers are there also when it is stuck. A new process begins its counters at 0. Label sets are
fixed: no account, validator or token is ever a label. Histogram bounds double from 8 us to 16.8 s.

| family | kind | labels | what it says |
|---|---|---|---|
"""

HEALTH = """
## Health

| path | 200 | else |
|---|---|---|
| `/livez` | the HTTP process answers | |
| `/readyz` | the data plane lives, its loop turned within `http.heartbeat_max_age_s`, no commit \
takes longer than `http.commit_max_s`, commands are not refused for lack of disk, every configured \
tariff is in force | 503; `checks` in the JSON body says which one fails and why |
"""

CLI = """\
# Commands

Made from `gateway/commands/` by `make docs`; do not edit.

Every command has `--json` (one JSON object, or JSON lines, on standard output; errors too). Those
that need settings have `--config FILE` and `--set NAME=VALUE`. `faregate --version` says which one
it is. Exit status: 0 ok, 1 findings or a refusal, 2 usage (nothing was done), 3 environment: no
gateway, no such file or folder, no room.

A command that moves value is one operation with an id (UUIDv7). When its answer is not heard, the
outcome is unknown: `faregate operation show ID` tells it, and the same command with
`--operation-id ID` has its effect once, however often it is sent.

A medium is named by its token (`--token`, 32 hex digits) or by a card's text (`--card`): then the
token is BLAKE2b-128 of the text in UTF-8, keyed with HMAC-SHA256(master key, "faregate token").
A token is never printed in full; the text is stored nowhere.
"""

JOURNEYS = """
## A file of journeys

`faregate quote --journeys FILE --json` reads a list and prints one in the same order. Absent keys
and nulls are the same; stops are ids or names; times are local, `24:10:00` is the next day.

    [{"id": "a", "rider_category_id": null, "fare_media_id": "card", "legs": [
        {"from_stop": "苹果园", "to_stop": "国贸", "network_id": "beijing-subway",
         "from_area": null, "to_area": null,
         "date": "2026-11-23", "dep": "08:00:00", "arr": "08:45:00"}]}]

    [{"id": "a", "total": "6.00", "currency": "CNY", "legs": [{"fare": "6.00", ...}]}]

A journey that cannot be priced has `"total": null`, a `reason` that never changes its meaning, and
a `detail`.
"""


def configuration() -> str:
    """docs/configuration.md."""
    lines = [CONFIGURATION.rstrip(), ""]
    for section in fields(Config):
        says = (setting_schema(section.name) or {})["description"]
        lines += [f"## [{section.name}]", "", says, ""]
        if section.name == "adapters":
            continue
        lines += ["| setting | default | what it does |", "|---|---|---|"]
        lines += [
            _setting_row(dotted, value)
            for dotted, value in flatten(Config())
            if dotted.startswith(f"{section.name}.")
        ]
        lines.append("")
    return "\n".join(lines)


def _setting_row(dotted: str, value: object) -> str:
    says = (setting_schema(dotted) or {})["description"]
    shown = "none" if value is None else f"`{toml_value(value)}`"
    return f"| `{dotted}` | {shown} | {says} |"


def errors() -> str:
    """docs/errors.md."""
    rows = [f"| `{code}` | {hint} |\n" for code, hint in sorted(CODES.items())]
    link = [
        f"| {int(code)} | {code.text} | {'yes' if rule.closes else 'no'} | {rule.retry} "
        f"| {rule.retry_after_ms} | {rule.hint} |\n"
        for code, rule in WIRE_RULES.items()
    ]
    return ERRORS + "".join(rows) + ERRORS_LINK + "".join(link)


def metric_families() -> str:
    """docs/metrics.md."""
    rows = [
        f"| `{one.name}` | {one.kind} | {', '.join(one.labels)} | {one.help} |\n"
        for one in metrics.CATALOGUE
    ]
    return METRICS + "".join(rows) + HEALTH


def commands() -> str:
    """docs/cli.md, from the functions themselves: Typer's inner classes differ between versions."""
    return CLI + "".join(_command_pages(build_cli(), "faregate")) + JOURNEYS


def _command_pages(app: typer.Typer, path: str) -> Iterator[str]:
    for command in app.registered_commands:
        if command.callback is not None:
            yield _command_page(command.callback, f"{path} {command.name}")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from _command_pages(group.typer_instance, f"{path} {group.name}")


def _command_page(function: Callable[..., Any], path: str) -> str:
    parameters = inspect.signature(function).parameters
    hints = get_type_hints(function, include_extras=True)
    rows = [
        _parameter_row(name, hints[name], parameters[name].default)
        for name in parameters
        if name not in _EVERYWHERE
    ]
    table = "\n| | |\n|---|---|\n" + "".join(rows) if rows else ""
    return f"\n## {path}\n\n{inspect.getdoc(function)}\n{table}"


_EVERYWHERE = frozenset({"config", "replaced", "as_json"})


def _parameter_row(name: str, hint: Any, default: object) -> str:
    kind, info = get_args(hint)[:2]
    shown = getattr(default, "value", default)
    plain = isinstance(shown, str | int | float | Path) and not isinstance(shown, bool)
    says = f"{info.help}{f' Default: `{shown}`.' if plain and str(shown) else ''}"
    spelling = _spelling(name, kind, info).replace("|", "\\|")  # else it would end the cell
    return f"| `{spelling}` | {says} |\n"


def _spelling(name: str, kind: Any, info: Any) -> str:
    """As it is typed: `METAVAR`, `--flag`, `--option VALUE`."""
    if isinstance(info, ArgumentInfo):
        return str(info.metavar or name.upper())
    first = [info.default] if isinstance(info.default, str) else []  # Typer keeps it there
    named = [*first, *(info.param_decls or ())]
    option = ", ".join(named) or f"--{name.replace('_', '-')}"
    if kind is bool:
        return option if named else f"{option}, --no-{name.replace('_', '-')}"
    return f"{option} {info.metavar or _kind_text(kind)}"


def _kind_text(kind: Any) -> str:
    while inner := [one for one in get_args(kind) if one is not type(None)]:
        kind = inner[0]
    if issubclass(kind, Enum):
        return "/".join(str(item.value) for item in kind)
    return {int: "N", float: "N", Path: "PATH"}.get(kind, "TEXT")


def openapi() -> str:
    """docs/openapi.json."""
    return render_document(build_document(all_endpoints(), Shapes()))


PAGES: dict[str, Callable[[], str]] = {
    "docs/configuration.md": configuration,
    "docs/errors.md": errors,
    "docs/metrics.md": metric_families,
    "docs/cli.md": commands,
    "docs/openapi.json": openapi,
    "config/gateway.toml": render_toml,
    "config/schema/gateway.schema.json": render_schema,
    **{
        f"config/schema/adapters/{kind}.schema.json": partial(render_adapter, kind)
        for kind in BUILT_IN
    },
}
"""Every file that is made, and what makes it."""


def main(arguments: list[str]) -> int:
    """Write all files, or with --check only tell which are not current."""
    old = [name for name, make in PAGES.items() if _read(ROOT / name) != make()]
    if "--check" in arguments:
        sys.stderr.writelines(f"{name} is not current: run `make docs`\n" for name in old)
        return int(bool(old))
    for name in old:
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(PAGES[name](), encoding="utf-8")
    return 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
