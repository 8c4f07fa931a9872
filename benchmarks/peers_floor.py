"""The floor: bare echoes over uvloop and a C epoll server, and raw fdatasync."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.peers_common import Sample, Scope, on_core
from benchmarks.peers_gateway import Commits, GatewayPeer
from gateway.bench.echo import EchoOptions, measure_echo
from gateway.bench.fsync import find_filesystem, measure_fsync

BLOCK_BYTES = 4096


class EchoPeer:
    """The load generator's own frames, sent back: the ceiling of the generator."""

    def __init__(self, kind: str, scope: Scope) -> None:
        self.name = f"echo {kind}"
        self.cases = ("c1", "c50", "c50_batch32")
        self._kind = kind
        self._scope = scope

    def measure(self, case: str) -> Sample:
        scope = self._scope
        found = measure_echo(
            EchoOptions(
                server=self._kind,
                connections=1 if case == "c1" else scope.connections,
                batch=scope.batch if case == "c50_batch32" else 0,
                seconds=min(scope.seconds, 1.0),
                warmup_s=scope.warmup_s,
                pin=scope.client_core is not None,
            )
        )
        return Sample(found["taps_per_s"], found["p50_us"], found["p99_us"], found["client_cpu"])

    def about(self) -> Mapping[str, object]:
        return {"client": "gateway.bench._load"}


class FsyncPeer:
    """pwrite and fdatasync in a file written out before, on the server's core.

    c1: 4,096 bytes back to back. half_load_groups: as many bytes as the gateway's groups had at
    half load in the same round, back to back. half_load_paced: the same, at the gateway's pace.
    Nothing else of this run works meanwhile: it is the disk alone, not the disk under load.
    """

    name = "fdatasync"
    cases: tuple[str, ...] = ("c1",)

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._gateway: GatewayPeer | None = None

    def follow(self, gateway: GatewayPeer) -> None:
        """Take sizes and pace from this gateway's last half load."""
        self._gateway = gateway
        self.cases = ("c1", "half_load_groups", "half_load_paced")

    def measure(self, case: str) -> Sample:
        scope, commits = self._scope, self._commits(case)
        block = max(commits.mean_bytes, 512) if commits else BLOCK_BYTES
        span_s = scope.seconds + scope.warmup_s
        pace = commits.count / span_s if commits and case == "half_load_paced" else 0.0
        with on_core(scope.server_core):
            taken = measure_fsync(
                scope.folder, block_bytes=block, seconds=scope.seconds, per_s=pace
            )
        p50, p99 = (taken.percentile(rank) / 1000 for rank in (500, 990))
        return Sample(taken.count / scope.seconds, p50, p99)

    def _commits(self, case: str) -> Commits | None:
        if case == "c1" or self._gateway is None:
            return None
        found = self._gateway.commits.get("half_load")
        return found if found is not None and found.count else None

    def about(self) -> Mapping[str, object]:
        commits = self._commits("half_load_groups")
        return {
            "filesystem": find_filesystem(self._scope.folder),
            "block_bytes": BLOCK_BYTES,
            "group_bytes": commits.mean_bytes if commits else None,
        }
