"""The floor: bare echoes over uvloop and a C epoll server, and raw fdatasync."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.peers_common import Sample, Scope, on_core
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
    """pwrite of 4,096 bytes and fdatasync, one after the other, in a file written out before."""

    name = "fdatasync"
    cases = ("c1",)

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def measure(self, case: str) -> Sample:
        scope = self._scope
        with on_core(scope.server_core):
            taken = measure_fsync(scope.folder, block_bytes=BLOCK_BYTES, seconds=scope.seconds)
        p50, p99 = (taken.percentile(rank) / 1000 for rank in (500, 990))
        return Sample(taken.count / scope.seconds, p50, p99)

    def about(self) -> Mapping[str, object]:
        return {"filesystem": find_filesystem(self._scope.folder), "block_bytes": BLOCK_BYTES}
