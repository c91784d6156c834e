"""A complete mesh in a world: all steps with their processors, the sinks of some domains, and a feeder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Final

from connectors.postgres.worker import PostgresSinkSettings
from connectors.sink_worker import SinkSettings
from infra.run.topology import INPUTS, schema_of
from processors.codes import KeyRing
from processors.conversion import ConversionProcessor
from processors.fan_out import FanOutProcessor
from processors.household import HouseholdProcessor
from processors.intake import IntakeProcessor
from schemas.systems import DOMAINS
from schemas.topics import PROTECTION, change_topic, domain_receipt_topic, sink_step, topics_of
from streams.contract import StatefulProcessor, StatelessProcessor, TableReadingProcessor
from streams.settings import PipelineSettings
from streams.step import Step
from tests.simulation.cities import CODING, Submitted
from tests.simulation.clients import SimConsumer
from tests.simulation.declarations import AdoptionPlan, Installed
from tests.simulation.failing_steps import (
    FailingProcessor,
    FailurePlan,
    Health,
    RejectingStore,
    failing_readings,
)
from tests.simulation.log import LogEntry
from tests.simulation.postgres import SimDatabase, StoreAccess
from tests.simulation.workers import SinkProcess, StepWorker
from tests.simulation.world import Process, Worker, World
from tests.unit.processors.submissions import high_sealer, key_ring, sink_sealers

WORKERS: Final = 3
FAN_OUT: Final = "fan-out"
#: Creates the worker of a process.
WorkerFactory = Callable[[Process], Worker]


class SimMesh:
    """All steps, and the sinks of some domains. Changes of other domains stay in the topics that fan-out writes."""

    def __init__(
        self,
        world: World,
        domains: Sequence[str],
        batch_records_max: int,
        workers: int = WORKERS,
        *,
        failure_plan: FailurePlan | None = None,
        adoption_plan: AdoptionPlan | None = None,
    ) -> None:
        self.world, self.domains = world, domains
        self.settings = PipelineSettings(batch_records_max=batch_records_max)
        self.sinks = PostgresSinkSettings(read=SinkSettings(batch_records_max=batch_records_max))
        self.databases = {domain: SimDatabase(world.time) for domain in domains}
        for name, partitions in _topics():
            if not name.startswith("in."):
                world.log.create_topic(name, partitions)
        self.failure_plan, self.health = failure_plan, Health()
        in_rows = failure_plan is not None and failure_plan.in_rows
        wrap = failing_readings(failure_plan, self.health) if failure_plan is not None and in_rows else None
        self.installed = Installed(adoption_plan, wrap)
        if failure_plan is not None and failure_plan.step == "sink":
            RejectingStore(self.databases[domains[0]], failure_plan, self.health)
        for step in steps(tuple(domains)):
            world.add_step(step.name, workers, self._pipeline(step))
        for domain in domains:
            world.add_step(sink_step(domain), workers, self._sink(domain))

    def _pipeline(self, step: Step) -> WorkerFactory:
        plan = self.failure_plan
        fails_on_records = plan is not None and plan.step == step.name and not plan.in_rows

        def worker(process: Process) -> Worker:
            own = replace(step, processor=self.installed.processor()) if step.name == FAN_OUT else step
            if fails_on_records and plan is not None:
                own = replace(own, processor=FailingProcessor(own, plan, self.health))
            return StepWorker(process, own, CODING, self.settings)

        return worker

    def _sink(self, name: str) -> WorkerFactory:
        domain, database = DOMAINS[name], self.databases[name]
        return lambda process: SinkProcess(process, domain, database, CODING, self.sinks)


class Feeder:
    """Publishes a city's submissions, some at a time (`tests.simulation.world.Worker`).

    `before` has what an operator does before the submission of this index is published.
    """

    consumer: SimConsumer | None = None
    store_access: StoreAccess | None = None

    def __init__(
        self,
        world: World,
        records: Sequence[tuple[str, Submitted]],
        feed_size: int,
        before: Mapping[int, Callable[[], None]],
    ) -> None:
        self._world, self._records, self._feed_size, self._before = world, records, feed_size, before
        self._published = 0

    @property
    def ready(self) -> bool:
        """Whether submissions remain."""
        return self._published < len(self._records)

    def start(self) -> None:
        """Do nothing: there is nothing to join."""

    def run_once(self) -> int:
        """Publish the next submissions."""
        for _ in range(min(self._feed_size, len(self._records) - self._published)):
            if do := self._before.get(self._published):
                do()
            topic, submitted = self._records[self._published]
            self._published += 1
            self._world.log.create_topic(topic, 1)
            self._world.log.append(topic, LogEntry((topic, 0), -1, None, *submitted))
        return 1

    def close(self) -> None:
        """Do nothing: there is nothing to leave."""


@cache
def steps(domains: tuple[str, ...]) -> list[Step]:
    """Return the four steps; conversion reads the topics of these domains."""
    inputs = dict(INPUTS)
    inputs["conversion"] = [
        *(change_topic(domain) for domain in domains),
        *(domain_receipt_topic(domain) for domain in domains if DOMAINS[domain].has_receipts),
        PROTECTION,
    ]
    keys: KeyRing = key_ring()
    schema_by_topic = schema_of()
    processors: dict[str, StatelessProcessor | TableReadingProcessor | StatefulProcessor] = {
        "intake": IntakeProcessor(keys, high_sealer()),
        "household": HouseholdProcessor(),
        FAN_OUT: FanOutProcessor(sealer=high_sealer()),
        "conversion": ConversionProcessor(keys, high_sealer(), sink_sealers()),
    }
    return [Step(name, inputs[name], schema_by_topic, processor) for name, processor in processors.items()]


@cache
def _topics() -> list[tuple[str, int | None]]:
    return [(topic.name, None if topic.partitions == "P" else 1) for topic in topics_of(())]
