"""The loop of a step: consume, process, publish; each turn begins and ends without an open transaction."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from confluent_kafka import KafkaException

from schemas.codec import Codec
from streams.assignment import Assignment, Groups
from streams.clients import Clients, Clock, Outgoing, Partition
from streams.decoding import offset_of
from streams.errors import UnavailableError
from streams.metrics import StepMetrics
from streams.processing import Processing
from streams.restore import Restorer
from streams.settings import PipelineSettings
from streams.step import Step
from streams.transactions import Transactions

log = structlog.get_logger()

#: Transactions that may fail one after the other before the worker gives up, and is started again with a pause.
FAILED_IN_A_ROW_MAX = 20


class Pipeline:
    """One worker of a step, to be called by one thread: `start`, then `turn` as long as wanted, then `close`."""

    def __init__(
        self, step: Step, clients: Clients, codec: Codec, settings: PipelineSettings, clock: Clock
    ) -> None:
        self.step, self._settings, self._clock = step, settings, clock
        self._metrics = StepMetrics(step.name)
        self._consumer = clients.consumer()
        self._processing = Processing(step, codec, settings)
        self._transactions = Transactions(clients, settings, clock)
        self._restorer = Restorer(step, clients, settings, clock) if step.stores else None
        self._assignment = Assignment(self._consumer, self._processing, self._restorer, settings)
        self._failed_in_a_row = 0

    @property
    def partitions(self) -> list[Partition]:
        """The partitions that are ours now."""
        return sorted(self._assignment.positions)

    @property
    def restoring(self) -> bool:
        """Whether a partition waits for its state, or for another's transaction that holds its offset."""
        return bool(self._assignment.unsettled) or (self._restorer is not None and self._restorer.active)

    def start(self) -> None:
        """Fences the slot's worker before this one, then joins the group. In this order: nobody else's work is open."""
        self._transactions.start()
        self._assignment.subscribe(self.step.inputs)

    def turn(self) -> int:
        """One batch, whole or not at all; how many records it had. Waits `poll_timeout_s` for the first record.

        A failed transaction is recovered from: the same records come again. StreamError: this worker can't go on.
        """
        self._restore()
        # 1. Records of partitions that are ours, each once, in the order of their partition.
        groups = self._gather()
        if not groups:
            return 0
        # 2. All that follows from them; nothing is sent yet, changes of state are pending.
        outgoing = self._process(groups)
        # 3. All of it and the offsets in one transaction; only then is the state what it was to become.
        return self._publish(groups, outgoing)

    def stop(self) -> None:
        """The turn at hand is the last, and ends within `commit_timeout_s`: a transaction that fails isn't mended."""
        self._transactions.stopping = True

    def close(self) -> None:
        """Leaves; a static member's partitions wait for the slot until the session's timeout."""
        if self._restorer:
            self._restorer.close()
        self._transactions.close()
        self._consumer.close()

    def _restore(self) -> None:
        if self._restorer and self._restorer.active:
            self._assignment.restored(self._restorer.turn(self._settings.gather_timeout_s))

    def _gather(self) -> Groups:
        # A restoration goes on at once: nobody waits for a record meanwhile.
        timeout_s = self._settings.gather_timeout_s if self.restoring else self._settings.poll_timeout_s
        return self._assignment.gather(
            self._settings.batch_records_max, self._settings.batch_bytes_max, timeout_s
        )

    def _process(self, groups: Groups) -> list[Outgoing]:
        begun = self._clock()
        try:
            outgoing = self._processing.run(groups, self._assignment.states)
        except BaseException:
            self._roll_back()
            raise
        self._metrics.processed(self._clock() - begun, outgoing)
        return outgoing

    def _publish(self, groups: Groups, outgoing: list[Outgoing]) -> int:
        begun = self._clock()
        offsets = {partition: offset_of(records[-1]) + 1 for partition, records in groups.items()}
        try:
            self._transactions.publish(outgoing, offsets, self._consumer)
        except KafkaException as failure:
            self._metrics.aborted()
            self._transactions.recover(failure.args[0])
            if not self._took_place(offsets):
                return self._again(failure.args[0].name())
        self._committed(groups, offsets, self._clock() - begun)
        return sum(map(len, groups.values()))

    def _took_place(self, offsets: Mapping[Partition, int]) -> bool:
        """After a failed transaction the committed offsets tell: they stand with all of it or with nothing of it."""
        deadline = self._clock() + self._settings.request_timeout_s
        while (committed := self._assignment.rewind(offsets)) is None:
            # What was aborted is marked as such in every partition a moment after the answer.
            if self._clock() >= deadline:
                raise UnavailableError("committed: held by a transaction that doesn't end")
            self._transactions.wait()
        return bool(committed) and all(committed[partition] == offsets[partition] for partition in committed)

    def _again(self, error: str) -> int:
        self._roll_back()
        self._failed_in_a_row += 1
        if self._failed_in_a_row > FAILED_IN_A_ROW_MAX:
            raise UnavailableError(
                f"{self._failed_in_a_row} transactions failed one after the other, the last by {error}"
            )
        return 0

    def _roll_back(self) -> None:
        for state in self._assignment.states.values():
            state.rollback()

    def _committed(self, groups: Groups, offsets: Mapping[Partition, int], duration_s: float) -> None:
        self._failed_in_a_row = 0
        digests = {}
        for _, number in groups:
            if number in self._assignment.states:
                self._assignment.states[number].commit()
                digests[number] = {"digest": self._assignment.states[number].digest}
        self._assignment.advance(offsets)
        self._metrics.committed(duration_s, ((topic, len(records)) for (topic, _), records in groups.items()))
        for (topic, number), records in groups.items():
            log.info(
                "batch.committed",
                topic=topic,
                partition=number,
                offset_next=offsets[topic, number],
                records=len(records),
                duration_ms=round(1_000 * duration_s),
                **digests.get(number, {}),
            )
