"""The one place that names concrete classes: puts the parts of each process together.

Imports are inside the functions, so that each process and each command loads only what it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config import Config
from gateway.errors import ConfigError, SnapshotError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sqlalchemy import Connection

    from fastpath.api import CompiledTariff, LimitBook
    from gateway.control.client import ControlClient
    from gateway.credit.desk import CreditDesk
    from gateway.dataplane import Loads
    from gateway.db import Database
    from gateway.engine.audit import AuditReport
    from gateway.journal.valkey_verify import VerifiedStream
    from gateway.journal.verify import Verified
    from gateway.link.devices import DeviceEntry
    from gateway.registry.access import Access
    from gateway.registry.actors import Actor
    from gateway.registry.devices import DeviceRegistry
    from gateway.registry.trail import PlaneTrail
    from gateway.shell import Shell
    from gateway.tariffs.store import TariffStore


def run_data(config: Config, ready_fd: int) -> int:
    """The data plane, until it has drained; the exit status."""
    from gateway.dataplane import serve
    from gateway.observability.page import Page

    page = Page.create(config.page_path)
    loads = compile_loads(config)
    return serve(
        config,
        page,
        ready_fd,
        loads=loads,
        list_devices=lambda: list_devices(config),
        trail=build_plane_trail(config),
    )


def run_standby(config: Config, ready_fd: int) -> int:
    """A data plane that follows another one's journal until it has to lead; the exit status."""
    from gateway.dataplane import serve
    from gateway.engine.standby import Standby
    from gateway.journals import valkey_options
    from gateway.observability.page import Page

    if config.journal.kind != "valkey":
        raise ConfigError(detail='journal.kind: a standby needs a journal in "valkey"')
    page = Page.create(config.page_path)
    loads = compile_loads(config)  # beforehand: at the takeover every moment counts
    standby = Standby(valkey_options(config), config.snapshots.dir, config.engine_limits())
    return serve(
        config,
        page,
        ready_fd,
        loads=loads,
        list_devices=lambda: list_devices(config),
        trail=build_plane_trail(config),
        follow=standby.follow,
    )


def build_plane_trail(config: Config) -> PlaneTrail:
    """Who changed the data plane itself; the registry is opened when there is something to say."""
    from gateway.registry.trail import PlaneTrail, TrailWriter

    return PlaneTrail(TrailWriter(lambda: build_registry(config)))


def list_devices(config: Config) -> list[DeviceEntry]:
    """The validators of the registry, as the link needs them."""
    from gateway.link.devices import DeviceEntry

    return [
        DeviceEntry(
            device.device_id,
            device.tariff_slot,
            device.stop_id,
            device.key_versions,
            device.state == "active",
        )
        for device in build_devices(config).list_all()
    ]


def compile_loads(config: Config) -> Loads:
    """What a data plane decides with, as the settings name it."""
    from gateway.dataplane import Loads

    return Loads(compile_tariffs(config), compile_limits(config))


def compile_tariffs(config: Config) -> list[tuple[int, CompiledTariff]]:
    """The configured tariffs with their slots; what the same files compiled to before is kept."""
    from gateway.tariffs.store import TariffStore

    store = TariffStore(config.gateway.data_dir / "tariffs")
    return [
        (int(slot), _compile_tariff(config, store, int(slot), name))
        for slot, name in sorted(config.tariffs.slots.items())
    ]


def keep_tariff(config: Config, slot: int, name: str) -> CompiledTariff:
    """Compile a tariff and keep it where a data plane finds it by its digest."""
    from gateway.tariffs.store import TariffStore

    store = TariffStore(config.gateway.data_dir / "tariffs")
    compiled = _compile_tariff(config, store, slot, name)
    store.put(slot, compiled)
    return compiled


def _compile_tariff(config: Config, store: TariffStore, slot: int, name: str) -> CompiledTariff:
    """Cost: a second for a metro network, nothing when its files are as they were."""
    from fastpath.api import CompiledTariff
    from gateway.resources import calendar_dirs, find_tariff
    from gateway.tariffs.compile import compile_tariff
    from gateway.tariffs.files import list_files
    from gateway.tariffs.gtfs.register import compile_registered, is_feed_file, source_files
    from gateway.tariffs.store import digest_sources

    path, calendars = find_tariff(name, config.tariffs), calendar_dirs(config.tariffs)
    is_feed = is_feed_file(path)
    files = source_files(path) if is_feed else list_files(path)
    files += [file for folder in calendars for file in folder.glob("*.toml")]
    sources = digest_sources(files)
    compiled = store.find_compiled(slot, sources)
    if compiled is None:
        spec = compile_registered(path) if is_feed else compile_tariff(path, calendars=calendars)
        compiled = CompiledTariff.build(spec)
        store.put(slot, compiled)
        store.note_sources(slot, sources, compiled)
    return compiled


def compile_limits(config: Config) -> LimitBook | None:
    """The configured limits, kept where an audit finds them; None = there are none."""
    return keep_limits(config, config.limits.profile) if config.limits.profile else None


def keep_limits(config: Config, name: str) -> LimitBook:
    """Compile limits and keep them where a data plane finds them by their digest."""
    from fastpath.api import LimitBook
    from gateway.limits.compile import compile_limits as compile_source
    from gateway.limits.load import load_limits
    from gateway.limits.store import LimitStore
    from gateway.resources import find_limits

    limits = LimitBook.build(compile_source(load_limits(find_limits(name, config.limits))))
    LimitStore(config.limits_dir).put(limits)
    return limits


def run_http(config: Config, ready_fd: int) -> int:
    """The control plane's HTTP process with the API, until SIGTERM. Raises: ConfigError."""
    from gateway.apiplane import build_api
    from gateway.http.app import main

    return main(config, ready_fd, build_api(config, build_access(config), build_ledger(config)))


def run_snapshotter(config: Config, ready_fd: int) -> int:
    """The snapshotter, until SIGTERM."""
    from gateway.engine.snapshotter import main

    return main(config, ready_fd)


def run_ledger(config: Config, ready_fd: int) -> int:
    """The ledger's projector, until SIGTERM."""
    from gateway.ledger.projector import main

    return main(config, build_ledger(config), ready_fd)


def run_worker(config: Config, ready_fd: int) -> int:
    """The worker with its jobs, until SIGTERM."""
    from gateway.apiplane import build_freezes
    from gateway.clock import now_us
    from gateway.control.client import ControlClient
    from gateway.jobs import Tools
    from gateway.worker import main

    access = build_access(config)
    tools = Tools(
        config,
        access,
        access.database,
        ControlClient(config.control.socket, client="worker", timeout_s=config.control.timeout_s),
        now_us,
        lambda: open_built_ledger(config),
        lambda: build_freezes(config, access),
    )
    return main(tools, ready_fd)


PROCESSES = {
    "data": run_data,
    "http": run_http,
    "snapshotter": run_snapshotter,
    "ledger": run_ledger,
    "standby": run_standby,
    "worker": run_worker,
}
"""Processes of `faregate serve` and `faregate standby`, by name."""


def build_registry(config: Config) -> Database:
    """The registry of these settings, made or brought up to its schema when it is not."""
    from gateway.registry.opening import open_configured

    return open_configured(config, create=True)


def build_access(config: Config) -> Access:
    """Tenants, keys, persons and who may. Raises: ConfigError: a secret is missing or bad."""
    from gateway.keys import load_control_secrets
    from gateway.registry.access import Access
    from gateway.registry.approvals import Approvals
    from gateway.registry.authenticator import Authenticator
    from gateway.registry.consents import Consents
    from gateway.registry.credentials import Credentials
    from gateway.registry.factors import Factors
    from gateway.registry.links import Links
    from gateway.registry.passkeys import Passkeys
    from gateway.registry.passwords import Passwords
    from gateway.registry.persons import Persons
    from gateway.registry.sessions import SessionRules, Sessions
    from gateway.registry.tenants import Tenants
    from gateway.registry.tokens import TokenKeys
    from gateway.registry.vault import BlindIndex, KeyRing
    from gateway.wallet.stores.accounts import is_opened_for

    secrets = load_control_secrets(config)
    database = build_registry(config)
    ring, index = KeyRing(secrets.registry_keys), BlindIndex(secrets.index_key)
    credentials, riders = Credentials(database), config.riders
    rules = SessionRules(riders.idle_s, riders.life_s, riders.step_up_s)
    sessions = Sessions(database, index, Passwords(), rules=rules, is_held=is_opened_for)
    factors = Factors(database, ring, sessions, issuer=config.gateway.name)
    tokens = TokenKeys(secrets.token_seeds, issuer=f"faregate:{config.gateway.name}")
    return Access(
        database=database,
        tenants=Tenants(database),
        credentials=credentials,
        authenticator=Authenticator(credentials, tokens, sessions),
        persons=Persons(database, ring, index),
        links=Links(database, ring, index, is_held=is_opened_for, step_up_s=riders.step_up_s),
        consents=Consents(database, ring),
        approvals=Approvals(
            database,
            {str(name): amount for name, amount in config.approvals.above_minor.items()},
            valid_us=int(config.approvals.valid_s * 1_000_000),
        ),
        sessions=sessions,
        factors=factors,
        passkeys=Passkeys(
            factors,
            rp_id=riders.webauthn_id,
            origins=riders.webauthn_origins,
            name=config.gateway.name,
        ),
    )


def build_ledger(config: Config) -> Database:
    """The ledger's database of these settings, made or brought up to its schema when it is not."""
    return _open_ledger(config, create=True)


def open_built_ledger(config: Config) -> Database:
    """The ledger to be read. Raises: DatabaseError: the projector has not made it yet."""
    return _open_ledger(config, create=False)


def _open_ledger(config: Config, *, create: bool) -> Database:
    from gateway.keys import read_password
    from gateway.ledger.store import open_ledger

    chosen = config.ledger
    if chosen.url is None:
        return open_ledger(chosen.file, create=create)
    file = chosen.password_file
    password = read_password(file) if file is not None else None
    return open_ledger(chosen.url, create=create, password=password, timeout_s=chosen.timeout_s)


def build_note(actor: str) -> Callable[[Connection, str, str, Mapping[str, object]], None]:
    """Tells the audit trail what an actor did by the command line, in the caller's transaction."""
    from gateway.clock import now_us
    from gateway.registry.audit import AuditEvent, append

    def note(
        connection: Connection, action: str, subject: str, facts: Mapping[str, object]
    ) -> None:
        append(connection, AuditEvent(actor, action, subject, now_us(), facts=facts))

    return note


def make_missing_secrets(config: Config) -> list[Path]:
    """Make the control plane's secrets that are not there; which. Raises: ConfigError: one of them
    is gone that something lies under.
    """
    from gateway.keys import write_secret
    from gateway.registry.persons import count_persons

    security = config.security
    wanted = (security.token_key_file, security.registry_key_file, security.index_key_file)
    missing = [path for path in wanted if not path.exists()]
    lost = [str(path) for path in missing if path != security.token_key_file]
    if lost and count_persons(build_registry(config)):
        raise ConfigError(
            "CONFIG_SECRET",
            f"personal data lies under {', '.join(lost)}",
            hint="put back the file that was there; a new one opens nothing",
        )
    for path in missing:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(path)
    return missing


def build_devices(config: Config, actor: Actor | None = None) -> DeviceRegistry:
    """The services on validators. Args: actor: whom the audit trail names."""
    from gateway.registry.devices import DeviceRegistry

    return DeviceRegistry(build_registry(config), actor=actor)


def build_credit_desk(config: Config) -> CreditDesk:
    """The services on credit lines. Raises: ConfigError: a policy has faults."""
    from gateway.clock import now_us
    from gateway.credit.job import build_desk

    return build_desk(config, build_registry(config), now_us)


def build_shell(config: Config) -> Shell:
    """The services of /v1 for one command of this machine."""
    from gateway.shell import Shell

    return Shell(config, lambda: build_access(config), lambda: open_built_ledger(config))


def build_control_client(config: Config) -> ControlClient:
    """The way to the running data plane."""
    from gateway.control.client import ControlClient

    return ControlClient(config.control.socket, timeout_s=config.control.timeout_s)


def trim_journal(config: Config) -> dict[str, int]:
    """Drop what lies before the oldest snapshot. Raises: ConfigError, SnapshotError."""
    from gateway.engine.snapshot import iter_infos
    from gateway.journal.valkey import ValkeyJournal
    from gateway.journals import valkey_options

    if config.journal.kind != "valkey":
        raise ConfigError(detail='journal.kind: only a journal in "valkey" is trimmed')
    oldest = min((info.position for info in iter_infos(config.snapshots.dir)), default=None)
    if oldest is None:
        raise SnapshotError(
            detail=f"there is no snapshot in {config.snapshots.dir}",
            hint="the snapshotter of `faregate serve` writes one",
        )
    journal = ValkeyJournal.open_reader(valkey_options(config))
    try:
        return {"before_position": oldest, "entries": journal.trim(oldest)}
    finally:
        journal.close()


def verify_configured(config: Config) -> Verified | VerifiedStream:
    """Check the journal of these settings from end to end. Raises: JournalError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from gateway.journal.valkey import ValkeyJournal
    from gateway.journal.valkey_verify import verify_stream
    from gateway.journal.verify import verify_journal
    from gateway.journals import valkey_options
    from gateway.keys import read_secret

    if config.journal.kind != "valkey":
        seed = read_secret(config.security.signing_key_file)
        key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
        return verify_journal(config.journal.dir, public_key=key)
    journal = ValkeyJournal.open_reader(valkey_options(config))
    try:
        return verify_stream(journal)
    finally:
        journal.close()


def audit_journal(config: Config) -> AuditReport:
    """Decide the journal of these settings again, with every tariff and all limits that
    are kept in the folder.

    From its beginning, or from the oldest snapshot when that part is past retention.
    """
    from fastpath.api import Book, StoreHandle
    from gateway.engine.audit import audit, audit_from
    from gateway.errors import JournalError
    from gateway.journals import open_reader
    from gateway.limits.store import LimitStore
    from gateway.tariffs.store import TariffStore

    book = Book()
    for slot, tariff in TariffStore(config.gateway.data_dir / "tariffs").list():
        book.put(slot, tariff)
    kept = {one.key: one for one in LimitStore(config.limits_dir).list()}
    limits = config.engine_limits()
    memory = StoreHandle(boots_max=limits.boots_per_device_max, op_horizon_us=limits.op_horizon_us)
    journal = open_reader(config)
    try:
        return audit(journal, book, memory, limits=kept)
    except JournalError as error:
        if error.code != "JOURNAL_PAST_RETENTION":
            raise
        return audit_from(config.snapshots.dir, journal, book, memory, limits=kept)
    finally:
        journal.close()
