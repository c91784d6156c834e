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
from connectors.withdrawal_reader import WithdrawalReader
from schemas.systems import Domain
from schemas.topics import command_topic, domain_topic, group, transactional_id, withdrawal_topic
from streams.clients import ProducerRecords
from streams.pipeline import Pipeline
from streams.sealing import Coding
from streams.settings import PipelineSettings
from streams.step import Step
from tests.simulation.clients import Brokers, SimClients, SimConsumer, SimReader
from tests.simulation.log import Log, LogEntry
from tests.simulation.postgres import SimDatabase, StoreAccess
from tests.simulation.world import Process


class StepWorker:
    """A pipeline in a process (`tests.simulation.world.Worker`).

    In production a worker polls all the time. Here it runs only if that has an effect, or no history would ever end: so
    `ready` reads private attributes of the pipeline, which no other caller needs.
    """

    def __init__(self, process: Process, step: Step, coding: Coding, settings: PipelineSettings) -> None:
        world = process.world
        self._groups, self._group = world.groups, group(step.name)
        self._log, self._command_partition = world.log, (command_topic(step.name), 0)
        names = (self._group, transactional_id(step.name, process.slot))
        self.clients = SimClients(
            Brokers(world.log, world.groups, world.coordinator), process, names, settings
        )
        self.pipeline = Pipeline(step, self.clients, coding, settings, process.clock)
        self.start, self.run_once, self.close = (
            self.pipeline.start,
            self.pipeline.run_once,
            self.pipeline.close,
        )
        self._process, self._inputs, self._scheduled_check_s = process, step.inputs, 0.0

    @property
    def ready(self) -> bool:
        """Whether a run would have an effect."""
        if self._must_check_unassigned or self._has_commands:
            return True
        if self.pipeline.restoring and (self._can_initialize or self._can_restore):
            return True
        return self.consumer is not None and self.consumer.ready

    @property
    def _has_commands(self) -> bool:
        """Whether a command is unread, or may still be applicable to a dead letter of this worker."""
        if self.consumer is None or self.consumer.member is None:
            return False
        unread = self._log.end_offset(self._command_partition) > self.pipeline.commands_read
        return unread or self.pipeline.commands_pending

    @property
    def _must_check_unassigned(self) -> bool:
        """Whether the check for unassigned partitions would request or complete a rebalance now."""
        monitor = self.pipeline.unassigned_partitions
        if monitor.rebalance_pending:
            return not self._groups.group(self._group).preparing or self._is_due(monitor.due_s)
        unassigned = self._groups.unassigned_partitions(self._group, self._inputs)
        return bool(unassigned) and self._is_due(monitor.due_s)

    def _is_due(self, due_s: float) -> bool:
        left_s = due_s - self._process.clock()
        if left_s > 0 and self._scheduled_check_s != due_s:
            self._scheduled_check_s = due_s
            self._process.world.time.after(left_s, lambda: None)
        return left_s <= 0

    @property
    def _can_initialize(self) -> bool:
        """Whether the position of an initializing partition can be read: no transaction keeps it unstable."""
        barrier = self.clients.barrier_partition()
        return any(
            not self._groups.has_unstable_offsets(self._group, [partition, barrier])
            for partition in self.pipeline.initializing
        )

    @property
    def _can_restore(self) -> bool:
        """Whether the restorer can start or has something to read."""
        reader = self.clients.last_reader
        if not self.pipeline._restorer.active:
            return False
        return reader is None or not reader.fetcher.positions or reader.fetcher.ready

    @property
    def consumer(self) -> SimConsumer | None:
        """The group member."""
        return self.clients.last_consumer

    @property
    def store_access(self) -> StoreAccess | None:
        """None: a step has no store."""
        return None


class SinkProcess:
    """A sink with its relay in a process (`tests.simulation.world.Worker`).

    `ready` reads private attributes of `SinkCommands`, for the same reason as `StepWorker`.
    """

    def __init__(
        self,
        process: Process,
        domain: Domain,
        database: SimDatabase,
        coding: Coding,
        settings: PostgresSinkSettings,
    ) -> None:
        world, self._database = process.world, database
        instance = transactional_id(process.step, process.slot)
        properties = sink_worker.consumer_properties({}, group(process.step), instance, settings.read)
        self.consumer = SimConsumer(world.log, world.groups, process, properties)
        self.store_access, topic = StoreAccess(database, process), domain_topic(domain.id)
        brokers = Brokers(world.log, world.groups, world.coordinator)
        clients = SimClients(brokers, process, (group(process.step), instance), PipelineSettings())
        self._commands = commands = SinkCommands(process.step, topic, clients, coding.codec, process.clock)
        self._log, self._command_partition = world.log, (command_topic(process.step), 0)
        self._sink = sink = PostgresSink(
            domain, self.store_access.connect, coding, settings.store, self.store_access.pause
        )
        relay = Relay(domain, sink.store, coding.codec, RelayProducer(world.log, process), settings.store)
        withdrawal = withdrawal_topic(domain.id)
        self._withdrawals = (
            WithdrawalReader(withdrawal, clients, coding.codec) if domain.has_withdrawals else None
        )
        self.worker = SinkWorker(
            SinkInput(topic, domain.event, coding.codec, commands, self._withdrawals),
            sink,
            self.consumer,
            settings.read,
            after=RelayAfterBatch(relay, settings.store.attempts_max),
        )
        self.start, self.run_once, self.close = self.worker.start, self.worker.run_once, self.worker.close

    @property
    def ready(self) -> bool:
        """Whether there is something to apply, a command to handle or something to relay."""
        if self.consumer.ready or self._has_commands or self._has_withdrawals:
            return True
        return self._database.has_unlocked_row("receipt_outbox", "dead_letter_outbox")

    @property
    def _has_withdrawals(self) -> bool:
        """Whether the reader of withdrawals is still to be opened, or has something to read."""
        if self._withdrawals is None:
            return False
        reader = self._withdrawals._reader
        return not isinstance(reader, SimReader) or reader.fetcher.ready

    @property
    def _has_commands(self) -> bool:
        """Whether a command is unread, or the store has not been asked yet whether it applies."""
        if not self.worker.partitions:
            return False
        reader = self._commands._commands
        if self._log.end_offset(self._command_partition) > len(reader):
            return True
        return any(
            command.id not in self._commands._finished
            for digest in self._sink.open_dead_letters
            for command in reader.for_digest(digest)
        )


class RelayProducer:
    """The relay's idempotent producer, without transactions."""

    def __init__(self, log: Log, process: Process) -> None:
        self._log, self._process = log, process

    def __call__(self, records: Sequence[ProducerRecords]) -> None:
        """Send, and return when the broker has acknowledged."""
        try:
            self._process.request("relay.send", lambda: self._append(records), 30.0)
        except KafkaException:
            raise BrokerUnavailableError("not acknowledged in time") from None

    def _append(self, records: Sequence[ProducerRecords]) -> None:
        if self._log.time.now_s < self._log.disk_full_until_s:
            raise BrokerUnavailableError("the disk is full")
        for batch in records:
            timestamps = batch.timestamps_ms or [0] * len(batch)
            for key, value, timestamp_ms in zip(batch.keys, batch.values, timestamps, strict=True):
                entry = LogEntry((batch.topic, batch.partition), -1, key, value, timestamp_ms)
                self._log.append(batch.topic, entry)
