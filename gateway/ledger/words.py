"""Words of statements, English and Chinese: what a record was, what it was for."""

from __future__ import annotations

from fastpath.types import Op, Purpose, Reason, Rule
from gateway.tariffs.explain import TEXTS

Words = tuple[str, str]

OPS: dict[Op, Words] = {
    Op.CHECK_IN: ("check-in", "进站"),
    Op.CHECK_OUT: ("ride", "乘车"),
    Op.FLAT: ("ride", "乘车"),
    Op.REVERSAL: ("reversal: the rider did not pass", "撤销：乘客未通过"),
    Op.SETTLEMENT: (
        "correction: validator and gateway had decided otherwise",
        "终端与系统差异更正",
    ),
    Op.CONTEXT: ("vehicle moved on", "车辆到站"),
    Op.ACCOUNT_OPEN: ("account opened", "开户"),
    Op.ACCOUNT_CLOSE: ("account closed", "销户"),
    Op.CREDIT: ("top-up", "充值"),
    Op.DEBIT: ("payment", "付款"),
    Op.FREEZE: ("frozen", "冻结"),
    Op.UNFREEZE: ("unfrozen", "解冻"),
    Op.SET_CREDIT_LIMIT: ("credit limit set", "设置信用额度"),
    Op.SET_CATEGORY: ("rider category set", "设置乘客类别"),
    Op.MEDIUM_LINK: ("medium linked", "绑定介质"),
    Op.MEDIUM_STATE: ("medium's state changed", "介质状态变更"),
    Op.ADJUST: ("adjustment", "调账"),
    Op.PASS_ADD: ("pass bought", "购买定期票"),
    Op.PASS_REMOVE: ("pass given back", "退定期票"),
    Op.CONCESSION: ("concession", "优惠资格"),
    Op.RERATE: ("fares re-rated", "票价重算"),
    Op.PURSE_OPEN: ("purse opened", "开立钱包"),
    Op.PURSE_CLOSE: ("purse closed", "关闭钱包"),
    Op.PURSE_SWEEP: ("expired purse returned to its sponsor", "到期钱包余额退回"),
    Op.HOLD_PLACE: ("amount held", "预授权"),
    Op.HOLD_CAPTURE: ("payment from a hold", "预授权完成"),
    Op.HOLD_RELEASE: ("hold released", "预授权撤销"),
    Op.HOLD_EXTEND: ("hold extended", "预授权延期"),
    Op.HOLD_EXPIRE: ("hold expired", "预授权到期"),
    Op.REFUND: ("refund", "退款"),
    Op.SET_TIER: ("identity tier set", "设置实名等级"),
    Op.CREDIT_STATE: ("credit line's state changed", "信用状态变更"),
    Op.PLAN_OPEN: ("moved into an instalment plan", "转入分期"),
    Op.PLAN_REPAY: ("instalment paid", "分期还款"),
    Op.WRITE_OFF: ("debt written off", "坏账核销"),
    Op.MEDIUM_MOVE: ("medium moved to another account", "介质转移"),
}

REASONS: dict[Reason, Words] = {
    Reason.OK_DEBT: ("posted as a debt", "记为欠款"),
    Reason.OK_OVERDRAFT: ("the balance was overdrawn", "余额透支"),
    Reason.OK_RISK: ("at the operator's risk", "运营方承担"),
}

HOLD_OPS = frozenset(
    {Op.HOLD_PLACE, Op.HOLD_CAPTURE, Op.HOLD_RELEASE, Op.HOLD_EXTEND, Op.HOLD_EXPIRE}
)


def words_of(op: int) -> Words:
    """What a record was; its number when a newer program wrote it."""
    try:
        return OPS[Op(op)]
    except (ValueError, KeyError):
        return f"operation {op}", f"操作 {op}"


def purpose_name(purpose: int) -> str:
    """`transit`, `meal` ...; `purpose_8` for an operator's own."""
    try:
        return Purpose(purpose).name.lower()
    except ValueError:
        return f"purpose_{purpose}"


def parse_purpose(name: str) -> int:
    """Back from the name. Raises: ValueError."""
    if name.upper() in Purpose.__members__:
        return int(Purpose[name.upper()])
    return int(name.removeprefix("purpose_"))


def why(rules: int, reason: int) -> list[Words]:
    """The rules that acted, and what the reason adds, without files and lines."""
    found = [(TEXTS[rule].en, TEXTS[rule].zh) for rule in Rule if rule & rules and rule in TEXTS]
    if reason in set(REASONS):
        found.append(REASONS[Reason(reason)])
    return found
