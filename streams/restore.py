"""Restore of state stores from their changelogs, in portions, so that other partitions continue meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from confluent_kafka import KafkaError, TopicPartition

from streams.clients import Clients, Clock, Message, Partition, Reader
from streams.decoding import by_partition, offset_of
from streams.errors import StateError
from streams.kafka_errors import read_error
from streams.metrics import StepMetrics
from streams.settings import PipelineSettings
from streams.step import Step
from streams.task import Restorable, StreamTask

log = structlog.get_logger()


@dataclass
class _Changelog:
    """A changelog partition that is read up to `position`, and the stores to restore from it.

    `complete`: the barrier token has been read.
    """

    stores: list[Restorable] = field(default_factory=list)
    position: int = 0
    complete: bool = False


@dataclass
class _Restoration:
    """Tasks of input partitions with the same number, which share their changelogs' partitions."""

    started_s: float
    barrier_key: str
    tasks: dict[Partition, StreamTask]
    changelogs: dict[Partition, _Changelog] = field(default_factory=dict)
    records: int = 0

    @property
    def complete(self) -> bool:
        return all(each.complete for each in self.changelogs.values())


class Restorer:
    """Restores the tasks of one step.

    A changelog is restored when the barrier token has been read that was written after the task's position was known
    (`streams.barrier`): everything committed with that position precedes the token, whichever broker leads the
    changelog. The reader reads committed records, so an open transaction before the token is waited for. If a task of
    the same partition number is added during a restore, the restore of that number starts again with both.
    """

    def __init__(self, step: Step, clients: Clients, settings: PipelineSettings, clock: Clock) -> None:
        self._step, self._clients, self._settings, self._clock = step, clients, settings, clock
        self._metrics = StepMetrics(step.name)
        #: Restorations by partition number.
        self._active: dict[int, _Restoration] = {}
        self._reader: Reader | None = None
        self._progress_s = 0.0

    @property
    def active(self) -> bool:
        """Whether any task is being restored."""
        return bool(self._active)

    def is_active(self, partition: Partition) -> bool:
        """Return whether the task of this partition is being restored."""
        return partition[1] in self._active and partition in self._active[partition[1]].tasks

    def begin(self, tasks: Mapping[Partition, StreamTask], barrier_key: str) -> None:
        """Begin to restore empty tasks; the barrier token has been written to each of their `changelogs`."""
        self._progress_s = self._clock()
        for number in {number for _, number in tasks}:
            before = self._active.get(number)
            of_number = {partition: task for partition, task in tasks.items() if partition[1] == number}
            self._active[number] = self._restoration(
                number, barrier_key, (before.tasks if before else {}) | of_number
            )
        self._assign()

    def changelogs(self, tasks: Mapping[Partition, StreamTask]) -> list[Partition]:
        """Return the changelog partitions of these tasks, each once."""
        partitions = (
            (topic, number)
            for (_, number), task in tasks.items()
            for topic in task.changelogs(self._step.name)
        )
        return list(dict.fromkeys(partitions))

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Stop restoring partitions that were revoked."""
        dropped = list(partitions)
        for partition in dropped:
            active = self._active.get(partition[1])
            if active and active.tasks.pop(partition, None) and not active.tasks:
                del self._active[partition[1]]
        if dropped:
            self._assign()

    def poll(self, timeout_s: float) -> list[Partition]:
        """Read a portion and return the partitions restored by it. Raise StateError if there is no progress."""
        if self._reader is not None:
            self._apply_messages(self._reader.consume(self._settings.batch_records_max, timeout_s))
        restored: list[Partition] = []
        for number in [number for number, each in self._active.items() if each.complete]:
            restoration = self._active.pop(number)
            restored.extend(restoration.tasks)
            self._report(number, restoration)
        if restored:
            self._assign()
        elif self._clock() - self._progress_s > self._settings.restore_stall_timeout_s:
            raise StateError(f"a changelog of {self._step.name} can't be read to its end")
        return restored

    def close(self) -> None:
        """Close the reader."""
        self._active.clear()
        self._assign()

    def _restoration(self, number: int, barrier_key: str, tasks: dict[Partition, StreamTask]) -> _Restoration:
        restoration = _Restoration(self._progress_s, barrier_key, tasks)
        for task in tasks.values():
            for topic, store in task.changelogs(self._step.name).items():
                restoration.changelogs.setdefault((topic, number), _Changelog()).stores.append(store)
        return restoration

    def _report(self, number: int, restoration: _Restoration) -> None:
        duration_s = self._clock() - restoration.started_s
        self._metrics.restored(duration_s)
        log.info(
            "state.restored",
            step=self._step.name,
            partition=number,
            records=restoration.records,
            entries=sum(task.entries for task in restoration.tasks.values()),
            **({"digest": next(iter(restoration.tasks.values())).digest} if self._step.stores else {}),
            duration_ms=round(1_000 * duration_s),
        )

    def _assign(self) -> None:
        """Assign the reader to every changelog that isn't complete; close it if there is none."""
        wanted = [
            TopicPartition(topic, number, changelog.position)
            for restoration in self._active.values()
            for (topic, number), changelog in restoration.changelogs.items()
            if not changelog.complete
        ]
        if wanted:
            self._reader = self._reader or self._clients.reader()
            self._reader.assign(wanted)
        elif self._reader is not None:
            self._reader.close()
            self._reader = None

    def _apply_messages(self, messages: Sequence[Message]) -> None:
        if messages:
            self._progress_s = self._clock()
        # One pass with little work for each message: a changelog has millions of records.
        errors_and_messages = [(message.error(), message) for message in messages]
        records = [message for error, message in errors_and_messages if error is None]
        for (topic, number), of_changelog in by_partition(records).items():
            if number in self._active:
                restoration = self._active[number]
                self._apply(restoration, restoration.changelogs[topic, number], of_changelog)
        for error, message in errors_and_messages:
            if error is not None:
                self._note_end(message, error)

    def _apply(self, restoration: _Restoration, changelog: _Changelog, records: Sequence[Message]) -> None:
        entries = [(_key(record), record.value()) for record in records]
        for store in changelog.stores:
            store.restore(entries)
        changelog.position = offset_of(records[-1]) + 1
        changelog.complete = changelog.complete or (restoration.barrier_key, None) in entries
        restoration.records += len(records)

    def _note_end(self, message: Message, error: KafkaError) -> None:
        """Move the changelog's position to the end that the reader has reached; raise errors that stop the worker."""
        if error.code() != KafkaError._PARTITION_EOF:
            stopped = read_error(error)
            if stopped:
                raise stopped
            return
        topic, number = message.topic() or "", message.partition() or 0
        restoration = self._active.get(number)
        if restoration and (topic, number) in restoration.changelogs:
            changelog = restoration.changelogs[topic, number]
            # Transaction markers and aborted records occupy offsets, but are never returned.
            changelog.position = max(changelog.position, offset_of(message))


def _key(record: Message) -> str:
    key = record.key()
    if key is None:
        raise StateError("a record of a changelog has no key")
    return key.decode()
