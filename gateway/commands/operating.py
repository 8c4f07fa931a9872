"""Shared by commands that change accounts: who does it, under which operation, and how the outcome
is shown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.clock import format_operation_id
from gateway.commands.common import ConfigOption, SetOption, build_actor, load_settings

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.registry.actors import Actor
    from gateway.shell import Shell
    from gateway.wallet.commands import Cause

T = TypeVar("T")
Change = Callable[..., Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Operating:
    """One command of the user of this machine, through the services of /v1."""

    config: Config
    actor: Actor
    cause: Cause
    as_json: bool

    @property
    def operation_id(self) -> str:
        """As it is written."""
        return format_operation_id(self.cause.operation_id)

    def run(self, work: Callable[[Shell], Coroutine[Any, Any, T]]) -> T:
        """Do it. `work` takes its services before anything runs: opening the registry blocks.

        Raises: FareGatewayError.
        """
        return self._do(work)[0]

    def told(self, work: Callable[[Shell], Coroutine[Any, Any, object]]) -> dict[str, Any]:
        """Do it; what the journal's record of it says. Raises: FareGatewayError."""
        result = self._do(work)[1].commands.told
        return {"operation_id": result["operation_id"]} | result

    def _do(self, work: Callable[[Shell], Coroutine[Any, Any, T]]) -> tuple[T, Shell]:
        import asyncio

        from gateway.bootstrap import build_shell

        shell = build_shell(self.config)
        doing = work(shell)

        async def main() -> T:
            try:
                return await doing
            finally:
                await shell.close()

        return asyncio.run(main()), shell

    def print_change(
        self, account_id: int, take: Callable[[Shell], Change], amount: str | None = None
    ) -> None:
        """Do it, and show its record. amount: read in the account's currency."""
        from gateway.commands.money import parse_minor, print_operation

        currencies: list[int] = []

        async def main(shell: Shell, change: Change) -> None:
            shown = await shell.commands.read("account_show", account_id=account_id)
            currencies.append(int(shown["currency"]))
            minor = () if amount is None else (parse_minor(amount, currencies[0]),)
            await change(*minor)

        told = self.told(lambda shell: main(shell, take(shell)))
        print_operation(told, currencies[0], as_json=self.as_json)


def operate(
    config: ConfigOption,
    replaced: SetOption,
    operation_id: str | None,
    as_json: bool,
    *,
    note: str = "",
    reference: str = "",
) -> Operating:
    """What the options all such commands share say. Raises: ConfigError, UsageError."""
    from gateway.commands.money import read_operation_id
    from gateway.wallet.commands import Cause

    cause = Cause(read_operation_id(operation_id), "", reference, note)
    return Operating(load_settings(config, replaced).config, build_actor(), cause, as_json)
