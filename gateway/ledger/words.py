"""Words for riders, English and Chinese: what a record was, why, what was refused, what is told."""

from __future__ import annotations

from fastpath.types import FactFlag, Op, Purpose, Reason, Rule
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
    Op.PURSE_OPEN: ("purse opened", "开立子钱包"),
    Op.PURSE_CLOSE: ("purse closed", "关闭子钱包"),
    Op.PURSE_SWEEP: ("expired purse returned to its sponsor", "到期子钱包余额退回"),
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
    Reason.OK: ("done", "成功"),
    Reason.OK_OVERDRAFT: ("the balance was overdrawn", "余额透支"),
    Reason.OK_DEBT: ("posted as a debt", "记为欠款"),
    Reason.OK_RISK: ("at the operator's risk", "运营方承担"),
    Reason.BUSY: ("busy, try again", "系统繁忙，请重试"),
    Reason.JOURNAL_FULL: ("nothing can be written at the moment", "暂时无法记账，请稍后重试"),
    Reason.OP_TOO_OLD: ("too long ago to be done now", "操作时间过久，已无法办理"),
    Reason.OP_CONFLICT: ("the same number stands for something else", "同一操作编号的内容不一致"),
    Reason.BAD_REQUEST: ("the request cannot be understood", "请求内容有误"),
    Reason.BAD_TIME: ("the time is wrong", "时间有误"),
    Reason.OUT_OF_SERVICE: ("out of service", "暂停服务"),
    Reason.TARIFF_NOT_LOADED: ("no tariff is in force here", "暂无可用票价"),
    Reason.UNKNOWN_STOP: ("unknown stop", "站点不存在"),
    Reason.UNKNOWN_MEDIUM: ("unknown medium", "介质未登记"),
    Reason.UNKNOWN_ACCOUNT: ("unknown account", "账户不存在"),
    Reason.DENYLISTED: ("the medium is on the deny list", "介质已列入禁用名单"),
    Reason.MEDIUM_LOST: ("the medium was reported lost", "介质已挂失"),
    Reason.MEDIUM_EXPIRED: ("the medium has expired", "介质已过期"),
    Reason.ACCOUNT_CLOSED: ("the account is closed", "账户已销户"),
    Reason.ACCOUNT_FROZEN: ("the account is frozen", "账户已冻结"),
    Reason.CURRENCY_MISMATCH: ("another currency than the account's", "币种与账户不符"),
    Reason.VERSION_CONFLICT: ("the account has changed meanwhile", "账户信息已变更，请刷新后重试"),
    Reason.PASSBACK: ("used here a moment ago", "刚刚刷过，请勿重复"),
    Reason.ALREADY_IN: ("already checked in", "已有进站记录"),
    Reason.NOT_CHECKED_IN: ("not checked in", "无进站记录"),
    Reason.NOT_PRICED: ("the tariff has no price for this ride", "该行程没有对应票价"),
    Reason.AMOUNT_INVALID: ("the amount is not allowed", "金额无效"),
    Reason.UNKNOWN_PURSE: ("unknown purse", "子钱包不存在"),
    Reason.UNKNOWN_HOLD: ("unknown hold", "预授权不存在"),
    Reason.UNKNOWN_PLAN: ("unknown instalment plan", "分期计划不存在"),
    Reason.UNKNOWN_CHARGE: ("unknown payment", "原交易不存在"),
    Reason.HOLD_EXPIRED: ("the hold has expired", "预授权已到期"),
    Reason.NOT_EXPIRED: ("not expired yet", "尚未到期"),
    Reason.OVER_CAPTURE: ("more than was held", "超出预授权金额"),
    Reason.OVER_REFUND: ("more than was paid", "退款超出原付款金额"),
    Reason.AMOUNT_OVERFLOW: ("the amount is too large", "金额过大"),
    Reason.CREDIT_LATE: ("a repayment is overdue", "信用还款已逾期"),
    Reason.INSUFFICIENT_BALANCE: ("the balance is too low", "余额不足"),
    Reason.LIMIT_EXCEEDED: ("above the limit of the identity tier", "超出实名等级的限额"),
    Reason.BALANCE_LIMIT: ("the balance would be above its limit", "余额将超出上限"),
    Reason.ALREADY_EXISTS: ("exists already", "已存在"),
    Reason.TOO_MANY_ACCOUNTS: ("no room for another account", "账户数量已达上限"),
    Reason.TOO_MANY_MEDIA: ("no room for another medium", "介质数量已达上限"),
    Reason.TOO_MANY_CELLS: ("the account holds no more entries", "账户内的条目已达上限"),
    Reason.NOTHING_TO_REVERSE: ("nothing to be undone", "没有可撤销的交易"),
    Reason.OFFLINE_REFUSED: ("refused by the device while offline", "设备离线时已拒绝"),
    Reason.HOLD_OPEN: ("a hold is still open", "仍有未完成的预授权"),
    Reason.BALANCE_NOT_ZERO: ("the balance is not zero", "余额不为零"),
}

NOTICES: dict[str, Words] = {
    "account_frozen": ("Your account was frozen", "您的账户已冻结"),
    "account_unfrozen": ("A freeze of your account has ended", "您账户的一项冻结已解除"),
    "budget_near": ("Your budget is nearly used up", "您的预算即将用完"),
    "budget_over": ("Your budget is used up", "您的预算已超出"),
    "credit_due": ("Your statement is due in a few days", "您的账单即将到期，请按时还款"),
    "credit_late": ("Your statement is overdue", "您的账单已逾期"),
    "credit_statement": ("Your statement is ready", "您的账单已出"),
    "medium_linked": ("A card or phone now pays from your account", "您的账户已绑定新的卡片或手机"),
    "medium_lost": ("A card or phone was reported lost", "您的卡片或手机已挂失"),
    "payout_refused": ("A payout did not go through", "转出未成功"),
    "purse_ending": ("Money in a purse of yours expires soon", "您的专用余额即将到期"),
    "topup_failed": ("Your automatic top-up has stopped", "您的自动充值已暂停"),
}
"""Every kind of notice to an owner."""

HOLD_OPS = frozenset(
    {Op.HOLD_PLACE, Op.HOLD_CAPTURE, Op.HOLD_RELEASE, Op.HOLD_EXTEND, Op.HOLD_EXPIRE}
)


FLOWS: dict[tuple[int, int], Words] = {
    (Op.DEBIT, FactFlag.PAYOUT): ("paid out to a bank account", "转出至银行账户"),
    (Op.CREDIT, FactFlag.PAYOUT): ("a payout came back", "转出退回"),
    (Op.ADJUST, FactFlag.PAYOUT): ("a transfer in was taken back by the bank", "银行撤回入账"),
    (Op.DEBIT, FactFlag.TRANSFER): ("moved to another account", "转至其他账户"),
    (Op.CREDIT, FactFlag.TRANSFER): ("moved from another account", "自其他账户转入"),
    (Op.REFUND, FactFlag.TRANSFER): ("came back from another account", "转账退回"),
    (Op.REFUND, FactFlag.FARE): ("fare given back", "退还车费"),
}
"""What a flag of its facts makes of a record."""


def words_of(op: int, flags: int = 0) -> Words:
    """What a record was; its number when a newer program wrote it."""
    flow = flags & (FactFlag.PAYOUT | FactFlag.TRANSFER | FactFlag.FARE)
    if (op, flow) in FLOWS:
        return FLOWS[op, flow]
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
    try:
        return int(name.removeprefix("purpose_"))
    except ValueError as error:
        known = ", ".join(purpose.name.lower() for purpose in Purpose)
        raise ValueError(f"{name!r} is no purpose: one of {known}, or its number") from error


def why(rules: int, reason: int) -> list[Words]:
    """The rules that acted, and what the reason adds, without files and lines."""
    found = [(TEXTS[rule].en, TEXTS[rule].zh) for rule in Rule if rule & rules and rule in TEXTS]
    if Reason.OK < reason < Reason.BUSY and reason in set(Reason):
        found.append(REASONS[Reason(reason)])
    return found


def notice_words(kind: str) -> Words:
    """What an owner is told; the kind itself when a newer program wrote it."""
    return NOTICES.get(kind, (kind, kind))
