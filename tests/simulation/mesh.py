"""A whole mesh in a world: the steps with their processors, the sinks of some domains, and what hands over to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from schemas.topics import change_topic, domain_receipt_topic, sink_step, topics_of
from streams.contract import StatefulProcessor, StatelessProcessor
from streams.settings import PipelineSettings
from streams.step import Step
from tests.simulation.cities import CODING, RECEIVED_MS
from tests.simulation.clients import SimConsumer
from tests.simulation.failing_steps import FailingProcessor, FailurePlan, RejectingStore
from tests.simulation.log import LogEntry
from tests.simulation.postgres import Database, Line
from tests.simulation.workers import SinkProcess, StepWorker
from tests.simulation.world import Process, Worker, World
from tests.unit.processors.submissions import key_ring

WORKERS: Final = 3
#: Makes what runs in a process.
Make = Callable[[Process], Worker]


class Mesh:
    """Everything that runs, for some domains: the changes of all others stay where fan-out puts them."""

    def __init__(
        self,
        world: World,
        domains: Sequence[str],
        batch_records_max: int,
        workers: int = WORKERS,
        stumble: FailurePlan | None = None,
    ) -> None:
        self.world, self.domains = world, domains
        self.settings = PipelineSettings(batch_records_max=batch_records_max)
        self.sinks = PostgresSinkSettings(read=SinkSettings(batch_records_max=batch_records_max))
        self.databases = {domain: Database(world.time) for domain in domains}
        for name, partitions in _topics():
            if not name.startswith("in."):
                world.log.create(name, partitions)
        self.stumble = stumble
        self.stumbling: FailingProcessor | RejectingStore | None = None
        if stumble is not None and stumble.step == "sink":
            self.stumbling = RejectingStore(self.databases[domains[0]], stumble)
        for step in steps(tuple(domains)):
            if stumble is not None and stumble.step == step.name:
                self.stumbling = found = FailingProcessor(step, stumble)
                world.add(step.name, workers, self._pipeline(replace(step, processor=found)))
            else:
                world.add(step.name, workers, self._pipeline(step))
        for domain in domains:
            world.add(sink_step(domain), workers, self._sink(domain))

    def _pipeline(self, step: Step) -> Make:
        return lambda process: StepWorker(process, step, CODING, self.settings)

    def _sink(self, domain: str) -> Make:
        found, database = DOMAINS[domain], self.databases[domain]
        return lambda process: SinkProcess(process, found, database, CODING, self.sinks)


class Feeder:
    """Hands over a city's records, some at a time (`tests.simulation.world.Worker`)."""

    consumer: SimConsumer | None = None
    line: Line | None = None

    def __init__(self, world: World, records: Iterator[tuple[str, bytes]], share: int) -> None:
        self._world, self._share, self._left = world, share, list(records)[::-1]

    @property
    def ready(self) -> bool:
        """Whether there is more."""
        return bool(self._left)

    def start(self) -> None:
        """Nothing is needed."""

    def turn(self) -> int:
        """The next share."""
        for _ in range(min(self._share, len(self._left))):
            topic, value = self._left.pop()
            self._world.log.create(topic, 1)
            self._world.log.append(topic, LogEntry((topic, 0), -1, None, value, RECEIVED_MS))
        return 1

    def close(self) -> None:
        """Nothing is held."""


@cache
def steps(domains: tuple[str, ...]) -> list[Step]:
    """The four steps; conversion for these domains."""
    inputs = dict(INPUTS)
    inputs["conversion"] = [
        *(change_topic(domain) for domain in domains),
        *(domain_receipt_topic(domain) for domain in domains),
    ]
    keys: KeyRing = key_ring()
    of = schema_of()
    made: dict[str, StatelessProcessor | StatefulProcessor] = {
        "intake": IntakeProcessor(keys),
        "household": HouseholdProcessor(),
        "fan-out": FanOutProcessor(),
        "conversion": ConversionProcessor(keys),
    }
    return [Step(name, inputs[name], of, processor) for name, processor in made.items()]


@cache
def _topics() -> list[tuple[str, int | None]]:
    return [(each.name, None if each.partitions == "P" else 1) for each in topics_of(())]
