"""One run: a mesh built from nothing, load and faults for some minutes, and the check of all evidence."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.apply.applied_declarations import applied_number
from infra.coding import codec
from infra.demo.measure import measure
from infra.demo.run import TABLES_OF_READINGS, municipalities
from infra.errors import OperatorError
from infra.local.kafka_server import ADMIN, AUDITOR
from infra.monitoring.waiting import wait_idle
from infra.run import background
from infra.store_contents import read_readings, read_stores
from infra.verification.reference import Actual, compare, expected
from schemas.codec import Codec
from tests.chaos import cluster, evidence, load
from tests.chaos.campaign import Campaign, FaultOutcome
from tests.chaos.checker import Anomaly, check
from tests.chaos.cluster import ChaosCluster
from tests.chaos.days import RunDays
from tests.chaos.declarations import are_former
from tests.chaos.fan_out_evidence import clock_and_adoption, receipts
from tests.chaos.faults import adoption
from tests.chaos.history import History, open_history
from tests.chaos.model import Evidence
from tests.chaos.store_watch import StoreWatch
from tests.chaos.watch import Sample, Watch, topics_by_step

#: Folder of the mesh during a run, in the folder of the plan.
WORK: Final = "work/home"
#: Folder of the logs of the last run's servers and workers.
LOGS: Final = "logs"
#: Folder of all data of the last run with an anomaly.
FOUND: Final = "found"
FINISH_TIMEOUT_S: Final = 300.0
IDLE_TIMEOUT_S: Final = 300.0
#: For a mesh that did not recover from a fault: the campaign has already waited for it.
IDLE_TIMEOUT_UNRECOVERED_S: Final = 30.0
#: Time from the start of the load to the first fault.
WARM_UP_S: Final = 12.0
SAMPLE_INTERVAL_S: Final = 1.0


@dataclass(frozen=True)
class Plan:
    """The parameters of a run. `rate` is in submissions per second.

    `injected_before` is how often each kind of fault was injected in earlier runs.
    """

    folder: Path
    minutes: float
    seed: int
    kinds: Sequence[str]
    rate: float = 15.0
    workers: int = 2
    defect: str | None = None
    steps: Sequence[str] = cluster.STEPS
    injected_before: Mapping[str, int] = field(default_factory=dict)
    days: int = load.DAYS
    #: The run ends early once each kind was injected this often, `injected_before` included; None: it does not.
    enough: int | None = None


class Restore(NamedTuple):
    """A restore of one partition's state; `ended_s` is in seconds since the start of the run."""

    step: str
    partition: int
    ended_s: float
    duration_s: float


@dataclass(frozen=True)
class Result:
    """The result of a run."""

    history: Path
    outcomes: Sequence[FaultOutcome]
    anomalies: Sequence[Anomaly]
    restores: Sequence[Restore]
    counts: Mapping[str, float]


def run(plan: Plan, print_line: Callable[[str], None]) -> Result:
    """Execute a run and return its result; everything is stopped at the end, also after an error."""
    work = plan.folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    city_folder = work / "city"
    load.write(city_folder, round(plan.rate * 60 * plan.minutes), plan.seed, plan.days)
    print_line("starting three brokers, registry, database and workers")
    file = plan.folder / f"{datetime.now().astimezone():%Y-%m-%dT%H-%M-%S}-{plan.seed}.jsonl"
    with (
        cluster.running(
            plan.folder / WORK, municipalities(city_folder), plan.workers, plan.defect, plan.steps
        ) as mesh,
        open_history(file) as history,
    ):
        history.write(
            "begun",
            at=history.begun_at,
            minutes=plan.minutes,
            seed=plan.seed,
            rate=plan.rate,
            defect=plan.defect,
        )
        try:
            result = _Run(plan, mesh, history, print_line, city_folder, file).result()
        finally:
            shutil.rmtree(plan.folder / LOGS, ignore_errors=True)
            shutil.copytree(mesh.installation.logs_folder, plan.folder / LOGS)
        if result.anomalies:
            print_line(
                f"all data of the servers is in {plan.folder / FOUND}, until the next run with an anomaly"
            )
            cluster.keep_data(mesh, plan.folder / FOUND)
        return result


@dataclass
class _Run:
    plan: Plan
    mesh: ChaosCluster
    history: History
    print_line: Callable[[str], None]
    city_folder: Path
    file: Path
    #: By kind, descriptions of anomalies observed directly.
    _observed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _sampled_s: float = 0.0
    _load_averages: list[float] = field(default_factory=list)

    def result(self) -> Result:
        """Execute the run and check its evidence."""
        environment = self.mesh.environment
        mesh_codec = codec(environment, self.mesh.installation)
        city = load.read(self.city_folder, mesh_codec)
        city_load = load.Load(
            city,
            load.idempotent_producer(environment.kafka(ADMIN)),
            60 * self.plan.minutes,
            mesh_codec,
            RunDays.after_city(self.plan.days),
            self.plan.seed,
            adoptions=self.mesh.adoptions,
        )
        self.mesh.adoptions.put(applied_number(self.mesh.installation))
        watch = Watch(environment, topics_by_step(self.mesh.installation.municipalities()))
        stores = StoreWatch(environment)
        campaign = Campaign(self.mesh, watch, self.history, self.print_line, self.plan.injected_before)
        self.print_line(
            f"{city.submissions} submissions in {self.plan.minutes:g} minutes; seed {self.plan.seed}"
        )
        with self._observing(watch, stores, city_load):
            self._inject_faults(campaign, city_load)
            recovered = all(outcome.recovered for outcome in campaign.outcomes)
            self._wait_idle(city_load, IDLE_TIMEOUT_S if recovered else IDLE_TIMEOUT_UNRECOVERED_S)
        background.stop(self.mesh.installation)
        self.print_line("reading every topic and every store")
        self._find_open_transactions()
        collected = self._collect(mesh_codec, city_load)
        collected.snapshots = stores.snapshots
        self._observed["row-went-back"] += stores.anomalies
        self._observed["aborted-read"] += watch.unstable_commits
        self._observed["not-recovered"] += [
            f"{outcome.kind} of {outcome.target}" for outcome in campaign.outcomes if not outcome.recovered
        ]
        number = applied_number(self.mesh.installation)
        self._observed |= clock_and_adoption(environment, mesh_codec, city_load.last_day, number)
        self._compare_with_reference(city_load, len(collected.opened_cases))
        for kind, descriptions in collected.observed_anomalies.items():
            self._observed[kind] = [*descriptions, *self._observed[kind]]
        collected.observed_anomalies = self._observed
        anomalies = check(collected)
        for anomaly in anomalies:
            self.history.write("anomaly", **asdict(anomaly))
        return Result(
            self.file,
            campaign.outcomes,
            anomalies,
            list(self._restores(collected)),
            self._counts(collected, stores, city_load),
        )

    def _inject_faults(self, campaign: Campaign, city_load: load.Load) -> None:
        begun_s = time.monotonic()
        while time.monotonic() < begun_s + WARM_UP_S:
            city_load.wait(0.2)
        until_s = begun_s + 60 * self.plan.minutes
        campaign.run(self.plan.kinds, self.plan.seed, until_s, self.plan.enough)
        if are_former(applied_number(self.mesh.installation)):
            # The stores are compared with what they must have by the declarations of now.
            adoption(self.mesh, random.Random(self.plan.seed))  # noqa: S311 - not used for security

    @contextmanager
    def _observing(self, watch: Watch, stores: StoreWatch, city_load: load.Load) -> Iterator[None]:
        """Run the observers and the load, and stop all of them at the end."""

        def on_sample(sample: Sample) -> None:
            if sample.at_s - self._sampled_s >= SAMPLE_INTERVAL_S:
                self._sampled_s = sample.at_s
                load_average = os.getloadavg()[0]
                self._load_averages.append(load_average)
                self.history.write(
                    "sample",
                    acknowledged=city_load.acknowledged,
                    remaining=dict(sample.remaining),
                    load=load_average,
                )

        watch.start(on_sample)
        stores.start()
        city_load.start()
        try:
            yield
        finally:
            city_load.cancel()
            stores.stop()
            watch.stop()

    def _wait_idle(self, city_load: load.Load, timeout_s: float) -> None:
        """Submit the rest and wait until the mesh is idle; after a timeout the evidence is checked all the same."""
        self.print_line("submitting the rest, and waiting until the mesh is idle")
        city_load.finish(FINISH_TIMEOUT_S)
        self._observed["submission-lost"] += city_load.failures
        try:
            wait_idle(self.mesh.environment, self.mesh.installation, timeout_s=timeout_s)
        except OperatorError as error:
            self._observed["not-processed"].append(str(error))
        self.history.write("idle", acknowledged=city_load.acknowledged)

    def _find_open_transactions(self) -> None:
        for partitions in evidence.open_at_the_end(self.mesh.environment):
            names = [f"{topic}/{number}" for topic, number in partitions]
            self.history.write("open-transactions", partitions=names)
            self._observed["open-transaction"] = names

    def _collect(self, mesh_codec: Codec, city_load: load.Load) -> Evidence:
        installation = self.mesh.installation
        return evidence.collect(
            self.mesh.environment,
            mesh_codec,
            installation.key_file,
            installation.logs_folder,
            city_load.submitted,
        )

    def _compare_with_reference(self, city_load: load.Load, opened: int) -> None:
        """Compare stores, rejections and events without effect with the reference model of the same files."""
        environment = self.mesh.environment
        mesh_codec = codec(environment, self.mesh.installation)
        received = receipts(environment, mesh_codec)
        model = expected(
            city_load.city.files,
            receipt_of=lambda file, line: received.get((file, line), ()),
            today=str(city_load.last_day),
        )
        stores, figures = read_stores(environment.dsn(AUDITOR)), measure(environment, mesh_codec)
        readings = read_readings(environment.dsn(AUDITOR))
        actual = Actual(
            stores.rows,
            stores.messages,
            figures.cancellations_rejected,
            readings={table: rows for table, rows in readings.items() if table in TABLES_OF_READINGS},
            rejected_events=figures.rejected_events,
            events_without_effect=figures.events_without_effect,
        )
        differences = compare(model, actual)
        descriptions = [
            f"{difference.domain}: {difference.kind} {' '.join(difference.columns)}"
            for difference in differences
        ]
        if opened != model.accepted.total():
            descriptions.append(f"{opened} cases, {model.accepted.total()} in the reference model")
        self._observed["differs-from-reference"] += descriptions

    def _restores(self, collected: Evidence) -> Iterator[Restore]:
        for state in collected.restored:
            ended_s = self.history.run_seconds_of_timestamp(state.begun_at + state.duration_s)
            yield Restore(state.step, state.partition, round(ended_s, 3), state.duration_s)

    def _counts(self, collected: Evidence, stores: StoreWatch, city_load: load.Load) -> dict[str, Any]:
        lines = list(evidence.log_lines(self.mesh.installation.logs_folder))
        return {
            "submissions": city_load.acknowledged,
            "cases": len(collected.opened_cases),
            "records": sum(len(offsets) for offsets in collected.committed_records.values()),
            "records_aborted": sum(len(offsets) for offsets in collected.aborted_records.values()),
            "batches_committed": sum(line.get("event") == "batch.committed" for line in lines),
            "transactions_failed": sum(line.get("event") == "transaction.failed" for line in lines),
            "rows": len(collected.rows),
            "snapshots_per_store": stores.rounds,
            # Other work on the machine slows everything that is measured here.
            "load_average": round(statistics.fmean(self._load_averages), 1),
        }
