"""A clearing house: gives files, asks for receipts, lists what came. What they say: files.py."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

from adapters.contract import (
    NOT_FOUND,
    Adapter,
    AdapterInfo,
    Capability,
    CheckResult,
    Command,
    Context,
    Delivery,
    Domain,
    Health,
    NotFound,
    Outcome,
    Page,
    Status,
)
from adapters.errors import Malformed
from adapters.secret import read_secret
from adapters.transit.clearing.exchange import (
    Exchange,
    FolderExchange,
    HttpExchange,
    Receipt,
    digest_of,
)
from adapters.transit.clearing.lines import Code
from adapters.transit.clearing.settings import ClearingSettings


class ClearingAdapter(Adapter[ClearingSettings]):
    """One clearing house. A file's command has facts `name`, `path` and `digest`, and its key ends
    with the name.
    """

    info = AdapterInfo(
        name="clearing",
        version="1",
        domain=Domain.TRANSIT,
        capabilities=frozenset({Capability.SEND_FILE, Capability.STREAM}),
        delivery=Delivery.ASYNC,
        max_in_flight=2,
    )
    config_model = ClearingSettings
    bench = "adapters.transit.clearing.bench:ClearingBench"

    def __init__(self, config: ClearingSettings) -> None:
        super().__init__(config)
        self._exchange = _build_exchange(config)

    async def open(self, context: Context) -> None:
        file = self.config.token_file
        await self._exchange.open(read_secret(file) if file is not None else "")

    async def check(self) -> CheckResult:
        return await self._exchange.check()

    async def close(self) -> None:
        await self._exchange.close()

    def health(self) -> Health:
        return self._exchange.health()

    def validate(self, command: Command) -> None:
        super().validate(command)
        facts = command.facts
        if not all(isinstance(facts.get(name), str) for name in ("name", "path", "digest")):
            raise Malformed("a file needs name, path and digest")
        if command.key.rpartition(":")[2] != facts["name"]:
            raise Malformed("the key has to end with the file's name")

    async def execute(self, command: Command) -> Outcome:
        data = await asyncio.to_thread(_read, Path(command.facts["path"]), command.facts["digest"])
        return _outcome(await self._exchange.put(command.key, command.facts["name"], data))

    async def query(self, key: str) -> Outcome | NotFound:
        receipt = await self._exchange.find(key)
        return NOT_FOUND if receipt is None else _outcome(receipt)

    async def stream(self, kind: str, cursor: str, *, full: bool) -> AsyncIterator[Page]:
        """`files`: theirs, as records {name, content (base64)}; one that is too long has `fault`
        in place of its content, so that it holds up no other.
        """
        if kind != "files":
            raise Malformed(f"there is no stream {kind}")
        at = "" if full else cursor
        while listed := await self._exchange.list_after(at):
            records = [await self._fetch(one.name) for one in listed]
            at = listed[-1].cursor
            yield Page(tuple(records), at, complete=False)
        yield Page((), at, complete=True)

    async def _fetch(self, name: str) -> dict[str, str]:
        try:
            data = await self._exchange.get(name)
        except Malformed:
            return {"name": name, "content": "", "fault": Code.TOO_LONG.value}
        return {"name": name, "content": base64.b64encode(data).decode()}


def _build_exchange(config: ClearingSettings) -> Exchange:
    if config.folder is not None:
        return FolderExchange(config.folder)
    url = str(config.url)
    return HttpExchange(url, timeout_s=config.timeout_s, connect_s=config.connect_s)


def _read(path: Path, digest: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Malformed(f"{path.name}: {type(error).__name__}") from error
    if digest_of(data) != digest:
        raise Malformed(f"{path.name} is not what it was when it was made")
    return data


def _outcome(receipt: Receipt) -> Outcome:
    status = Status.DONE if receipt.is_taken else Status.PENDING
    return Outcome(status, receipt.number, raw_digest=receipt.digest)
