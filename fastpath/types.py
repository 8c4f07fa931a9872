"""Shared vocabulary of the engine: enums that equal the C enums, limits, and the compiled form of a
tariff.

Must not import anything but the standard library and fastpath.layers. `fastpath/_layout.pxd`
repeats the numbers for C; a test compares them. Money is int minor units of the account's
currency; instants are int microseconds UTC; 0 means never or none.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from fastpath.layers import Layers

ENGINE_VERSION = 3
"""Raised whenever a decision could change; written into every journal group."""

STRUCT_VERSION = 1
"""Equals FAREGATE_STRUCT_VERSION of layout.h."""

FACTOR_ONE_PPM = 1_000_000
"""A factor of 1 in parts per million: factors are integers so that no float comes near money."""


class TapKind(IntEnum):
    """What the validator was used for."""

    CHECK_IN = 1
    CHECK_OUT = 2
    FLAT = 3
    INSPECT = 4


class MediumKind(IntEnum):
    """What carried the token; tariffs may price by it."""

    CARD = 1
    PHONE = 2
    QR = 3
    EMV = 4
    WRISTBAND = 5
    BLE = 6


class MediumState(IntEnum):
    """A medium's standing; 0 marks a free table entry."""

    ACTIVE = 1
    LOST = 2
    EXPIRED = 3
    REPLACED = 4
    DENYLISTED = 5


class AccountStatus(IntFlag):
    """Bits of the account's status; none set = active."""

    FROZEN_DEBIT = 1
    FROZEN_CREDIT = 2
    CLOSED = 4
    CREDIT_LATE = 8
    """The credit line is overdue: nothing new is drawn on it but the way home."""


class JourneyState(IntEnum):
    """Line 1 of the account: nothing, an open journey, or the last one."""

    NONE = 0
    OPEN = 1
    DONE = 2


class Verdict(IntEnum):
    """What the gate should do."""

    DENY = 0
    OPEN = 1
    OPEN_WITH_DEBT = 2
    RETRY = 3


class Reason(IntEnum):
    """Why, declared in order of precedence: of two reasons that hold, the first declared is told.

    Numbers are never reused. 1-15 accept; 16 and above refuse.
    """

    BUSY = 16
    JOURNAL_FULL = 17
    OP_TOO_OLD = 18
    OP_CONFLICT = 19
    BAD_REQUEST = 20
    BAD_TIME = 21
    OUT_OF_SERVICE = 22
    TARIFF_NOT_LOADED = 23
    UNKNOWN_STOP = 24
    UNKNOWN_MEDIUM = 25
    UNKNOWN_ACCOUNT = 26
    DENYLISTED = 27
    MEDIUM_LOST = 28
    MEDIUM_EXPIRED = 29
    ACCOUNT_CLOSED = 30
    ACCOUNT_FROZEN = 31
    CURRENCY_MISMATCH = 32
    VERSION_CONFLICT = 33
    PASSBACK = 34
    ALREADY_IN = 35
    NOT_CHECKED_IN = 36
    NOT_PRICED = 37
    AMOUNT_INVALID = 38
    UNKNOWN_PURSE = 54
    UNKNOWN_HOLD = 50
    UNKNOWN_PLAN = 57
    UNKNOWN_CHARGE = 55
    HOLD_EXPIRED = 51
    NOT_EXPIRED = 52
    OVER_CAPTURE = 58
    OVER_REFUND = 53
    AMOUNT_OVERFLOW = 39
    CREDIT_LATE = 56
    INSUFFICIENT_BALANCE = 40
    LIMIT_EXCEEDED = 48
    BALANCE_LIMIT = 49
    ALREADY_EXISTS = 41
    TOO_MANY_ACCOUNTS = 42
    TOO_MANY_MEDIA = 43
    TOO_MANY_CELLS = 44
    NOTHING_TO_REVERSE = 45
    OFFLINE_REFUSED = 46
    HOLD_OPEN = 59
    BALANCE_NOT_ZERO = 47
    OK_RISK = 3
    OK_DEBT = 2
    OK_OVERDRAFT = 1
    OK = 0

    @property
    def accepted(self) -> bool:
        """Whether the operation took effect."""
        return self < Reason.BUSY


ACCEPTED = frozenset(reason.name.lower() for reason in Reason if reason.accepted)
"""The names of those with which an operation took effect, as answers say them."""


class Op(IntEnum):
    """What a journal record is about. 1-15 come from validators, 16 and above from the control
    plane.
    """

    CHECK_IN = 1
    CHECK_OUT = 2
    FLAT = 3
    REVERSAL = 5
    SETTLEMENT = 6
    """A disagreement between device and server settled (docs/protocol.md, four cells)."""
    CONTEXT = 7
    ACCOUNT_OPEN = 16
    ACCOUNT_CLOSE = 17
    CREDIT = 18
    DEBIT = 19
    FREEZE = 20
    UNFREEZE = 21
    SET_CREDIT_LIMIT = 22
    SET_CATEGORY = 23
    MEDIUM_LINK = 24
    MEDIUM_STATE = 25
    ADJUST = 26
    PASS_ADD = 27
    """Put a pass on the account and take its price (amount_minor, may be 0) from it."""
    PASS_REMOVE = 28
    CONCESSION = 29
    """A rider category for a span of time: beats the account's own while it lasts."""
    RERATE = 30
    """Journeys and periods priced again from history: the difference, and the totals as they are
    now.
    """
    PURSE_OPEN = 31
    PURSE_CLOSE = 32
    PURSE_SWEEP = 33
    """What is left in an expired purse goes back to its sponsor."""
    HOLD_PLACE = 34
    HOLD_CAPTURE = 35
    HOLD_RELEASE = 36
    HOLD_EXTEND = 37
    HOLD_EXPIRE = 38
    REFUND = 39
    """Give back of a DEBIT or HOLD_CAPTURE, never more than it took."""
    SET_TIER = 40
    CREDIT_STATE = 41
    PLAN_OPEN = 42
    PLAN_REPAY = 43
    WRITE_OFF = 44
    MEDIUM_MOVE = 45


class Item(IntEnum):
    """Types of after-image in a journal record."""

    ACCOUNT_LINE = 1
    CELL = 2
    MEDIUM = 3
    NOTE = 4
    """64 bytes of UTF-8, zero padded: who gave the command (line 0), its outside reference (1), why
    (2), the idempotency key of its request (3).
    """
    ORIGINAL = 5
    """In a reversal: boot epoch (u64) and sequence (u32) of the tap of this device it undoes."""
    ACTS = 6
    """Which rules of the tariff acted, in their order: up to 16 u32, each Act << 24 | number of the
    rule in the tariff's table (for LEG: the source number); 0 = end.
    """
    FACTS = 7
    """What a wallet command asked for beyond the head (Facts of layout.h)."""
    PARTS = 8
    """Purse cells that money came from or went back to: four times purse id, amount."""


class FactFlag(IntFlag):
    """Bits of Facts.flags."""

    FINAL = 1
    """A capture that ends the hold: the rest is released."""
    LATE = 2
    """CREDIT_STATE: the credit line is late."""
    WAY_HOME = 4
    """A payment that a late state does not keep from the credit line."""
    PAYOUT = 8
    """DEBIT of purse 0: the account's own money goes out to a bank account; CREDIT: it came back;
    ADJUST: the bank took back what it had brought. No limit asks, none counts.
    """
    TRANSFER = 16
    """DEBIT, CREDIT: money on its way from one account to another. Nothing is spent: the limits on
    spending neither ask nor count, and purse 0 is the account's own money.
    """
    FARE = 32
    """REFUND: the charge is a tap's fare, named by device, boot and number."""
    FEE = 64
    """DEBIT: a fee of the house, for being late."""


OWN_MONEY = FactFlag.PAYOUT | FactFlag.TRANSFER
"""Nothing that these mark is spent, and no credit line pays for it. A refund has its charge's."""


class Purpose(IntEnum):
    """What a payment is for. 8-31 are free for an operator's own; NONE fits no purse but the main
    one.
    """

    TRANSIT = 0
    MEAL = 1
    MEDICAL = 2
    LIBRARY = 3
    TUITION = 4
    SHOPPING = 5
    HOUSING = 6
    VENUE = 7
    NONE = 255


class TapFlag(IntFlag):
    """Bits of a tap, as sent by the device."""

    OFFLINE = 1
    """The device decided alone."""
    DEVICE_OPENED = 2
    """With OFFLINE: the device let the rider through. Without: it refused."""
    SERVICE_DESK = 4
    """Made at a service desk: an incomplete journey may be closed here."""
    CLOCK_UNSURE = 8
    """The device knows that its clock may be off."""


class Rule(IntFlag):
    """Which rules acted on a decision; `explain` prints them."""

    DISTANCE_BAND = 1 << 0
    BEYOND_BANDS = 1 << 1
    SEPARATE_LINE = 1 << 2
    SAME_STATION = 1 << 3
    TIME_DISCOUNT = 1 << 4
    MONTHLY_TIER = 1 << 5
    OVERSTAY = 1 << 6
    MISSING_CHECK_IN = 1 << 7
    MISSING_CHECK_OUT = 1 << 8
    OUT_OF_STATION = 1 << 9
    ENTRY_MINIMUM = 1 << 10
    EXIT_OVERDRAFT = 1 << 11
    FLAT_FARE = 1 << 12
    MEDIUM_FACTOR = 1 << 13
    DEVICE_AMOUNT = 1 << 14
    OFFLINE_ACCEPTED = 1 << 15
    RECEIVED_TIME = 1 << 16
    CREDIT_LINE = 1 << 17
    SUBSIDY = 1 << 18
    MONEY_ONLY = 1 << 19
    """A reversal gave the money back but could not restore the journey."""
    LEG_RULE = 1 << 20
    """Priced by a table of networks, areas and time frames."""
    TRANSFER = 1 << 21
    CAP = 1 << 22
    PERIOD_TIER = 1 << 23
    """A factor of a counter other than the month's inline one."""
    PASS = 1 << 24
    LEG_FACTOR = 1 << 25
    """A factor for time frame, category and medium."""
    GROUP_RIDER = 1 << 26
    JOINED_LEG = 1 << 27
    GIVEN_DISTANCE = 1 << 28
    """Priced by the distance handed in with the tap."""
    CONCESSION = 1 << 29
    """A concession's category was used instead of the account's."""
    COUNTED = 1 << 30
    """Counts in the windows of the account's limits: what is given back comes off them again."""


class Act(IntEnum):
    """The kind of a rule that acted, in Item.ACTS."""

    LEG = 1
    TRANSFER = 2
    JOIN = 3
    SAME_STOP = 4
    PERIOD = 5
    PASS = 6
    TIME_DISCOUNT = 7
    MONTHLY_TIER = 8


class CapOwner(IntEnum):
    """Who owns the running totals of monthly tiers."""

    ACCOUNT = 0
    MEDIUM = 1


class MissingCheckIn(IntEnum):
    """What a check-out without a journey does."""

    REFUSE = 0
    HIGHEST_AT_DESK = 1
    HIGHEST = 2


class MonthBasis(IntEnum):
    """Which amount feeds the monthly total."""

    PAID = 0
    NOMINAL = 1
    TRIPS = 2
    """Steps are numbers of trips in the month instead of amounts."""


class FarePart(IntEnum):
    """How an OD fare was made, one byte an OD pair (used to say which rules acted)."""

    NOT_PRICED = 0
    BAND = 1
    BEYOND = 2
    SEPARATE = 3
    """A separately priced line alone."""
    COMBINED = 4
    """Main network plus a separately priced line."""


@dataclass(frozen=True, slots=True)
class DayTable:
    """Service days as UTC instants: day i lasts from start_us[i] to start_us[i + 1].

    first_day is days since 1970-01-01 of the first service date. month is year * 12 + month - 1.
    """

    first_day: int
    start_us: array[int]
    month: array[int]


@dataclass(frozen=True, slots=True)
class TimeDiscount:
    """A factor on the fare of journeys that begin at given stops inside a window of given days.

    stop_flags: one byte a stop index. start_us/end_us: per service day, end exclusive; both 0 = not
    that day.
    """

    name: str
    factor_ppm: int
    stop_flags: bytes
    start_us: array[int]
    end_us: array[int]


@dataclass(frozen=True, slots=True)
class OutOfStation:
    """Leaving at one stop and entering at the other within the window continues the journey
    (directed).
    """

    from_idx: int
    to_idx: int
    window_us: int


@dataclass(frozen=True, slots=True)
class MonthlyTier:
    """From this total in the month on, the next trips are multiplied by the factor."""

    from_minor: int
    factor_ppm: int


@dataclass(frozen=True, slots=True)
class TariffRules:
    """Scalars of a tariff. Durations are microseconds; -1 switches a rule off where it says so."""

    entry_minimum_minor: int = 0
    exit_overdraft: bool = False
    """A check-out may take the balance below 0 once (entry asks for the minimum again)."""
    same_stop_fare_minor: int = -1
    """Fare for leaving where one entered; -1 = the OD table's diagonal."""
    max_stay_us: int = -1
    overstay_minor: int = 0
    missing_check_in: MissingCheckIn = MissingCheckIn.REFUSE
    missing_check_out_after_us: int = -1
    """A check-in this long after an open one closes it at the highest fare from its entry; -1 =
    always refuse.
    """
    passback_us: int = 0
    """Same stop, same kind again within this time is refused as pass-back; 0 = off."""
    flat_minor: int = -1
    cap_owner: CapOwner = CapOwner.ACCOUNT
    month_basis: MonthBasis = MonthBasis.PAID
    month_by_entry: bool = False
    """Whether the month is the entry's (true) or the exit's."""
    clock_ahead_us: int = 300_000_000
    clock_behind_us: int = 86_400_000_000
    """A device clock that is further off (online; ahead: always) is not believed: the instant of
    receipt counts, and the tap is flagged.
    """
    offline_horizon_us: int = 2_592_000_000_000
    round_to_minor: int = 1
    """Discounted fares are rounded (half up, unless Layers.round_mode says otherwise) to a multiple
    of this.
    """
    tier_split: bool = False
    """Monthly tiers on amounts: the part above a threshold has the next tier's factor, instead of
    the whole trip having that of the total before it.
    """


@dataclass(frozen=True, slots=True)
class TariffSpec:
    """A tariff ready for the engines: dense arrays, integers, UTC. Made by gateway.tariffs,
    immutable.

    stop_ids: ascending public stop ids; a stop's index is its place there. od_*: n * n, row = entry
    stop. od_fare_minor: -1 = cannot be priced. highest_minor: dearest fare from or to each stop.
    od_discountable_minor: the part of the fare that time discounts touch (main network).
    medium_factor_ppm: indexed by MediumKind, 16 entries.
    """

    tariff_id: str
    version: str
    currency: int
    valid_from_us: int
    valid_until_us: int
    stop_ids: array[int]
    od_fare_minor: array[int]
    od_distance_m: array[int]
    od_part: bytes
    highest_minor: array[int]
    days: DayTable
    od_discountable_minor: array[int]
    rules: TariffRules = field(default_factory=TariffRules)
    time_discounts: tuple[TimeDiscount, ...] = ()
    out_of_station: tuple[OutOfStation, ...] = ()
    monthly_tiers: tuple[MonthlyTier, ...] = ()
    medium_factor_ppm: tuple[int, ...] = (FACTOR_ONE_PPM,) * 16
    layers: Layers | None = None
    """Everything beyond one price a pair of stops (fastpath/layers.py)."""


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Bounds of one engine; beyond them an operation is refused with a coded too_many_*."""

    accounts_max: int = 64_000_000
    media_max: int = 128_000_000
    cells_per_account_max: int = 16
    group_bytes_max: int = 4 << 20
    group_records_max: int = 8192
    boots_per_device_max: int = 64
    op_horizon_us: int = 2_592_000_000_000
