"""Why a decision in the journal was made: its rules and acts, in the words of its tariff's file.

A record names its tariff by the key of the compiled form; the files that may have made it are
compiled until one has that key. Source numbers are places in a table, so a file whose comments
changed still answers, with the lines of today.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastpath.api import CompiledTariff
from fastpath.types import Act, MediumKind, Op, Rule
from gateway.errors import TariffError
from gateway.tariffs.explain import TEXTS, RuleNote, explain
from gateway.tariffs.explain_rows import NOTHING_KNOWN, RideFacts
from gateway.tariffs.gtfs.explain import Explainer
from gateway.tariffs.gtfs.loaded import LoadedFeed
from gateway.tariffs.gtfs.register import is_feed_file, load_registered
from gateway.tariffs.loaded import LoadedTariff, load

ANY_RIDER = 0
_FEED_RULES = {"leg": Rule.LEG_RULE, "transfer": Rule.TRANSFER, "join": Rule.JOINED_LEG}


class RecordExplainer:
    """Explains records by the tariff files it is given. Thread: one."""

    def __init__(self, paths: Mapping[str, Path], calendars: tuple[Path, ...] = ()) -> None:
        self._waiting = [path for _, path in sorted(paths.items())]
        self._calendars = calendars
        self._by_key: dict[int, LoadedTariff | LoadedFeed] = {}

    def explain(
        self,
        *,
        rules: int,
        acts: tuple[int, ...],
        tariff_key: int,
        facts: RideFacts = NOTHING_KNOWN,
    ) -> list[RuleNote]:
        """The rules that acted; without file and line when no file compiles to this key.

        Cost: compiles files until one fits, once each.
        """
        tariff = self.find(tariff_key)
        if isinstance(tariff, LoadedTariff):
            return explain(Rule(rules), tariff.source, acts=acts, spec=tariff.spec, facts=facts)
        rows = _rows_of(tariff, acts) if tariff is not None else {}
        found = []
        for rule in Rule:
            if rule & Rule(rules):
                found += rows.get(rule) or [_bare(rule)]
        return found

    def explain_shown(self, record: Mapping[str, Any]) -> list[dict[str, object]]:
        """As `explain`, for a record as `faregate journal show --json` prints it."""
        said = [name for item in record["items"] for name in item.get("acts", ())]
        acts = tuple(_act_of(name) for name in said)
        facts = facts_of(
            Op[str(record.get("op", "context")).upper()],
            stop=record.get("stop", 0),
            other_stop=record.get("other_stop", 0),
            at_us=record.get("fare_ts_us", 0),
        )
        notes = self.explain(
            rules=record["rules"], acts=acts, tariff_key=record["tariff_key"], facts=facts
        )
        return [note.as_dict() for note in notes]

    def find(self, tariff_key: int) -> LoadedTariff | LoadedFeed | None:
        """The tariff whose compiled form has this key."""
        while tariff_key not in self._by_key and self._waiting:
            self._take(self._waiting.pop(0))
        return self._by_key.get(tariff_key)

    def _take(self, path: Path) -> None:
        tariff: LoadedTariff | LoadedFeed
        try:
            if is_feed_file(path):
                tariff = load_registered(path)
                compiled = CompiledTariff.build(tariff.built.spec)
            else:
                tariff = load(path, calendars=self._calendars)
                compiled = CompiledTariff.build(tariff.spec)
        except (TariffError, ValueError):
            return  # a faulty file made no record; `tariff check` says what is wrong with it
        self._by_key[tariff_key_of(compiled)] = tariff


def facts_of(op: int, *, stop: int, other_stop: int, at_us: int) -> RideFacts:
    """What a record says of its ride: whose it was and with what is not in it."""
    if op == Op.CHECK_IN:
        return RideFacts(entry_us=at_us, entry_stop=stop)
    if op == Op.CHECK_OUT:
        return RideFacts(exit_us=at_us, origin_stop=other_stop, exit_stop=stop)
    if op == Op.FLAT:
        return RideFacts(entry_us=at_us, exit_us=at_us, origin_stop=stop, exit_stop=stop)
    return NOTHING_KNOWN


def tariff_key_of(compiled: CompiledTariff) -> int:
    """The key by which records name a compiled tariff: the first 8 bytes of its digest."""
    return int.from_bytes(compiled.digest[:8], "little")


def _rows_of(feed: LoadedFeed, acts: tuple[int, ...]) -> dict[Rule, list[RuleNote]]:
    """Rows of a feed that acted; which product was charged, a record does not say."""
    found: dict[Rule, list[RuleNote]] = {}
    for fields in Explainer(feed, ANY_RIDER, MediumKind.CARD).list_rules(acts):
        rule = _FEED_RULES.get(str(fields["rule"]))
        if rule is not None:
            text, line = TEXTS[rule], int(str(fields["line"]))
            note = RuleNote(rule, text.en, text.zh, str(fields["file"]), "", line)
            found.setdefault(rule, []).append(note)
    return found


def _act_of(said: str) -> int:
    """The number behind "transfer 3"."""
    name, _, number = said.partition(" ")
    return Act[name.upper()] << 24 | int(number)


def _bare(rule: Rule) -> RuleNote:
    text = TEXTS[rule]
    return RuleNote(rule, text.en, text.zh, "", text.key, 0)
