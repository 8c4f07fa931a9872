"""Why a tap cost what it cost: each rule in English and Chinese, and where it is written."""

from __future__ import annotations

from dataclasses import dataclass

from fastpath.types import Rule
from gateway.tariffs.source import TariffSource


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
    Rule.SUBSIDY: RuleText("", "paid from the subsidy purse first", "优先使用补贴钱包"),
    Rule.MONEY_ONLY: RuleText(
        "", "money given back, the journey could not be restored", "已退款，行程未能恢复"
    ),
}


def explain(rules: Rule, source: TariffSource, *, group: str = "") -> list[RuleNote]:
    """The rules that acted, by bit. `group` names the price group of the distance."""
    return [_note(rule, source, group) for rule in Rule if rule & rules]


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
    return RuleNote(rule, text.en, text.zh, source.file if text.key else "", named, line)
