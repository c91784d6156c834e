"""A city of about 300 residents through a whole mesh, with everything going wrong beside it that can."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from psycopg import sql

from infra.apply.installation import Installation
from infra.apply.reconcile import apply
from infra.demo.run import municipalities
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
from tests.integration.separation.residents import Residents, residents_of, text_of

RESIDENTS, DAYS, SEED = 300, 20, 7
TIMEOUT_S = 30.0
IDLE_TIMEOUT_S = 120.0
COMMAND_TIMEOUT_S = 60.0
#: Topics to which an administrator by mistake writes what is no record.
POISONED = ("notice", "person.change", "change.local-tax", "domain.local-tax", "domain.child", "receipt.care")


@dataclass
class IsolatedCity:
    """Servers, files and people; `told` is all that commands said."""

    environment: Environment
    installation: Installation
    files: Path
    residents: Residents
    metrics_port: int
    settings: dict[str, str]
    codec: Codec
    told: list[bytes] = field(default_factory=list)

    @property
    def places(self) -> list[str]:
        """Municipalities that take part."""
        return sorted(municipalities(self.files))

    @property
    def refused_by_check(self) -> str:
        """Reading of the resident whose row the store of local tax doesn't take."""
        return self.residents.steady()[0]

    @property
    def refused_by_trigger(self) -> str:
        """Reading of the resident whose row the stores of pension and nta don't take."""
        return self.residents.steady()[1]

    def poison(self) -> bytes:
        """No record of any schema, with a name in it that must not be told."""
        return b"\x00\xff\xff\xff\xff" + self.refused_by_check.encode() + min(self.residents.codes).encode()

    def mesh(self, *arguments: object) -> subprocess.CompletedProcess[bytes]:
        """A command line as an operator types it."""
        words = [sys.executable, "-c", "from infra.cli import main; main()", *map(str, arguments)]
        done = subprocess.run(
            words, env=self.settings, capture_output=True, check=False, timeout=COMMAND_TIMEOUT_S
        )
        self.told += [done.stdout, done.stderr]
        return done


def produce(environment: Environment, user: str, topic: str, value: bytes) -> str:
    """Hands one record over; `none`, or the name of the error."""
    told: list[str] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        told.append(error.name() if error else "none")

    producer = Producer({**environment.kafka(user), "log_level": 0, "message.timeout.ms": 10_000})
    producer.produce(topic, value, on_delivery=delivered)
    assert producer.flush(TIMEOUT_S) == 0
    return told[0]


@contextmanager
def settings_of(home: Path, port: int) -> Iterator[dict[str, str]]:
    """This process's settings are those of a mesh in `home`, and no others."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MESH_")]:
            patch.delenv(name)
        patch.setenv("MESH_HOME", str(home))
        patch.setenv("MESH_METRICS_PORT", str(port))
        yield dict(os.environ)


@contextmanager
def running(folder: Path) -> Iterator[IsolatedCity]:
    """The city taken in, what is bad beside it too, and all of it gone through."""
    files, port = folder / "city", free_ports()
    write_city(files, RESIDENTS, DAYS, SEED)
    stack = Stack(Home(folder / "home"))
    installation = Installation(stack.home.folder)
    try:
        with settings_of(installation.folder, port) as settings:
            stack.up()
            environment = Environment.of_stack(stack.home)
            apply(environment, installation, municipalities(files))
        with reader(environment, installation) as codec:
            city = IsolatedCity(environment, installation, files, residents_of(files), port, settings, codec)
            take_in(city, folder / "bad")
            yield city
    finally:
        background.stop(installation)
        stack.reset()


@contextmanager
def reader(environment: Environment, installation: Installation) -> Iterator[Codec]:
    """Reads records of every topic; what it asks the registry with is closed in the end."""
    found: dict[str, dict[str, int]] = json.loads(installation.schema_ids.read_bytes())
    ids = {(name, int(version)): number for name, of in found.items() for version, number in of.items()}
    with SchemaRegistryClient({"url": environment.registry_url}) as client:
        foreign = installation.folder / "foreign-schemas-of-tests.json"
        yield Codec(catalogue(), RegistrySchemaIds(catalogue(), ids, client, foreign))


def take_in(city: IsolatedCity, bad: Path) -> None:
    """Workers start, everything is handed over, and has gone through."""
    refuse_rows(city)
    with settings_of(city.installation.folder, city.metrics_port):
        start_workers(city.environment, city.installation)
    hand_over(city)
    hand_over_what_is_bad(city, bad)
    for topic in POISONED:
        assert produce(city.environment, "admin", topic, city.poison()) == "none"
    wait_idle(city.environment, city.installation, timeout_s=IDLE_TIMEOUT_S)


def hand_over(city: IsolatedCity) -> None:
    """All files of the city, by the commands for them."""
    kinds: list[tuple[tuple[str, ...], str]] = [
        (("juki-cs",), "juki_*.csv"),
        (("notices",), "notices_*.jsonl"),
        (("enrolments",), "enrolments*.csv"),
        (("events", "--system", "portal"), "events_portal*.jsonl"),
    ]
    for command, pattern in kinds:
        done = city.mesh("ingest", *command, *sorted(city.files.glob(pattern)))
        assert done.returncode == 0, command


def refuse_rows(city: IsolatedCity) -> None:
    """Two residents' rows break rules of the database, whose messages would show them."""
    check: LiteralString = "ALTER TABLE local_tax.person ADD CONSTRAINT refused CHECK (kana <> {})"
    function: LiteralString = """CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.kana = {} THEN RAISE EXCEPTION 'refused: % % %', NEW.name, NEW.kana, NEW.address; END IF;
        RETURN NEW; END $$"""
    with psycopg.connect(city.environment.dsn("postgres")) as connection:
        connection.execute(sql.SQL(check).format(sql.Literal(city.refused_by_check)))
        connection.execute(sql.SQL(function).format(sql.Literal(city.refused_by_trigger)))
        for schema in ("pension", "nta"):
            connection.execute(
                sql.SQL(
                    "CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION public.refuse()"
                ).format(sql.Identifier(schema, "person"))
            )


def hand_over_what_is_bad(city: IsolatedCity, folder: Path) -> None:
    """Files and records that are refused, each full of people."""
    folder.mkdir()
    source = next(
        path for path in sorted(city.files.glob("juki_*.csv")) if path.read_bytes()[:3] == b"\xef\xbb\xbf"
    )
    place = source.stem.split("_")[1]
    header, *rows = text_of(source).splitlines()
    lines = [header.encode(), *(row.encode() for row in _broken(rows))]
    files: dict[str, bytes] = {
        f"juki_{place}_rows.csv": b"\r\n".join(lines),
        f"juki_{place}_binary.csv": b"\x00" + source.read_bytes(),
        f"juki_{place}_format.csv": source.read_bytes().split(b"\r\n", 1)[1],
        f"juki_{place}_long.csv": lines[0] + b"\r\n" + rows[0].encode() * 50_000,
        f"juki_{place}_empty.csv": b"",
        f"notices_{place}_format.jsonl": source.read_bytes(),
        "enrolments_format.csv": source.read_bytes(),
    }
    codes = {}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        command = {"juki": "juki-cs", "notices": "notices", "enrolments": "enrolments"}[name.split("_")[0]]
        codes[name] = city.mesh("ingest", command, folder / name).returncode
    assert codes[f"juki_{place}_rows.csv"] == 0, city.told[-1]
    for system, municipality in (("juki-cs", place), ("juki", place), ("child", place), ("pension", None)):
        user = f"{system}.{municipality}" if municipality else system
        assert produce(city.environment, user, f"in.{user}", city.poison()) == "none"


def _broken(rows: list[str]) -> Iterator[str]:
    """Rows that each break one rule, under numbers of their own."""
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
    """The first of a range of ports on which nobody listens now, one for each worker that there may be."""
    for first in range(21_000, 30_000, len(RUN_STEPS) * WORKERS_MAX):
        if all(_free(first + place * WORKERS_MAX) for place in range(len(RUN_STEPS))):
            return first
    raise AssertionError("no free ports")


def _free(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


def as_lines(city: IsolatedCity, *arguments: str) -> list[dict[str, Any]]:
    """What a command lists with --json."""
    done = city.mesh(*arguments, "--json")
    assert done.returncode == 0
    return [json.loads(line) for line in done.stdout.splitlines()]
