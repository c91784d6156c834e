"""One run: a mesh from nothing, load and faults for so many minutes, and the verdict on what is left."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from infra.codec import codec
from infra.demo.run import municipalities
from infra.errors import OperatorError
from infra.local.kafka_server import ADMIN, AUDITOR
from infra.monitoring.waiting import wait_idle
from infra.run import background
from infra.store_contents import holdings
from infra.triage import rejected
from infra.verification.reference import Actual, compare, expected
from schemas.codec import Codec
from tests.chaos import cluster, evidence, load
from tests.chaos.campaign import Campaign, FaultOutcome
from tests.chaos.checker import Anomaly, check
from tests.chaos.cluster import ChaosCluster
from tests.chaos.history import History, history
from tests.chaos.model import Evidence
from tests.chaos.store_watch import StoreWatch
from tests.chaos.watch import Sample, Watch, topics_by_step

#: Where in a run's folder the mesh lives while it lasts.
WORK: Final = "work/home"
#: Logs of the last run's servers and workers.
LOGS: Final = "logs"
#: All data of the last run that found anything.
FOUND: Final = "found"
HURRY_TIMEOUT_S: Final = 300.0
IDLE_TIMEOUT_S: Final = 300.0
#: Where it was waited for already, and in vain.
STUCK_TIMEOUT_S: Final = 30.0
#: Before the first fault the mesh gets so long to be at work.
WARM_UP_S: Final = 12.0
SAMPLE_EVERY_S: Final = 1.0


@dataclass(frozen=True)
class Plan:
    """What is to be done. `rate` is hand-overs a second, `before` how often each kind struck in earlier runs."""

    folder: Path
    minutes: float
    seed: int
    kinds: Sequence[str]
    rate: float = 15.0
    workers: int = 2
    defect: str | None = None
    steps: Sequence[str] = cluster.STEPS
    before: Mapping[str, int] = field(default_factory=dict)
    days: int = load.DAYS
    #: So often each kind is to have struck, `before` included; None: until the time is over.
    enough: int | None = None


@dataclass(frozen=True)
class Result:
    """What came of it."""

    history: Path
    outcomes: Sequence[FaultOutcome]
    anomalies: Sequence[Anomaly]
    #: By step and partition number, when it was whole again and how long it took: (run's seconds, seconds).
    restores: Sequence[tuple[str, int, float, float]]
    counts: Mapping[str, float]


def run(plan: Plan, say: Callable[[str], None]) -> Result:
    """From nothing to the verdict; whatever happens, everything is stopped in the end."""
    work = plan.folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    city = work / "city"
    load.write(city, round(plan.rate * 60 * plan.minutes), plan.seed, plan.days)
    say("starting three brokers, registry, database and workers")
    file = plan.folder / f"{datetime.now().astimezone():%Y-%m-%dT%H-%M-%S}-{plan.seed}.jsonl"
    with (
        cluster.running(
            plan.folder / WORK, municipalities(city), plan.workers, plan.defect, plan.steps
        ) as mesh,
        history(file) as told,
    ):
        told.note(
            "begun",
            at=told.begun_at,
            minutes=plan.minutes,
            seed=plan.seed,
            rate=plan.rate,
            defect=plan.defect,
        )
        try:
            result = _Run(plan, mesh, told, say, city, file).result()
        finally:
            shutil.rmtree(plan.folder / LOGS, ignore_errors=True)
            shutil.copytree(mesh.installation.logs, plan.folder / LOGS)
        if result.anomalies:
            say(f"what the servers hold is kept in {plan.folder / FOUND}, until something is found again")
            cluster.keep(mesh, plan.folder / FOUND)
        return result


@dataclass
class _Run:
    plan: Plan
    mesh: ChaosCluster
    history: History
    say: Callable[[str], None]
    city_folder: Path
    file: Path
    _found: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _sampled_s: float = 0.0
    _load_averages: list[float] = field(default_factory=list)

    def result(self) -> Result:
        environment = self.mesh.environment
        shared = codec(environment, self.mesh.installation)
        city = load.read(self.city_folder, shared)
        duration_s = 60 * self.plan.minutes
        handing = load.Load(city, load.producer(environment.kafka(ADMIN)), duration_s)
        watch = Watch(environment, topics_by_step(self.mesh.installation.municipalities()))
        stores = StoreWatch(environment)
        campaign = Campaign(self.mesh, watch, self.history, self.say, self.plan.before)
        self.say(f"{city.hand_overs} hand-overs in {self.plan.minutes:g} minutes; seed {self.plan.seed}")
        with self._watched(watch, stores, handing):
            begun_s = time.monotonic()
            while time.monotonic() < begun_s + WARM_UP_S:
                handing.wait(0.2)
            campaign.run(self.plan.kinds, self.plan.seed, begun_s + duration_s, self.plan.enough)
            whole = all(each.recovered for each in campaign.outcomes)
            self._settle(handing, IDLE_TIMEOUT_S if whole else STUCK_TIMEOUT_S)
        background.stop(self.mesh.installation)
        self.say("reading every topic and every store")
        for left_open in evidence.open_at_the_end(self.mesh.environment):
            told = [f"{topic}/{number}" for topic, number in left_open]
            self.history.note("open-transactions", partitions=told)
            self._found["open-transaction"] = told
        left = self._evidence(shared, city)
        left.looks = stores.looks
        self._found["row-went-back"] += stores.wrong
        self._found["aborted-read"] += watch.ahead
        self._found["not-recovered"] += [
            f"{o.kind} of {o.target}" for o in campaign.outcomes if not o.recovered
        ]
        self._compare(city, len(left.opened))
        left.found = {kind: [*left.found.get(kind, ()), *told] for kind, told in self._merged(left).items()}
        anomalies = check(left)
        for each in anomalies:
            self.history.note("anomaly", **asdict(each))
        return Result(
            self.file,
            campaign.outcomes,
            anomalies,
            list(self._restores(left)),
            self._counts(left, stores, handing),
        )

    @contextmanager
    def _watched(self, watch: Watch, stores: StoreWatch, handing: load.Load) -> Iterator[None]:
        def told(sample: Sample) -> None:
            if sample.at_s - self._sampled_s >= SAMPLE_EVERY_S:
                self._sampled_s = sample.at_s
                load_average = os.getloadavg()[0]
                self._load_averages.append(load_average)
                left = dict(sample.left)
                self.history.note("sample", accepted=handing.accepted, left=left, load=load_average)

        watch.start(told)
        stores.start()
        handing.start()
        try:
            yield
        finally:
            handing.give_up()
            stores.stop()
            watch.stop()

    def _settle(self, handing: load.Load, idle_timeout_s: float) -> None:
        """All is handed over, and done everywhere; where that isn't so in time, what is left is held to the model."""
        self.say("handing over the rest, and waiting until all is done")
        handing.hurry(HURRY_TIMEOUT_S)
        self._found["hand-over-lost"] += handing.failures
        try:
            wait_idle(self.mesh.environment, self.mesh.installation, timeout_s=idle_timeout_s)
        except OperatorError as error:
            self._found["left-over"].append(str(error))
        self.history.note("settled", accepted=handing.accepted)

    def _evidence(self, shared: Codec, city: load.LoadCity) -> Evidence:
        installation = self.mesh.installation
        return evidence.collect(
            self.mesh.environment, shared, installation.key_file, installation.logs, city.by_topic
        )

    def _merged(self, left: Evidence) -> dict[str, list[str]]:
        return {kind: self._found.get(kind, []) for kind in {*self._found, *left.found}}

    def _compare(self, city: load.LoadCity, opened: int) -> None:
        """Stores and refusals as the reference model has them, of the same files."""
        environment = self.mesh.environment
        model = expected(city.files)
        held = holdings(environment.dsn(AUDITOR))
        refusals = rejected.listed(environment, codec(environment, self.mesh.installation))
        refused = {row["notice"] for row in refusals if row["code"].startswith("CANCELS_")}
        differences = compare(model, Actual(held.rows, held.messages, refused))
        found = [f"{each.domain}: {each.kind} {' '.join(each.columns)}" for each in differences]
        if opened != model.accepted.total():
            found.append(f"{opened} cases, {model.accepted.total()} in the model")
        self._found["differs-from-reference"] += found

    def _restores(self, left: Evidence) -> Iterator[tuple[str, int, float, float]]:
        for each in left.restored:
            at_s = self.history.since(self.history.of_day(each.begun_at + each.took_s))
            yield each.step, each.number, round(at_s, 3), each.took_s

    def _counts(self, left: Evidence, stores: StoreWatch, handing: load.Load) -> dict[str, Any]:
        lines = list(evidence.logged(self.mesh.installation.logs))
        return {
            "hand_overs": handing.accepted,
            "cases": len(left.opened),
            "records": sum(len(offsets) for offsets in left.committed.values()),
            "records_aborted": sum(len(offsets) for offsets in left.aborted.values()),
            "batches_committed": sum(line.get("event") == "batch.committed" for line in lines),
            "transactions_failed": sum(line.get("event") == "transaction.failed" for line in lines),
            "rows": len(left.rows),
            "looks_at_stores": stores.count,
            # Other work on the machine slows all that is measured here.
            "load_average": round(statistics.fmean(self._load_averages), 1),
        }
