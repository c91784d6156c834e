"""The workers of production on the simulation's clients: a pipeline, or a sink with its relay."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaException

from connectors import sink_worker
from connectors.errors import BrokerUnavailableError
from connectors.postgres.relay import Relay
from connectors.postgres.sink import PostgresSink
from connectors.postgres.worker import PostgresSinkSettings, RelayAfterBatch
from connectors.sink_commands import SinkCommands
from connectors.sink_worker import SinkInput, SinkWorker
from schemas.systems import Domain
from schemas.topics import command_topic, domain_topic, group, transactional_id
from streams.clients import ProducerRecords
from streams.pipeline import Pipeline
from streams.sealing import Coding
from streams.settings import PipelineSettings
from streams.step import Step
from tests.simulation.clients import Brokers, SimClients, SimConsumer
from tests.simulation.log import Log, LogEntry
from tests.simulation.postgres import Database, Line
from tests.simulation.world import Process


class StepWorker:
    """A pipeline in a process (`tests.simulation.world.Worker`)."""

    def __init__(self, process: Process, step: Step, coding: Coding, settings: PipelineSettings) -> None:
        world = process.world
        self._groups, self._group = world.groups, group(step.name)
        self._log, self._act_topic = world.log, (command_topic(step.name), 0)
        names = (self._group, transactional_id(step.name, process.slot))
        self.clients = SimClients(
            Brokers(world.log, world.groups, world.coordinator), process, names, settings
        )
        self.pipeline = Pipeline(step, self.clients, coding, settings, process.clock)
        self.start, self.turn, self.close = self.pipeline.start, self.pipeline.run_once, self.pipeline.close
        self._process, self._inputs, self._looks_s = process, step.inputs, 0.0

    @property
    def ready(self) -> bool:
        """Whether a turn would do anything: a restoration may have to wait for a transaction of somebody else's."""
        if self._oversees:
            return True
        if self._acts or self.pipeline.unsent_records:
            return True
        if self.pipeline.restoring and (self._settled or self._restores):
            return True
        return self.consumer is not None and self.consumer.ready

    @property
    def _acts(self) -> bool:
        """Whether there is an act that it hasn't read, or not done yet on a letter that it may have."""
        if self.consumer is None or self.consumer.member is None:
            return False
        return self._log.end(self._act_topic) > self.pipeline.commands_read or self.pipeline.commands_pending

    @property
    def _oversees(self) -> bool:
        """Whether a look at the group would find something, or it follows its call; else time goes on to its look."""
        oversight = self.pipeline.oversight
        if oversight.rebalance_pending:
            return not self._groups.of(self._group).preparing or self._is_due(oversight.due_s)
        return bool(self._groups.unassigned_partitions(self._group, self._inputs)) and self._is_due(
            oversight.due_s
        )

    def _is_due(self, due_s: float) -> bool:
        left_s = due_s - self._process.clock()
        if left_s > 0 and self._looks_s != due_s:
            self._looks_s = due_s
            self._process.world.time.after(left_s, lambda: None)
        return left_s <= 0

    @property
    def _settled(self) -> bool:
        """Whether it can be told by now where a partition goes on."""
        waiting, place = self.pipeline._assignment.initializing, self.clients.barrier_partition()
        return any(not self._groups.unstable(self._group, [each, place]) for each in waiting)

    @property
    def _restores(self) -> bool:
        reader = self.clients.last_reader
        if not self.pipeline._restorer.active:
            return False
        return reader is None or not reader.fetcher.positions or reader.fetcher.ready

    @property
    def consumer(self) -> SimConsumer | None:
        """The member of the group."""
        return self.clients.last_consumer

    @property
    def line(self) -> Line | None:
        """It has no store."""
        return None


class SinkProcess:
    """A sink with its relay in a process (`tests.simulation.world.Worker`)."""

    def __init__(
        self,
        process: Process,
        domain: Domain,
        database: Database,
        coding: Coding,
        settings: PostgresSinkSettings,
    ) -> None:
        world, self._database = process.world, database
        instance = transactional_id(process.step, process.slot)
        properties = sink_worker.consumer_properties({}, group(process.step), instance, settings.read)
        self.consumer = SimConsumer(world.log, world.groups, process, properties)
        self.line, topic = Line(database, process), domain_topic(domain.id)
        brokers = Brokers(world.log, world.groups, world.coordinator)
        clients = SimClients(brokers, process, (group(process.step), instance), PipelineSettings())
        self._acts = acts = SinkCommands(process.step, topic, clients, coding.codec, process.clock)
        self._log, self._act_topic = world.log, (command_topic(process.step), 0)
        self._sink = sink = PostgresSink(domain, self.line.connect, coding, settings.store, self.line.pause)
        relay = Relay(domain, sink.store, coding.codec, Send(world.log, process), settings.store)
        self.worker = SinkWorker(
            SinkInput(topic, domain.event, coding.codec, acts),
            sink,
            self.consumer,
            settings.read,
            after=RelayAfterBatch(relay, settings.store.attempts_max),
        )
        self.start, self.turn, self.close = self.worker.start, self.worker.run_once, self.worker.close

    @property
    def ready(self) -> bool:
        """Whether there is something to apply, to act on or to tell."""
        if self.consumer.ready or self._acts_due:
            return True
        return self._database.waiting("receipt_outbox", "dead_letter_outbox")

    @property
    def _acts_due(self) -> bool:
        """Whether there is an act that it hasn't read, or not asked the store for."""
        if not self.worker.partitions:
            return False
        read = self._acts._commands
        if self._log.end(self._act_topic) > len(read):
            return True
        return any(
            act.id not in self._acts._over
            for each in self._sink.open_dead_letters
            for act in read.for_digest(each)
        )


class Send:
    """What a relay sends by; an idempotent producer without transactions."""

    def __init__(self, log: Log, process: Process) -> None:
        self._log, self._process = log, process

    def __call__(self, records: Sequence[ProducerRecords]) -> None:
        """Sends, and returns when the broker has it."""
        try:
            self._process.request("relay.send", lambda: self._sent(records), 30.0)
        except KafkaException:
            raise BrokerUnavailableError("not acknowledged in time") from None

    def _sent(self, records: Sequence[ProducerRecords]) -> None:
        if self._log.time.now_s < self._log.full_until_s:
            raise BrokerUnavailableError("the disk is full")
        for out in records:
            stamps = out.timestamps_ms or [0] * len(out)
            for key, value, stamp in zip(out.keys, out.values, stamps, strict=True):
                self._log.append(out.topic, LogEntry((out.topic, out.partition), -1, key, value, stamp))
