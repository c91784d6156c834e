"""The local stack's life: started, stopped, killed, crowded; what it keeps, and whom it lets in."""

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
from infra.errors import NoEnvironmentError
from infra.local.errors import HomeError, PortTakenError
from infra.local.home import Home
from infra.local.stack import Stack

TIMEOUT_S = 20.0
SCHEMA = Schema('{"type": "record", "name": "Kept", "fields": [{"name": "a", "type": "string"}]}', "AVRO")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of this module's own, as tests here kill it; up and down as the last test left it."""
    found = Stack(Home(tmp_path_factory.mktemp("stack") / "home"))
    yield found
    found.reset()


@pytest.fixture
def running(stack: Stack) -> Environment:
    """The module's stack, running."""
    stack.up()
    return Environment.of_stack(stack.home)


def administrator(environment: Environment) -> AdminClient:
    return AdminClient({**environment.kafka("admin")})


def create_topic(environment: Environment, topic: str) -> None:
    client = administrator(environment)
    try:
        client.create_topics([NewTopic(topic, 1, 1)])[topic].result(TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def write_everywhere(environment: Environment) -> None:
    create_topic(environment, "kept")
    producer = Producer({**environment.kafka("admin")})
    failed: list[KafkaError | None] = []
    producer.produce("kept", b"a record", on_delivery=lambda error, _: failed.append(error))
    assert producer.flush(TIMEOUT_S) == 0
    assert failed == [None]
    with SchemaRegistryClient(environment.registry("apply")) as writer:
        writer.register_schema("kept-value", SCHEMA)
    with psycopg.connect(environment.dsn("postgres")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 1 AS a")


def assert_everything_kept(environment: Environment) -> None:
    assert "kept" in administrator(environment).list_topics(timeout=TIMEOUT_S).topics
    with SchemaRegistryClient(environment.registry("auditor")) as reader:
        assert reader.get_subjects() == ["kept-value"]
    with psycopg.connect(environment.dsn("auditor")) as connection:
        assert connection.execute("SELECT a FROM kept").fetchall() == [(1,)]


def pids(stack: Stack) -> dict[str, int | None]:
    return {server.name: server.pid for server in stack.status()}


def test_what_was_written_is_there_after_down_and_up(stack: Stack, running: Environment) -> None:
    """Topics, schemas and rows outlive a stop; addresses and passwords stay."""
    write_everywhere(running)
    stack.down()
    assert not any(server.running for server in stack.status())
    stack.up()
    assert Environment.of_stack(stack.home) == running
    assert_everything_kept(running)


def test_the_registry_is_ready_when_it_knows_all_its_schemas(tmp_path: Path) -> None:
    """It answers while it still reads its journal; `up` returns when nothing is missing any more."""
    stack = Stack(Home(tmp_path / "home"))
    subjects = sorted(f"many-{number}-value" for number in range(60))
    try:
        stack.up()
        environment = Environment.of_stack(stack.home)
        with SchemaRegistryClient(environment.registry("apply")) as writer:
            for subject in subjects:
                writer.register_schema(subject, SCHEMA)
        stack.down()
        stack.up()
        with SchemaRegistryClient(environment.registry("auditor")) as reader:
            assert sorted(reader.get_subjects()) == subjects
    finally:
        stack.reset()


def test_up_leaves_running_servers_alone(stack: Stack, running: Environment) -> None:
    """A second `up` starts nothing, also when two come at once."""
    before = pids(stack)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: Stack(stack.home).up(), range(2)))
    assert pids(stack) == before


def test_two_first_starts_at_once_make_one_stack(tmp_path: Path) -> None:
    """Whoever comes second waits, and finds everything running."""
    home = Home(tmp_path / "home")
    try:
        with ThreadPoolExecutor(2) as pool:
            states = list(pool.map(lambda _: Stack(home).up(), range(2)))
        assert states[0].ports == states[1].ports
        assert all(server.running for server in Stack(home).status())
    finally:
        Stack(home).reset()


@pytest.mark.parametrize("name", ["Kafka", "the schema registry", "PostgreSQL"])
def test_a_killed_server_comes_back_with_its_data(stack: Stack, running: Environment, name: str) -> None:
    """kill -9 of any server, then `up`: that one is started, nothing is lost."""
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
    assert_everything_kept(running)


def test_a_killed_stack_comes_back_with_its_data(stack: Stack, running: Environment) -> None:
    """kill -9 of all servers at once, as by a power cut."""
    write_everywhere(running)
    for pid in pids(stack).values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    stack.up()
    assert_everything_kept(running)


def test_a_pid_that_somebody_else_has_by_now_is_not_taken_for_ours(stack: Stack) -> None:
    """A stale pid file neither keeps a server from starting nor gets a stranger killed."""
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
    """Whoever was killed between starting a server and writing down its pid leaves no stray behind."""
    before = pids(stack)
    for name in ("kafka", "registry", "postgres"):
        (stack.home.folder / "run" / name).unlink()
    stack.up()
    assert pids(stack) == before


def test_a_half_finished_first_start_is_begun_anew(tmp_path: Path) -> None:
    """What a killed first start left half made is thrown away."""
    home = Home(tmp_path / "home")
    home.make()
    (home.kafka / "draft-of-a-killed-start").mkdir()
    (home.kafka / "draft-of-a-killed-start" / "meta.properties").touch()
    stack = Stack(home)
    try:
        stack.up(wait_for_registry=False)
        assert all(server.running for server in stack.status())
        assert not list(home.kafka.glob("draft-*"))
    finally:
        stack.reset()


def test_a_taken_public_port_is_said_and_new_ones_are_on_offer(stack: Stack) -> None:
    """Clients know the port: it is not changed unasked."""
    stack.up()
    stack.down()
    taken = stack.home.state().ports.kafka
    with socket.create_server(("127.0.0.1", taken)):
        with pytest.raises(PortTakenError, match=f"port {taken} of kafka .*--new-ports"):
            stack.up()
        stack.up(new_ports=True)
        fresh = Environment.of_stack(stack.home)
        assert fresh.bootstrap != f"127.0.0.1:{taken}"
        write_everywhere(fresh)
        assert_everything_kept(fresh)


def test_a_taken_inner_port_is_replaced_without_a_word(stack: Stack) -> None:
    """Nobody but the servers knows the controller's port."""
    stack.up()
    stack.down()
    before = stack.home.state().ports
    with socket.create_server(("127.0.0.1", before.controller)):
        after = stack.up(wait_for_registry=False).ports
    assert after.controller != before.controller
    assert after.kafka == before.kafka


def test_two_stacks_run_side_by_side(running: Environment, tmp_path: Path) -> None:
    """Another home, other ports, other passwords; neither knows the other's users."""
    other = Stack(Home(tmp_path / "home"))
    try:
        other.up(wait_for_registry=False)
        second = Environment.of_stack(other.home)
        assert second.bootstrap != running.bootstrap
        assert second.kafka("admin")["sasl.password"] != running.kafka("admin")["sasl.password"]
        for each in (running, second):
            assert administrator(each).list_topics(timeout=TIMEOUT_S).brokers
    finally:
        other.reset()
    assert administrator(running).list_topics(timeout=TIMEOUT_S).brokers


def test_what_needs_no_registry_does_not_wait_for_it(stack: Stack) -> None:
    """Asked so, `up` returns with broker and database ready while the registry goes on starting by itself."""
    stack.up()
    stack.down()
    stack.up(wait_for_registry=False)
    environment = Environment.of_stack(stack.home)
    assert administrator(environment).list_topics(timeout=TIMEOUT_S).brokers
    assert all(server.running for server in stack.status())


def test_reset_forgets_all(tmp_path: Path) -> None:
    """Data and passwords are gone, PostgreSQL's too where they had to lie elsewhere."""
    stack = Stack(Home(tmp_path / "home"))
    database = stack.up(wait_for_registry=False).postgres
    stack.reset()
    assert not stack.home.folder.exists()
    assert not database.exists()
    with pytest.raises(NoEnvironmentError, match="mesh local up"):
        Environment.of_stack(stack.home)


def test_a_folder_with_other_things_in_it_is_not_taken(tmp_path: Path) -> None:
    """`reset` deletes the home: it must never be somebody's documents."""
    (tmp_path / "letter.txt").write_text("dear", "ascii")
    with pytest.raises(HomeError, match="not of the mesh"):
        Stack(Home(tmp_path)).up()
    Stack(Home(tmp_path)).reset()
    assert (tmp_path / "letter.txt").exists()
