"""This gateway as one of the peers: whole durable taps, MACs on, journal on disk first."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from statistics import median

from benchmarks.peers_common import Sample, Scope, on_core
from gateway.bench._load import Load
from gateway.bench.link import audit_taps, build_load
from gateway.bench.opening import TOKEN_BYTES
from gateway.bench.options import BenchOptions
from gateway.bench.sessions import open_sessions
from gateway.bench.stage import Stage, set_stage
from gateway.keys import load_secrets
from gateway.observability import page

CASES = ("c1", "c50", "c50_batch32", "half_load")
FIRST_GUESS_PER_S = 40_000
IDLE_TIMEOUT_S = 86_400
SPARE_SESSIONS = 64


@dataclass(slots=True)
class _Case:
    load: Load
    batch: int
    built: int = 0
    seen: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Commits:
    """Group commits as the gateway counted them: durations by bucket of its page, number, bytes."""

    buckets: Counter[int]
    count: int
    size_bytes: int

    def __sub__(self, before: Commits) -> Commits:
        return Commits(
            self.buckets - before.buckets,
            self.count - before.count,
            self.size_bytes - before.size_bytes,
        )

    def percentile_us(self, per_mille: int) -> float:
        """Upper end of the bucket at this rank (a fifth wide); 0 = there was none."""
        rank = self.buckets.total() * per_mille // 1000
        for bucket in sorted(self.buckets):
            rank -= self.buckets[bucket]
            if rank < 0:
                return float(page.bucket_floor_us(bucket + 1))
        return 0.0

    @property
    def mean_bytes(self) -> int:
        """Of a group."""
        return self.size_bytes // max(self.count, 1)


class GatewayPeer:
    """Sessions of all cases stay open; each case has validators of its own."""

    def __init__(
        self, name: str, scope: Scope, stage: Stage, cases: dict[str, _Case], spare_tokens: bytes
    ) -> None:
        self.name = name
        self.cases = tuple(cases)
        self._scope = scope
        self.stage = stage
        self._cases = cases
        self.spare_tokens = spare_tokens
        """Riders of nobody's load."""
        self.sound: dict[str, int] = {}
        self.commits: dict[str, Commits] = {}
        """Group commits of the last measurement of each case."""

    def prepare(self, case: str, *, rate: float = 0.0) -> None:
        """Build the frames of the next measurement, before anybody waits for it."""
        scope, now = self._scope, self._cases[case]
        rate = self._rate(case, rate)
        guess = rate or max(now.seen, default=FIRST_GUESS_PER_S * now.batch / 4)
        load = now.load
        ahead = now.built // now.batch - load.tally()["asked_frames"] if now.built else 0
        wanted = int(guess * (scope.seconds + scope.warmup_s) * 1.5 / now.batch)
        if wanted > ahead:
            frames = (wanted - ahead) // load.link_count + 1
            now.built += load.prepare(frames, bytes_max=2 << 30)

    def measure(self, case: str, *, rate: float = 0.0) -> Sample:
        """rate: of half_load, when it is not to be half of what c=50 has done so far."""
        scope, now = self._scope, self._cases[case]
        rate = self._rate(case, rate)
        load = now.load
        with on_core(scope.client_core):
            self.prepare(case, rate=rate)
            load.latency.clear()
            load.send_lag.clear()
            before = load.tally()["window_taps"]
            commits = self._commits()
            began, cpu = time.monotonic(), time.process_time()
            load.go(duration_s=scope.seconds, warmup_s=scope.warmup_s, rate=rate, poisson=rate > 0)
            share = (time.process_time() - cpu) / (time.monotonic() - began)
            self.commits[case] = self._commits() - commits
        per_s = (load.tally()["window_taps"] - before) / scope.seconds
        now.seen.append(per_s)
        p50, p99 = (load.latency.percentile(rank) / 1000 for rank in (500, 990))
        return Sample(per_s, p50, p99, round(share, 3))

    def _rate(self, case: str, rate: float) -> float:
        return (rate or self.half_rate()) if case == "half_load" else 0.0

    def _commits(self) -> Commits:
        view = page.PageReader(self.stage.config.page_path).read()
        if view is None:
            raise RuntimeError("the gateway shows no page")
        counts = Counter({n: view[page.COMMIT + n] for n in range(page.BUCKETS)})
        return Commits(counts, view[page.COMMITS], view[page.COMMIT_BYTES])

    def commit_sample(self, case: str) -> Sample:
        """The group commits of a case's last measurement, as the gateway timed them itself."""
        found = self.commits[case]
        span_s = self._scope.seconds + self._scope.warmup_s
        return Sample(found.count / span_s, found.percentile_us(500), found.percentile_us(990))

    @property
    def pid(self) -> int:
        """The gateway's process."""
        return self.stage.pid

    def p999_us(self, case: str) -> float:
        """p99.9 of the last measurement."""
        return self._cases[case].load.latency.percentile(999) / 1000

    def send_lag_p99_us(self, case: str) -> float:
        """How late the generator itself was in the last measurement."""
        return self._cases[case].load.send_lag.percentile(990) / 1000

    @property
    def seconds(self) -> float:
        """Of one measurement."""
        return self._scope.seconds

    @property
    def warmup_s(self) -> float:
        """Before each measurement."""
        return self._scope.warmup_s

    @property
    def client_core(self) -> int | None:
        """Where the load generator runs."""
        return self._scope.client_core

    def half_rate(self) -> float:
        """Half of what c=50 has done so far in this run."""
        seen = self._cases["c50"].seen if "c50" in self._cases else []
        return (median(seen) if seen else FIRST_GUESS_PER_S / 4) / 2

    def about(self) -> Mapping[str, object]:
        config = self.stage.config
        return {
            "accounts": self._scope.accounts,
            "mac": "blake2b",
            "journal": config.journal.kind,
            "commit_thread": config.journal.commit_thread,
            **self.sound,
        }

    def finish(self) -> None:
        """Stop the gateway and look every acknowledged tap up in its journal.

        Raises: AssertionError: one is not there, is there twice, or an answer was wrong.
        """
        status = self.stage.finish()
        totals = {"acked": 0, "lost": 0, "doubled": 0, "faults": 0, "refused": 0}
        for case in self._cases.values():
            found = audit_taps(self.stage.config, case.load, self.stage.opened.position)
            totals["acked"] += found.acked
            totals["lost"] += found.lost
            totals["doubled"] += found.doubled
            tally = case.load.tally()
            totals["faults"] += tally["bad_tags"] + tally["bad_frames"] + tally["lost_connections"]
            totals["refused"] += sum(n for reason, n in tally["by_reason"].items() if reason >= 16)
        self.sound = {**totals, "gateway_status": status}
        if totals["lost"] or totals["doubled"] or totals["faults"] or status:
            raise AssertionError(f"the gateway did not keep its promise: {self.sound}")


@contextmanager
def open_gateway(
    scope: Scope,
    *,
    name: str = "faregate",
    cases: tuple[str, ...] = CASES,
    settings: tuple[tuple[str, str], ...] = (),
    denied: int = 0,
    spare_devices: int = 0,
) -> Iterator[GatewayPeer]:
    """A gateway of its own with sessions for each case; its accounts are in a snapshot.

    Args: denied: media on the deny list. spare_devices: entered and not connected; there are riders
        for them then.
    """
    counts = [1 if case == "c1" else scope.connections for case in cases]
    options = BenchOptions(
        connections=sum(counts),
        accounts=scope.accounts,
        folder=scope.folder,
        settings=(
            ("link.idle_timeout_s", str(IDLE_TIMEOUT_S)),
            ("log.level", "error"),
            ("link.sessions_max", str(sum(counts) + spare_devices + SPARE_SESSIONS)),
            *settings,
        ),
        opening="snapshot",
        denied=denied,
        spare_devices=spare_devices,
    )
    with set_stage(options, scope.server_core, lambda _: None) as stage:
        key = load_secrets(stage.config).master_key
        devices = range(stage.devices.start, stage.devices.start + sum(counts))
        with open_sessions(stage.address, devices, master_key=key, mac=options.mac) as sessions:
            made: dict[str, _Case] = {}
            rest = iter(sessions)
            # Riders are dealt out to the cases: shared ones would check in twice.
            share = scope.accounts // (len(cases) + (spare_devices > 0)) * TOKEN_BYTES
            for at, (case, count) in enumerate(zip(cases, counts, strict=True)):
                batch = scope.batch if case == "c50_batch32" else 0
                mine = BenchOptions(connections=count, accounts=scope.accounts, batch=batch)
                taken = list(islice(rest, count))
                load = build_load(
                    mine, stage.opened.tokens[at * share : (at + 1) * share], stage.stops, taken
                )
                made[case] = _Case(load, max(batch, 1))
            yield GatewayPeer(name, scope, stage, made, stage.opened.tokens[len(cases) * share :])
