"""Does the harness notice? Copies of the sources with one promise taken out, each run through it.

A harness that finds nothing proves nothing unless it finds these. The untouched copy runs beside
them with the same seeds and has to pass.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
COPIED = (
    *("fastpath", "gateway", "adapters", "benchmarks", "tests", "config"),
    *("setup.py", "pyproject.toml", "README.md", "LICENSE"),
)
FIRST_WORD_OF_A_FAULT = 400


@dataclass(frozen=True, slots=True)
class Patch:
    """Text that must occur exactly once in a file, and what takes its place."""

    path: str
    old: str
    new: str

    def applied(self, text: str) -> str:
        """The file's text, spoilt. Raises: SystemExit: it changed, and the patch has to follow."""
        if text.count(self.old) != 1:
            raise SystemExit(f"{self.path} has changed, the patch of {self.old!r} must follow it")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Mutation:
    """A spoilt build and the layers of the harness that have to catch it."""

    name: str
    patches: tuple[Patch, ...]
    layers: tuple[tuple[str, ...], ...]
    rebuild: str = ""


POWER = ("--power-cuts", "60")
SCHEDULES = ("--schedules", "60")
ROUNDS = ("--rounds", "3")
LAYERED_ROUNDS = (*ROUNDS, "--tariff", "layered")
COMMIT = "gateway/engine/commit.py"
MUTATIONS = (
    Mutation("none", (), (POWER, SCHEDULES, ROUNDS, LAYERED_ROUNDS)),
    Mutation(
        "no_fsync",
        # Of groups: without that of a segment's head as well, a start is refused before anything
        # can be counted as lost.
        (
            Patch(
                "gateway/journal/writer.py",
                "        self._sync()\n\n    def _sync(self)",
                "\n    def _sync(self)",
            ),
        ),
        (POWER, SCHEDULES),
    ),
    Mutation(
        "no_dsync",
        (
            Patch(
                "gateway/journal/appending.py",
                'self._write_synced = getattr(files, "pwrite_synced", None)',
                'self._write_synced = getattr(files, "pwrite_synced", None) and files.pwrite',
            ),
        ),
        (POWER, SCHEDULES),
    ),
    Mutation(
        "answer_before_commit",
        (
            Patch(
                COMMIT,
                "        self.journal.append(self._position, group)\n",
                "        self._on_output(self.engine.commit(0))\n"
                "        self.journal.append(self._position, group)\n",
            ),
            Patch(
                COMMIT,
                "            under_way = appends.begin(self._position, group)\n",
                "            self._on_output(self.engine.commit(0))\n"
                "            under_way = appends.begin(self._position, group)\n",
            ),
            Patch(
                COMMIT,
                "        sessions = self.engine.commit(time.monotonic_ns() // 1000)\n",
                "        sessions = self.engine.commit(0) if self.engine.is_writing else []\n",
            ),
        ),
        (POWER, SCHEDULES),
    ),
    Mutation(
        "no_deduplication",
        (
            Patch(
                "fastpath/_engine_taps.pyx",
                "if state == SEQ_SEEN:\n        return repeat_tap(engine,",
                "if state == SEQ_SEEN and tap.device == 0:\n        return repeat_tap(engine,",
            ),
        ),
        (SCHEDULES, ROUNDS),
        rebuild="_engine_taps",
    ),
    Mutation(
        "no_counters_after_recovery",
        # Caps and tiers begin anew. No money is wrong by itself: only who prices the rides sees it.
        (
            Patch(
                "fastpath/_accounts_recovery.pyx",
                "    memcpy(cell_at(store, item.index), item.image, sizeof(Cell))\n",
                "    memcpy(cell_at(store, item.index), item.image, sizeof(Cell))\n"
                "    if cell_at(store, item.index).type == 2:\n"
                "        memset(cell_at(store, item.index).bytes, 0, 48)\n",
            ),
        ),
        (SCHEDULES, LAYERED_ROUNDS),
        rebuild="_accounts_recovery",
    ),
)


def run_mutations(options: argparse.Namespace, console: Console) -> tuple[dict[str, Any], bool]:
    """All of them; true when each was caught by every layer it names and the untouched passed."""
    report: dict[str, Any] = {}
    for mutation in MUTATIONS:
        folder = Path(tempfile.mkdtemp(prefix="mutation-", dir=options.dir))
        try:
            make_copy(folder, mutation)
            found = {
                " ".join(layer): run_layer(folder, layer, options) for layer in mutation.layers
            }
        finally:
            shutil.rmtree(folder)
        report[mutation.name] = found
        for layer, outcome in found.items():
            console.print(f"{mutation.name} {layer}: {outcome['verdict']}")
    wanted = {"none": "passed"}
    ok = all(
        outcome["verdict"] == wanted.get(name, "caught")
        for name, found in report.items()
        for outcome in found.values()
    )
    return report | {"ok": ok}, ok


def make_copy(folder: Path, mutation: Mutation) -> None:
    """The sources with the patches in, built as far as they changed."""
    ignore = shutil.ignore_patterns("__pycache__", "*.html")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy2(source, folder / name)
    for patch in mutation.patches:
        path = folder / patch.path
        path.write_text(patch.applied(path.read_text()))
    if mutation.rebuild:
        environment = os.environ | {"FAREGATE_ONLY": mutation.rebuild}
        build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--force"]
        subprocess.run(build, cwd=folder, env=environment, check=True, capture_output=True)


def run_layer(folder: Path, layer: tuple[str, ...], options: argparse.Namespace) -> dict[str, Any]:
    """One run of the harness inside the copy."""
    command = [sys.executable, "-m", "benchmarks.crash", *layer, "--json"]
    command += ["--seed", str(options.seed), "--dir", str(folder), "--jobs", str(options.jobs)]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return {"verdict": "passed"}
    lines = done.stdout.strip().splitlines()
    if not lines:
        return {"verdict": "fell over", "detail": done.stderr[-FIRST_WORD_OF_A_FAULT:]}
    said = json.loads(lines[-1])
    return _verdict(said)


def _verdict(said: dict[str, Any]) -> dict[str, Any]:
    """Caught means: named as lost, doubled or altered, not just an error somewhere."""
    violations = [one for one in said.get("failures", []) if one["is_violation"]]
    counted = {name: said[name] for name in ("lost", "doubled", "altered") if said.get(name)}
    if not violations and not counted:
        return {"verdict": "fell over", "detail": str(said)[-FIRST_WORD_OF_A_FAULT:]}
    shown = violations[0]["detail"][:FIRST_WORD_OF_A_FAULT] if violations else counted
    return {"verdict": "caught", "failed": said.get("failed", 1), "first": shown}
