"""Why a leg of a feed cost what it cost: the rows that acted, with file and line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fastpath.types import Act, Rule
from gateway.tariffs.explain import TEXTS, RuleNote
from gateway.tariffs.gtfs.loaded import LoadedFeed
from gateway.tariffs.gtfs.origins import Origin
from gateway.tariffs.gtfs.tables import FareProduct
from gateway.tariffs.units import format_amount

ACT_SHIFT = 24
NUMBER_MASK = (1 << ACT_SHIFT) - 1
RULES = {"leg": Rule.LEG_RULE, "transfer": Rule.TRANSFER, "join": Rule.JOINED_LEG}
NAMES = {Act.LEG: "leg", Act.TRANSFER: "transfer", Act.JOIN: "join"}
Fields = dict[str, object]


class Explainer:
    """Explains taps of one rider: category and medium decide which product row is charged."""

    def __init__(self, loaded: LoadedFeed, category: int, kind: int) -> None:
        self._loaded = loaded
        self._built = loaded.built
        self._category = category
        self._kind = kind

    def list_rules(self, acts: Iterable[int]) -> list[Fields]:
        """One entry a rule or product row, in the order in which they acted."""
        return [fields for act in acts for fields in self._explain(act)]

    def list_notes(self, acts: Iterable[int]) -> list[RuleNote]:
        """The same in words: what each row does, and the product it charges by its name."""
        notes: list[RuleNote] = []
        for fields in self.list_rules(acts):
            name, place = str(fields["rule"]), (str(fields["file"]), int(str(fields["line"])))
            if name in RULES:
                text = TEXTS[RULES[name]]
                notes.append(RuleNote(RULES[name], text.en, text.zh, place[0], "", place[1]))
                continue
            said = f"{fields['name'] or fields['fare_product_id']}, {fields['amount']}"
            rule, product = notes[-1].rule, str(fields["fare_product_id"])
            notes.append(
                RuleNote(rule, f"product: {said}", f"票种：{said}", place[0], product, place[1])
            )
        return notes

    def list_options(self, acts: Iterable[int]) -> list[Fields]:
        """Every product row of the leg's rules, cheapest first."""
        found = []
        for act in acts:
            if act >> ACT_SHIFT == Act.LEG and self._built.prices is not None:
                origin = self._built.origins.get(act & NUMBER_MASK)
                rows = self._built.prices.list_rows(origin.products | origin.passes)
                found += [self._product_fields(row, origin) for row in rows]
        return found

    def _explain(self, act: int) -> Iterator[Fields]:
        kind, number = Act(act >> ACT_SHIFT), act & NUMBER_MASK
        origin = self._origin(kind, number)
        if origin is None:
            return
        row = self._charged(origin)
        lines = origin.lines
        if kind is Act.LEG and row is not None:
            lines = self._lines_for(origin, row.product_id)
        for line in lines:
            yield {"rule": NAMES[kind], "file": origin.file, "line": line}
        if row is not None:
            yield self._product_fields(row, origin)

    def _origin(self, kind: Act, number: int) -> Origin | None:
        layers = self._built.spec.layers
        if layers is None or kind not in NAMES:
            return None
        if kind is Act.TRANSFER:
            number = layers.transfers[number].source
        if kind is Act.JOIN:
            number = layers.joins[number].source
        return self._built.origins.get(number)

    def _charged(self, origin: Origin) -> FareProduct | None:
        if self._built.prices is None or not origin.products:
            return None
        return self._built.prices.find_row(origin.products, self._category, self._kind)

    def _lines_for(self, origin: Origin, product_id: str) -> tuple[int, ...]:
        """Of the rules that matched, those that name the product which is charged."""
        rules = {rule.line: rule for rule in self._loaded.feed.leg_rules}
        return tuple(line for line in origin.lines if rules[line].product_id == product_id)

    def _product_fields(self, row: FareProduct, origin: Origin) -> Fields:
        return {
            "rule": "product",
            "file": "fare_products.txt",
            "line": row.line,
            "fare_product_id": row.product_id,
            "name": row.name,
            "rider_category_id": row.category_id or None,
            "fare_media_id": row.media_id or None,
            "amount": format_amount(row.amount_minor, row.currency.exponent),
            "is_pass": row.product_id in origin.passes,
        }
