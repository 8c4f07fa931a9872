"""A clearing house with state, for tests: takes taps, settles them, has a deny list, and errs."""

from __future__ import annotations

import datetime
from dataclasses import replace

from aiohttp import web

from adapters.testing.remote import ScriptedRemote, Trouble
from adapters.transit.clearing.exchange import digest_of
from adapters.transit.clearing.files import REASONS
from adapters.transit.clearing.lines import Content, FileFault, Kind, Label, read_file, write_file

TOKEN = "token-of-the-clearing-house"
US, HOUSE = "CITYGW", "CITYCC"
CODES = {word: code for code, word in REASONS.items()}


class ClearingHouse:
    """What it knows and what it writes, without any transport."""

    def __init__(self, *, charset: str = "UTF8", currency: int = 156) -> None:
        self.charset = charset
        self.currency = currency
        self.unknown: set[str] = set()
        """Tokens that it does not know."""
        self.paid: dict[str, int] = {}
        """Row → amount that it owes us."""
        self.taken: dict[str, bytes] = {}
        self.outbox: list[tuple[str, bytes]] = []
        self.sequences = {Kind.SETTLE: 0, Kind.DENY: 0}

    def take(self, name: str, data: bytes) -> str:
        """A taps file; empty, or why it is refused."""
        try:
            content = read_file(name, data)
        except FileFault as fault:
            return str(fault.code)
        if content.label.kind is not Kind.TAPS or content.label.receiver != HOUSE:
            return "other_party"
        self.taken[name] = data
        return ""

    def judge(self, name: str) -> list[tuple[str, ...]]:
        """The rejected rows of a file: unknown media, and rows that it has paid already."""
        rejected: list[tuple[str, ...]] = []
        for row in read_file(name, self.taken[name]).rows:
            word = "unknown_medium" if row[4] in self.unknown else ""
            word = word or ("duplicate" if row[2] in self.paid else "")
            if word:
                rejected.append(("R", row[1], row[2], CODES[word], row[10]))
        return rejected

    def settle(self, name: str, *, pay: bool = True) -> bytes:
        """The answer to a file, as it would write it, into the outbox."""
        rejected = self.judge(name)
        content = read_file(name, self.taken[name])
        refused = {row[2] for row in rejected}
        good = {row[2]: int(row[10]) for row in content.rows if row[2] not in refused}
        if pay:
            self.paid |= good
        label = self._next(Kind.SETTLE, content.label.day)
        raw = self.answer(label, name, good, rejected)
        self.outbox.append((label.name, raw))
        return raw

    def answer(
        self, label: Label, name: str, good: dict[str, int], rejected: list[tuple[str, ...]]
    ) -> bytes:
        """A settlement file."""
        refused_minor = sum(int(row[4]) for row in rejected)
        first = (
            "F",
            name,
            digest_of(self.taken.get(name, b"")),
            str(len(good)),
            str(sum(good.values())),
            str(len(rejected)),
            str(refused_minor),
        )
        return self.write(Content(label, self.currency, (first, *rejected), refused_minor))

    def correct(self, name: str) -> bytes:
        """The newest settlement once more, a revision up, judged anew."""
        at = max(n for n, (one, _) in enumerate(self.outbox) if f"_{Kind.SETTLE}_" in one)
        label = read_file(*self.outbox[at]).label
        label = replace(label, revision=label.revision + 1)
        content = read_file(name, self.taken[name])
        for row in content.rows:
            self.paid.pop(row[2], None)
        rejected = self.judge(name)
        refused = {row[2] for row in rejected}
        good = {row[2]: int(row[10]) for row in content.rows if row[2] not in refused}
        self.paid |= good
        raw = self.answer(label, name, good, rejected)
        self.outbox.append((label.name, raw))
        return raw

    def deny(
        self, day: datetime.date, *, add: tuple[str, ...] = (), drop: tuple[str, ...] = ()
    ) -> bytes:
        """A change of the deny list, into the outbox."""
        rows = (*(("A", one, "05") for one in add), *(("D", one, "00") for one in drop))
        label = self._next(Kind.DENY, day)
        raw = self.write(Content(label, self.currency, rows, 0))
        self.outbox.append((label.name, raw))
        return raw

    def write(self, content: Content) -> bytes:
        """Bytes in its charset."""
        return write_file(content, self.charset)

    def _next(self, kind: Kind, day: datetime.date) -> Label:
        self.sequences[kind] += 1
        return Label(HOUSE, US, kind, day, self.sequences[kind])


class ClearingRemote(ScriptedRemote):
    """The house behind its HTTP interface. `opaque`: takes any bytes, for the conformance kit."""

    def __init__(self, house: ClearingHouse | None = None, *, opaque: bool = False) -> None:
        super().__init__()
        self.house = house or ClearingHouse()
        self.opaque = opaque
        self.receipts: dict[str, dict[str, str]] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/status", self._status),
            web.post("/v1/files/{name}", self._put),
            web.get("/v1/receipts", self._question),
            web.get("/v1/outbox", self._list),
            web.get("/v1/outbox/{name}", self._get),
        ]

    def wrong(self, response: web.Response) -> web.Response:
        other = {"reference": "another", "name": "x", "digest": "0" * 64, "number": "r-0"}
        return web.json_response(other | {"state": "taken"})

    async def _status(self, request: web.Request) -> web.Response:
        return self._refused(request) or web.json_response({"version": "1"})

    async def _put(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        name, data = request.match_info["name"], await request.read()
        key = request.headers["Idempotency-Key"]
        known = self.receipts.get(key)
        if known is not None and known["digest"] != digest_of(data):
            return web.json_response({"reference": key, "reason": "other bytes"}, status=409)
        if known is None:
            why = "" if self.opaque else self.house.take(name, data)
            if why or b"refuse me" in data:
                return web.json_response({"reference": key, "reason": why}, status=422)
            self.effects[key] += 1
            number = f"r-{len(self.receipts) + 1}"
            self.receipts[key] = {
                "reference": key,
                "name": name,
                "digest": digest_of(data),
                "number": number,
                "state": "taken",
            }
        waiting = {"state": "waiting"} if self.trouble is Trouble.PENDING else {}
        return web.json_response(self.receipts[key] | waiting)

    async def _question(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        key = request.query["reference"]
        if key not in self.receipts:
            return web.json_response({"reference": key, "known": False}, status=404)
        return web.json_response(self.receipts[key])

    async def _list(self, request: web.Request) -> web.Response:
        after = int(request.query["after"] or 0)
        page = list(enumerate(self.house.outbox, start=1))[after : after + 3]
        files = [{"name": name, "cursor": str(number)} for number, (name, _) in page]
        return self._refused(request) or web.json_response({"files": files})

    async def _get(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        data = next((raw for one, raw in reversed(self.house.outbox) if one == name), None)
        if data is None:
            return web.Response(status=404)
        headers = {"X-Content-SHA256": digest_of(data)}
        return self._refused(request) or web.Response(body=data, headers=headers)

    def _refused(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") == f"Bearer {TOKEN}":
            return None
        return web.Response(status=401)
