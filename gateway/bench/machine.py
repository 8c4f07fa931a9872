"""What a figure was measured on: processor, kernel, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ("faregate", "uvloop", "msgpack", "cython")
SOURCES = Path(__file__).resolve().parents[2]


def find_cpu_model() -> str:
    """As the kernel names it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def find_commit() -> str:
    """Commit of the sources, with + when files differ from it; "unknown" outside of a checkout."""
    command = ["git", "-C", str(SOURCES), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def list_versions() -> dict[str, str]:
    """Python, kernel and the packages that matter here."""
    found = {"python": platform.python_version(), "kernel": platform.release()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def choose_cores() -> tuple[int, int] | None:
    """Cores for the client and the server; None when there are not two."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else None
