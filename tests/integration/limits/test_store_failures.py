"""A slow, closed or broken store of one domain does not stop the sinks of other domains in the same process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from connectors.postgres import sink_role
from infra.coding import codec
from schemas.systems import DOMAINS, Domain
from schemas.topics import domain_topic
from tests.integration.cluster import IntegrationCluster
from tests.integration.limits.conftest import StartedWorker, StartWorker
from tests.integration.limits.records import changes, write

FAILING, OTHER = DOMAINS["local-tax"], DOMAINS["care"]
#: Ends the present connections of a role.
END_CONNECTIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
CONNECTIONS = "SELECT usename, count(*) FROM pg_stat_activity WHERE usename LIKE 'sink%' GROUP BY usename"
Connection = psycopg.Connection[tuple[object, ...]]


@contextmanager
def slow(admin: Connection) -> Iterator[None]:
    """Lock a table of the store."""
    with psycopg.connect(admin.info.dsn, password=admin.info.password) as other:
        other.execute("LOCK TABLE local_tax.person IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def closed(admin: Connection) -> Iterator[None]:
    """Forbid the sink to log in, and end its connections."""
    role = sql.Identifier(sink_role(FAILING))
    admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(role))
    admin.execute(END_CONNECTIONS, [sink_role(FAILING)])
    yield
    admin.execute(sql.SQL("ALTER ROLE {} LOGIN").format(role))


@contextmanager
def without_a_table(admin: Connection) -> Iterator[None]:
    """Rename a table of the store, and rename it back."""
    admin.execute("ALTER TABLE local_tax.person RENAME TO person_of_before")
    yield
    admin.execute("ALTER TABLE local_tax.person_of_before RENAME TO person")


def codes(admin: Connection, domain: Domain, prefix: str) -> set[str]:
    """Return the codes in a store that begin with `prefix`."""
    query = sql.SQL("SELECT code FROM {} WHERE code LIKE %s").format(
        sql.Identifier(domain.schema_name, "person")
    )
    return {str(code) for (code,) in admin.execute(query, [f"{prefix}%"])}


@pytest.mark.parametrize("failure", [slow, closed, without_a_table], ids=lambda failure: failure.__name__)
def test_a_store_failure_stops_only_its_own_sink(
    cluster: IntegrationCluster, start_worker: StartWorker, failure: Callable[[Connection], Iterator[None]]
) -> None:
    """Other sinks apply new records meanwhile; afterwards the failed one continues by itself and loses nothing."""
    avro, name = codec(cluster.environment, cluster.installation), failure.__name__
    persons = [f"{name}-{number}" for number in range(100)]
    with psycopg.connect(cluster.environment.dsn("postgres"), autocommit=True) as admin:
        worker: StartedWorker = start_worker("sink")
        worker.wait_for_event("partitions.assigned", len(DOMAINS))
        with failure(admin):  # type: ignore[attr-defined]
            for domain in (FAILING, OTHER):
                write(cluster, domain_topic(domain.id), changes(domain, avro, persons))
            worker.wait_until("the other sink has all", lambda: codes(admin, OTHER, name) == set(persons))
            worker.wait_until(
                "the failed sink says why",
                lambda: worker.events("store.retry") or worker.events("sink.stopped"),
            )
            more = [f"{name}-more-{number}" for number in range(100)]
            write(cluster, domain_topic(OTHER.id), changes(OTHER, avro, more))
            per_sink = {str(user): count for user, count in admin.execute(CONNECTIONS)}
            assert set(per_sink.values()) == {1}, "a sink has one connection, the relay's included"
            worker.wait_until(
                "the other sink continues", lambda: codes(admin, OTHER, f"{name}-more") == set(more)
            )
        worker.wait_until("the failed sink continues", lambda: codes(admin, FAILING, name) == set(persons))
        assert {line["domain"] for line in worker.events("sink.stopped")} <= {FAILING.id}
        assert worker.stop(10.0) == 0
