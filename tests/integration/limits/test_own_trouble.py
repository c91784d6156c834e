"""One domain's store may be slow, stopped or broken: the other domains' sinks go on in the same process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from connectors.postgres import sink_role
from infra.codec import codec
from schemas.systems import DOMAINS, Domain
from schemas.topics import domain_topic
from tests.integration.cluster import IntegrationCluster
from tests.integration.limits.conftest import Begin, Started
from tests.integration.limits.records import changes, write

SICK, WELL = DOMAINS["local-tax"], DOMAINS["care"]
#: What ends the connections of a role, those of now.
END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
CONNECTIONS = "SELECT usename, count(*) FROM pg_stat_activity WHERE usename LIKE 'sink%' GROUP BY usename"
Connection = psycopg.Connection[tuple[object, ...]]


@contextmanager
def slow(admin: Connection) -> Iterator[None]:
    """Somebody holds its table."""
    with psycopg.connect(admin.info.dsn, password=admin.info.password) as other:
        other.execute("LOCK TABLE local_tax.person IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def closed(admin: Connection) -> Iterator[None]:
    """Its sink may not log in, and is thrown out."""
    role = sql.Identifier(sink_role(SICK))
    admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(role))
    admin.execute(END, [sink_role(SICK)])
    yield
    admin.execute(sql.SQL("ALTER ROLE {} LOGIN").format(role))


@contextmanager
def without_a_table(admin: Connection) -> Iterator[None]:
    """Somebody took its table away, and puts it back."""
    admin.execute("ALTER TABLE local_tax.person RENAME TO person_of_before")
    yield
    admin.execute("ALTER TABLE local_tax.person_of_before RENAME TO person")


def codes(admin: Connection, domain: Domain, like: str) -> set[str]:
    """Persons in a store whose codes begin so."""
    query = sql.SQL("SELECT code FROM {} WHERE code LIKE %s").format(
        sql.Identifier(domain.schema_name, "person")
    )
    return {str(code) for (code,) in admin.execute(query, [f"{like}%"])}


@pytest.mark.parametrize("trouble", [slow, closed, without_a_table], ids=lambda each: each.__name__)
def test_it_stops_its_own_sink_only(
    place: IntegrationCluster, begin: Begin, trouble: Callable[[Connection], Iterator[None]]
) -> None:
    """The others apply what comes meanwhile; afterwards its own goes on by itself, with nothing lost or doubled."""
    known, name = codec(place.environment, place.installation), trouble.__name__
    told = [f"{name}-{number}" for number in range(100)]
    with psycopg.connect(place.environment.dsn("postgres"), autocommit=True) as admin:
        worker: Started = begin("sink")
        worker.until_told("partitions.assigned", len(DOMAINS))
        with trouble(admin):  # type: ignore[attr-defined]
            for domain in (SICK, WELL):
                write(place, domain_topic(domain.id), changes(domain, known, told))
            worker.until("the well one has all", lambda: codes(admin, WELL, name) == set(told))
            worker.until(
                "the sick one says why", lambda: worker.events("store.retry") or worker.events("sink.stopped")
            )
            more = [f"{name}-more-{number}" for number in range(100)]
            write(place, domain_topic(WELL.id), changes(WELL, known, more))
            per_sink = {str(user): count for user, count in admin.execute(CONNECTIONS)}
            assert set(per_sink.values()) == {1}, "a sink has one connection, the relay's included"
            worker.until("it still goes on", lambda: codes(admin, WELL, f"{name}-more") == set(more))
        worker.until("it goes on by itself", lambda: codes(admin, SICK, name) == set(told))
        assert {line["domain"] for line in worker.events("sink.stopped")} <= {SICK.id}
        assert worker.stopped(10.0) == 0
