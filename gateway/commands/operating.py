"""Shared by commands that change accounts: who does it, under which operation, and how the outcome
is shown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.clock import format_operation_id
from gateway.commands.common import ConfigOption, SetOption, build_actor, load_settings

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.registry.actors import Actor
    from gateway.shell import Shell
    from gateway.wallet.commands import Cause, Movement

T = TypeVar("T")
Change = Callable[..., Awaitable["Movement"]]


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
        import asyncio

        from gateway.bootstrap import build_shell

        shell = build_shell(self.config)
        doing = work(shell)

        async def main() -> T:
            try:
                return await doing
            finally:
                await shell.close()

        return asyncio.run(main())

    def print_moved(
        self, account_id: int, take: Callable[[Shell], Change], amount: str | None = None
    ) -> None:
        """Do it, and show what moved. amount: read in the account's currency."""
        from gateway.commands.money import parse_minor, print_operation

        async def main(shell: Shell, change: Change) -> tuple[Movement, int]:
            shown = await shell.commands.read("account_show", account_id=account_id)
            currency = int(shown["currency"])
            minor = () if amount is None else (parse_minor(amount, currency),)
            return await change(*minor), currency

        made, currency = self.run(lambda shell: main(shell, take(shell)))
        print_operation(moved(made), currency, as_json=self.as_json)


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


def moved(made: Movement) -> dict[str, Any]:
    """A movement as the command line shows it."""
    fields = asdict(made)
    return fields | {"repeated": fields.pop("replayed")}
