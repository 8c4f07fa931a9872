"""Why a decision in the journal was made: its rules and acts, in the words of its tariff's file.

A record names its tariff by the key of the compiled form; the files that may have made it are
compiled until one has that key. Source numbers are places in a table, so a file whose comments
changed still answers, with the lines of today.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastpath.api import CompiledTariff
from fastpath.types import Rule
from gateway.errors import TariffError
from gateway.tariffs.explain import TEXTS, RuleNote, explain
from gateway.tariffs.loaded import LoadedTariff, load


class RecordExplainer:
    """Explains records by the tariff files it is given. Thread: one."""

    def __init__(self, paths: Mapping[str, Path], calendars: tuple[Path, ...] = ()) -> None:
        self._waiting = [path for _, path in sorted(paths.items())]
        self._calendars = calendars
        self._by_key: dict[int, LoadedTariff] = {}

    def explain(self, *, rules: int, acts: tuple[int, ...], tariff_key: int) -> list[RuleNote]:
        """The rules that acted; without file and line when no file compiles to this key.

        Cost: compiles files until one fits, once each.
        """
        tariff = self.find(tariff_key)
        if tariff is None:
            return [_bare(rule) for rule in Rule if rule & Rule(rules)]
        return explain(Rule(rules), tariff.source, acts=acts, spec=tariff.spec)

    def find(self, tariff_key: int) -> LoadedTariff | None:
        """The tariff whose compiled form has this key."""
        while tariff_key not in self._by_key and self._waiting:
            self._take(self._waiting.pop(0))
        return self._by_key.get(tariff_key)

    def _take(self, path: Path) -> None:
        try:
            tariff = load(path, calendars=self._calendars)
            compiled = CompiledTariff.build(tariff.spec)
        except (TariffError, ValueError):
            return  # a faulty file made no record; `tariff check` says what is wrong with it
        self._by_key[tariff_key_of(compiled)] = tariff


def tariff_key_of(compiled: CompiledTariff) -> int:
    """The key by which records name a compiled tariff: the first 8 bytes of its digest."""
    return int.from_bytes(compiled.digest[:8], "little")


def _bare(rule: Rule) -> RuleNote:
    text = TEXTS[rule]
    return RuleNote(rule, text.en, text.zh, "", text.key, 0)
