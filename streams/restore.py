"""Brings stores back from their changelogs, a slice at a time, so that a worker's other partitions go on meanwhile."""

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
from streams.task import Restorable, TaskState

log = structlog.get_logger()


@dataclass
class _Changelog:
    """A changelog's partition on its way: read up to `position`, `whole` with its mark; what it brings back."""

    stores: list[Restorable] = field(default_factory=list)
    position: int = 0
    complete: bool = False


@dataclass
class _Restoration:
    """Partitions of one number on their way; `ended` where each of their changelogs is whole."""

    begun_s: float
    barrier_key: str
    kept: dict[Partition, TaskState]
    changelogs: dict[Partition, _Changelog] = field(default_factory=dict)
    entries: int = 0

    @property
    def complete(self) -> bool:
        return all(each.complete for each in self.changelogs.values())


class Restorer:
    """Restores partitions of one step.

    A changelog is whole where the mark is read that was written after the offset to go on from was known
    (`streams.barrier`): so whatever was committed with that offset is there, whoever leads the changelog. A transaction
    that is open before the mark is waited for, as readers of committed records have to. Input partitions of one number
    share their changelogs' partitions: those that come while others are on their way begin with them anew.
    """

    def __init__(self, step: Step, clients: Clients, settings: PipelineSettings, clock: Clock) -> None:
        self._step, self._clients, self._settings, self._clock = step, clients, settings, clock
        self._metrics = StepMetrics(step.name)
        self._active: dict[int, _Restoration] = {}
        self._reader: Reader | None = None
        self._progress_s = 0.0

    @property
    def active(self) -> bool:
        """Whether a partition is on its way."""
        return bool(self._active)

    def is_active(self, partition: Partition) -> bool:
        """Whether this one is."""
        return partition[1] in self._active and partition in self._active[partition[1]].kept

    def begin(self, new: Mapping[Partition, TaskState], mark: str) -> None:
        """Restores what is kept of these, empty now; `mark` is on each of their `changelogs`."""
        self._progress_s = self._clock()
        for number in {number for _, number in new}:
            before = self._active.get(number)
            kept = {each: new[each] for each in new if each[1] == number}
            self._active[number] = self._restoration(number, mark, (before.kept if before else {}) | kept)
        self._assign()

    def changelogs(self, new: Mapping[Partition, TaskState]) -> list[Partition]:
        """The partitions that these are restored from, each once."""
        found = (
            (topic, place[1]) for place, each in new.items() for topic in each.changelogs(self._step.name)
        )
        return list(dict.fromkeys(found))

    def _restoration(self, number: int, mark: str, kept: dict[Partition, TaskState]) -> _Restoration:
        found = _Restoration(self._progress_s, mark, kept)
        for each in kept.values():
            for topic, store in each.changelogs(self._step.name).items():
                found.changelogs.setdefault((topic, number), _Changelog()).stores.append(store)
        return found

    def drop(self, partitions: Iterable[Partition]) -> None:
        """These partitions are no longer ours."""
        gone = list(partitions)
        for partition in gone:
            active = self._active.get(partition[1])
            if active and active.kept.pop(partition, None) and not active.kept:
                del self._active[partition[1]]
        if gone:
            self._assign()

    def poll(self, timeout_s: float) -> list[Partition]:
        """Reads a slice; the partitions that are whole now. StateError where nothing moves any more."""
        if self._reader is not None:
            self._read(self._reader.consume(self._settings.batch_records_max, timeout_s))
        done: list[Partition] = []
        for number in [number for number, each in self._active.items() if each.complete]:
            each = self._active.pop(number)
            done.extend(each.kept)
            duration_s = self._clock() - each.begun_s
            self._metrics.restored(duration_s)
            log.info(
                "state.restored",
                step=self._step.name,
                partition=number,
                records=each.entries,
                entries=sum(kept.entries for kept in each.kept.values()),
                **({"digest": next(iter(each.kept.values())).digest} if self._step.stores else {}),
                duration_ms=round(1_000 * duration_s),
            )
        if done:
            self._assign()
        elif self._clock() - self._progress_s > self._settings.restore_stall_timeout_s:
            raise StateError(f"a changelog of {self._step.name} can't be read to its end")
        return done

    def close(self) -> None:
        """Gives the reader back."""
        self._active.clear()
        self._assign()

    def _assign(self) -> None:
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

    def _read(self, messages: Sequence[Message]) -> None:
        if messages:
            self._progress_s = self._clock()
        # Once through, with as little a record as can be: there are millions.
        told = [(message.error(), message) for message in messages]
        records = [message for error, message in told if error is None]
        for (topic, number), group in by_partition(records).items():
            if number in self._active:
                self._apply(self._active[number], self._active[number].changelogs[topic, number], group)
        for error, message in told:
            if error is not None:
                self._note_end(message, error)

    def _apply(self, restoration: _Restoration, changelog: _Changelog, records: Sequence[Message]) -> None:
        entries = [(_key(record), record.value()) for record in records]
        for store in changelog.stores:
            store.restore(entries)
        changelog.position = offset_of(records[-1]) + 1
        changelog.complete = changelog.complete or (restoration.barrier_key, None) in entries
        restoration.entries += len(records)

    def _note_end(self, message: Message, error: KafkaError) -> None:
        if error.code() != KafkaError._PARTITION_EOF:
            stopped = read_error(error)
            if stopped:
                raise stopped
            return
        topic, number = message.topic() or "", message.partition() or 0
        restoration = self._active.get(number)
        if restoration and (topic, number) in restoration.changelogs:
            changelog = restoration.changelogs[topic, number]
            # Markers and aborted records take offsets and are never handed out: the end says where to go on from.
            changelog.position = max(changelog.position, offset_of(message))


def _key(record: Message) -> str:
    key = record.key()
    if key is None:
        raise StateError("a record of a changelog has no key")
    return key.decode()
