"""Writes settings: the commented gateway.toml, its schema, and a new data folder."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from gateway.config import Config, flatten, json_schema, setting_schema
from gateway.errors import EnvironmentFault
from gateway.keys import SECRET_NAMES, write_secret

HEAD = """\
# faregate: all settings with their defaults. Anything left out keeps its default.
# Environment variables win over this file (FARE__LINK__PORT=7401),
# flags over both (--set link.port=7401).
# A relative data_dir counts from this file, every other relative path from data_dir.
"""


def render_toml(config: Config | None = None) -> str:
    """gateway.toml with every setting, described; by default with the defaults."""
    parts = [HEAD]
    for section in fields(Config):
        schema = setting_schema(section.name) or {}
        parts.append(f"\n[{section.name}]  # {schema['description']}\n")
        parts += _settings(config or Config(), section.name)
    return "".join(parts)


OWN = "own"
"""Where a restored data folder has what its settings name elsewhere: own tariffs, limits ..."""
OWN_SECTIONS = ("tariffs", "limits", "credit", "risk")


def own_folders(config: Config) -> Iterator[tuple[Path, Path]]:
    """Folders that the settings name, each with where it lies in a backup and in a new folder."""
    for name in OWN_SECTIONS:
        for number, folder in enumerate(getattr(config, name).dirs, 1):
            yield folder, Path(OWN) / f"{name}-{number}"


def settings_of_backup(config: Config) -> Config:
    """The settings of a gateway for a new data folder: what it keeps there lies where it begins,
    and a file inside the old one, inside the new one.
    """
    moved = iter([there for _, there in own_folders(config)])
    own = {
        name: replace(part, dirs=tuple(next(moved) for _ in part.dirs))
        for name in OWN_SECTIONS
        for part in [getattr(config, name)]
    }
    return _relative(replace(_fresh_places(config), **own), config.gateway.data_dir)


def _relative(config: Config, folder: Path) -> Config:
    """Paths below a folder count from it."""
    sections: dict[str, Any] = {}
    for section in fields(config):
        part = getattr(config, section.name)
        if isinstance(part, dict):
            continue
        changed = {
            setting.name: value.relative_to(folder)
            for setting in fields(part)
            if isinstance(value := getattr(part, setting.name), Path)
            and value.is_relative_to(folder)
        }
        sections[section.name] = replace(part, **changed)
    return replace(config, **sections)


def _fresh_places(config: Config) -> Config:
    fresh = Config()
    return replace(
        config,
        gateway=replace(config.gateway, data_dir=fresh.gateway.data_dir),
        control=replace(config.control, socket=fresh.control.socket),
        journal=replace(config.journal, dir=fresh.journal.dir),
        snapshots=replace(config.snapshots, dir=fresh.snapshots.dir),
        # A restored gateway must not work in the living one's databases.
        registry=fresh.registry,
        ledger=replace(
            config.ledger,
            file=fresh.ledger.file,
            url=None,
            password_file=fresh.ledger.password_file,
        ),
        security=fresh.security,
    )


def _settings(config: Config, section: str) -> Iterator[str]:
    tables: list[tuple[str, dict[str, str]]] = []
    for dotted, value in flatten(config):
        if not dotted.startswith(f"{section}."):
            continue
        says = " ".join(str((setting_schema(dotted) or {}).get("description") or "").split())
        comment = f"# {says}\n" if says else ""
        name = dotted.partition(".")[2]
        if isinstance(value, dict):
            tables.append((f"\n[{dotted}]  {comment}", value))
        elif value is None:
            yield f'{comment}# {name} = "..."\n'
        else:
            yield f"{comment}{name} = {toml_value(value)}\n"
    for head, table in tables:
        yield head
        yield from (f"{toml_value(key)} = {toml_value(item)}\n" for key, item in table.items())


def toml_value(value: object) -> str:
    """A value as TOML; JSON's text form is also TOML's for what settings hold."""
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, Path):
        return json.dumps(str(value))
    return json.dumps(value, ensure_ascii=False)


def render_schema() -> str:
    """config/schema/gateway.schema.json."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def make_data_dir(folder: Path) -> Path:
    """A new data folder: gateway.toml and random secrets. Returns the file.

    Raises: EnvironmentFault: something of that is there already; nothing is changed then.
    """
    file, secrets = folder / "gateway.toml", folder / "secrets"
    for path in (file, secrets):
        if path.exists():
            raise EnvironmentFault("ENV_EXISTS", f"{path} is there already")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not any(folder.iterdir()):  # made for us, perhaps by a package, perhaps for all to read
            folder.chmod(folder.stat().st_mode & ~stat.S_IRWXO)
        secrets.mkdir(mode=0o700)
        for name in SECRET_NAMES:
            write_secret(secrets / name)
        _write_new(file, render_toml())
    except OSError as error:
        raise EnvironmentFault(detail=f"cannot write to {folder}: {error.strerror}") from error
    return file


def _write_new(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
