"""Why a tap cost what it cost: each rule in English and Chinese, and where it is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

from fastpath.layers import PeriodKind
from fastpath.types import Act, Rule, TariffSpec
from gateway.tariffs.explain_rows import NOTHING_KNOWN, RideFacts, find_row, has_rows
from gateway.tariffs.source import TariffSource


class HasSource(Protocol):
    """A row of a compiled table that knows where it comes from."""

    @property
    def source(self) -> int:
        """Its number in the tariff's table of origins."""
        ...


@dataclass(frozen=True, slots=True)
class RuleText:
    """What a rule does, and the key of the tariff file that sets it; "" = not a tariff's matter."""

    key: str
    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class RuleNote:
    """A rule that acted, ready to print."""

    rule: Rule
    en: str
    zh: str
    file: str
    key: str
    line: int

    def text(self, language: str = "") -> str:
        """The note as a line: in one language, or in both."""
        said = {"en": self.en, "zh": self.zh}.get(language, f"{self.en} {self.zh}")
        where = " ".join(word for word in (f"{self.file}:{self.line}", self.key) if word)
        return f"{said}  [{where}]" if self.line else said

    def as_dict(self) -> dict[str, object]:
        """The note as it goes into JSON."""
        return {
            "rule": rule_name(self.rule),
            "en": self.en,
            "zh": self.zh,
            "file": self.file,
            "key": self.key,
            "line": self.line or None,
        }


TEXTS = {
    Rule.DISTANCE_BAND: RuleText("fare", "priced by distance bands", "按里程分段计价"),
    Rule.BEYOND_BANDS: RuleText(
        "fare", "farther than the last distance band", "超过最后一个里程段后按加价规则计价"
    ),
    Rule.SEPARATE_LINE: RuleText(
        "network.combine", "uses a separately priced line", "含单独计价线路，票价相加"
    ),
    Rule.SAME_STATION: RuleText("journey.same_station", "left at the station of entry", "同站进出"),
    Rule.TIME_DISCOUNT: RuleText(
        "time_discount", "discount by time and place of entry", "按进站时间和车站享受优惠"
    ),
    Rule.MONTHLY_TIER: RuleText(
        "month.tiers", "factor by what was paid this month", "当月累计支出优惠"
    ),
    Rule.OVERSTAY: RuleText(
        "journey.max_stay_min", "stayed longer than allowed", "超过付费区停留时限"
    ),
    Rule.MISSING_CHECK_IN: RuleText(
        "journey.missing_check_in", "no check-in: highest fare", "无进站记录，按最高票价"
    ),
    Rule.MISSING_CHECK_OUT: RuleText(
        "journey.missing_check_out_after_min",
        "the ride before had no check-out: highest fare",
        "上次乘车无出站记录，按最高票价",
    ),
    Rule.OUT_OF_STATION: RuleText(
        "out_of_station", "joined by an out-of-station interchange", "出站换乘，连续计价"
    ),
    Rule.ENTRY_MINIMUM: RuleText(
        "journey.entry_minimum",
        "the balance must reach the entry minimum",
        "余额须不低于进站最低余额",
    ),
    Rule.EXIT_OVERDRAFT: RuleText(
        "journey.exit_overdraft", "the exit may overdraw the balance once", "出站允许透支一次"
    ),
    Rule.FLAT_FARE: RuleText("flat.fare", "one price for a boarding", "单一票价"),
    Rule.MEDIUM_FACTOR: RuleText("medium_factors", "factor of the medium", "按支付介质打折"),
    Rule.DEVICE_AMOUNT: RuleText("", "amount given by the device", "金额由终端给出"),
    Rule.OFFLINE_ACCEPTED: RuleText(
        "clock.offline_days", "accepted by the device while offline", "设备离线放行，事后入账"
    ),
    Rule.RECEIVED_TIME: RuleText(
        "clock", "device clock unsure: time of receipt used", "设备时钟不可靠，按收到时间计"
    ),
    Rule.CREDIT_LINE: RuleText("", "drawn on the credit line", "使用信用额度"),
    Rule.SUBSIDY: RuleText("", "paid from the subsidy purse first", "优先使用补贴子钱包"),
    Rule.MONEY_ONLY: RuleText(
        "", "money given back, the journey could not be restored", "已退款，行程未能恢复"
    ),
    Rule.LEG_RULE: RuleText("fare", "price", "票价"),
    Rule.TRANSFER: RuleText("transfer", "transfer", "换乘优惠"),
    Rule.CAP: RuleText("cap", "cap reached", "达到封顶金额"),
    Rule.PERIOD_TIER: RuleText("tier", "factor by rides or spending in a period", "周期累计优惠"),
    Rule.PASS: RuleText("pass", "covered by a pass", "使用定期票或计次票"),
    Rule.LEG_FACTOR: RuleText(
        "factor", "factor of category, medium or time", "按乘客类别、介质或时段打折"
    ),
    Rule.GROUP_RIDER: RuleText(
        "journey.group_riders", "a further rider on the same medium", "同一介质的同行乘客"
    ),
    Rule.JOINED_LEG: RuleText(
        "join", "continues the ride before: priced as one", "与上一程连续计价"
    ),
    Rule.GIVEN_DISTANCE: RuleText("fare", "distance sent with the tap", "里程由终端给出"),
    Rule.CONCESSION: RuleText("category", "a concession of the rider", "按优惠资格计价"),
    Rule.COUNTED: RuleText("", "counts in the limits of the identity tier", "计入实名等级限额"),
}


def explain(
    rules: Rule,
    source: TariffSource,
    *,
    group: str = "",
    acts: tuple[int, ...] = (),
    spec: TariffSpec | None = None,
    facts: RideFacts = NOTHING_KNOWN,
) -> list[RuleNote]:
    """The rules that acted, by bit; those that are known to the row of their table by that row.

    Args: group: the price group of the distance. acts: as in a decision; spec: what made it.
        facts: what is known of the ride, for rules of which decisions name no row.
    """
    known = list_notes(acts, source, spec) if spec is not None else []
    priced = next((one for one in known if one.rule is Rule.LEG_RULE), None)
    notes: list[RuleNote] = []
    for rule in Rule:
        if not rule & rules:
            continue
        found = [one for one in known if one.rule is rule]
        if found:
            notes += found
        elif priced is not None and rule in _OF_THE_PRICE:
            notes.append(replace(_note(rule, source, group), **_place_of(priced)))
        elif spec is not None and has_rows(rule, source):
            notes.append(_row_note(rule, source, spec, facts))
        else:
            notes.append(_note(rule, source, group))
    return notes


_OF_THE_PRICE = Rule.DISTANCE_BAND | Rule.BEYOND_BANDS | Rule.GIVEN_DISTANCE
"""What the row of the price says as well."""


def _place_of(note: RuleNote) -> dict[str, Any]:
    return {"file": note.file, "key": note.key, "line": note.line}


def _row_note(rule: Rule, source: TariffSource, spec: TariffSpec, facts: RideFacts) -> RuleNote:
    """The row that acted; without file and line when it is not known which."""
    row, text = find_row(rule, source, spec, facts), TEXTS[rule]
    if row is None:
        return RuleNote(rule, text.en, text.zh, "", "", 0)
    if not row.title:
        line = source.key_lines.get(row.key, 0)
        return RuleNote(rule, text.en, text.zh, source.file, row.key, line)
    return _named(rule, source, row.key, row.title)


def list_notes(acts: tuple[int, ...], source: TariffSource, spec: TariffSpec) -> list[RuleNote]:
    """What each act was: the rule's name, file and line, in the order in which they acted."""
    found = [_find_act(act, source, spec) for act in acts]
    return list(dict.fromkeys(note for note in found if note is not None))


def _find_act(act: int, source: TariffSource, spec: TariffSpec) -> RuleNote | None:
    kind, number = Act(act >> 24), act & 0xFF_FFFF
    if kind is Act.TIME_DISCOUNT:
        window = source.windows[number]
        key = f"time_discount.{window.name}"
        return _named(Rule.TIME_DISCOUNT, source, key, window.title)
    if kind is Act.MONTHLY_TIER:
        text, key = TEXTS[Rule.MONTHLY_TIER], f"month.tiers[{number}]"
        line = source.key_lines.get(key, 0)
        return RuleNote(Rule.MONTHLY_TIER, text.en, text.zh, source.file, key, line)
    origin = source.layers.origin(number if kind is Act.LEG else _source_of(kind, number, spec))
    if origin is None:
        return None
    rule = _rule_of(kind, number, spec)
    text, title = TEXTS[rule], origin.title
    en, zh = title.get("en", origin.name), title.get("zh", origin.name)
    return RuleNote(
        rule, f"{text.en}: {en}", f"{text.zh}：{zh}", origin.file, origin.key, origin.line
    )


def _source_of(kind: Act, number: int, spec: TariffSpec) -> int:
    """The source number of a row of one of the tariff's tables; 0 = no such row."""
    if spec.layers is None:
        return 0
    layers = spec.layers
    tables: dict[Act, tuple[HasSource, ...]] = {
        Act.TRANSFER: layers.transfers,
        Act.JOIN: layers.joins,
        Act.SAME_STOP: layers.same_stop,
        Act.PERIOD: layers.period_rules,
        Act.PASS: layers.passes,
    }
    rows = tables.get(kind, ())
    return rows[number].source if number < len(rows) else 0


def _rule_of(kind: Act, number: int, spec: TariffSpec) -> Rule:
    if kind is Act.PERIOD and spec.layers is not None:
        is_cap = spec.layers.period_rules[number].kind is PeriodKind.CAP
        return Rule.CAP if is_cap else Rule.PERIOD_TIER
    return _RULES[kind]


_RULES = {
    Act.LEG: Rule.LEG_RULE,
    Act.TRANSFER: Rule.TRANSFER,
    Act.JOIN: Rule.JOINED_LEG,
    Act.SAME_STOP: Rule.SAME_STATION,
    Act.PASS: Rule.PASS,
}


def _named(rule: Rule, source: TariffSource, key: str, title: dict[str, str]) -> RuleNote:
    text, line = TEXTS[rule], source.key_lines.get(key, 0)
    en, zh = f"{text.en}: {title['en']}", f"{text.zh}：{title['zh']}"
    return RuleNote(rule, en, zh, source.file, key, line)


def rule_name(rule: Rule) -> str:
    """The rule as data: distance_band."""
    return (rule.name or str(int(rule))).lower()


def rule_names(rules: Rule) -> list[str]:
    """All rules that acted, as data."""
    return [rule_name(rule) for rule in Rule if rule & rules]


def _note(rule: Rule, source: TariffSource, group: str) -> RuleNote:
    text = TEXTS[rule]
    named = f"{text.key}.{group}" if text.key == "fare" and group else text.key
    line = source.key_lines.get(named, 0)
    if not line:  # not a tariff's matter, or a default that its file does not say
        return RuleNote(rule, text.en, text.zh, "", "", 0)
    return RuleNote(rule, text.en, text.zh, source.file, named, line)
