"""Which [[factor]] acted: decisions say only that one did."""

from __future__ import annotations

from bisect import bisect_right

from fastpath.types import MediumKind, Rule, TariffSpec
from gateway.tariffs.compile_legs import category_name
from gateway.tariffs.explain import TEXTS, RuleNote
from gateway.tariffs.source import TariffSource
from gateway.tariffs.source_layers import OTHER_FRAME, Factor


def find_frame(source: TariffSource, spec: TariffSpec, ts_us: int) -> str:
    """The name of the frame of an instant."""
    legs = spec.layers.legs if spec.layers else None
    starts = spec.days.start_us
    if legs is None or not (legs.frames.start_us and starts[0] <= ts_us < starts[-1]):
        return OTHER_FRAME
    number = legs.frames.frame[bisect_right(legs.frames.start_us, ts_us) - 1]
    return source.layers.frames[number - 1].name if number else OTHER_FRAME


def find_factor(
    source: TariffSource, *, frame: str, category: int, medium: MediumKind
) -> Factor | None:
    """The first factor that fits."""
    name = category_name(source, category)
    for one in source.layers.factors:
        fits_frame = not one.frames or frame in one.frames
        fits_who = not one.categories or name in one.categories
        if fits_frame and fits_who and (not one.media or medium in one.media):
            return one
    return None


def note_factor(source: TariffSource, factor: Factor) -> RuleNote:
    """The factor, ready to print."""
    text = TEXTS[Rule.LEG_FACTOR]
    en, zh = f"{text.en}: {factor.title['en']}", f"{text.zh}：{factor.title['zh']}"
    key = f"factor.{factor.name}"
    return RuleNote(Rule.LEG_FACTOR, en, zh, source.file, key, factor.line)
