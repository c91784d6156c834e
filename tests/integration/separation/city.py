"""A city of about 300 residents through a whole mesh, with faulty files, poison and database errors beside it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from confluent_kafka import KafkaError, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from psycopg import sql

from infra.apply.installation import Installation
from infra.apply.reconcile import apply
from infra.demo.run import municipalities as municipalities_of
from infra.environment import Environment
from infra.local.home import Home
from infra.local.stack import Stack
from infra.monitoring.waiting import wait_idle
from infra.run import background
from infra.run.background import start_workers
from infra.run.slots import RUN_STEPS, WORKERS_MAX
from infra.verification.synthetic.writing import write_city
from schemas.catalogue import catalogue
from schemas.codec import Codec
from streams.registry import RegistrySchemaIds
from tests.integration.cluster import only_settings
from tests.integration.separation.residents import Residents, residents_of
from tests.register_files import text_of

RESIDENTS, DAYS, SEED = 300, 20, 7
TIMEOUT_S = 30.0
IDLE_TIMEOUT_S = 120.0
COMMAND_TIMEOUT_S = 60.0
#: Topics to which an administrator writes bytes that are no record.
POISONED_TOPICS = (
    "notice",
    "person.change",
    "change.local-tax",
    "domain.local-tax",
    "domain.child",
    "receipt.care",
)


@dataclass
class IsolatedCity:
    """Servers, files and residents; `output` has everything that commands have printed."""

    environment: Environment
    installation: Installation
    files: Path
    residents: Residents
    metrics_port: int
    variables: dict[str, str]
    codec: Codec
    output: list[bytes] = field(default_factory=list)

    @property
    def municipalities(self) -> list[str]:
        """The municipalities that take part."""
        return sorted(municipalities_of(self.files))

    @property
    def rejected_by_check(self) -> str:
        """Reading of the resident whose row the store of local tax rejects."""
        return self.residents.steady()[0]

    @property
    def rejected_by_trigger(self) -> str:
        """Reading of the resident whose row the stores of pension and nta reject."""
        return self.residents.steady()[1]

    def poison(self) -> bytes:
        """Return bytes that are no record of any schema and contain personal data, which must not be printed."""
        return b"\x00\xff\xff\xff\xff" + self.rejected_by_check.encode() + min(self.residents.codes).encode()

    def mesh(self, *arguments: object, is_kept: bool = True) -> subprocess.CompletedProcess[bytes]:
        """Run a command of `mesh`; keep its output unless the command prints content on purpose."""
        command = [sys.executable, "-c", "from infra.cli import main; main()", *map(str, arguments)]
        process = subprocess.run(
            command, env=self.variables, capture_output=True, check=False, timeout=COMMAND_TIMEOUT_S
        )
        if is_kept:
            self.output += [process.stdout, process.stderr]
        return process

    def mesh_each(
        self, command: str, arguments: Sequence[Sequence[object]], *, is_kept: bool = True
    ) -> list[subprocess.CompletedProcess[bytes]]:
        """Run a command with each of these arguments, two at a time, and return the processes in this order.

        A command takes a second of one core, mostly to load its modules.
        """
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda each: self.mesh(command, *each, is_kept=is_kept), arguments))


def settings_of(home: Path, port: int) -> dict[str, str]:
    """Return the MESH_* settings of a mesh in `home`."""
    return {"MESH_HOME": str(home), "MESH_METRICS_PORT": str(port)}


def produce(environment: Environment, user: str, topic: str, value: bytes) -> str:
    """Publish one record; return `none` or the name of the error."""
    errors: list[str] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        errors.append(error.name() if error else "none")

    producer = Producer({**environment.kafka(user), "log_level": 0, "message.timeout.ms": 10_000})
    producer.produce(topic, value, on_delivery=delivered)
    assert producer.flush(TIMEOUT_S) == 0
    return errors[0]


@contextmanager
def ingested_in(folder: Path) -> Iterator[IsolatedCity]:
    """Ingest the city and faulty input in `folder`, and yield it when everything is processed; delete it afterwards."""
    files, port = folder / "city", free_ports()
    write_city(files, RESIDENTS, DAYS, SEED, with_entities=True)
    stack = Stack(Home(folder / "home"))
    installation = Installation(stack.home.folder)
    try:
        with only_settings(settings_of(installation.folder, port)) as variables:
            stack.up()
            environment = Environment.of_stack(stack.home)
            apply(environment, installation, municipalities_of(files))
        with reader(environment, installation) as codec:
            city = IsolatedCity(environment, installation, files, residents_of(files), port, variables, codec)
            ingest_everything(city, folder / "faulty")
            yield city
    finally:
        background.stop(installation)
        stack.reset()


@contextmanager
def reader(environment: Environment, installation: Installation) -> Iterator[Codec]:
    """Yield a codec for records of every topic; it closes its client of the registry at the end."""
    schema_ids: dict[str, dict[str, int]] = json.loads(installation.schema_ids.read_bytes())
    ids = {
        (name, int(version)): number
        for name, versions in schema_ids.items()
        for version, number in versions.items()
    }
    with SchemaRegistryClient({"url": environment.registry_url}) as client:
        foreign = installation.folder / "foreign-schemas-of-tests.json"
        yield Codec(catalogue(), RegistrySchemaIds(catalogue(), ids, client, foreign))


def ingest_everything(city: IsolatedCity, faulty: Path) -> None:
    """Start the workers, ingest everything, and wait until it is processed."""
    reject_rows(city)
    with only_settings(settings_of(city.installation.folder, city.metrics_port)):
        start_workers(city.environment, city.installation)
    ingest_city(city)
    ingest_faulty_input(city, faulty)
    for topic in POISONED_TOPICS:
        assert produce(city.environment, "admin", topic, city.poison()) == "none"
    wait_idle(city.environment, city.installation, timeout_s=IDLE_TIMEOUT_S)


def ingest_city(city: IsolatedCity) -> None:
    """Ingest all files of the city."""
    kinds = [
        (("juki-cs",), "juki_*.csv"),
        (("notices",), "notices_*.jsonl"),
        (("enrolments",), "enrolments*.csv"),
        *((_events_command(path), path.name) for path in sorted(city.files.glob("events_*.jsonl"))),
    ]
    commands = [(*command, *sorted(city.files.glob(pattern))) for command, pattern in kinds]
    for command, process in zip(commands, city.mesh_each("ingest", commands), strict=True):
        assert process.returncode == 0, command


def _events_command(path: Path) -> tuple[str, ...]:
    """Return the words that ingest a file `events_<system>[_<municipality>].jsonl`."""
    _, system, *municipality = path.stem.split("_")
    return "events", "--system", system, *(f"--municipality={code}" for code in municipality)


def reject_rows(city: IsolatedCity) -> None:
    """Make the database reject two residents' rows, with error messages that contain the rows."""
    check: LiteralString = "ALTER TABLE local_tax.person ADD CONSTRAINT rejected CHECK (kana <> {})"
    function: LiteralString = """CREATE FUNCTION public.reject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.kana = {} THEN RAISE EXCEPTION 'rejected: % % %', NEW.name, NEW.kana, NEW.address; END IF;
        RETURN NEW; END $$"""
    with psycopg.connect(city.environment.dsn("postgres")) as connection:
        connection.execute(sql.SQL(check).format(sql.Literal(city.rejected_by_check)))
        connection.execute(sql.SQL(function).format(sql.Literal(city.rejected_by_trigger)))
        for schema in ("pension", "nta"):
            connection.execute(
                sql.SQL(
                    "CREATE TRIGGER reject BEFORE INSERT OR UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION public.reject()"
                ).format(sql.Identifier(schema, "person"))
            )


def ingest_faulty_input(city: IsolatedCity, folder: Path) -> None:
    """Ingest files and records that are rejected, each full of personal data."""
    folder.mkdir()
    source = next(
        path for path in sorted(city.files.glob("juki_*.csv")) if path.read_bytes()[:3] == b"\xef\xbb\xbf"
    )
    municipality = source.stem.split("_")[1]
    header, *rows = text_of(source).splitlines()
    lines = [header.encode(), *(row.encode() for row in _broken(rows))]
    files: dict[str, bytes] = {
        f"juki_{municipality}_rows.csv": b"\r\n".join(lines),
        f"juki_{municipality}_binary.csv": b"\x00" + source.read_bytes(),
        f"juki_{municipality}_format.csv": source.read_bytes().split(b"\r\n", 1)[1],
        f"juki_{municipality}_long.csv": lines[0] + b"\r\n" + rows[0].encode() * 50_000,
        f"juki_{municipality}_empty.csv": b"",
        f"notices_{municipality}_format.jsonl": source.read_bytes(),
        "enrolments_format.csv": source.read_bytes(),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    kinds = {"juki": "juki-cs", "notices": "notices", "enrolments": "enrolments"}
    processes = city.mesh_each("ingest", [(kinds[name.split("_")[0]], folder / name) for name in files])
    readable = dict(zip(files, processes, strict=True))[f"juki_{municipality}_rows.csv"]
    assert readable.returncode == 0, readable.stderr
    municipal = [f"{system}.{municipality}" for system in ("juki-cs", "juki", "child")]
    for user in (*municipal, "pension"):
        assert produce(city.environment, user, f"in.{user}", city.poison()) == "none"


def _broken(rows: list[str]) -> Iterator[str]:
    """Yield rows that each break one rule, with notice numbers of their own."""
    for index, row in enumerate(rows[:5]):
        columns = row.split(",")
        columns[0], columns[1] = str(index + 1), f"{columns[1][:6]}99999990{index}"
        if index == 0:
            columns.pop()
        elif index == 1:
            columns[4] = columns[9]
        elif index == 2:
            columns[8] = columns[9]
        elif index == 3:
            columns[11] = columns[14]
        else:
            columns[3] = columns[10]
        yield ",".join(columns)


def free_ports() -> int:
    """Return the first of a range of unused ports, one for each possible worker."""
    for first in range(21_000, 30_000, len(RUN_STEPS) * WORKERS_MAX):
        if all(_free(first + index * WORKERS_MAX) for index in range(len(RUN_STEPS))):
            return first
    raise AssertionError("no range of unused ports below 30000")


def _free(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def json_rows(city: IsolatedCity, *arguments: str) -> list[dict[str, Any]]:
    """Return the rows that a command prints with --json."""
    process = city.mesh(*arguments, "--json")
    assert process.returncode == 0
    return [json.loads(line) for line in process.stdout.splitlines()]
