"""The gateway's exceptions. Must not import anything of the gateway but its refusals.

    FareGatewayError                code, detail, hint, retry
    ├── ConfigError                 CONFIG_…    a setting or a secret; also a ValueError
    ├── TariffError                 TARIFF_…    a tariff that cannot be used; all findings at once
    ├── WireError                   WIRE_…      a frame that cannot be read
    ├── AuthError                   AUTH_…      a peer or a file that is not who it says
    │   └── ApprovalNeeded          APPROVAL_…  a second pair of eyes has to see it first
    ├── RateLimited                 RATE_…      too many tries
    ├── JournalError                JOURNAL_…
    │   ├── JournalFull             no room; memory was put back, nothing was written
    │   │   └── JournalUnavailable  its server cannot be reached; nothing was written either
    │   ├── JournalBroken           an I/O error: only recovery can say what is on the disk
    │   ├── Fenced                  someone else writes this journal
    │   └── Corrupt                 a file does not hold what was written into it; file and offset
    ├── SnapshotError               SNAPSHOT_…
    ├── RegistryError               REGISTRY_…
    ├── LedgerError                 LEDGER_…    the projection of the journal
    ├── DatabaseError               DATABASE_…  a database of the control plane
    ├── DeliveryError               DELIVERY_…  what is carried to a peer
    ├── CreditError                 CREDIT_…    a credit line, its statements and plans
    ├── RerateError                 RERATE_…    fares that cannot be priced again from history
    ├── MovingError                 MOVING_…    another system's cards; all findings at once
    ├── CommandError                COMMAND_…   a command was refused, or was never sent
    ├── ApiError                    API_…       a request over HTTP; all its faults at once
    ├── Uncertain                   UNCERTAIN_… sent, answer not known; carries the operation id
    ├── EnvironmentFault            ENV_…       the machine: a port in use, a missing folder
    ├── InternalError               INTERNAL_…
    └── InvariantError              INVARIANT_… a broken promise of the code itself: crash

Every code is declared once, in CODES, with the hint that goes with it; docs/errors.md is made
from that table.
An error never logs itself; the boundary that handles it logs it once.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from gateway.refusals import REFUSALS


class Retry(StrEnum):
    """What a caller may do with the same request."""

    NEVER = "never"
    """It will fail again until something else changes."""
    SAFE = "safe"
    """It had no effect; sending it again is right."""
    UNKNOWN = "unknown"
    """It may have had its effect; find out first, or repeat it under the same operation id."""


class FareGatewayError(Exception):
    """Base of all coded errors: a stable `code`, what happened (`detail`), what to do (`hint`)."""

    default_code = "INTERNAL_ERROR"
    default_retry = Retry.NEVER

    def __init__(
        self, code: str = "", detail: str = "", hint: str = "", retry: Retry | None = None
    ) -> None:
        self.code = code or self.default_code
        self.detail = detail
        self.hint = hint or CODES.get(self.code, "")
        self.retry = self.default_retry if retry is None else retry
        super().__init__(self.code, detail)

    def __str__(self) -> str:
        said = f"{self.code}: {self.detail}" if self.detail else self.code
        return f"{said} ({self.hint})" if self.hint else said

    def as_dict(self) -> dict[str, object]:
        """The error as it goes into JSON."""
        return {
            "code": self.code,
            "detail": self.detail,
            "hint": self.hint,
            "retry": str(self.retry),
        }


class _WithFindings(FareGatewayError):
    """Several things wrong at once, each a line of text."""

    def __init__(
        self,
        code: str = "",
        detail: str = "",
        hint: str = "",
        retry: Retry | None = None,
        *,
        findings: Iterable[str] = (),
    ) -> None:
        self.findings = tuple(findings)
        super().__init__(code, detail or "; ".join(self.findings), hint, retry)

    def as_dict(self) -> dict[str, object]:
        return super().as_dict() | {"findings": list(self.findings)}


class ConfigError(_WithFindings, ValueError):
    """A setting is missing, unknown or wrong; `findings` has a line for each, with its path."""

    default_code = "CONFIG_INVALID"


class TariffError(_WithFindings):
    """A tariff cannot be used; `findings` has one line a fault."""

    default_code = "TARIFF_INVALID"


class WireError(FareGatewayError):
    """A frame cannot be read."""

    default_code = "WIRE_MALFORMED"


class AuthError(FareGatewayError):
    """A device, a peer or a signed file is not who it says."""

    default_code = "AUTH_FAILED"


class ApprovalNeeded(AuthError):
    """A second pair of eyes has to see it first; `approval_id` names what waits for them."""

    default_code = "APPROVAL_NEEDED"

    def __init__(
        self,
        code: str = "",
        detail: str = "",
        hint: str = "",
        retry: Retry | None = None,
        *,
        approval_id: str = "",
    ) -> None:
        self.approval_id = approval_id
        super().__init__(code, detail, hint, retry)

    def as_dict(self) -> dict[str, object]:
        return super().as_dict() | {"approval_id": self.approval_id}


class RateLimited(FareGatewayError):
    """Too many tries; `retry_after_s` says in how many seconds the next one may come."""

    default_code = "RATE_LIMITED"
    default_retry = Retry.SAFE

    def __init__(
        self,
        code: str = "",
        detail: str = "",
        hint: str = "",
        retry: Retry | None = None,
        *,
        retry_after_s: int = 1,
    ) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(code, detail or f"again in {retry_after_s} s", hint, retry)

    def as_dict(self) -> dict[str, object]:
        return super().as_dict() | {"retry_after_s": self.retry_after_s}


class JournalError(FareGatewayError):
    """Base of what a journal may raise."""

    default_code = "JOURNAL_ERROR"


class JournalFull(JournalError):
    """No room for a group. Nothing of it is in the journal; memory has to be put back."""

    default_code = "JOURNAL_FULL"
    default_retry = Retry.SAFE


class JournalUnavailable(JournalFull):
    """The journal's server cannot be reached or takes no writes. Nothing of a group is there, nor
    will be; memory has to be put back."""

    default_code = "JOURNAL_UNAVAILABLE"


class JournalBroken(JournalError):
    """EIO or a failed fsync: what is on the disk is known only after recovery. The process ends."""

    default_code = "JOURNAL_BROKEN"
    default_retry = Retry.UNKNOWN


class Fenced(JournalError):
    """Another writer holds the journal, or is ahead of this one."""

    default_code = "JOURNAL_FENCED"


class Corrupt(JournalError):
    """A file of the journal does not hold what was written; `path` and `offset` say where."""

    default_code = "JOURNAL_CORRUPT"

    def __init__(
        self,
        code: str = "",
        detail: str = "",
        hint: str = "",
        retry: Retry | None = None,
        *,
        path: str = "",
        offset: int = -1,
    ) -> None:
        self.path = path
        self.offset = offset
        super().__init__(code, detail, hint, retry)

    def as_dict(self) -> dict[str, object]:
        return super().as_dict() | {"path": self.path, "offset": self.offset}


class SnapshotError(FareGatewayError):
    """A snapshot cannot be read or does not fit the journal."""

    default_code = "SNAPSHOT_INVALID"


class RegistryError(FareGatewayError):
    """The registry refuses or cannot be opened."""

    default_code = "REGISTRY_ERROR"


class LedgerError(FareGatewayError):
    """The ledger does not fit the journal, or cannot say what is asked of it."""

    default_code = "LEDGER_ERROR"


class DatabaseError(FareGatewayError):
    """A database of the control plane cannot be opened or used."""

    default_code = "DATABASE_ERROR"


class DeliveryError(FareGatewayError):
    """What is to be carried to a peer cannot be, or not again."""

    default_code = "DELIVERY_ERROR"


class CreditError(FareGatewayError):
    """Something about a credit line cannot be done."""

    default_code = "CREDIT_ERROR"


class RerateError(FareGatewayError):
    """Fares cannot be priced again, or a journey cannot be completed."""

    default_code = "RERATE_ERROR"


class MovingError(_WithFindings):
    """Cards of another system cannot be carried over; `findings` has one line a fault."""

    default_code = "MOVING_INVALID"


class CommandError(FareGatewayError):
    """A command of the control plane was refused, or never reached the data plane."""

    default_code = "COMMAND_REFUSED"


class ApiError(FareGatewayError):
    """A request over HTTP cannot be answered as asked; `faults` name each wrong part of it."""

    default_code = "API_INVALID"

    def __init__(
        self,
        code: str = "",
        detail: str = "",
        hint: str = "",
        retry: Retry | None = None,
        *,
        faults: Iterable[dict[str, str]] = (),
        retry_after_s: int = 0,
    ) -> None:
        self.faults = tuple(faults)
        self.retry_after_s = retry_after_s
        super().__init__(code, detail, hint, retry)

    def as_dict(self) -> dict[str, object]:
        return super().as_dict() | ({"faults": list(self.faults)} if self.faults else {})


class Uncertain(FareGatewayError):
    """A command was sent and its answer is not known. Never repeat it under another id."""

    default_code = "UNCERTAIN_OUTCOME"
    default_retry = Retry.UNKNOWN

    def __init__(
        self,
        code: str = "",
        detail: str = "",
        hint: str = "",
        retry: Retry | None = None,
        *,
        operation_id: str = "",
    ) -> None:
        self.operation_id = operation_id
        super().__init__(code, detail, hint, retry)

    def as_dict(self) -> dict[str, object]:
        return super().as_dict() | {"operation_id": self.operation_id}


class EnvironmentFault(FareGatewayError):
    """The machine does not offer what is needed: a port, a folder, room, a module."""

    default_code = "ENV_UNUSABLE"


class InternalError(FareGatewayError):
    """Something failed inside that nobody outside can mend."""

    default_code = "INTERNAL_ERROR"
    default_retry = Retry.UNKNOWN


class InvariantError(FareGatewayError):
    """A promise of the code is broken; going on would make it worse. Used in place of `assert`."""

    default_code = "INVARIANT_BROKEN"
    default_retry = Retry.UNKNOWN


CODES: dict[str, str] = {
    "ADAPTER_BROKEN": "the package that brings this adapter is installed wrongly, or not at all",
    "ADAPTER_NO_BENCH": "an adapter names its bench in `bench`; docs/adapters.md",
    "ADAPTER_TOO_NEW": "install a faregate that is as new as the adapter",
    "ADAPTER_UNKNOWN": "`faregate adapter list --kinds` shows the kinds there are",
    "CITY_INVALID": "each finding names the line and the key of the city file; docs/cities.md",
    "CITY_NOT_FOUND": "`faregate city list` shows the cities there are",
    "CLEARING_DAY": "`faregate clearing files NAME` shows which days are closed",
    "CLEARING_NOT_READY": "wait until the ledger has caught up: `faregate status`",
    "CLEARING_ROW": "only a rejected row that is in no later file can be tried again",
    "CONFIG_INVALID": "`faregate config check` lists every wrong setting with its path",
    "CONFIG_NOT_FOUND": "name the file with --config, or make one with `faregate init`",
    "CONFIG_NOT_TOML": "the line named is not valid TOML",
    "CONFIG_SECRET": "keep each secret in a file that only its owner may read (mode 0600)",
    "LIMITS_INVALID": "`faregate limits check FILE` lists every fault",
    "LIMITS_NOT_FOUND": "`faregate limits list` shows what there is and where it is looked for",
    "TARIFF_INVALID": "`faregate tariff check FILE` lists every fault",
    "TARIFF_NOT_FOUND": "`faregate tariff list` shows what there is and where it is looked for",
    "TARIFF_LOCAL_TIME": "add the offset (+08:00): clocks were changed at that time",
    "TARIFF_QUOTE": "the detail says what cannot be priced",
    "TARIFF_JOURNEYS": "a list of journeys as docs/cli.md shows it",
    "TARIFF_FEED": "each finding names file, line and field; docs/gtfs.md explains the codes",
    "TARIFF_STATION_UNKNOWN": "`faregate tariff show TARIFF --stations` lists the stations",
    "TARIFF_STATION_AMBIGUOUS": "use the station's number",
    "WIRE_MALFORMED": "compare the bytes with docs/protocol.md and its vectors",
    "WIRE_FRAME_TOO_LONG": "keep frames under link.frame_max_bytes",
    "WIRE_UNSUPPORTED_VERSION": "the peer speaks a version this gateway does not",
    "AUTH_MISSING": "send `Authorization: Bearer …` with an API key, a token or a session",
    "AUTH_INVALID": "unknown, wrong, revoked or over: `faregate key list` shows what is alive",
    "AUTH_EXPIRED": "get a new token, or sign in again",
    "AUTH_SCOPE": "`faregate key list` shows a key's scopes, docs/security.md what each allows",
    "AUTH_FORBIDDEN": "ask whoever it belongs to",
    "AUTH_STEP_UP": "show a second factor (TOTP, WebAuthn or a recovery code), then repeat it",
    "AUTH_SAME_EYES": "somebody else has to approve it, not another key of the proposer",
    "AUTH_PROOF": "the password, code or assertion is not right, or was used before: show another",
    "AUTH_WEAK_PASSWORD": "choose one of at least 10 characters that does not hold the login",
    "AUTH_NO_FACTOR": "set up a second factor first: TOTP or WebAuthn",
    "APPROVAL_NEEDED": "`faregate approval approve ID` by somebody else, then the same again",
    "APPROVAL_CLOSED": "it was decided, used or is over: propose it anew",
    "RATE_LIMITED": "wait as long as retry_after_s says",
    "AUTH_FAILED": "check the device's key and that it is not revoked: `faregate device list`",
    "JOURNAL_ERROR": "`faregate journal verify` tells what is wrong with it",
    "JOURNAL_FULL": "make room on the journal's disk; taps go on as soon as there is some",
    "JOURNAL_UNAVAILABLE": "look at the servers of [valkey]; taps go on when one of them leads",
    "JOURNAL_BROKEN": "look at the disk and the kernel log, then start again to recover",
    "JOURNAL_FENCED": "one process a journal: stop the other one first",
    "JOURNAL_CORRUPT": "do not edit the file; see `faregate journal verify`, or restore a backup",
    "JOURNAL_PAST_RETENTION": "only the roots of that part of the journal are kept; ask the ledger",
    "JOURNAL_NOT_FOUND": "check journal.dir; a new journal is made by `faregate serve`",
    "SNAPSHOT_INVALID": "remove the snapshot named: an older one, or the journal alone, is enough",
    "REGISTRY_ERROR": "look at registry.sqlite in the data folder; a backup can be restored",
    "REGISTRY_COPY": "nothing was kept: look at disk and memory, then copy into an empty one again",
    "REGISTRY_VERSION": "the registry was written by another version of faregate",
    "REGISTRY_EXISTS": "the number is taken: choose another, or `faregate device rotate`",
    "REGISTRY_NOT_FOUND": "`faregate device list` shows the devices there are",
    "REGISTRY_TAKEN": "choose another name or number",
    "REGISTRY_CLOSED": "the tenant was closed: nothing is done for it any more",
    "REGISTRY_UNKNOWN": "nothing has that name or number; the `list` command shows what there is",
    "REGISTRY_FIELD": "docs/security.md lists the fields of a person",
    "REGISTRY_ERASED": "an erased person never comes back; add a new one",
    "REGISTRY_INVALID": "the detail says what is allowed; nothing was written",
    "REGISTRY_KEY": "name the older keys in security.registry_old_key_files, else restore a backup",
    "REGISTRY_SCOPE": "docs/security.md lists the scopes",
    "REGISTRY_REVOKED": "a revoked device stays revoked; add one under a new number",
    "LEDGER_ERROR": "`faregate ledger status` says how far the ledger has come",
    "LEDGER_TAIL_LOST": "the journal lost its end: restore it, then `faregate ledger rebuild`",
    "LEDGER_UNBALANCED": "keep the journal as it is and report it; nothing of it was projected",
    "LEDGER_DUPLICATE": "an operation took effect twice: `faregate journal audit`, and report it",
    "LEDGER_UNKNOWN_RECORD": "a newer faregate wrote this journal: use its ledger",
    "LEDGER_VERSION": "`faregate ledger rebuild` builds it again from the journal",
    "LEDGER_MOVED": "another projector works on this database: stop one of them",
    "LEDGER_NOT_FOUND": "`faregate ledger status` says how far it has come; wait and ask again",
    "LEDGER_DAY_OPEN": "wait for the day to end and the ledger to catch up, or say --open-day",
    "LEDGER_UNKNOWN_ACCOUNT": "`faregate ledger status` lists the ledger accounts by their code",
    "LEDGER_FILE_GONE": "the next settlement of the day is complete: wait for it, or make it now "
    "by `faregate settle run`",
    "LEDGER_FILE": "the detail names the file, and the line and column in it",
    "LEDGER_BREAK": "`faregate reconcile report` lists the breaks by their number",
    "LEDGER_MARK": "remove the file ledger.mark: the ledger writes another one",
    "DATABASE_ERROR": "look at the database named: is it there, reachable, and is there room",
    "DATABASE_NEWER": "install the faregate that made it, or restore a backup",
    "DATABASE_VERSION": "`faregate serve` brings it to the schema of this version",
    "DELIVERY_ERROR": "`faregate adapter list` shows what waits and what is dead",
    "DELIVERY_CONFLICT": "a key names one command for ever: use a new one",
    "DELIVERY_NOT_DEAD": "`faregate adapter dead` shows what can be replayed",
    "DELIVERY_NOT_HELD": "`faregate adapter held NAME` shows the events that wait for a decision",
    "DELIVERY_NOT_FOUND": "the command was never given, or its key is another",
    "RERATE_ERROR": "`faregate rerate show ACCOUNT` says what would be done",
    "RERATE_HISTORY_SHORT": "its beginning is past retention: an operator can adjust the balance",
    "RERATE_HISTORY_BEHIND": "ask again in a moment: the newest records are not there yet",
    "RERATE_TARIFF": "put the tariff back into the data folder's tariffs/, then run it again",
    "RERATE_BUSY_ACCOUNT": "the account moved on every time it was read: run it again later",
    "RERATE_NOTHING_INCOMPLETE": "`faregate journey list ACCOUNT` shows what can be completed",
    "RERATE_TOO_LATE": "an operator can still adjust the balance",
    "RERATE_TOO_OFTEN": "a service desk can complete it: `faregate journey complete --desk`",
    "RERATE_FARE_CHANGED": "say how much of it: `faregate refund ACCOUNT AMOUNT --tap TAP`",
    "RERATE_BAD_CLAIM": "give an instant between the journey's tap and the taps beside it",
    "CREDIT_ERROR": "`faregate credit show ACCOUNT` says how the line stands",
    "CREDIT_EXISTS": "the account has a credit line: change it, or close it first",
    "CREDIT_NOT_FOUND": "the account has no credit line: `faregate credit open`",
    "CREDIT_NOT_GRANTED": "the policy asks for a higher score, or tier: `faregate account tier`",
    "CREDIT_PLAN_AMOUNT": "pay back any amount up to what is left of the plan",
    "CREDIT_PLAN_NOT_FOUND": "`faregate credit show ACCOUNT` lists the plans",
    "CREDIT_PLAN_TERMS": "the policy says from which amount on, and in how many instalments",
    "CREDIT_POLICY_INVALID": "each finding names line and key of the file; docs/credit.md",
    "CREDIT_POLICY_NOT_FOUND": "policies are files of config/credit, or a path",
    "CREDIT_STATEMENT": "`faregate credit show ACCOUNT` lists the statements",
    "RISK_RULES_INVALID": "each finding names line and key of the file; docs/risk.md",
    "RISK_RULES_NOT_FOUND": "rules are files of config/risk, or a path",
    "MOVING_INVALID": "nothing was sent: correct every line named; docs/moving-in.md",
    "MOVING_UNREADABLE": "the file has to be CSV in UTF-8, or in what --encoding names",
    "MOVING_CUTOVER": "name the instant the other system stopped, in the past, with its offset",
    "API_INVALID": "each fault names the place (JSON pointer) and what would be right",
    "API_MALFORMED": "the body must be one JSON object in UTF-8, no member twice",
    "API_NOT_FOUND": "there is no such thing, or it is not yours: /docs lists the paths",
    "API_METHOD": "the header Allow lists what this path takes",
    "API_MEDIA_TYPE": "send application/json, uncompressed",
    "API_TOO_LARGE": "keep bodies under api.body_max_bytes",
    "API_KEY_MISSING": "send Idempotency-Key: a new random text for each new request",
    "API_KEY_REUSED": "a key names one request for ever: use a new one for another body",
    "API_KEY_SPENT": "what was made then is listed by GET; make or rotate one with a new key",
    "API_KEY_IN_FLIGHT": "the first request with this key is still at work: ask again in a moment",
    "API_RATE_LIMITED": "wait for Retry-After seconds",
    "API_PRECONDITION": "it was changed meanwhile: read it again and send its new ETag",
    "API_PRECONDITION_MISSING": "send If-Match with the ETag you read",
    "API_TIMEOUT": "the outcome is not known: ask GET /v1/requests/{key}, or repeat the same key",
    "API_CONFLICT": "the detail says what stands against it",
    "API_OFF": "this gateway was started without the part that answers this",
    "COMMAND_REFUSED": "the reason in the reply says what stands against it",
    "COMMAND_BAD_ARGUMENT": "the detail names the argument; nothing was done",
    "COMMAND_CEILING": "use less at once, or raise that setting of [control] and restart",
    "COMMAND_NOT_MERGED": "end what the detail names, then merge; or move the media one by one",
    "COMMAND_DISK": "make room on the journal's disk; taps still go on",
    "COMMAND_BUSY": "nothing was done; send it again in a moment",
    "COMMAND_NOT_SENT": "nothing was sent: is `faregate serve` running with this configuration?",
    "UNCERTAIN_OUTCOME": "ask `faregate operation show ID`, or repeat it with --operation-id ID",
    "USAGE_INVALID": "`--help` shows what the command takes",
    "ENV_UNUSABLE": "look whether what the detail names is there and whether you may use it",
    "ENV_EXISTS": "nothing is overwritten: choose a new folder",
    "ENV_RUNNING": "one `faregate serve` a data folder: stop the other one first",
    "ENV_PORT_IN_USE": "another process listens there; change the port or stop it",
    "ENV_VALKEY_UNSAFE": "the detail names the setting; docs/replication.md says what it must be",
    "ENV_TIMEOUT": "a process did not become ready in time; its log says why",
    "BACKUP_INSTANT": "take an older backup, whose journal begins before the instant",
    "BACKUP_NOT_FOUND": "name the folder that `faregate backup` made: manifest.json lies in it",
    "BACKUP_INVALID": "the backup is incomplete or was changed; take another one",
    "INTERNAL_ERROR": "the log has the details; this is a fault of faregate",
    "INVARIANT_BROKEN": "the process stopped on purpose; start again and report it with the log",
    **REFUSALS,
}
"""Every code and its standing hint."""
