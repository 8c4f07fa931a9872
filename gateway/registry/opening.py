"""The registry that settings name, opened: a file, or a database of PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.keys import read_password
from gateway.registry.store import open_registry

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.db import Database


def open_configured(config: Config, *, create: bool) -> Database:
    """The registry of these settings.

    Args: create: make it, or bring it up to its schema, when it is not there or is older.
    Raises: DatabaseError, RegistryError. ConfigError: the password's file is missing or bad.
    """
    chosen = config.registry
    if chosen.url is None:
        return open_registry(chosen.file, create=create)
    file = chosen.password_file
    password = read_password(file) if file is not None else None
    return open_registry(chosen.url, create=create, password=password, timeout_s=chosen.timeout_s)
