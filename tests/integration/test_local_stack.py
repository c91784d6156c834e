"""The local stack: start, stop, kill, concurrent starts; which data and which ports survive."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from infra.environment import Environment
from infra.errors import HomeError, NoEnvironmentError, PortTakenError
from infra.local.home import Home
from infra.local.stack import Stack

TIMEOUT_S = 20.0
SCHEMA = Schema('{"type": "record", "name": "Kept", "fields": [{"name": "a", "type": "string"}]}', "AVRO")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield a stack of this module's own, because its tests kill it; it is up or down as the last test left it."""
    stack = Stack(Home(tmp_path_factory.mktemp("stack") / "home"))
    yield stack
    stack.reset()


@pytest.fixture
def running(stack: Stack) -> Environment:
    """Start the module's stack."""
    stack.up()
    return Environment.of_stack(stack.home)


def administrator(environment: Environment) -> AdminClient:
    """Return a client of the administrator."""
    return AdminClient({**environment.kafka("admin")})


def create_topic(environment: Environment, topic: str) -> None:
    """Create a topic unless it exists."""
    client = administrator(environment)
    try:
        client.create_topics([NewTopic(topic, 1, 1)])[topic].result(TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def write_everywhere(environment: Environment) -> None:
    """Write a record, a schema and a row."""
    create_topic(environment, "kept")
    producer = Producer({**environment.kafka("admin")})
    errors: list[KafkaError | None] = []
    producer.produce("kept", b"a record", on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(TIMEOUT_S) == 0
    assert errors == [None]
    with SchemaRegistryClient(environment.registry("apply")) as writer:
        writer.register_schema("kept-value", SCHEMA)
    with psycopg.connect(environment.dsn("postgres")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 1 AS a")


def assert_nothing_lost(environment: Environment) -> None:
    """Check that all of `write_everywhere` is there."""
    assert "kept" in administrator(environment).list_topics(timeout=TIMEOUT_S).topics
    with SchemaRegistryClient(environment.registry("auditor")) as reader:
        assert reader.get_subjects() == ["kept-value"]
    with psycopg.connect(environment.dsn("auditor")) as connection:
        assert connection.execute("SELECT a FROM kept").fetchall() == [(1,)]


def pids(stack: Stack) -> dict[str, int | None]:
    """Return the process ID of each server, None if it does not run."""
    return {server.name: server.pid for server in stack.status()}


def test_data_survives_down_and_up(stack: Stack, running: Environment) -> None:
    """Topics, schemas, rows, addresses and passwords stay the same after a stop and a start.

    The registry answers while it still reads its journal; `up` returns when no schema is missing.
    """
    write_everywhere(running)
    subjects = [f"many-{number}-value" for number in range(60)]
    with SchemaRegistryClient(running.registry("apply")) as writer:
        for subject in subjects:
            writer.register_schema(subject, SCHEMA)
    stack.down()
    assert not any(server.running for server in stack.status())
    stack.up()
    assert Environment.of_stack(stack.home) == running
    with SchemaRegistryClient(running.registry("auditor")) as reader:
        assert sorted(reader.get_subjects()) == sorted(["kept-value", *subjects])
    with SchemaRegistryClient(running.registry("apply")) as writer:
        for subject in subjects:
            writer.delete_subject(subject)
    assert_nothing_lost(running)


def test_up_leaves_running_servers_alone(stack: Stack, running: Environment) -> None:
    """A second `up` starts nothing, even if two run at once."""
    before = pids(stack)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: Stack(stack.home).up(), range(2)))
    assert pids(stack) == before


def test_two_first_starts_at_once_make_one_stack_beside_another(running: Environment, tmp_path: Path) -> None:
    """The second `up` waits for the first and then finds everything running.

    Stacks with different homes have different ports, passwords and users, and run side by side.
    """
    home = Home(tmp_path / "home")
    try:
        with ThreadPoolExecutor(2) as pool:
            states = list(pool.map(lambda _: Stack(home).up(), range(2)))
        assert states[0].ports == states[1].ports
        assert all(server.running for server in Stack(home).status())
        second = Environment.of_stack(home)
        assert second.bootstrap != running.bootstrap
        assert second.kafka("admin")["sasl.password"] != running.kafka("admin")["sasl.password"]
        for environment in (running, second):
            assert administrator(environment).list_topics(timeout=TIMEOUT_S).brokers
    finally:
        Stack(home).reset()
    assert administrator(running).list_topics(timeout=TIMEOUT_S).brokers


@pytest.mark.parametrize("name", ["Kafka", "the schema registry", "PostgreSQL"])
def test_a_killed_server_is_restarted_with_its_data(stack: Stack, running: Environment, name: str) -> None:
    """After kill -9 of one server, `up` starts that one only, and nothing is lost."""
    write_everywhere(running)
    before = pids(stack)
    victim = before[name]
    assert victim is not None
    process = psutil.Process(victim)
    os.kill(victim, signal.SIGKILL)
    process.wait(TIMEOUT_S)
    assert pids(stack)[name] is None
    stack.up()
    after = pids(stack)
    assert {other for other in before if before[other] != after[other]} == {name}
    assert_nothing_lost(running)


def test_a_killed_stack_is_restarted_with_its_data(stack: Stack, running: Environment) -> None:
    """Nothing is lost after kill -9 of all servers at once, as in a power cut."""
    write_everywhere(running)
    for pid in pids(stack).values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    stack.up()
    assert_nothing_lost(running)


def test_a_pid_file_with_the_pid_of_another_process_is_ignored(stack: Stack) -> None:
    """A stale pid file neither prevents a start nor gets another process killed."""
    stack.up()
    stack.down()
    for name in ("kafka", "registry", "postgres"):
        (stack.home.folder / "run" / name).write_text(str(os.getpid()), "ascii")
    data = stack.home.state().postgres / "data"
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n", "ascii")
    assert not any(server.running for server in stack.status())
    stack.down()
    stack.up(wait_for_registry=False)
    assert all(server.running for server in stack.status())


def test_servers_are_found_without_their_pid_files(stack: Stack, running: Environment) -> None:
    """If `up` is killed before it has written a pid file, the next `up` still finds the server."""
    before = pids(stack)
    for name in ("kafka", "registry", "postgres"):
        (stack.home.folder / "run" / name).unlink()
    stack.up()
    assert pids(stack) == before


def test_a_public_port_in_use_is_reported_and_changed_only_on_request(stack: Stack) -> None:
    """Clients are configured with the port, so it changes only with --new-ports."""
    stack.up()
    stack.down()
    port = stack.home.state().ports.kafka
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(PortTakenError, match=rf"\b{port}\b.*--new-ports"):
            stack.up()
        stack.up(new_ports=True)
        moved = Environment.of_stack(stack.home)
        assert moved.bootstrap != f"127.0.0.1:{port}"
        write_everywhere(moved)
        assert_nothing_lost(moved)


def test_an_internal_port_in_use_is_replaced(stack: Stack) -> None:
    """Only the servers use the controller's port.

    With wait_for_registry=False, `up` returns once Kafka and PostgreSQL are ready; the registry starts meanwhile.
    """
    stack.up()
    stack.down()
    before = stack.home.state().ports
    with socket.create_server(("127.0.0.1", before.controller)):
        after = stack.up(wait_for_registry=False).ports
    assert after.controller != before.controller
    assert after.kafka == before.kafka
    environment = Environment.of_stack(stack.home)
    assert administrator(environment).list_topics(timeout=TIMEOUT_S).brokers
    assert all(server.running for server in stack.status())


def test_an_unfinished_first_start_is_repeated_and_reset_deletes_everything(tmp_path: Path) -> None:
    """The unfinished files of a first start that was killed are deleted.

    `reset` deletes data and passwords, also PostgreSQL's if they are outside the home.
    """
    home = Home(tmp_path / "home")
    home.make()
    (home.kafka / "draft-of-a-killed-start").mkdir()
    (home.kafka / "draft-of-a-killed-start" / "meta.properties").touch()
    stack = Stack(home)
    try:
        database = stack.up(wait_for_registry=False).postgres
        assert all(server.running for server in stack.status())
        assert not list(home.kafka.glob("draft-*"))
    finally:
        stack.reset()
    assert not home.folder.exists()
    assert not database.exists()
    with pytest.raises(NoEnvironmentError, match="mesh local up"):
        Environment.of_stack(home)


def test_a_folder_with_other_files_is_not_used_as_home(tmp_path: Path) -> None:
    """`reset` deletes the home, so the home must never be a folder with other documents."""
    (tmp_path / "document.txt").write_text("dear", "ascii")
    with pytest.raises(HomeError, match="MESH_HOME"):
        Stack(Home(tmp_path)).up()
    Stack(Home(tmp_path)).reset()
    assert (tmp_path / "document.txt").exists()
