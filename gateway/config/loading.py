"""Reads, merges and checks settings: file < environment < flag."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.config.checks import cross_check
from gateway.config.schema import SETTINGS, setting_schema
from gateway.config.tree import Config, flatten
from gateway.errors import ConfigError

ENV_PREFIX = "FARE__"
ENV_FILE = "FAREGATE_CONFIG"


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """Settings with where each came from: `default`, `file`, `env NAME` or `flag`."""

    config: Config
    path: Path
    origins: Mapping[str, str]


def load_config(
    path: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
) -> LoadedConfig:
    """Read, merge and check all settings. Does not open the secrets.

    Args: flags are dotted names with text values, as in `--set link.port=0`.
    Raises: ConfigError with every fault found.
    """
    environment = os.environ if env is None else env
    file = _find_file(path, environment)
    merged = _Merged()
    merged.add_tree(_read_toml(file), "file")
    for name in sorted(environment):
        if name.startswith(ENV_PREFIX):
            dotted = name[len(ENV_PREFIX) :].lower().replace("__", ".")
            merged.add(dotted, _typed(dotted, environment[name]), f"env {name}")
    for dotted, text in (flags or {}).items():
        merged.add(dotted, _typed(dotted, text), "flag")
    config = _absolute(_checked(merged), file.parent)
    if findings := list(cross_check(config)):
        raise ConfigError(findings=findings)
    origins = {name: merged.origins.get(name, "default") for name, _ in flatten(config)}
    return LoadedConfig(config, file, origins)


class _Merged:
    """A tree of settings, each with the origin that won."""

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self.origins: dict[str, str] = {}

    def add_tree(self, tree: Mapping[str, Any], origin: str, prefix: str = "") -> None:
        for key, value in tree.items():
            dotted = f"{prefix}{key}"
            if isinstance(value, dict):
                self.origins.setdefault(dotted, origin)
                self.add_tree(value, origin, f"{dotted}.")
            else:
                self.add(dotted, value, origin)

    def add(self, dotted: str, value: object, origin: str) -> None:
        *tables, key = dotted.split(".")
        node = self.tree
        for table in tables:
            inner = node.setdefault(table, {})
            if not isinstance(inner, dict):
                raise ConfigError(findings=[f"{dotted}: {table} is not a table (from {origin})"])
            node = inner
        node[key] = value
        self.origins[dotted] = origin
        if len(tables) > 1:
            self.origins[".".join(tables)] = origin

    def origin(self, dotted: str) -> str:
        """Origin of a setting or of the table that holds it."""
        while dotted:
            if dotted in self.origins:
                return self.origins[dotted]
            dotted = dotted.rpartition(".")[0]
        return "default"


def _find_file(path: Path | None, env: Mapping[str, str]) -> Path:
    """The file named, or that of FAREGATE_CONFIG, or ./gateway.toml."""
    file = path or Path(env.get(ENV_FILE) or "gateway.toml")
    if not file.is_file():
        raise ConfigError("CONFIG_NOT_FOUND", f"there is no configuration file {file}")
    return file.resolve()


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("CONFIG_NOT_TOML", f"{file}: {error}") from error
    except OSError as error:
        raise ConfigError("CONFIG_NOT_FOUND", f"{file}: {error.strerror}") from error


def _typed(dotted: str, text: str) -> object:
    """Text of the environment or a flag as the type of the setting; text where that fails."""
    node = setting_schema(dotted) or {}
    kinds = {node.get("type"), *(option.get("type") for option in node.get("anyOf", ()))}
    if "string" in kinds or not kinds - {None}:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _checked(merged: _Merged) -> Config:
    try:
        return SETTINGS.validate_python(merged.tree)
    except ValidationError as error:
        findings = [_finding(dict(item), merged) for item in error.errors(include_url=False)]
        raise ConfigError(findings=findings) from error


def _finding(error: dict[str, Any], merged: _Merged) -> str:
    """One line for one fault, without the value of an unknown setting: it may be a secret."""
    dotted = ".".join(str(part) for part in error["loc"] if part != "[key]")
    where = f"(from {merged.origin(dotted)})"
    if error["type"] == "unexpected_keyword_argument":
        return f"{dotted}: no such setting{_suggestion(dotted)} {where}"
    message = str(error["msg"])
    return f"{dotted}: {message[0].lower()}{message[1:]}, got {error['input']!r} {where}"


def _suggestion(dotted: str) -> str:
    known = [name for name, _ in flatten(Config())] + [section.name for section in fields(Config)]
    near = get_close_matches(dotted, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _absolute(config: Config, folder: Path) -> Config:
    """All paths made absolute."""
    data_dir = (folder / config.gateway.data_dir).resolve()
    sections: dict[str, Any] = {}
    for section in fields(config):
        part = getattr(config, section.name)
        if isinstance(part, dict):  # an adapter's own model says which of its settings are paths
            sections[section.name] = part
            continue
        changed = {
            setting.name: _rebased(getattr(part, setting.name), data_dir)
            for setting in fields(part)
        }
        sections[section.name] = replace(part, **changed)
    sections["gateway"] = replace(config.gateway, data_dir=data_dir)
    return Config(**sections)


def _rebased(value: object, folder: Path) -> object:
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, tuple):
        return tuple(_rebased(item, folder) for item in value)
    return value
