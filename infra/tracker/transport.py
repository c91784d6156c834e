"""Faust's Kafka transport, for topics written by transactions.

Faust 0.15 reads uncommitted records unless its own processing is set to exactly once, which the tracker doesn't need:
its updates are idempotent. What it must not do is show a case by a record whose transaction was aborted.

And it commits an offset only when every one before it was acknowledged, or is known to be a gap; but it misses the
gap after offset 0. Markers and aborted records are gaps: a partition that began with one record and an aborted
transaction was read, and never committed, ever after.
"""

from __future__ import annotations

from typing import Any

from faust.transport.drivers import aiokafka as driver


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # aiokafka reads this when the consumer starts, and Faust leaves no other way in; a test holds it.
        consumer._isolation_level = "read_committed"
        return consumer


class _Consumer(driver.Consumer):
    def _new_offset(self, tp: Any) -> int | None:
        """The offset to go on from: one agent takes a partition's records in their order, so that the last counts."""
        acknowledged = self._acked[tp]
        if not acknowledged:
            return None
        last = max(acknowledged)
        acknowledged.clear()
        self._acked_index[tp].clear()
        return int(last) + 1

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Nothing is to be remembered of what is not there."""

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(driver.Transport):
    """`kafka://`, for a tracker that sees what was committed."""

    Consumer = _Consumer
