"""Everything that says who may do what, put together once a process."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.db import Database
from gateway.registry.approvals import Approvals
from gateway.registry.authenticator import Authenticator
from gateway.registry.consents import Consents
from gateway.registry.credentials import Credentials
from gateway.registry.factors import Factors
from gateway.registry.links import Links
from gateway.registry.passkeys import Passkeys
from gateway.registry.persons import Persons
from gateway.registry.sessions import Sessions
from gateway.registry.tenants import Tenants


@dataclass(frozen=True, slots=True)
class Access:
    """The services of the registry on who may. `database` is the registry itself."""

    database: Database
    tenants: Tenants
    credentials: Credentials
    authenticator: Authenticator
    persons: Persons
    links: Links
    consents: Consents
    approvals: Approvals
    sessions: Sessions
    factors: Factors
    passkeys: Passkeys

    def services(self) -> tuple[object, ...]:
        """What the API calls by its class."""
        return (
            self.authenticator,
            self.tenants,
            self.credentials,
            self.persons,
            self.links,
            self.consents,
            self.approvals,
            self.sessions,
            self.factors,
            self.passkeys,
        )
