"""The run of the demo: an operator's commands in a MESH_HOME of its own, then figures and the comparison."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from connectors.events.source import EventsSource
from infra.apply.cli import apply_with_progress
from infra.apply.installation import Installation
from infra.apply.reconcile import TRACKER_TOKEN
from infra.coding import codec
from infra.demo.measure import Figures, latency, measure
from infra.demo.report import Phase, Report
from infra.environment import Environment
from infra.errors import OperatorError
from infra.ingest.ingestion import ingest_files
from infra.local.home import Home
from infra.local.progress import OnConsole
from infra.local.stack import Stack
from infra.store_contents import read_readings, read_stores
from infra.tracker.client import Tracker
from infra.verification.reference import compare, expected
from infra.verification.synthetic.writing import write_city
from processors.japan import day_of_ms
from schemas.systems import DOMAINS, SYSTEMS
from schemas.topics import AUDITOR

STOP_TIMEOUT_S = 30.0
#: The tables of declared readings that are compared: all but histories.
TABLES_OF_READINGS = frozenset(
    f"{domain.schema_name}.{reads.name}" for domain in DOMAINS.values() for reads in domain.reads
)
Output = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """The size of the synthetic city, and the longest wait for each city."""

    residents: int = 20_000
    days: int = 30
    seed: int = 1
    timeout_s: int = 600


@dataclass
class Demo:
    """One run in `folder`. `samples` is the folder of the second city; None: a small synthetic one."""

    folder: Path
    samples: Path | None
    sizes: Sizes
    output: Output
    _phases: list[Phase] = field(default_factory=list)

    def run(self) -> Report:
        """Run the demo and return its report; always stop the servers. Raise OperatorError if a command fails."""
        os.environ["MESH_HOME"] = str(self.folder / "home")
        stack = Stack(Home.of_settings(), OnConsole())
        stack.reset()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            return self._run_on(stack)
        finally:
            self.output("stopping the servers")
            stack.down()

    def _run_on(self, stack: Stack) -> Report:
        with self._phase("servers"):
            stack.up()
        cities = self._cities()
        environment, installation = Environment.load(), Installation.of_settings()
        with self._phase("apply"):
            apply_with_progress(
                environment, installation, sorted({m for city in cities for m in municipalities(city)})
            )
        with self._workers():
            spans = [
                self._ingest_city(name, city)
                for name, city in zip(("first load", "samples"), cities, strict=True)
            ]
            figures = self._measure(environment, installation)
            summary = Tracker(installation.folder, _token(environment)).summary()
        with self._phase("reference model"):
            files = [file for city in cities for file in city_files(city)]
            model = expected(files, today=day_of_ms(round(time.time() * 1000)).isoformat())
        readings = read_readings(environment.dsn(AUDITOR))
        actual = replace(
            read_stores(environment.dsn(AUDITOR)),
            rejected_cancellations=figures.cancellations_rejected,
            readings={table: rows for table, rows in readings.items() if table in TABLES_OF_READINGS},
            rejected_events=figures.rejected_events,
            events_without_effect=figures.events_without_effect,
        )
        loaded_s = sum(end - start for start, end in spans)
        return Report(
            residents=self.sizes.residents,
            submitted=sum(figures.accepted.values()) + sum(figures.rejected.values()) + figures.duplicates,
            accepted=figures.accepted,
            rejected=figures.rejected,
            conflicts=figures.conflicts,
            domains=figures.domains,
            latencies=[
                latency(figures.receipts, name, round(start * 1000), round(end * 1000))
                for name, (start, end) in zip(("first load", "samples"), spans, strict=True)
            ],
            cases={
                name: summary[name] for name in ("complete", "waiting", "open", "overdue") if summary[name]
            },
            compared_rows=len(model.rows),
            compared_messages=model.messages,
            compared_accounts=len(model.accounts),
            differences=compare(model, actual),
            phases=self._phases,
            notices_per_s=sum(figures.accepted.values()) / loaded_s,
            machine=_machine(),
            dead_letters=figures.dead_letters,
            compared_readings={table: len(rows) for table, rows in sorted(model.readings.items())},
            events_without_effect=len(figures.events_without_effect),
            inputs=[
                f"synthetic city of {self.sizes.residents:,} residents, {self.sizes.days} days",
                cities[1].name,
            ],
        )

    def _cities(self) -> list[Path]:
        large = self.folder / "synthetic"
        with self._phase("synthetic city"):
            write_city(large, self.sizes.residents, self.sizes.days, self.sizes.seed, with_entities=True)
            if self.samples is None:
                small = self.folder / "small city"
                write_city(small, 200, 20, self.sizes.seed + 1, index=1, with_entities=True)
        return [large, self.samples or self.folder / "small city"]

    def _ingest_city(self, name: str, city: Path) -> tuple[float, float]:
        """Ingest a city and wait until it is in every store; return start and end in seconds since 1970."""
        started = time.time()
        with self._phase(f"{name}: into all stores"):
            self._run_mesh("ingest", "juki-cs", *sorted(city.glob("juki_*.csv")))
            self._run_mesh("ingest", "notices", *sorted(city.glob("notices_*.jsonl")))
            self._run_mesh("ingest", "enrolments", *sorted(city.glob("enrolments*.csv")))
            for events in sorted(city.glob("events_portal*.jsonl")):
                self._run_mesh("ingest", "events", "--system", "portal", events)
            if files := entity_files(city):
                self._ingest_entity_events(files)
            self._run_mesh("wait", "--idle", "--timeout", self.sizes.timeout_s)
        return started, time.time()

    def _ingest_entity_events(self, files: Sequence[Path]) -> None:
        """Ingest events of declared entities, all at once: a command for each municipality would take longer."""
        self.output(f"events of {', '.join(file.stem.removeprefix('events_') for file in files)}")
        ingest_files(
            Environment.load(), Installation.of_settings(), {file.name: entity_source(file) for file in files}
        )

    def _measure(self, environment: Environment, installation: Installation) -> Figures:
        with self._phase("figures"):
            return measure(environment, codec(environment, installation))

    @contextmanager
    def _workers(self) -> Iterator[None]:
        log = (self.folder / "workers.log").open("wb")
        with (
            log,
            subprocess.Popen([_mesh(), "run"], stdin=subprocess.DEVNULL, stdout=log, stderr=log) as workers,
        ):
            try:
                yield
            finally:
                workers.terminate()
                try:
                    workers.wait(STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    workers.kill()

    def _run_mesh(self, *arguments: object) -> None:
        words = [str(word) for word in arguments]
        short = [Path(word).name if "/" in word else word for word in words]
        self.output(f"$ mesh {' '.join(short)}")
        exit_code = subprocess.run([_mesh(), *words], check=False).returncode
        if exit_code:
            raise OperatorError(f"mesh {' '.join(words[:2])} ended with exit code {exit_code}", code=1)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._phases.append(Phase(name, time.monotonic() - started))


def municipalities(city: Path) -> Sequence[str]:
    """Return the codes of a city's municipalities, from the names of its files."""
    return [
        file.stem.split("_")[1] for file in sorted((*city.glob("juki_*.csv"), *city.glob("notices_*.jsonl")))
    ]


def city_files(city: Path) -> list[Path]:
    """Return the input files in a city's folder in the order in which they are ingested; others there are left out."""
    patterns = ("juki_*.csv", "notices_*.jsonl", "enrolments*.csv", "events_portal*.jsonl")
    return [
        *(file for pattern in patterns for file in sorted(city.glob(pattern))),
        *entity_files(city),
    ]


def entity_files(city: Path) -> list[Path]:
    """Return the files of events of declared entities, `events_<system>[_<municipality>].jsonl`."""
    return [
        file
        for file in sorted(city.glob("events_*.jsonl"))
        if (system := SYSTEMS.get(file.stem.split("_")[1])) is not None and system.owns
    ]


def entity_source(file: Path) -> EventsSource:
    """Return the source of such a file."""
    _, system, *municipality = file.stem.split("_")
    return EventsSource(system, file, next(iter(municipality), None))


def _token(environment: Environment) -> str:
    return environment.secrets().password(TRACKER_TOKEN).get_secret_value()


def _machine() -> str:
    return f"{psutil.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def _mesh() -> str:
    return str(Path(sys.executable).with_name("mesh"))
