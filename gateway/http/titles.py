"""What a problem is called in words a rider can read, English and Chinese.

Codes that name no title of their own have one by their HTTP status.
"""

from __future__ import annotations

from gateway.ledger.words import REASONS, Words

TITLES: dict[str, Words] = {
    "API_INVALID": ("Something in the request is not right", "填写的内容有误"),
    "API_KEY_MISSING": ("Idempotency-Key is missing", "缺少 Idempotency-Key"),
    "API_KEY_REUSED": ("The same key stands for another request", "该请求键已用于其他请求"),
    "API_KEY_SPENT": ("Answered before; a secret is shown once", "该请求已答复，密钥仅显示一次"),
    "API_KEY_IN_FLIGHT": ("The request is still being carried out", "请求正在处理，请稍候"),
    "API_RATE_LIMITED": ("Too many requests", "请求过于频繁，请稍后再试"),
    "API_PRECONDITION": ("The state has changed meanwhile", "信息已变更，请刷新后重试"),
    "API_PRECONDITION_MISSING": ("If-Match is missing", "缺少 If-Match"),
    "API_CONFLICT": ("Not possible in this state", "当前状态下无法办理"),
    "API_OFF": ("Not offered here", "此处不提供该服务"),
    "RATE_LIMITED": ("Too many tries", "尝试次数过多，请稍后再试"),
    "AUTH_MISSING": ("Sign in first", "请先登录"),
    "AUTH_INVALID": ("Not signed in", "登录凭证无效，请重新登录"),
    "AUTH_EXPIRED": ("The sign-in has ended", "登录已过期，请重新登录"),
    "AUTH_SCOPE": ("Not allowed with these rights", "权限不足"),
    "AUTH_FORBIDDEN": ("Not allowed", "无权办理"),
    "AUTH_STEP_UP": ("A second factor is needed", "需要第二重验证"),
    "AUTH_SAME_EYES": ("Somebody else has to approve", "须由另一人复核"),
    "AUTH_PROOF": ("The proof is wrong", "验证未通过"),
    "AUTH_NO_FACTOR": ("No second factor is set up", "尚未设置第二重验证"),
    "AUTH_WEAK_PASSWORD": ("The password is too weak", "密码强度不足"),
    "APPROVAL_NEEDED": ("Waits for a second pair of eyes", "等待复核"),
    "APPROVAL_CLOSED": ("The proposal is closed", "该申请已结束"),
    "CREDIT_EXISTS": ("The account has a credit line already", "账户已开通信用额度"),
    "CREDIT_NOT_FOUND": ("The account has no credit line", "账户未开通信用额度"),
    "CREDIT_NOT_GRANTED": ("No credit line is granted", "未予授信"),
    "CREDIT_PLAN_AMOUNT": ("Not an amount for instalments", "该金额不可分期"),
    "CREDIT_PLAN_TERMS": ("Not a term for instalments", "该期数不可分期"),
    "COMMAND_CEILING": ("Above the highest amount", "超出单笔金额上限"),
    "COMMAND_NOT_MERGED": ("The account cannot be merged yet", "账户暂不可合并"),
    "COMMAND_BUSY": ("Busy, try again", "系统繁忙，请重试"),
    "COMMAND_DISK": ("Nothing can be written at the moment", "暂时无法记账，请稍后重试"),
    "LEDGER_FILE_GONE": ("The file is not there any more", "文件已不存在"),
    "REGISTRY_ERASED": ("The person was erased", "个人资料已抹去"),
    "REGISTRY_EXISTS": ("Exists already", "已存在"),
    "REGISTRY_TAKEN": ("Taken already", "已被占用"),
    "UNCERTAIN_OUTCOME": (
        "The outcome is not known yet: ask, or send the same again",
        "结果尚未确认，请查询或用同一请求键重试",
    ),
}

BY_STATUS: dict[int, Words] = {
    400: ("The request is not right", "请求有误"),
    401: ("Sign in first", "请先登录"),
    402: ("The balance is too low", "余额不足"),
    403: ("Not allowed", "无权办理"),
    404: ("Not found", "未找到"),
    405: ("Not possible here", "此处不支持该操作"),
    409: ("Not possible in this state", "当前状态下无法办理"),
    410: ("Not there any more", "已不存在"),
    412: ("The state has changed meanwhile", "信息已变更，请刷新后重试"),
    413: ("Too large", "内容过大"),
    415: ("Another kind of content is needed", "内容格式不受支持"),
    422: ("Something in the request is not right", "填写的内容有误"),
    428: ("A precondition is missing", "缺少前提条件"),
    429: ("Too many requests", "请求过于频繁，请稍后再试"),
    500: ("Something is wrong on our side", "系统内部错误"),
    503: ("Not available at the moment", "服务暂不可用，请稍后重试"),
    504: ("No answer in time", "处理超时"),
}
_REASONS = {reason.name.lower(): words for reason, words in REASONS.items()}


def title_words(code: str, status: int) -> Words:
    """The title of an error code or a Reason's name."""
    english, chinese = TITLES.get(code) or _REASONS.get(code) or BY_STATUS[status]
    return english[:1].upper() + english[1:], chinese
