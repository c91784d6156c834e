"""The demo itself: the commands an operator would type, in a place of its own, then figures and the comparison."""

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

from infra.apply.cli import with_bar
from infra.apply.installation import Installation
from infra.apply.reconcile import TRACKER_TOKEN
from infra.codec import codec
from infra.demo.measure import Figures, figures, latency
from infra.demo.report import Phase, Report
from infra.environment import Environment
from infra.errors import OperatorError
from infra.local.home import Home
from infra.local.progress import OnConsole
from infra.local.stack import Stack
from infra.store_contents import holdings
from infra.tracker.client import Tracker
from infra.verification.reference import compare, expected
from infra.verification.synthetic.writing import write_city
from schemas.topics import AUDITOR

STOP_TIMEOUT_S = 30.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """How large the synthetic city is, and how long to wait for it."""

    residents: int = 20_000
    days: int = 30
    seed: int = 1
    timeout_s: int = 600


@dataclass
class Demo:
    """One run in `folder`; `samples` is a city to take in after the synthetic one, None for a small synthetic one."""

    folder: Path
    samples: Path | None
    sizes: Sizes
    say: Say
    _phases: list[Phase] = field(default_factory=list)

    def run(self) -> Report:
        """From nothing to a report; whatever happens, the servers are stopped. OperatorError: a command failed."""
        os.environ["MESH_HOME"] = str(self.folder / "home")
        stack = Stack(Home.of_settings(), OnConsole())
        stack.reset()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            return self._with(stack)
        finally:
            self.say("stopping the servers")
            stack.down()

    def _with(self, stack: Stack) -> Report:
        with self._phase("servers"):
            stack.up()
        cities = self._cities()
        environment, installation = Environment.load(), Installation.of_settings()
        with self._phase("apply"):
            with_bar(environment, installation, sorted({m for city in cities for m in municipalities(city)}))
        with self._workers():
            spans = [self._through(*each) for each in zip(("first load", "samples"), cities, strict=True)]
            found = self._measured(environment, installation)
            summary = Tracker(installation.folder, _token(environment)).summary()
        with self._phase("reference model"):
            wanted = expected([file for city in cities for file in city_files(city)])
        actual = replace(holdings(environment.dsn(AUDITOR)), refused=found.cancellations_refused)
        loaded_s = sum(ended - begun for begun, ended in spans)
        return Report(
            residents=self.sizes.residents,
            handed_over=sum(found.accepted.values()) + sum(found.refused.values()) + found.duplicates,
            accepted=found.accepted,
            refused=found.refused,
            conflicts=found.conflicts,
            domains=found.domains,
            latencies=[
                latency(found.receipts, name, round(begun * 1000), round(ended * 1000))
                for name, (begun, ended) in zip(("first load", "samples"), spans, strict=True)
            ],
            cases={name: summary[name] for name in ("complete", "open", "overdue") if summary[name]},
            compared_rows=len(wanted.rows),
            compared_messages=wanted.messages,
            compared_accounts=len(wanted.accounts),
            differences=compare(wanted, actual),
            phases=self._phases,
            notices_per_s=sum(found.accepted.values()) / loaded_s,
            machine=_machine(),
            dead_letters=found.dead_letters,
            inputs=[
                f"synthetic city of {self.sizes.residents:,} residents, {self.sizes.days} days",
                cities[1].name,
            ],
        )

    def _cities(self) -> list[Path]:
        large = self.folder / "synthetic"
        with self._phase("synthetic city"):
            write_city(large, self.sizes.residents, self.sizes.days, self.sizes.seed)
            if self.samples is None:
                write_city(self.folder / "small city", 200, 20, self.sizes.seed + 1, index=1)
        return [large, self.samples or self.folder / "small city"]

    def _through(self, name: str, city: Path) -> tuple[float, float]:
        """Takes a city in and waits until it is in every store; when that began and ended (seconds since 1970)."""
        begun = time.time()
        with self._phase(f"{name}: into all stores"):
            self._mesh("ingest", "juki-cs", *sorted(city.glob("juki_*.csv")))
            self._mesh("ingest", "notices", *sorted(city.glob("notices_*.jsonl")))
            self._mesh("ingest", "enrolments", *sorted(city.glob("enrolments*.csv")))
            for events in sorted(city.glob("events_portal*.jsonl")):
                self._mesh("ingest", "events", "--system", "portal", events)
            self._mesh("wait", "--idle", "--timeout", self.sizes.timeout_s)
        return begun, time.time()

    def _measured(self, environment: Environment, installation: Installation) -> Figures:
        with self._phase("figures"):
            return figures(environment, codec(environment, installation))

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

    def _mesh(self, *arguments: object) -> None:
        words = [str(word) for word in arguments]
        shown = [Path(word).name if "/" in word else word for word in words]
        self.say(f"$ mesh {' '.join(shown)}")
        ended = subprocess.run([_mesh(), *words], check=False)
        if ended.returncode:
            raise OperatorError(f"mesh {' '.join(words[:2])} ended with {ended.returncode}", code=1)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self._phases.append(Phase(name, time.monotonic() - begun))


def municipalities(city: Path) -> Sequence[str]:
    """Who hands over, by the names of a city's files."""
    return [
        file.stem.split("_")[1] for file in sorted((*city.glob("juki_*.csv"), *city.glob("notices_*.jsonl")))
    ]


def city_files(city: Path) -> list[Path]:
    """A city's files, as they are handed over."""
    kinds = ("juki_", "notices_", "enrolments", "events_portal")
    return [file for file in sorted(city.iterdir()) if file.stem.startswith(kinds)]


def _token(environment: Environment) -> str:
    return environment.secrets().password(TRACKER_TOKEN).get_secret_value()


def _machine() -> str:
    return f"{psutil.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def _mesh() -> str:
    return str(Path(sys.executable).with_name("mesh"))
