"""Brings stores back from their changelogs, a slice at a time, so that a worker's other partitions go on meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from confluent_kafka import KafkaError, TopicPartition

from schemas.topics import state_topic
from streams.clients import Clients, Clock, Message, Partition, Reader
from streams.decoding import by_partition, offset_of
from streams.errors import StateError
from streams.metrics import StepMetrics
from streams.settings import PipelineSettings
from streams.state import PartitionState, PartitionStore
from streams.step import Step
from streams.verdict import read_error

log = structlog.get_logger()


@dataclass
class _Changelog:
    """One store of one partition on its way: read up to `position`, whole at `end`."""

    store: PartitionStore
    end: int
    position: int = 0


@dataclass
class _Restoration:
    """A partition on its way; `ended` where each of its changelogs is whole."""

    begun_s: float
    state: PartitionState
    changelogs: dict[Partition, _Changelog] = field(default_factory=dict)
    entries: int = 0

    @property
    def ended(self) -> bool:
        return all(each.position >= each.end for each in self.changelogs.values())


class Restorer:
    """Restores partitions of one step.

    A changelog is whole where every record is read, or known to be aborted, up to the offset that was the last of all
    when the restoration began, open transactions included: it waits for these to end. So whatever was committed with
    the offset that the partition goes on from is there.
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

    def begin(self, states: Mapping[int, PartitionState]) -> None:
        """Restores these empty states; to be called after the offsets to go on from are known."""
        self._progress_s = self._clock()
        stores = {
            (state_topic(self._step.name, name), number): store
            for number, state in states.items()
            for name, store in state.stores.items()
        }
        ends = self._clients.end_offsets(stores, self._settings.request_timeout_s)
        for number, state in states.items():
            self._active[number] = _Restoration(
                self._progress_s,
                state,
                {each: _Changelog(store, ends[each]) for each, store in stores.items() if each[1] == number},
            )
        self._assign()

    def drop(self, numbers: Iterable[int]) -> None:
        """These partitions are no longer ours."""
        if [number for number in numbers if self._active.pop(number, None)]:
            self._assign()

    def turn(self, timeout_s: float) -> list[int]:
        """Reads a slice; the partitions that are whole now. StateError where nothing moves any more."""
        if self._reader is not None:
            self._read(self._reader.consume(self._settings.batch_records_max, timeout_s))
        done = [number for number, each in self._active.items() if each.ended]
        for number in done:
            each = self._active.pop(number)
            duration_s = self._clock() - each.begun_s
            self._metrics.restored(duration_s)
            log.info(
                "state.restored",
                step=self._step.name,
                partition=number,
                records=each.entries,
                entries=each.state.entries,
                digest=each.state.digest,
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
            if changelog.position < changelog.end
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
                self._take(self._active[number], self._active[number].changelogs[topic, number], group)
        for error, message in told:
            if error is not None:
                self._note(message, error)

    def _take(self, restoration: _Restoration, changelog: _Changelog, records: Sequence[Message]) -> None:
        changelog.store.restore((_key(record), record.value()) for record in records)
        changelog.position = offset_of(records[-1]) + 1
        restoration.entries += len(records)

    def _note(self, message: Message, error: KafkaError) -> None:
        if error.code() != KafkaError._PARTITION_EOF:
            stopped = read_error(error)
            if stopped:
                raise stopped
            return
        topic, number = message.topic() or "", message.partition() or 0
        restoration = self._active.get(number)
        if restoration and (topic, number) in restoration.changelogs:
            changelog = restoration.changelogs[topic, number]
            # Markers and aborted records take offsets and are never handed out: the end says how far we are.
            changelog.position = max(changelog.position, offset_of(message))


def _key(record: Message) -> str:
    key = record.key()
    if key is None:
        raise StateError("a record of a changelog has no key")
    return key.decode()
