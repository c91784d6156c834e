"""The sink into PostgreSQL passes the suite of sinks on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg import Connection

from connectors.postgres import PostgresSink, sink_role
from infra.environment import Environment
from schemas.systems import Domain
from tests.contract.sink_suite import CODING, DOMAIN, Letter, Receipt, SinkSuite
from tests.integration.connectors import stores


class TestPostgresSink(SinkSuite):
    """As the role of the sink, which owns nothing."""

    @pytest.fixture(autouse=True)
    def store(self, admin: Connection[Any], make_store: Callable[[str], Domain]) -> None:
        """An empty store of local tax."""
        self.admin = admin
        make_store(DOMAIN.id)

    @pytest.fixture
    def sink(self, environment: Environment, store: None) -> Iterator[PostgresSink]:
        """A sink of the store."""
        sink = PostgresSink(DOMAIN, environment.dsn(sink_role(DOMAIN)), CODING)
        yield sink
        sink.close()

    @pytest.fixture
    def other(self, environment: Environment, store: None) -> Iterator[PostgresSink]:
        """Another."""
        sink = PostgresSink(DOMAIN, environment.dsn(sink_role(DOMAIN)), CODING)
        yield sink
        sink.close()

    def rows(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Of the table person."""
        return stores.table(self.admin, DOMAIN, "person", "name")

    def accounts(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Of the table account."""
        return stores.table(self.admin, DOMAIN, "account", "holder_kana")

    def receipts(self) -> list[Receipt]:
        """Of the outbox."""
        return stores.receipts(self.admin, DOMAIN)

    def letters(self) -> list[Letter]:
        """Of the outbox."""
        return stores.letters(self.admin, DOMAIN)
