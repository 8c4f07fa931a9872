"""The composition root of the API: names the classes behind /v1 and puts them together once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config import Config
from gateway.control.pipe import ControlPipe
from gateway.http.api import Api
from gateway.http.endpoint import Services
from gateway.registry.actors import Actor, ActorKind
from gateway.wallet.access import AccountAccess
from gateway.wallet.accounts import Accounts
from gateway.wallet.commands import Commands
from gateway.wallet.money import Money
from gateway.wallet.requests import RequestBook
from gateway.wallet.stores.accounts import AccountStore
from gateway.wallet.stores.requests import Requests

if TYPE_CHECKING:
    from gateway.registry.access import Access

NOBODY = Actor(ActorKind.TENANT, "nobody")
"""Who calls an endpoint without login: holds nothing."""


def build_api(config: Config, access: Access) -> Api:
    """Everything behind the API of one process. It connects when first asked."""
    pipe = ControlPipe(config.control.socket, timeout_s=config.control.timeout_s)
    commands = Commands(pipe)
    book = Requests(access.database)
    store = AccountStore(access.database)
    accounts = AccountAccess(store, access.tenants)

    async def close() -> None:
        await book.close()
        await pipe.close()

    services = Services(
        [
            Accounts(commands, accounts, store),
            Money(commands, accounts),
            RequestBook(commands, book),
        ]
    )
    return Api(access.authenticator, NOBODY, book, services, close)
