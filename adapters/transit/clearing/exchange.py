"""Where files change hands: a folder that both sides see, or a small HTTP interface.

Both say the same: a name is given once and its bytes never change afterwards. What is half written
is never seen.
"""

from __future__ import annotations

import abc
import asyncio
import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from adapters.contract import CheckResult, CheckStatus, Health
from adapters.errors import (
    Malformed,
    Misconfigured,
    Refusal,
    Rejected,
    Unavailable,
    Uncertain,
)
from adapters.http import BODY_MAX, HttpPeer, Request

PAGE_FILES = 20
FILE_MAX = BODY_MAX


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a file is there. is_taken: the clearing house has looked at it."""

    name: str
    digest: str
    number: str
    is_taken: bool = True


@dataclass(frozen=True, slots=True)
class Listed:
    """One file of theirs. cursor: where the list goes on behind it."""

    name: str
    cursor: str


def digest_of(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


class Exchange(abc.ABC):
    """One place of exchange."""

    @abc.abstractmethod
    async def open(self, token: str) -> None: ...

    @abc.abstractmethod
    async def close(self) -> None: ...

    @abc.abstractmethod
    def health(self) -> Health: ...

    @abc.abstractmethod
    async def check(self) -> CheckResult: ...

    @abc.abstractmethod
    async def put(self, key: str, name: str, data: bytes) -> Receipt:
        """Give a file. Raises: Rejected: the name is there with other bytes; and others."""

    @abc.abstractmethod
    async def find(self, key: str) -> Receipt | None:
        """What became of a file; None = it never arrived."""

    @abc.abstractmethod
    async def list_after(self, cursor: str) -> list[Listed]:
        """Their files behind a cursor, the oldest first, a page of them."""

    @abc.abstractmethod
    async def get(self, name: str) -> bytes:
        """One of their files. Raises: Malformed: longer than FILE_MAX; and others."""


def _read_short(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(FILE_MAX + 1)
    if len(data) > FILE_MAX:
        raise Malformed("longer than any file of this interface")
    return data


class FolderExchange(Exchange):
    """`in` for what we give, `out` for what they give, names as keys' last parts."""

    settle_s = 1.0

    def __init__(self, folder: Path) -> None:
        self._ours, self._theirs = folder / "in", folder / "out"
        self._is_open = False
        self._last_error = ""
        self._last_ok_us = 0

    async def open(self, token: str) -> None:
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False

    def health(self) -> Health:
        return Health(self._is_open, self._last_ok_us, self._last_error)

    async def check(self) -> CheckResult:
        there = await asyncio.to_thread(lambda: self._ours.is_dir() and self._theirs.is_dir())
        if there:
            return CheckResult(CheckStatus.OK, latency_us=1)
        return CheckResult(CheckStatus.MISCONFIGURED, f"{self._ours} or {self._theirs} is missing")

    async def put(self, key: str, name: str, data: bytes) -> Receipt:
        return await asyncio.to_thread(self._put, name, data)

    def _put(self, name: str, data: bytes) -> Receipt:
        path = self._ours / name
        if path.exists():
            if path.read_bytes() != data:
                raise Rejected(Refusal.OTHER, f"{name} is there with other bytes")
            return Receipt(name, digest_of(data), name)
        try:
            self._write(path, data)
        except FileNotFoundError as error:
            raise Misconfigured(f"{self._ours} is not there") from error
        except OSError as error:
            raise Unavailable(f"{type(error).__name__} at {self._ours}") from error
        return Receipt(name, digest_of(data), name)

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        """Whole or not at all: under another name first, then linked, which never overwrites."""
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.unlink(missing_ok=True)
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)
        except FileExistsError as error:
            raise Uncertain("somebody put the same name at the same time") from error
        finally:
            part.unlink()
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    async def find(self, key: str) -> Receipt | None:
        path = self._ours / key.rpartition(":")[2]

        def look() -> Receipt | None:
            if not path.is_file():
                return None
            return Receipt(path.name, digest_of(path.read_bytes()), path.name)

        return await asyncio.to_thread(look)

    async def list_after(self, cursor: str) -> list[Listed]:
        """In the order in which they appeared here, which nobody can set (ctime).

        The youngest are left for later: one that appeared before them may not be listed yet.
        """

        def look() -> list[Listed]:
            until = time.time_ns() - int(self.settle_s * 1e9)
            paths = (path for path in self._theirs.iterdir() if path.is_file())
            found = [(p.stat().st_ctime_ns, p.name) for p in paths if not p.name.startswith(".")]
            listed = [Listed(name, f"{at:020d}/{name}") for at, name in sorted(found) if at < until]
            return [one for one in listed if one.cursor > cursor][:PAGE_FILES]

        try:
            return await asyncio.to_thread(look)
        except FileNotFoundError as error:
            raise Misconfigured(f"{self._theirs} is not there") from error

    async def get(self, name: str) -> bytes:
        try:
            return await asyncio.to_thread(_read_short, self._theirs / Path(name).name)
        except OSError as error:
            raise Unavailable(f"{name}: {type(error).__name__}") from error


class HttpExchange(Exchange):
    """`POST /v1/files/NAME`, `GET /v1/receipts?reference=`, `GET /v1/outbox`."""

    def __init__(self, url: str, *, timeout_s: float, connect_s: float) -> None:
        self._peer = HttpPeer(url, timeout_s=timeout_s, connect_s=connect_s)

    async def open(self, token: str) -> None:
        await self._peer.open({"Authorization": f"Bearer {token}"})

    async def close(self) -> None:
        await self._peer.close()

    def health(self) -> Health:
        return self._peer.health()

    async def check(self) -> CheckResult:
        return await self._peer.check(Request("GET", "/v1/status"))

    async def put(self, key: str, name: str, data: bytes) -> Receipt:
        headers = {
            "Idempotency-Key": key,
            "Content-Type": "application/octet-stream",
            "X-Content-SHA256": digest_of(data),
        }
        request = Request("POST", f"/v1/files/{quote(name, safe='')}", True, headers, data)
        answer = await self._peer.send(request)
        said = answer.json()
        if answer.status == 409 and said.get("reference") == key:
            raise Rejected(Refusal.OTHER, "the name is there with other bytes", peer_code="409")
        if answer.status == 422 and said.get("reference") == key:
            raise Rejected(Refusal.NOT_ELIGIBLE, str(said.get("reason"))[:40], peer_code="422")
        receipt = _receipt(said, key)
        if answer.status not in (200, 202) or receipt is None or receipt.digest != digest_of(data):
            raise answer.not_understood("no receipt for this file")
        return receipt

    async def find(self, key: str) -> Receipt | None:
        path = f"/v1/receipts?reference={quote(key, safe='')}"
        answer = await self._peer.send(Request("GET", path))
        said = answer.json()
        if answer.status == 404 and said.get("reference") == key and said.get("known") is False:
            return None
        receipt = _receipt(said, key)
        if answer.status != 200 or receipt is None:
            raise answer.not_understood("no receipt for this file")
        return receipt

    async def list_after(self, cursor: str) -> list[Listed]:
        answer = await self._peer.send(Request("GET", f"/v1/outbox?after={quote(cursor, safe='')}"))
        files = answer.json().get("files")
        if answer.status != 200 or not isinstance(files, list):
            raise Malformed("the list of files")
        try:
            return [Listed(str(one["name"]), str(one["cursor"])) for one in files]
        except (KeyError, TypeError) as error:
            raise Malformed("the list of files") from error

    async def get(self, name: str) -> bytes:
        answer = await self._peer.send(Request("GET", f"/v1/outbox/{quote(name, safe='')}"))
        if answer.status != 200:
            raise Unavailable(f"HTTP {answer.status}")
        wanted = answer.headers.get("X-Content-SHA256")
        if wanted is not None and wanted != digest_of(answer.body):
            raise Unavailable("it changed on the way")
        return answer.body


def _receipt(said: dict[str, object], key: str) -> Receipt | None:
    if said.get("reference") != key:
        return None
    fields = [said.get(name) for name in ("name", "digest", "number")]
    if not all(isinstance(one, str) and one for one in fields):
        return None
    name, digest, number = (str(one) for one in fields)
    return Receipt(name, digest, number, said.get("state") == "taken")
