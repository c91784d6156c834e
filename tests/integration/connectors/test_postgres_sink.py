"""The PostgreSQL sink passes the suite of sinks on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg import Connection

from connectors.postgres import PostgresSink, sink_role
from infra.environment import Environment
from schemas.systems import Domain
from tests.contract.sink_suite import CODING, DOMAIN, OpenDeadLetter, Receipt
from tests.contract.withdrawal_suite import WithdrawalSuite
from tests.integration.connectors import stores


class TestPostgresSink(WithdrawalSuite):
    """The suite, as the sink's role, which owns no table."""

    @pytest.fixture(autouse=True)
    def store(self, admin: Connection[Any], make_store: Callable[[str], Domain]) -> None:
        """Create an empty store of local tax."""
        self.admin = admin
        make_store(DOMAIN.id)

    @pytest.fixture
    def sink(self, environment: Environment, store: None) -> Iterator[PostgresSink]:
        """Return a sink of the store."""
        sink = PostgresSink(DOMAIN, environment.dsn(sink_role(DOMAIN)), CODING)
        yield sink
        sink.close()

    @pytest.fixture
    def other(self, environment: Environment, store: None) -> Iterator[PostgresSink]:
        """Return another sink of the store."""
        sink = PostgresSink(DOMAIN, environment.dsn(sink_role(DOMAIN)), CODING)
        yield sink
        sink.close()

    def rows(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Return the rows of table person."""
        return stores.table(self.admin, DOMAIN, "person", "name")

    def addresses(self) -> dict[tuple[str, str], str | None]:
        """Return the addresses in table person."""
        rows = stores.table(self.admin, DOMAIN, "person", "address")
        return {key: address for key, (address, _) in rows.items()}

    def accounts(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Return the rows of table account."""
        return stores.table(self.admin, DOMAIN, "account", "holder_kana")

    def receipts(self) -> list[Receipt]:
        """Return the receipts in the outbox."""
        return stores.receipts(self.admin, DOMAIN)

    def dead_letters(self) -> list[OpenDeadLetter]:
        """Return the dead letters in the outbox."""
        return stores.open_dead_letters(self.admin, DOMAIN)
