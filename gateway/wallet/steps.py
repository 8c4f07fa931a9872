"""What requests began that is done in several commands: how far it has come, by their operation."""

from __future__ import annotations

from gateway.clock import format_operation_id
from gateway.credit.desk import CreditDesk
from gateway.wallet.requests import State, Told
from gateway.wallet.stores.sagas import SagaStore

SAGA_STATES: dict[str, State] = {"running": "in_flight", "done": "done", "failed": "refused"}


class SagaSteps:
    """Merges: a saga is called as its request."""

    def __init__(self, store: SagaStore) -> None:
        self._store = store

    def find(self, operation_id: bytes) -> Told | None:
        """As Steps has it."""
        row = self._store.find(format_operation_id(operation_id))
        if row is None:
            return None
        state = SAGA_STATES[row.state]
        return state, row.last_error if state == "refused" else ""


class PlacedSteps(SagaSteps):
    """Payouts: what was asked for is done when one is placed; the worker does the rest."""

    def find(self, operation_id: bytes) -> Told | None:
        """As Steps has it."""
        told = super().find(operation_id)
        return ("done", "") if told is not None and told[0] == "in_flight" else told


class CreditSteps:
    """What was wished of a credit line; a wish that was refused is there no more."""

    def __init__(self, desk: CreditDesk) -> None:
        self._desk = desk

    def find(self, operation_id: bytes) -> Told | None:
        """As Steps has it."""
        is_open = self._desk.find_open(format_operation_id(operation_id))
        if is_open is None:
            return None
        return ("in_flight" if is_open else "done"), ""
