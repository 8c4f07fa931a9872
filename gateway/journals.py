"""Which journal the settings mean. What only a journal in Valkey needs is loaded only for one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gateway.keys import read_password

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.journal.port import Journal
    from gateway.journal.scan import Witness
    from gateway.journal.segments import SegmentJournal
    from gateway.journal.valkey import ValkeyJournal, ValkeyOptions

    ReadableJournal = SegmentJournal | ValkeyJournal


def open_valkey(config: Config, *, witnesses: Iterable[Witness] = ()) -> Journal:
    """Become the writer of the journal in Valkey. Raises: see ValkeyJournal.open, ConfigError."""
    from gateway.journal.valkey import ValkeyJournal

    return ValkeyJournal.open(valkey_options(config), witnesses=witnesses)


def open_reader(config: Config) -> ReadableJournal:
    """The journal of these settings, to be read beside a writer.

    Raises: JournalError JOURNAL_NOT_FOUND: there are no files yet.
    """
    if config.journal.kind == "valkey":
        from gateway.journal.valkey import ValkeyJournal

        return ValkeyJournal.open_reader(valkey_options(config))
    from gateway.journal.segments import SegmentJournal

    return SegmentJournal.open(config.journal.dir, read_only=True)


def valkey_options(config: Config) -> ValkeyOptions:
    """[valkey] as the journal takes it; reads the password. Raises: ConfigError."""
    from gateway.journal.valkey import ValkeyOptions

    chosen = config.valkey
    file = chosen.password_file
    return ValkeyOptions(
        servers=chosen.servers,
        name=chosen.name,
        replicas=chosen.replicas,
        timeout_s=chosen.timeout_ms / 1000,
        resolve_s=chosen.resolve_s,
        leader_ttl_s=chosen.leader_ttl_ms / 1000,
        group_bytes_max=config.engine.group_bytes_max,
        user=chosen.user,
        password=read_password(file) if file is not None else None,
        tls_ca_file=chosen.tls_ca_file,
    )
