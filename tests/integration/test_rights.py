"""Access to the three servers before `mesh apply` has granted anything: everything is denied by default."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

import psutil
import psycopg
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from infra.environment import Environment

TIMEOUT_S = 20.0
SCHEMA = Schema('{"type": "record", "name": "Right", "fields": [{"name": "a", "type": "string"}]}', "AVRO")
DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


def connection_error(properties: dict[str, str]) -> int:
    """Return the code of the first error of a connection that is rejected."""
    codes: list[int] = []
    callbacks: Any = {"log_level": 0, "error_cb": lambda error: codes.append(error.code())}
    client = AdminClient({**properties, **callbacks})
    deadline = time.monotonic() + TIMEOUT_S
    while not codes and time.monotonic() < deadline:
        client.poll(0.1)
    return codes[0]


@pytest.mark.parametrize(("user", "password"), [("nobody", "x"), ("admin", "x"), ("", "")])
def test_kafka_authenticates_users_by_password(environment: Environment, user: str, password: str) -> None:
    """An unknown user and a wrong password are rejected."""
    properties = environment.kafka("auditor") | {
        "sasl.username": user or "nobody",
        "sasl.password": password or "y",
    }
    assert connection_error(properties) == KafkaError._AUTHENTICATION


def test_kafka_requires_a_login(environment: Environment) -> None:
    """A client without credentials is rejected."""
    anonymous = AdminClient({"bootstrap.servers": environment.bootstrap, "log_level": 0})
    with pytest.raises(KafkaException):
        anonymous.list_topics(timeout=2)


def test_a_user_without_acls_can_do_nothing(environment: Environment) -> None:
    """A known user can neither list, write nor create a topic."""
    topic = f"closed-{uuid.uuid4().hex}"
    administrator = AdminClient({**environment.kafka("admin")})
    administrator.create_topics([NewTopic(topic, 1, 1)])[topic].result(TIMEOUT_S)
    client = AdminClient({**environment.kafka("auditor"), "log_level": 0})
    assert topic not in client.list_topics(timeout=TIMEOUT_S).topics
    creation_future = client.create_topics([NewTopic("mine", 1, 1)])["mine"]
    with pytest.raises(KafkaException) as denied:
        creation_future.result(TIMEOUT_S)
    assert denied.value.args[0].code() in DENIED
    errors: list[KafkaError | None] = []
    producer = Producer({**environment.kafka("auditor"), "log_level": 0})
    producer.produce(topic, b"x", on_delivery=lambda error, _: errors.append(error))
    producer.flush(TIMEOUT_S)
    assert [error.code() for error in errors if error] == [KafkaError.TOPIC_AUTHORIZATION_FAILED]


def test_topics_are_not_created_automatically(environment: Environment) -> None:
    """A misspelt topic name is an error, for the administrator too."""
    topic = f"misspelt-{uuid.uuid4().hex}"
    administrator = AdminClient({**environment.kafka("admin")})
    metadata = administrator.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    assert metadata.error is not None
    assert topic not in administrator.list_topics(timeout=TIMEOUT_S).topics


def test_only_apply_writes_schemas(environment: Environment) -> None:
    """Any client may read schemas, with plain tooling and no login; only user `apply` may register one."""
    subject = f"rights-{uuid.uuid4().hex}-value"
    with SchemaRegistryClient(environment.registry("apply")) as writer:
        schema_id = writer.register_schema(subject, SCHEMA)
    with SchemaRegistryClient({"url": environment.registry_url}) as reader:
        assert reader.get_schema(schema_id).schema_str
        assert reader.get_latest_version(subject).schema_id == schema_id
        assert reader.lookup_schema(subject, SCHEMA).schema_id == schema_id
    for login in ({}, {"basic.auth.user.info": "apply:guess"}):
        with SchemaRegistryClient({"url": environment.registry_url, **login}) as client:
            with pytest.raises(SchemaRegistryError) as rejected:
                client.register_schema(f"another-{subject}", SCHEMA)
            assert rejected.value.http_status_code == 401
    with SchemaRegistryClient({"url": environment.registry_url}) as reader:
        assert f"another-{subject}" not in reader.get_subjects()


WRITES = [
    ("POST", "/apis/ccompat/v7/subjects/{subject}/versions", {"schema": SCHEMA.schema_str}),
    ("DELETE", "/apis/ccompat/v7/subjects/{subject}", None),
    ("DELETE", "/apis/ccompat/v7/subjects/{subject}/versions/1", None),
    ("PUT", "/apis/ccompat/v7/config", {"compatibility": "NONE"}),
    ("PUT", "/apis/ccompat/v7/config/{subject}", {"compatibility": "NONE"}),
    ("PUT", "/apis/ccompat/v7/mode", {"mode": "READONLY"}),
    ("POST", "/apis/registry/v3/groups", {"groupId": "mine"}),
    ("POST", "/apis/registry/v3/groups/default/artifacts", {"artifactId": "mine", "artifactType": "AVRO"}),
    ("DELETE", "/apis/registry/v3/groups/default/artifacts/{subject}", None),
    ("POST", "/apis/registry/v3/admin/rules", {"ruleType": "VALIDITY", "config": "NONE"}),
    ("PUT", "/apis/registry/v3/admin/config/properties/apicurio.ccompat.max-subjects", {"value": "1"}),
    ("POST", "/apis/registry/v2/groups/default/artifacts", {"type": "record"}),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_no_other_interface_of_the_registry_allows_a_write(
    environment: Environment, method: str, path: str, body: dict[str, str] | None
) -> None:
    """Every interface of the registry requires the login of `apply`, and the schema does not change."""
    subject = f"kept-{uuid.uuid4().hex}-value"
    with SchemaRegistryClient(environment.registry("apply")) as writer:
        writer.register_schema(subject, SCHEMA)
    root = environment.registry_url.removesuffix("/apis/ccompat/v7")
    request = urllib.request.Request(  # noqa: S310
        root + path.format(subject=subject),
        data=json.dumps(body).encode() if body is not None else None,
        method=method,
        headers={"Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as rejected:
        urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    with rejected.value as response:
        assert response.code == 401
    with SchemaRegistryClient({"url": environment.registry_url}) as reader:
        assert reader.get_latest_version(subject).version == 1


def test_postgresql_requires_a_password(environment: Environment) -> None:
    """A wrong password is rejected, also from this machine and for the superuser."""
    for role in ("postgres", "auditor", "nobody"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(
                host=environment.database_host,
                port=environment.database_port,
                dbname=environment.database_name,
                user=role,
                password="guess",
            )


def test_the_auditor_reads_every_table_and_writes_none(environment: Environment) -> None:
    """The auditor reads later tables too, also with row-level security; it can't insert, create or read passwords."""
    schema = f"s{uuid.uuid4().hex}"
    with psycopg.connect(environment.dsn("postgres")) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
        connection.execute(f"CREATE TABLE {schema}.t AS SELECT 1 AS a".encode())
        connection.execute(f"ALTER TABLE {schema}.t ENABLE ROW LEVEL SECURITY".encode())
    with psycopg.connect(environment.dsn("auditor"), autocommit=True) as connection:
        assert connection.execute(f"TABLE {schema}.t".encode()).fetchall() == [(1,)]
        for statement in (
            f"COPY {schema}.t FROM STDIN",
            f"TRUNCATE {schema}.t",
            f"CREATE TABLE {schema}.u (a int)",
            "CREATE TABLE public.u (a int)",
            "SELECT rolpassword FROM pg_authid",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_servers_listen_on_this_machine_only(environment: Environment) -> None:
    """No port of the stack can be reached from another machine."""
    if not environment.bootstrap.startswith("127.0.0.1:"):
        pytest.skip("the servers run on another machine")
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr]
    for url in (
        environment.bootstrap,
        environment.registry_url.split("/")[2],
        f":{environment.database_port}",
    ):
        port = int(url.rsplit(":", 1)[1])
        owners = {c.pid for c in listening if tuple(c.laddr)[1:] == (port,)}
        assert owners
        addresses = {str(next(iter(c.laddr))).removeprefix("::ffff:") for c in listening if c.pid in owners}
        assert addresses == {"127.0.0.1"}
