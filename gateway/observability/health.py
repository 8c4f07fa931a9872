"""Readiness, judged from the shared page alone: a stuck data plane is seen from outside."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.clock import US_PER_S
from gateway.config import Config
from gateway.observability import page
from gateway.observability.page import CommitState, DiskState, PageView, PlaneState


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    detail: str


def check_readiness(view: PageView | None, config: Config, now_us: int) -> list[Check]:
    """Whether validators can be served; all checks, in the order of their weight."""
    if view is None:
        return [Check("data_plane", ok=False, detail="no status page: it has not started yet")]
    return [
        _data_plane(view),
        _heartbeat(view, now_us, config.http.heartbeat_max_age_s),
        _commit(view, now_us, config.http.commit_max_s),
        _disk(view),
        *(_tariff(view, slot, name) for slot, name in config.tariffs.by_slot().items()),
    ]


def _data_plane(view: PageView) -> Check:
    state = view[page.STATE]
    if not view.writer_lives():
        return Check("data_plane", ok=False, detail=f"its process {view[page.PID]} is gone")
    return Check("data_plane", ok=state == PlaneState.READY, detail=_name(PlaneState, state))


def _heartbeat(view: PageView, now_us: int, max_age_s: float) -> Check:
    age_us = now_us - view[page.HEARTBEAT_US]
    # One from the future is no newer than any other: the clock was set back since.
    fresh = abs(age_us) <= max_age_s * US_PER_S
    return Check("heartbeat", ok=fresh, detail=f"{age_us / US_PER_S:.3f} s old")


def _commit(view: PageView, now_us: int, max_s: float) -> Check:
    if view[page.COMMIT_STATE] != CommitState.WRITING:
        return Check("commit", ok=True, detail="idle")
    for_us = now_us - view[page.COMMIT_SINCE_US]
    return Check(
        "commit",
        ok=abs(for_us) <= max_s * US_PER_S,
        detail=f"writing for {for_us / US_PER_S:.3f} s",
    )


def _disk(view: PageView) -> Check:
    state = view[page.DISK_STATE]
    usable = state in (DiskState.OK, DiskState.WARN)
    return Check("disk", ok=usable, detail=_name(DiskState, state))


def _tariff(view: PageView, slot: int, name: str) -> Check:
    key = view.tariff_key(slot)
    said = f"{name}, key {key:016x}" if key else f"{name} is not in force"
    return Check(f"tariff_{slot}", ok=key != 0, detail=said)


def _name(kind: type[PlaneState] | type[DiskState], value: int) -> str:
    return kind(value).name.lower() if value in set(kind) else f"unknown state {value}"
