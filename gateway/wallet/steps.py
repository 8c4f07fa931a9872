"""What requests began that is done in several commands: how far it has come, by their operation."""

from __future__ import annotations

from gateway.clock import format_operation_id
from gateway.credit.book import OPENING, CreditBook
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


class PlanSteps:
    """Instalment plans: one that was refused is there no more."""

    def __init__(self, book: CreditBook) -> None:
        self._book = book

    def find(self, operation_id: bytes) -> Told | None:
        """As Steps has it."""
        with self._book.transaction() as connection:
            state = self._book.find_plan_state(connection, format_operation_id(operation_id))
        if state is None:
            return None
        return ("in_flight" if state == OPENING else "done"), ""
